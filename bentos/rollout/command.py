"""`tabserve rollout`: a new version in a cluster, by steps, judged against the present one."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Callable
from typing import Any

import click

from bentos.rollout import plan, steering
from bentos.rollout.cluster import Cluster
from bentos.rollout.judge import Limits
from bentos.rollout.prometheus import Prometheus
from bentos.rollout.steering import Options, Steering

TOKEN = "TABSERVE_GRAFANA_TOKEN"  # noqa: S105 - the name of a variable


@click.group()
def rollout() -> None:
    """Bring a new version to a cluster by steps, each judged."""


def _common(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--namespace", default="tabserve", show_default=True),
        click.option("--context", help="Of kubectl's configuration; by default the current one."),
        click.option("--grafana", help=f"URL to write annotations to, with the token in {TOKEN}."),
    ):
        command = option(command)
    return command


@rollout.command()
@click.argument("image")
@click.option("--prometheus", default="http://localhost:9090", show_default=True)
@click.option("--steps", default="5,25,50", show_default=True, help="Percentages before 100.")
@click.option("--look-seconds", default=30, show_default=True, type=click.IntRange(1))
@click.option("--deadline-seconds", default=900, show_default=True, type=click.IntRange(45))
@click.option("--min-requests", default=200, show_default=True, type=click.IntRange(20))
@click.option("--hold", is_flag=True, help="Keep a canary of which nothing can be said.")
@click.option(
    "--replay", "window", default="24h", show_default=True, help="Recorded rows to replay."
)
@click.option("--no-replay", is_flag=True, help="Take traffic without a replay before.")
@click.option("--max-flipped", default=0.1, show_default=True, type=click.FloatRange(0, 1))
@click.option("--label-tolerance", default=0.1, show_default=True, type=click.FloatRange(0, 1))
@_common
def start(
    image: str,
    prometheus: str,
    steps: str,
    look_seconds: int,
    deadline_seconds: int,
    min_requests: int,
    hold: bool,
    window: str,
    no_replay: bool,
    max_flipped: float,
    label_tolerance: float,
    namespace: str,
    context: str | None,
    grafana: str | None,
) -> None:
    """Bring IMAGE to all traffic, or take it away again by itself.

    Before any traffic the candidate replays recorded rows. At each step it is compared with the
    stable version. Exit 0: promoted. Exit 1: rolled back, and why. Exit 3: cannot tell, and the
    canary is kept (--hold).
    """
    options = Options(
        steps=plan.read_steps(steps),
        limits=Limits(min_requests=min_requests, labels=label_tolerance),
        look_seconds=look_seconds,
        deadline_seconds=deadline_seconds,
        is_held=hold,
        replay_window=None if no_replay else window,
        max_flipped=max_flipped,
    )
    try:
        _steer(namespace, context, grafana, Prometheus(prometheus), options).start(image)
    except steering.RolledBack as error:
        click.echo(f"rolled back: {error}", err=True)
        raise click.exceptions.Exit(1) from None
    except steering.Undecided as error:
        click.echo(str(error), err=True)
        raise click.exceptions.Exit(3) from None


@rollout.command()
@click.argument("image", required=False)
@click.option("--stop", "is_stopped", is_flag=True, help="Take the candidate away.")
@_common
def shadow(
    image: str | None, is_stopped: bool, namespace: str, context: str | None, grafana: str | None
) -> None:
    """Let IMAGE score copies of the answered requests, and answer nobody.

    Needs components/shadow in the overlay. `tabserve shadow` compares its rows with the answers.
    """
    if (image is None) is not is_stopped:
        raise click.UsageError("name an image, or --stop")
    steering_ = _steer(namespace, context, grafana)
    if image is None:
        steering_.stop_shadow()
    else:
        steering_.shadow(image)


@rollout.command()
@_common
def status(namespace: str, context: str | None, grafana: str | None) -> None:
    """What the last rollout is at, as JSON."""
    record = Cluster(namespace, context).read_record()
    click.echo(json.dumps(record or {"outcome": "none"}, indent=2))


@rollout.command()
@_common
def promote(namespace: str, context: str | None, grafana: str | None) -> None:
    """Give the canary all traffic now."""
    _steer(namespace, context, grafana).promote()


@rollout.command()
@click.option("--reason", default="by hand", show_default=True)
@_common
def abort(reason: str, namespace: str, context: str | None, grafana: str | None) -> None:
    """Take the canary away now."""
    _steer(namespace, context, grafana).abort(reason)


@rollout.command()
@_common
def undo(namespace: str, context: str | None, grafana: str | None) -> None:
    """Return to the version before the present one."""
    _steer(namespace, context, grafana).undo()


def _steer(
    namespace: str,
    context: str | None,
    grafana: str | None,
    prometheus: Prometheus | None = None,
    options: Options | None = None,
) -> Steering:
    return Steering(
        Cluster(namespace, context),
        prometheus or Prometheus("http://localhost:9090"),
        options or Options(),
        click.echo,
        lambda text: _annotate(grafana, text),
    )


def _annotate(grafana: str | None, text: str) -> None:
    # A Grafana that is away stops no rollout: the record has it as well.
    if not grafana:
        return
    body: dict[str, Any] = {"tags": ["tabserve", "rollout"], "text": text}
    request = urllib.request.Request(  # noqa: S310 - the user's own URL
        f"{grafana.rstrip('/')}/api/annotations",
        data=json.dumps(body).encode(),
        headers={
            "Content-Type": "application/json",
            "Authorization": f"Bearer {os.environ.get(TOKEN, '')}",
        },
    )
    try:
        urllib.request.urlopen(request, timeout=10).close()  # noqa: S310 - the same
    except (OSError, ValueError) as error:
        click.echo(f"no annotation was written: {type(error).__name__}", err=True)
