"""How good scores were, measured or estimated. Pure."""
