"""The prediction log in PostgreSQL, partitioned by day."""
