"""Requests of many rows: by column, in any format, whole or as they arrive."""
