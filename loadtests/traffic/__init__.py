"""Rows, requests and their pace: what is sent, and a record of what came back."""
