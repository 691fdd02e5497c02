"""Media types of many rows: bytes to tables, results to bytes."""
