"""Single values and texts: their types, checks against a feature, and what a text may hold."""
