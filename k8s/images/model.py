"""`python -m k8s.images.model NAME:TAG`: print the fixed tag that a model tag stands for."""

from __future__ import annotations

import sys

import bentoml


def main(tag: str) -> None:
    """Print it. Raises SystemExit with one line if the Bento store has no such model."""
    try:
        print(bentoml.models.get(tag).tag)  # noqa: T201 - this command's result
    except (bentoml.exceptions.BentoMLException, ValueError):
        raise SystemExit(f"the Bento store has no model {tag}") from None


if __name__ == "__main__":
    main(sys.argv[1])
