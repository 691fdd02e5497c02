"""Single values and texts: checked against a feature, and counted before they are decoded."""
