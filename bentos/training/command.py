"""`tabserve train`: data in, a registered model out.

Only words and exit codes live here. Learning libraries are imported when the command runs,
so that `tabserve --help` stays quick.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from bentos.logs import hide_password
from bentos.model.intake.tracking import configure
from bentos.training import TASKS, TrainingError

if TYPE_CHECKING:
    from bentos.training import TaskName
    from bentos.training.data import Dataset
    from bentos.training.experiment import Trained
    from bentos.training.registry import Verdict
    from bentos.training.settings import Settings


@click.command()
@click.option(
    "--data",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="CSV or Parquet file to train on; default: the packaged reference data.",
)
@click.option("--target", help="Column of --data to predict.")
@click.option(
    "--task",
    type=click.Choice(TASKS),
    help="What to learn; by default what the values of --target suggest.",
)
@click.option("--drop", multiple=True, help="Column of --data that is no feature; repeatable.")
@click.option(
    "--time",
    help="Column of --data with times: the earliest rows train, the latest test; no feature.",
)
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="YAML file with settings that differ from the packaged ones.",
)
@click.option(
    "--name",
    help="Name in MLflow's model registry; needed with --data. Default: credit-default.",
)
@click.option(
    "--require",
    multiple=True,
    help='Bar on the test rows, such as "roc_auc>=0.77" or "mae<=2.5"; if it is missed nothing '
    "is registered. Repeatable.",
)
@click.option(
    "--require-better",
    is_flag=True,
    help="Register nothing and exit with 1 unless the model becomes champion.",
)
@click.option(
    "--reuse",
    is_flag=True,
    help="Do nothing if the champion was trained on the same data with the same settings.",
)
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
def train(
    data: Path | None,
    target: str | None,
    task: TaskName | None,
    drop: tuple[str, ...],
    time: str | None,
    config: Path | None,
    name: str | None,
    require: tuple[str, ...],
    require_better: bool,
    reuse: bool,
    overrides: tuple[str, ...],
) -> None:
    """Train, evaluate and register a LightGBM model.

    Learns one of two classes, one of several, or a number. KEY=VALUE overrides a setting, such
    as lightgbm.trials=5. The runs go to MLFLOW_TRACKING_URI, by default a file in the data
    directory.
    """
    if (data is None) != (target is None):
        raise click.UsageError("--data and --target go together")
    if data is None and (drop or time or task):
        raise click.UsageError("--drop, --time and --task go with --data")
    if data is not None and name is None:
        raise click.UsageError("--data needs --name: what the model is called in the registry")
    name = "credit-default" if name is None else name
    # What would read as part of the URI models:/NAME@ALIAS or models:/NAME/VERSION.
    if not name or set(name) & set("/:@"):
        raise click.UsageError("--name may not be empty or hold any of / : @")
    click.echo("loading libraries and data")
    # Options are settings: they belong to the run's record and to the settings' digest.
    options: dict[str, object] = {
        section: values
        for section, values in (
            (
                "data",
                {**({"drop": list(drop)} if drop else {}), **({"task": task} if task else {})},
            ),
            ("split", {"time": time} if time else {}),
            ("registry", {"require": list(require)} if require else {}),
        )
        if values
    }
    from bentos.training.tasks.target import describe  # noqa: PLC0415 - --help stays quick

    try:
        dataset, chosen = _prepare(data, target, config, overrides, options)
        uri = configure()
        click.echo(
            f"{len(dataset.outcomes):,} rows of {dataset.description.title}; MLflow: "
            f"{hide_password(uri)}"
        )
        click.echo(describe(dataset.task, dataset.classes, dataset.description.target.name))
        if not (reuse and _reuse(name, dataset, chosen)):
            _train(dataset, chosen, name, require_better)
    except TrainingError as error:
        raise click.ClickException(str(error)) from None
    except Exception as error:
        # MLflow is imported by now; its errors mean a store that is not there or not ours.
        from mlflow.exceptions import MlflowException  # noqa: PLC0415 - --help stays quick

        if isinstance(error, MlflowException):
            raise click.ClickException(f"MLflow: {str(error).splitlines()[0]}") from None
        raise


def _prepare(
    data: Path | None,
    target: str | None,
    config: Path | None,
    overrides: tuple[str, ...],
    options: dict[str, object],
) -> tuple[Dataset, Settings]:
    """Load settings and data; settings first, because they are quick to be wrong."""
    from bentos.training import settings  # noqa: PLC0415 - --help stays quick
    from bentos.training.data import load_file, load_reference, reduce  # noqa: PLC0415 - --help stays quick
    from bentos.training.description import describe_reference  # noqa: PLC0415 - --help stays quick

    suited = describe_reference().settings if data is None else {}
    chosen = settings.load(suited, config, overrides, options)
    if data is None or target is None:
        if chosen.split.time is not None or chosen.data.drop or chosen.data.task:
            raise TrainingError(
                "split.time, data.drop and data.task go with a file: name it with --data"
            )
        dataset = load_reference()
    else:
        dataset = load_file(
            data,
            target,
            chosen.data.maximum_categories,
            chosen.data.drop,
            chosen.split.time,
            # `settings.load` refuses other names.
            cast("TaskName | None", chosen.data.task),
        )
    return reduce(dataset, chosen.data.rows, chosen.split.seed), chosen


def _reuse(name: str, dataset: Dataset, chosen: Settings) -> bool:
    """Whether a champion of these data and settings is there already; says so if it is."""
    from bentos.training import registry, settings  # noqa: PLC0415 - --help stays quick
    from bentos.training.tasks import registry as tasks  # noqa: PLC0415 - --help stays quick

    champion = registry.find_champion(name)
    if champion is None or not registry.is_same(champion, dataset.digest, settings.digest(chosen)):
        return False
    deciding = tasks.pick(dataset.task).deciding
    value = float(champion.tags[f"test_{deciding.metric}"])
    click.echo(
        f"{name} version {champion.version} is champion and was trained on the same data with the "
        f"same settings ({deciding.title} {value:.4f}): nothing to do"
    )
    _say_next(name, "champion")
    return True


def _train(dataset: Dataset, chosen: Settings, name: str, require_better: bool) -> None:
    from bentos.training import bars, experiment, registry  # noqa: PLC0415 - --help stays quick
    from bentos.training.tasks import registry as tasks  # noqa: PLC0415 - --help stays quick

    deciding = tasks.pick(dataset.task).deciding
    trained = experiment.train(dataset, chosen, name, click.echo)
    _say_results(trained, dataset)
    served, baseline = (
        result.metrics[deciding.metric] for result in (trained.served, trained.baseline)
    )
    if deciding.gain(served, baseline) <= 0.0:
        raise click.ClickException(
            f"nothing registered: LightGBM's {deciding.title} {served:.4f} does not beat the "
            f"baseline's "
            f"{baseline:.4f}; the runs are kept under {trained.run_id}"
        )
    missed = bars.find_missed(bars.parse(chosen.registry.require), trained.served.metrics)
    if missed:
        raise click.ClickException(
            f"nothing registered: {'; '.join(missed)}; the runs are kept under {trained.run_id}"
        )
    verdict = registry.judge(name, served, trained.test, dataset.digest, chosen.registry)
    if require_better and verdict.alias != registry.CHAMPION:
        raise click.ClickException(
            f"nothing registered: {verdict.reason}; the runs are kept under {trained.run_id}"
        )
    _register(trained, dataset, chosen, name, verdict)


def _register(
    trained: Trained, dataset: Dataset, chosen: Settings, name: str, verdict: Verdict
) -> None:
    from bentos.training import card, registry, settings  # noqa: PLC0415 - --help stays quick
    from bentos.training.tasks import registry as tasks  # noqa: PLC0415 - --help stays quick

    served, task = trained.served, tasks.pick(dataset.task)
    metric = task.deciding.metric
    tags = {
        registry.DATA_TAG: dataset.digest,
        registry.SETTINGS_TAG: settings.digest(chosen),
        f"test_{metric}": repr(served.metrics[metric]),
    }
    if served.threshold is not None:
        tags["threshold"] = repr(served.threshold)
        tags["positive_class"] = str(dataset.classes[1])
    version = registry.register(name, trained.model_uri, verdict.alias, tags)
    click.echo(f"registered {name} version {version.version} as {verdict.alias}: {verdict.reason}")
    line = card.card_line(name, version.version, task, served.metrics, served.threshold)
    click.echo(f"card: {line}")
    _say_next(name, verdict.alias)


def _say_results(trained: Trained, dataset: Dataset) -> None:
    """Run ids and a table of test metrics."""
    from bentos.training.tasks import registry as tasks  # noqa: PLC0415 - --help stays quick

    task = tasks.pick(dataset.task)
    said = task.say_score(dataset.description.target.name, dataset.classes)
    click.echo(f"\nscore: {said}\nparent run {trained.run_id}")
    width = max(10, *(len(name) + 2 for name in task.shown))
    click.echo(f"{'test rows':<21}" + "".join(f"{name:>{width}}" for name in task.shown) + "  run")
    for key, result in trained.results.items():
        row = "".join(_cell(result.metrics.get(name), width) for name in task.shown)
        click.echo(f"{key:<21}{row}  {result.run_id}")
    click.echo()


def _cell(value: float | None, width: int) -> str:
    return f"{'-' if value is None else format(value, '.4f'):>{width}}"


def _say_next(name: str, alias: str) -> None:
    click.echo(f"next: tabserve import models:/{name}@{alias}")
