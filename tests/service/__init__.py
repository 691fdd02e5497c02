"""The service as its clients and its operators meet it."""
