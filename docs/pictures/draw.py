"""Draw README's pictures from what `make demo` left, and from the service itself.

    python docs/pictures/draw.py

Needs chromium. Writes PNGs of few colours next to this file: they are for a page, not for print.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import mlflow
from PIL import Image

from bentos.model.intake import tracking
from bentos.training.demo import NAME, free_port, service

FOLDER = Path(__file__).parent
REPORTS = Path(".tabserve") / "drift"
EXPLORED = Path(".tabserve") / "explore.html"
FIGURES = ("roc", "calibration", "importance")
COLOURS = 64


def main() -> None:
    """Draw each picture; ends with one line where something is missing."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("chromium is not here: it draws the pages")
    reports = sorted(REPORTS.glob(f"*{NAME}*.html"))
    if not reports or not EXPLORED.exists():
        sys.exit("run `make demo` first: it leaves the drift report and the page about the data")
    draw_figures()
    # The last run of a demo is the one that finds drift.
    draw_page(chromium, reports[-1].resolve().as_uri(), "drift", (1100, 1000))
    draw_page(chromium, EXPLORED.resolve().as_uri(), "explore", (1100, 900))
    port = free_port()
    with service(port):
        draw_page(chromium, f"http://127.0.0.1:{port}/", "page", (1100, 900))


def draw_figures() -> None:
    """The champion's figures of training, next to each other."""
    tracking.configure()
    version = mlflow.MlflowClient().get_model_version_by_alias(NAME, "champion")
    with tempfile.TemporaryDirectory() as folder:
        found = mlflow.artifacts.download_artifacts(
            run_id=version.run_id, artifact_path="figures", dst_path=folder
        )
        images = [Image.open(Path(found) / f"{name}.png").convert("RGB") for name in FIGURES]
        height = min(image.height for image in images)
        scaled = [image.resize((image.width * height // image.height, height)) for image in images]
        joined = Image.new("RGB", (sum(image.width for image in scaled), height), "white")
        left = 0
        for image in scaled:
            joined.paste(image, (left, 0))
            left += image.width
    save(joined.resize((1100, joined.height * 1100 // joined.width)), "training")


def draw_page(chromium: str, address: str, name: str, size: tuple[int, int]) -> None:
    """A page as a browser shows it, from its top."""
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "shot.png"
        command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        command += ["--disable-background-networking", f"--user-data-dir={folder}/profile"]
        command += ["--virtual-time-budget=20000", f"--window-size={size[0]},{size[1]}"]
        command += [f"--screenshot={shot}", address]
        subprocess.run(command, check=True, capture_output=True, timeout=180)  # noqa: S603 - a browser, on our own pages
        save(Image.open(shot).convert("RGB"), name)


def save(image: Image.Image, name: str) -> None:
    """Write a picture with few colours."""
    path = FOLDER / f"{name}.png"
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
