"""Faults done to the running service under steady load, and what it promises meanwhile."""
