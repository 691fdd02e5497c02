"""The command line: one line for each command, and one line for each failure.

A command lives in a module of its own, which is imported when the command is asked for, and
imports what is heavy when it runs: `tabserve --help` takes a fraction of a second.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import traceback
from pathlib import Path
from typing import Any, ClassVar

import click

from bentos.errors import TabserveError
from bentos.logs import hide_password

# The extra that brings a package, for a command that does not find it.
EXTRAS = {
    "mlflow": ("mlflow", "pandas", "pyarrow", "skops", "sklearn"),
    "oidc": ("joserfc",),
    "parquet": ("fsspec",),
    "ray": ("ray",),
    "train": ("matplotlib", "omegaconf", "optuna", "pandera", "skrub"),
}


class LazyGroup(click.Group):
    """Imports the module of a command when it is asked for."""

    # By what they are for, in the order in which they are first needed. The attribute of each
    # module has the command's name, but for `import`, which is Python's.
    sections: ClassVar[dict[str, dict[str, str]]] = {
        "From a table to a served model": {
            "explore": "bentos.training.explore",
            "train": "bentos.training.command",
            "evidence": "bentos.commands.evidence",
            "import": "bentos.commands.import_",
            "models": "bentos.commands.models",
            "serve": "bentos.commands.serve",
            "keys": "bentos.commands.keys",
        },
        "Scores and reasons without a server": {
            "predict": "bentos.commands.predict",
            "score": "bentos.commands.score",
            "explain": "bentos.commands.explain",
        },
        "The next version": {
            "retrain": "bentos.training.retraining.command",
            "diff": "bentos.commands.diff",
            "promote": "bentos.commands.promote",
            "rollback": "bentos.commands.rollback",
            "shadow": "bentos.audit.shadow",
            "rollout": "bentos.rollout.command",
        },
        "The log of answers": {
            "records": "bentos.audit.records",
            "performance": "bentos.audit.performance",
            "replay": "bentos.audit.replay",
            "export": "bentos.audit.export",
            "forget": "bentos.audit.forget",
            "retention": "bentos.audit.retention",
            "migrate": "bentos.audit.migrate",
        },
    }
    modules: ClassVar[dict[str, str]] = {
        name: module for section in sections.values() for name, module in section.items()
    }

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands whose code is here: a Bento carries only what serving needs."""
        return sorted(name for name, module in self.modules.items() if _is_here(module))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = self.modules.get(cmd_name)
        if module is None or not _is_here(module):
            return None
        name = "import_" if cmd_name == "import" else cmd_name
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands of each section, as `tabserve --help` shows them."""
        here = self.list_commands(ctx)
        for title, names in self.sections.items():
            found = [(name, self.get_command(ctx, name)) for name in names if name in here]
            if found:
                with formatter.section(title):
                    formatter.write_dl(
                        [(name, one.get_short_help_str(80)) for name, one in found if one], 14
                    )

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; whatever fails in it becomes one line on standard error."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            # click ends quietly where the reader of a pipe has closed it.
            raise
        except Exception as error:
            if ctx.params.get("is_debug"):
                raise
            raise click.ClickException(_describe(error)) from None


def _is_here(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _describe(error: Exception) -> str:
    """One line: what failed, and where in the code if it was not raised on purpose."""
    if isinstance(error, TabserveError):
        return str(error)
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.partition(".")[0]
        for extra, packages in EXTRAS.items():
            if package in packages:
                return f"this command needs {package}: pip install 'tabserve[{extra}]'"
    if type(error).__module__ == "mlflow.exceptions":
        store = hide_password(os.environ.get("MLFLOW_TRACKING_URI") or "its default store")
        return f"MLflow ({store}): {(str(error).splitlines() or ['no reason given'])[0]}"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    # A message of a library may quote a value, so the type and the place have to do.
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"{type(error).__name__} in {frame.name} ({Path(frame.filename).name}:"
        f"{frame.lineno}), which tabserve did not expect; "
        "`tabserve --debug COMMAND ...` shows the traceback"
    )


@click.group(cls=LazyGroup)
@click.version_option(package_name="tabserve")
@click.option("--debug", "is_debug", is_flag=True, help="Show the traceback of a failure.")
def main(is_debug: bool) -> None:
    """Serve tabular models from MLflow, and work with the log of their answers.

    A model that MLflow has is served by `tabserve import models:/NAME@ALIAS` and
    `tabserve serve NAME`; `tabserve COMMAND --help` has the rest.
    """


if __name__ == "__main__":
    main()
