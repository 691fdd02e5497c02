"""Bytes to rows, results and errors to bytes. No I/O."""
