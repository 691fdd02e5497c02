"""The prediction log in one SQLite file."""
