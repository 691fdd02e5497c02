"""One HTML file for each version: what was compared, what changed, and what to do next."""
