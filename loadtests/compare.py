"""Every profile under the same Locust plan: `python -m loadtests.compare --rows ROWS.jsonl`.

Writes `results/DATE-profiles.md`, its two charts and its data. Each profile is started,
shown to give the model's own scores, loaded, stopped; then the next; and all of it again
in the next round, so that whatever else the machine does falls on all alike.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path

from loadtests.benchmark import equality
from loadtests.judging import chart, comparison, gains
from loadtests.judging.comparison import Comparison, Profile, Run
from loadtests.machine import environment, processes, store
from loadtests.machine.launch import launched
from loadtests.peers import abilities
from loadtests.peers.catalogue import BY_NAME
from loadtests.peers.environments import CannotInstall
from loadtests.session import add_shared_options, drive, has_two_cores, suffix
from loadtests.traffic import rows
from loadtests.traffic.plan import PLANS

# Enough to find a difference, few enough not to keep a slow profile busy for long.
_COMPARED_ROWS = 1000
_COMPARED_BATCH_ROWS = 500


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison; exit 1 where scores differ, a request or a profile failed; 2: cannot."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(arguments)
    if not has_two_cores():
        print("taskset and two cores are needed", file=sys.stderr)  # noqa: T201
        return 2
    if options.quick:
        options.rounds, options.scale = 1, 0.25
    try:
        profiles = comparison.read()
        if options.profiles:
            profiles = [profile for profile in profiles if profile.name in options.profiles]
        profiles = list(_able(profiles, options.model))
        samples = rows.read(options.rows)
        found = Comparison(
            environment=environment.describe() | {"model": store.version_of(options.model)},
            command=shlex.join(["python", "-m", "loadtests.compare", *arguments]),
            plan=options.plan,
            profiles=profiles,
        )
    except (OSError, ValueError, TypeError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    for number in range(options.rounds):
        for profile in profiles:
            if profile.name in found.failed:
                continue
            try:
                _visit(profile, number, samples, options, found)
            except (
                processes.ServerFailed,
                equality.Different,
                CannotInstall,
                OSError,
            ) as error:
                found.failed[profile.name] = str(error)
                print(f"{profile.name}: {error}", file=sys.stderr)  # noqa: T201
        # After each round: an hour's work is not lost with the last minute.
        write(found, options.output, suffix(options.model))
    return exit_code(found)


def _able(profiles: Sequence[Profile], tag: str) -> Iterator[Profile]:
    """Give the profiles whose server can serve the model, and say which cannot."""
    contract = store.contract_of(tag)
    for profile in profiles:
        try:
            abilities.fit(BY_NAME[profile.server], contract)
        except abilities.CannotServe as error:
            print(f"{profile.name} is left out: {error}", file=sys.stderr)  # noqa: T201
        else:
            yield profile


def _visit(
    profile: Profile,
    number: int,
    samples: Sequence[rows.Sample],
    options: argparse.Namespace,
    found: Comparison,
) -> None:
    with launched(
        abilities.fit(BY_NAME[profile.server], store.contract_of(options.model)),
        options.model,
        cores=options.server_core,
        settings=profile.settings,
    ) as ready:
        difference = _difference(profile, ready.site.port, samples)
        found.differences[profile.name] = max(
            difference, found.differences.get(profile.name, difference)
        )
        if difference:
            raise equality.Different(f"a score differs by {difference:.3g} from the model's own")
        passages = drive(
            ready,
            profile.server,
            options.plan,
            rows=options.rows,
            scale=options.scale,
            server_core=options.server_core,
            load_core=options.load_core,
            # Other arrivals in each round, the same ones for all profiles in it.
            seed=number + 1,
        )
    found.runs.append(Run(profile.name, number, ready.ready_seconds, passages))
    for passage in passages:
        print(  # noqa: T201  # progress
            f"round {number + 1} {profile.name:17} {passage.stage:10}"
            f"{passage.per_second:10.1f}/s  p50 {comparison.p50(passage):9.3f}  "
            f"p99 {comparison.p99(passage):9.3f} ms  failures {passage.failed}  "
            f"cores {passage.cores:.2f} load {passage.load_cores:.2f} "
            f"others {passage.other_cores:.2f}",
            flush=True,
        )


def _difference(profile: Profile, port: int, samples: Sequence[rows.Sample]) -> float:
    """Give the largest difference of a score from the model's own, row by row and in batches."""
    peer = BY_NAME[profile.server]
    known = [sample for sample in samples if sample.score is not None][:_COMPARED_ROWS]
    expected = [sample.score for sample in known if sample.score is not None]
    if not expected:
        raise equality.Different("the rows have no scores to compare with")
    found = [0.0]
    if peer.scores is not None:
        bodies = [json.dumps(peer.body([sample.row], {})).encode() for sample in known]
        answers = equality.post(port, peer.path, bodies)
        found.append(equality.largest_difference(answers, peer.scores, expected))
    if peer.batch_body is not None and peer.batch_scores is not None:
        batch = list(islice(cycle(known), _COMPARED_BATCH_ROWS))
        body = json.dumps(peer.batch_body([sample.row for sample in batch], {})).encode()
        answers = equality.post(port, peer.batch_path, [body])
        expected = list(islice(cycle(expected), _COMPARED_BATCH_ROWS))
        found.append(equality.largest_difference(answers, peer.batch_scores, expected))
    return max(found)


def write(found: Comparison, output: Path, suffix: str = "") -> None:
    """Write data, charts and report."""
    output.mkdir(parents=True, exist_ok=True)
    stem = f"{environment.today()}-profiles{suffix}"
    comparison.save(found, output / f"{stem}.json")
    charts = chart.draw(found, output, stem) if found.runs else []
    (output / f"{stem}.md").write_text(gains.render(found, charts))
    print(output / f"{stem}.md")  # noqa: T201


def exit_code(found: Comparison) -> int:
    """Give 1 where a score differs, a request failed, or a profile has no numbers."""
    has_failures = any(passage.failed for run in found.runs for passage in run.passages)
    return int(bool(found.failed or has_failures or any(found.differences.values())))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=Path, required=True, help="JSON lines of export_rows.py")
    parser.add_argument("--profiles", nargs="+", help="of profiles.yaml; all of them by default")
    parser.add_argument("--plan", choices=PLANS, default="step")
    parser.add_argument("--rounds", type=int, default=3)
    add_shared_options(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
