"""The connections of one worker: how many, how long, and what HTTP they may speak."""
