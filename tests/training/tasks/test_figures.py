from __future__ import annotations

import io

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bentos.training.tasks import figures
from bentos.training.tasks.evaluation import measure

GENERATOR = np.random.default_rng(4)
SCORES = GENERATOR.random(400)
OUTCOMES = (GENERATOR.random(400) < SCORES).astype(np.int64)
METRICS = measure(OUTCOMES, SCORES, 0.5)


def draw(figure: Figure) -> tuple[int, int]:
    """Render a figure as PNG and return its width and height in pixels."""
    image = io.BytesIO()
    figure.savefig(image, format="png")
    header = image.getvalue()
    assert header.startswith(b"\x89PNG")
    return int.from_bytes(header[16:20]), int.from_bytes(header[20:24])


def test_every_picture_renders() -> None:
    """Each is a PNG of the size that the module states, and names its axes."""
    pictures = [
        figures.draw_roc(OUTCOMES, SCORES, 0.5, METRICS),
        figures.draw_precision_recall(OUTCOMES, SCORES, 0.5, METRICS),
        figures.draw_calibration(OUTCOMES, SCORES, METRICS),
        figures.draw_confusion(OUTCOMES, SCORES, 0.5, ("no", "yes")),
        figures.draw_scores(OUTCOMES, SCORES, 0.5, ("no", "yes")),
    ]
    for picture in pictures:
        assert draw(picture) == (572, 462)
        axes = picture.axes[0]
        assert axes.get_xlabel()
        assert axes.get_ylabel()


def test_threshold_is_marked_where_the_metrics_are() -> None:
    """The point on the precision-recall curve is the one of the table."""
    picture = figures.draw_precision_recall(OUTCOMES, SCORES, 0.5, METRICS)
    point = next(line for line in picture.axes[0].lines if line.get_marker() == "o")
    assert [float(np.ravel(value)[0]) for value in point.get_data()] == [
        METRICS["recall"],
        METRICS["precision"],
    ]


def test_importance_shows_the_strongest_twenty() -> None:
    """Twenty bars, the strongest on top, gain next to TreeSHAP."""
    ranked = pd.DataFrame(
        {
            "feature": [f"f{number:02d}" for number in range(30)],
            "gain_share": 1 / 30,
            "mean_contribution": np.linspace(1, 0, 30),
        }
    )
    picture = figures.draw_importance(ranked)
    draw(picture)
    left, right = picture.axes
    assert [label.get_text() for label in left.get_yticklabels()][-1] == "f00"
    assert (len(left.patches), len(right.patches)) == (20, 20)
