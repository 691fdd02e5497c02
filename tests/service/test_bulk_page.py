"""The examples of docs/bulk.md work as they stand."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from tests.service import formats
from tests.service.driver import ROOT
from tests.service.process import Server

PAGE = (ROOT / "docs" / "bulk.md").read_text()


def test_the_examples_of_the_page(
    two_workers: Server, rows: list[dict[str, Any]], scores: NDArray[np.float64], tmp_path: Path
) -> None:
    """Each curl command and the Python client get every score, over a real server."""
    url = f"http://127.0.0.1:{two_workers.port}"
    (tmp_path / "rows.csv").write_bytes(formats.write_csv(rows))
    (tmp_path / "rows.jsonl").write_bytes(formats.write_lines(rows))
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL):
        for command in block.replace("\\\n", " ").splitlines():
            done = subprocess.run(
                ["/bin/sh", "-c", command],
                capture_output=True,
                text=True,
                check=True,
                cwd=tmp_path,
                env={**os.environ, "URL": url},
            )
            said = re.findall(r'"score":([0-9.e-]+)', done.stdout)
            if not said:
                said = [line.split(",")[2] for line in done.stdout.splitlines()[1:]]
            np.testing.assert_array_equal(np.array(said, dtype=float), scores)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    columns = {name: formats.to_table(rows).column(name) for name in rows[0]}
    names: dict[str, Any] = {"httpx": httpx, "url": url, "columns": columns}
    exec(code, names)  # noqa: S102 - the page's own example
    np.testing.assert_array_equal(names["scores"], scores)
