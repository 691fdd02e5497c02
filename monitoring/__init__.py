"""What watches a running service: the drift job."""
