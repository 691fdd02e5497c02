"""The report of one version: one HTML file that needs nothing else.

The verdict comes first, then what to do, an overview of all parts, and the details. The most
drifted features come first, weighted by their importance to the model. Every value is escaped:
names and categories are text of clients and models.
"""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from monitoring.drift.decision.findings import Entry, FeatureFinding, Retraining, ScoreFinding
from monitoring.drift.decision.sample import Sample, find_recorded, find_threshold
from monitoring.drift.report import pictures, words
from monitoring.drift.report.overview import draw_overview
from monitoring.drift.report.tables import escape, list_checks, list_facts, list_levels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bentos.model.contract import Contract

# Of the features that the joint test leans on, those worth a reader's time.
_NAMED_PARTS, _LEAST_PART = 5, 0.1

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")

# With the time and a suffix below the 255 bytes that file systems allow.
_NAME_CHARACTERS = 150

_HOW_TO_READ = (
    "In the pictures bars are the reference and the line is the window, as shares of the values "
    "present. Of numbers the middle 98% is drawn: the first and the last bar hold what lies "
    "beyond, too. A pointer that rests on a bar shows its name and both shares."
)

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;
color:#1b1f24;background:#fff}
h1{font-size:1.5rem;margin-bottom:.2rem}h2{font-size:1.15rem;margin-top:2rem}
.outcome{display:inline-block;padding:.1rem .6rem;border-radius:.3rem;color:#fff;background:#57606a}
.drift{background:#b3261e}.no_drift{background:#1a7f37}.failed{background:#7a3e9d}
.warning{border-left:.3rem solid #bf8700;padding:.3rem .8rem;background:#fff8e1}
p,li,h1,h3,td:first-child,summary{overflow-wrap:anywhere}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.9rem}
.wide td:first-child{min-width:7.5rem}.overview td:first-child{min-width:5.2rem}
th,td{text-align:left;padding:.25rem .6rem;border-bottom:1px solid #d8dee4;vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}td.n{white-space:nowrap}
tr.hit td{background:#fdecea}a{color:inherit}
.effect{position:relative;width:9rem;height:.8rem;margin-top:.3rem;background:#eaeef2}
.effect i{display:block;height:100%;background:#8fa3b8}.hit .effect i{background:#b3261e}
.effect::after{content:"";position:absolute;left:33.3%;top:-.2rem;bottom:-.2rem;width:2px;
background:#1b1f24}
details{border-top:1px solid #d8dee4;padding:.6rem 0}
summary{cursor:pointer}summary h3{display:inline;margin:0;font-size:1rem}
.about{color:#57606a;font-size:.9rem}ul{padding-left:1.2rem;margin:.4rem 0}
.row{display:flex;gap:.8rem 1.5rem;flex-wrap:wrap}.row>*{min-width:0}
figure{flex:0 1 22rem;margin:0}figcaption{font-size:.9rem}
.row .wide{flex:1 1 24rem}svg{display:block;width:100%}
svg rect{fill:transparent}svg rect.bar{fill:#b6c3d1}
svg polyline{fill:none;stroke:#b3261e;stroke-width:1.8;pointer-events:none}
svg text{font-size:10px;fill:#57606a}
@media(max-width:34rem){body{margin:1rem auto;padding:0 .6rem}th,td{padding:.25rem .3rem}
.effect{width:4rem}.overview{font-size:.8rem}figure{flex:1 1 100%}}
@media print{details>*{display:block}}
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
    folder: Path,
    job: str,
    entry: Entry,
    contract: Contract | None,
    reference: Sample | None,
    window: Sample | None,
) -> Path:
    """Write one report, and give its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name_file(job, entry)
    path.write_text(render(entry, contract, reference, window), "utf-8", "backslashreplace")
    return path


def _make_safe(text: str) -> str:
    safe = _UNSAFE.sub("_", text)[:_NAME_CHARACTERS]
    if safe == text:
        return safe
    # What was replaced or cut off may have been all that two names did not share.
    return f"{safe}-{sha256(text.encode('utf-8', 'backslashreplace')).hexdigest()[:8]}"


def render(
    entry: Entry, contract: Contract | None, reference: Sample | None, window: Sample | None
) -> str:
    """The report as HTML."""
    word = words.OUTCOMES[entry.outcome]
    features = sort_features(entry.features)
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<title>{escape(f'{entry.model} {entry.version}: {word.lower()}')}</title>",
        f"<style>{_STYLE}</style></head><body>",
        f"<h1>{escape(entry.model)} {escape(entry.version)}</h1>",
        f'<p><span class="outcome {entry.outcome}">{word}</span> '
        f"{escape(words.describe_reason(entry))}</p>",
        *(f'<p class="warning">{escape(warning)}</p>' for warning in entry.warnings),
    ]
    if entry.retraining.reason:
        parts.append(f"<p>{_ask(entry.retraining)}: {escape(entry.retraining.reason)}.</p>")
    if steps := words.list_next_steps(entry):
        parts.append(f"<h2>What to do next</h2>{_list(steps)}")
    if overview := draw_overview(entry, features):
        parts.append(f"<h2>Overview</h2>{overview}")
    parts.append(f"<h2>What was compared</h2>{list_facts(entry)}")
    if reference is not None and window is not None and (entry.score or entry.features):
        parts.append(f'<p class="about">{_HOW_TO_READ}</p>')
    parts.append(_render_model(entry, contract, reference, window))
    if features:
        parts.append("<h2>Features</h2>")
    parts += [
        _render_feature(feature, place, reference, window, entry.alpha)
        for place, feature in enumerate(features)
    ]
    parts.append("</body></html>\n")
    return "\n".join(parts)


def _ask(ruling: Retraining) -> str:
    if ruling.needed:
        return "Retraining is asked for"
    # A signal alone is half of the rule: so many windows in a row are the other.
    return "Retraining, not yet" if ruling.signal else "No retraining asked for"


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


def _render_model(
    entry: Entry, contract: Contract | None, reference: Sample | None, window: Sample | None
) -> str:
    parts = []
    if entry.score is not None:
        parts.append('<h2 id="scores">Scores and decisions</h2>')
        drawn = []
        if reference is not None and window is not None:
            drawn = [
                _frame(
                    pictures.draw(reference.scores[name], window.scores[name]),
                    f"score of {name}" if name else "",
                )
                for name in reference.scores.columns
            ]
        tables = list_levels(_find_levels(entry.score, contract, reference, window))
        tables += list_checks(entry.score.checks, entry.alpha)
        parts.append(f'<div class="row">{"".join(drawn)}{tables}</div>')
    if entry.joint is not None:
        parts.append('<h2 id="together">All features together</h2>')
        parts.append(list_checks([entry.joint], entry.alpha))
        parts.append(_render_parts(entry))
    if entry.performance is not None:
        done = entry.performance
        heading = f"Performance on {done.labels:,} labelled rows"
        parts.append(f'<h2 id="performance">{heading}</h2>')
        if done.note:
            parts.append(f"<p>{escape(done.note)}</p>")
        if done.checks:
            parts.append(list_checks(done.checks, entry.alpha, done.training))
    return "\n".join(parts)


def _find_levels(
    score: ScoreFinding,
    contract: Contract | None,
    reference: Sample | None,
    window: Sample | None,
) -> list[tuple[str, float, float]]:
    """Means of the scores, and the share of rows decided for each class."""
    levels = [
        ("mean score" + (f" of {name}" if name else ""), score.reference_means[name], mean)
        for name, mean in score.means.items()
    ]
    if contract is None or contract.classes is None or reference is None or window is None:
        return levels
    sides = reference.scores.to_numpy(), window.scores.to_numpy()
    if contract.task == "binary":
        threshold = find_threshold(contract)
        before, after = (float((side[:, 0] >= threshold).mean()) for side in sides)
        levels.append((f"share decided for {contract.classes[1]}", before, after))
    elif contract.task == "multiclass":
        chosen = [side.argmax(axis=1) for side in sides]
        for place, name in enumerate(contract.classes):
            before, after = (float((side == place).mean()) for side in chosen)
            levels.append((f"share decided for {name}", before, after))
    return levels


def _render_parts(entry: Entry) -> str:
    """Which features the joint test leans on, in words."""
    named = [part for part in entry.parts if part.share >= _LEAST_PART][:_NAMED_PARTS]
    if not named:
        return ""
    names = ", ".join(f"{escape(part.feature)} {part.share:.0%}" for part in named)
    return (
        f"<p>Share of the discrepancy that goes without a feature: {names}. Features that moved "
        "apart from each other each take it with them, so the shares do not add up to 100%.</p>"
    )


def _render_feature(
    feature: FeatureFinding,
    place: int,
    reference: Sample | None,
    window: Sample | None,
    alpha: float,
) -> str:
    picture = ""
    if reference is not None and window is not None:
        sides = [find_recorded(side, feature.name) for side in (reference, window)]
        drawn = [side for side in sides if side is not None]
        picture = pictures.draw(*drawn) if len(drawn) == 2 else ""
    missing = (
        ""
        if feature.missing_rate is None
        else (
            f", missing {feature.missing_rate:.1%} (reference {feature.reference_missing_rate:.1%})"
        )
    )
    about = f"{feature.kind}, {feature.importance:.1%} of the importance{missing}"
    about += f", {feature.note}" if feature.note else ""
    word = ' <span class="outcome drift">drift</span>' if feature.drifted else ""
    # A feature that did not drift is there to be looked up.
    is_open = " open" if feature.drifted else ""
    return (
        f'<details id="feature-{place}"{is_open}><summary><h3>{escape(feature.name)}{word}</h3>'
        f'</summary><p class="about">{escape(about)}</p>'
        f"{_list(words.describe_change(feature, reference, window))}"
        f'<div class="row">{_frame(picture)}{list_checks(feature.checks, alpha)}</div></details>'
    )


def _list(sentences: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f"<ul>{items}</ul>" if items else ""


def _frame(picture: str, caption: str = "") -> str:
    if not picture:
        return ""
    words_below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f"<figure>{words_below}{picture}</figure>"
