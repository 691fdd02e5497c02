"""Rows in, findings out: every test, and the one verdict on a version. Pure."""
