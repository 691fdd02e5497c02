"""The report of one version: one HTML file that needs nothing else.

The most drifted features come first, weighted by what they mean to the model. Every value
is escaped: names and categories are other people's text.
"""

from __future__ import annotations

import html
import re
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

from monitoring.drift import pictures
from monitoring.drift.findings import Check, Entry, FeatureFinding
from monitoring.drift.sample import Sample

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")

# With the time and a suffix below the 255 bytes that file systems allow.
_NAME_CHARACTERS = 150

_WORDS = {
    "drift": "Drift",
    "no_drift": "No drift",
    "insufficient_data": "Not enough data to tell",
    "failed": "Could not be compared",
}

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;
color:#1b1f24;background:#fff}
h1{font-size:1.5rem;margin-bottom:.2rem}h2{font-size:1.15rem;margin-top:2rem}
.outcome{display:inline-block;padding:.1rem .6rem;border-radius:.3rem;color:#fff;background:#57606a}
.drift{background:#b3261e}.no_drift{background:#1a7f37}.failed{background:#7a3e9d}
table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{text-align:left;padding:.25rem .6rem;border-bottom:1px solid #d8dee4}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
tr.hit td{background:#fdecea}
section{border-top:1px solid #d8dee4;padding:.8rem 0}
section h3{margin:0 0 .3rem;font-size:1rem}.about{color:#57606a;font-size:.9rem}
.row{display:flex;gap:1.5rem;flex-wrap:wrap}.row svg{flex:0 1 22rem}.row table{flex:1 1 24rem}
svg rect{fill:#b6c3d1}svg polyline{fill:none;stroke:#b3261e;stroke-width:1.8}
svg text{font-size:10px;fill:#57606a}
"""


def name_file(job: str, entry: Entry) -> str:
    """The report's file name: of this job, version and window, and safe in any folder."""
    name = _make_safe(f"{job}-{entry.model}-{entry.version}")
    return f"{name}-{entry.window.until:%Y%m%dT%H%M%SZ}.html"


def name_results(job: str) -> str:
    """The file name of a job's last results: two jobs may share a folder."""
    return f"{_make_safe(job)}.json"


def link(base: str, job: str, entry: Entry) -> str:
    """Where the report is once its folder is served under `base`; empty where it is not."""
    return f"{base.rstrip('/')}/{quote(name_file(job, entry))}" if base else ""


def write(
    folder: Path, job: str, entry: Entry, reference: Sample | None, window: Sample | None
) -> Path:
    """Write one report, and give its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name_file(job, entry)
    path.write_text(render(entry, reference, window), "utf-8", "backslashreplace")
    return path


def _make_safe(text: str) -> str:
    safe = _UNSAFE.sub("_", text)[:_NAME_CHARACTERS]
    if safe == text:
        return safe
    # What was replaced or cut off may have been all that two names did not share.
    return f"{safe}-{sha256(text.encode('utf-8', 'backslashreplace')).hexdigest()[:8]}"


def render(entry: Entry, reference: Sample | None, window: Sample | None) -> str:
    """The report as HTML."""
    title = f"{entry.model} {entry.version}: {_WORDS[entry.outcome].lower()}"
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<title>{_text(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{_text(entry.model)} {_text(entry.version)}</h1>",
        f'<p><span class="outcome {entry.outcome}">{_WORDS[entry.outcome]}</span> '
        f"{_text(entry.reason)}</p>",
        _render_facts(entry),
    ]
    if entry.retraining.reason:
        asked = "Retraining is asked for" if entry.retraining.needed else "No retraining asked for"
        parts.append(f"<p>{asked}: {_text(entry.retraining.reason)}.</p>")
    parts.append(_render_model(entry, reference, window))
    if entry.features:
        parts.append("<h2>Features</h2>")
        parts.append('<p class="about">Bars are the reference, the line is the window.</p>')
    for feature in sort_features(entry.features):
        picture = ""
        if reference is not None and window is not None and feature.name in window.features:
            picture = pictures.draw(reference.features[feature.name], window.features[feature.name])
        parts.append(_render_feature(feature, picture))
    parts.append("</body></html>\n")
    return "\n".join(parts)


def sort_features(features: list[FeatureFinding]) -> list[FeatureFinding]:
    """Drifted ones first, by how far beyond the least effect, times their importance."""
    return sorted(features, key=lambda item: (not item.drifted, -_weigh(item), item.name))


def _weigh(feature: FeatureFinding) -> float:
    sizes = [
        check.effect / max(check.min_effect, 1e-9)
        for check in feature.checks
        if check.effect is not None
    ]
    return feature.importance * max(sizes, default=0.0)


def _render_facts(entry: Entry) -> str:
    window = f"{entry.window.since:%Y-%m-%d %H:%M} to {entry.window.until:%Y-%m-%d %H:%M} UTC"
    facts = (
        ("Window", window),
        ("Predictions in it", f"{entry.rows:,}"),
        ("Compared", f"{entry.sampled:,}, picked with seed {entry.seed}"),
        ("Reference", f"{entry.reference_rows:,} training rows"),
        ("Level", f"{entry.alpha:.0%} for the whole run"),
        ("Run", entry.run),
    )
    rows = "".join(f"<tr><th>{name}</th><td>{_text(value)}</td></tr>" for name, value in facts)
    return f"<table>{rows}</table>"


def _render_model(entry: Entry, reference: Sample | None, window: Sample | None) -> str:
    parts = []
    if entry.score is not None:
        parts.append("<h2>Scores and decisions</h2>")
        drawn = []
        if reference is not None and window is not None:
            drawn = [
                pictures.draw(reference.scores[name], window.scores[name])
                for name in reference.scores.columns
            ]
        parts.append(f'<div class="row">{"".join(drawn)}{_render_checks(entry.score.checks)}</div>')
    if entry.joint is not None:
        parts.append("<h2>All features together</h2>" + _render_checks([entry.joint]))
    if entry.performance is not None:
        done = entry.performance
        parts.append(f"<h2>Performance on {done.labels:,} labelled rows</h2>")
        if done.note:
            parts.append(f"<p>{_text(done.note)}</p>")
        if done.checks:
            values = ", ".join(f"{name} {value:.4g}" for name, value in done.training.items())
            parts.append(f'<p class="about">Training: {_text(values)}</p>')
            parts.append(_render_checks(done.checks))
    return "\n".join(parts)


def _render_feature(feature: FeatureFinding, picture: str) -> str:
    missing = (
        ""
        if feature.missing_rate is None
        else (
            f", missing {feature.missing_rate:.1%} (reference {feature.reference_missing_rate:.1%})"
        )
    )
    about = f"{feature.kind}, {feature.importance:.1%} of the importance{missing}"
    word = ' <span class="outcome drift">drift</span>' if feature.drifted else ""
    return (
        f"<section><h3>{_text(feature.name)}{word}</h3>"
        f'<p class="about">{_text(about)}</p>'
        f'<div class="row">{picture}{_render_checks(feature.checks)}</div></section>'
    )


def _render_checks(checks: list[Check]) -> str:
    head = (
        '<tr><th>test</th><th class="n">statistic</th><th class="n">p-value</th>'
        '<th class="n">adjusted</th><th class="n">effect</th><th class="n">least</th></tr>'
    )
    return f"<table>{head}{''.join(map(_render_check, checks))}</table>"


def _render_check(check: Check) -> str:
    name = _text(check.name.replace("_", " ") + (f" of {check.of}" if check.of else ""))
    if check.note:
        return f'<tr><td>{name}</td><td colspan="5">{_text(check.note)}</td></tr>'
    numbers = (check.statistic, check.p_value, check.adjusted, check.effect, check.min_effect)
    cells = "".join(
        f'<td class="n">{"" if value is None else f"{value:.3g}"}</td>' for value in numbers
    )
    return f"<tr{' class=hit' if check.drifted else ''}><td>{name}</td>{cells}</tr>"


def _text(value: object) -> str:
    return html.escape(str(value))
