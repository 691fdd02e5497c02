"""Container images: what goes into each, and the tool that builds them."""
