"""From the labelled answers of the log to another version of the model."""
