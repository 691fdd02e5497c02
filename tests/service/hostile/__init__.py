"""What a hostile client sends, on real sockets."""
