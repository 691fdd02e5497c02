"""Fuzzes every decoder with atheris: `python -m tests.hostile.fuzz TAG --seconds 60`.

The first byte of an input picks the target. An input that breaks one is left in the folder
`--found`; kept in tests/hostile/found, a test tries it for good.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["bentos"]):
    from tests.hostile.targets import MAX_BODY_BYTES, find, seeds


def main() -> None:
    """Fuzz for some seconds; the exit code is not 0 where an input broke a target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tag", help="a model of the Bento store")
    parser.add_argument("--row", type=Path, required=True, help="a line of loadtests.export_rows")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--found", type=Path, default=Path())
    arguments = parser.parse_args()
    # Each fault that is answered as one is no news here.
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="tabserve-fuzz-") as folder:
        targets = find(arguments.tag, Path(folder) / "data", asyncio.new_event_loop())
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        for number in range(len(targets)):
            for which, body in enumerate(seeds(json.loads(arguments.row.read_text())["row"])):
                (corpus / f"{number}-{which}").write_bytes(bytes([number]) + body)

        def try_one(data: bytes) -> None:
            if data:
                targets[data[0] % len(targets)].read(data[1:])

        options = [
            f"-max_total_time={arguments.seconds}",
            f"-max_len={min(MAX_BODY_BYTES, 4096)}",
            f"-artifact_prefix={arguments.found}/",
            "-timeout=10",
            "-rss_limit_mb=2048",
            "-seed=1",
        ]
        atheris.Setup([sys.argv[0], *options, str(corpus)], try_one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
