"""tabserve: from an MLflow model to a typed, batched, observable BentoML service."""

# That of pyproject.toml, which a Bento does not carry.
__version__ = "0.1.0"
