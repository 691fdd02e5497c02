"""From MLflow into the Bento store. Not shipped in the Bento."""
