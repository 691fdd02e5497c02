"""`tabserve train`: data in, a registered model out.

Only words and exit codes live here. Learning libraries are imported when the command runs,
so that `tabserve --help` stays quick.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bentos.model.intake.tracking import configure
from bentos.training import TrainingError

if TYPE_CHECKING:
    from bentos.training.data import Dataset
    from bentos.training.experiment import Result, Trained
    from bentos.training.registry import Verdict
    from bentos.training.settings import Settings

COLUMNS = ("roc_auc", "pr_auc", "ks", "gini", "brier", "log_loss", "f1", "accuracy")


@click.command()
@click.option(
    "--data",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="CSV or Parquet file to train on; default: the packaged reference data.",
)
@click.option("--target", help="Column of --data to predict; it must have two values.")
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
    help='Bar on the test rows, such as "roc_auc>=0.77"; below it nothing is registered. '
    "Repeatable.",
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

    Learns targets of two values. KEY=VALUE overrides a setting, such as lightgbm.trials=5. The
    runs go to MLFLOW_TRACKING_URI, by default a file in the data directory.
    """
    if (data is None) != (target is None):
        raise click.UsageError("--data and --target go together")
    if data is None and (drop or time):
        raise click.UsageError("--drop and --time go with --data")
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
            ("data", {"drop": list(drop)} if drop else {}),
            ("split", {"time": time} if time else {}),
            ("registry", {"require": list(require)} if require else {}),
        )
        if values
    }
    try:
        dataset, chosen = _prepare(data, target, config, overrides, options)
        uri = configure()
        click.echo(f"{len(dataset.outcomes):,} rows of {dataset.description.title}; MLflow: {uri}")
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
        if chosen.split.time is not None or chosen.data.drop:
            raise TrainingError("split.time and data.drop go with a file: name it with --data")
        dataset = load_reference()
    else:
        dataset = load_file(
            data,
            target,
            chosen.data.maximum_categories,
            chosen.data.drop,
            chosen.split.time,
        )
    return reduce(dataset, chosen.data.rows, chosen.split.seed), chosen


def _reuse(name: str, dataset: Dataset, chosen: Settings) -> bool:
    """Whether a champion of these data and settings is there already; says so if it is."""
    from bentos.training import registry, settings  # noqa: PLC0415 - --help stays quick

    champion = registry.find_champion(name)
    if champion is None or not registry.is_same(champion, dataset.digest, settings.digest(chosen)):
        return False
    click.echo(
        f"{name} version {champion.version} is champion and was trained on the same data with the "
        f"same settings (ROC-AUC {float(champion.tags['test_roc_auc']):.4f}): nothing to do"
    )
    _say_next(name, "champion")
    return True


def _train(dataset: Dataset, chosen: Settings, name: str, require_better: bool) -> None:
    from bentos.training import bars, experiment, registry  # noqa: PLC0415 - --help stays quick

    trained = experiment.train(dataset, chosen, name, click.echo)
    _say_results(trained, dataset)
    served, baseline = trained.served.metrics["roc_auc"], trained.baseline.metrics["roc_auc"]
    if served <= baseline:
        raise click.ClickException(
            f"nothing registered: LightGBM's ROC-AUC {served:.4f} does not beat the baseline's "
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

    served = trained.served
    version = registry.register(
        name,
        trained.model_uri,
        verdict.alias,
        {
            registry.DATA_TAG: dataset.digest,
            registry.SETTINGS_TAG: settings.digest(chosen),
            "test_roc_auc": repr(served.metrics["roc_auc"]),
            "threshold": repr(served.threshold),
            "positive_class": str(dataset.classes[1]),
        },
    )
    click.echo(f"registered {name} version {version.version} as {verdict.alias}: {verdict.reason}")
    click.echo("card: " + card.card_line(name, version.version, served.metrics, served.threshold))
    _say_next(name, verdict.alias)


def _say_results(trained: Trained, dataset: Dataset) -> None:
    """Run ids and a table of test metrics."""
    target, positive = dataset.description.target.name, dataset.classes[1]
    click.echo(f"\nscore: probability that {target} is {positive}\nparent run {trained.run_id}")
    click.echo(f"{'test rows':<21}" + "".join(f"{column:>10}" for column in COLUMNS) + "  run")
    for key, result in trained.results.items():
        click.echo(f"{key:<21}{_row(result)}  {result.run_id}")
    click.echo()


def _row(result: Result) -> str:
    return "".join(f"{result.metrics[column]:>10.4f}" for column in COLUMNS)


def _say_next(name: str, alias: str) -> None:
    click.echo(f"next: tabserve import models:/{name}@{alias}")
