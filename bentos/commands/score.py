"""`tabserve score`: a file of any size into a file of scores."""

from __future__ import annotations

import sys

import click


@click.command()
@click.argument("model")
@click.argument("source", metavar="INPUT")
@click.argument("target", metavar="OUTPUT")
@click.option(
    "--part-rows",
    type=click.IntRange(1),
    default=32_768,
    show_default=True,
    help="Rows of a part: what is done again after a kill, and what is held in memory.",
)
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Who scores the parts: this process, or the workers of the Ray cluster of RAY_ADDRESS "
    "(without it, of one that is started here). Ray needs the extra `ray`.",
)
def score(model: str, source: str, target: str, part_rows: int, engine: str) -> None:
    """Score a file of any size in parts.

    MODEL is NAME or NAME:VERSION of the Bento store. INPUT and OUTPUT are CSV, JSON lines or
    Parquet by their names, local or at an fsspec URL. OUTPUT has, for each row, its number,
    scores and label, or its errors. Rows have the checks and, to the last bit, the scores of
    requests; nothing enters the prediction log. Columns that are no features are left out.

    The same command again goes on after a kill, with the same result, on either engine. Exits
    with 1 where nothing was scored or something failed.
    """
    from bentos import settings  # noqa: PLC0415 - --help stays quick
    from bentos.audit import rescoring  # noqa: PLC0415 - --help stays quick
    from bentos.model import naming  # noqa: PLC0415 - --help stays quick
    from bentos.offline import files, ray_engine, run  # noqa: PLC0415 - --help stays quick

    if engine == "ray":
        # Before anything is written. Not imported yet: it reads its settings when it is.
        ray_engine.require()
    read = settings.read()
    tag = naming.resolve(model)
    source_file, target_file = files.find(source), files.find(target)
    served = rescoring.open_served(tag, read)
    unknown = read.unknown_category
    manifest, left = run.prepare(served, source_file, target_file, unknown, part_rows)
    plan = manifest.plan
    if len(left) < len(plan.parts):
        click.echo(f"{len(plan.parts) - len(left)} of {len(plan.parts)} parts are done", err=True)
    scoring = (
        ray_engine.score_parts(served, read, source_file, target_file, manifest, left)
        if engine == "ray"
        else run.score_parts(served, source_file, target_file, plan, left)
    )
    rows = sum(part.rows for part in left)
    scored = refused = 0
    with click.progressbar(
        length=rows, label="rows", file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as bar:
        for part, counts in scoring:
            scored += counts.scored
            refused += counts.refused
            bar.update(part.rows)
    run.finish(served, target_file, plan)
    click.echo(f"{scored:,} rows scored, {refused:,} refused", err=True)
    if rows == plan.rows and not scored:
        raise click.exceptions.Exit(1)
