"""Input that no client of good faith sends: fuzzing and the API description tried out."""
