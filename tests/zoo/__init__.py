"""Generated models of the kinds that people bring, and what becomes of each at import."""
