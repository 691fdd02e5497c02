"""Matrix in, scores out."""
