"""The subject of a command: asked for, read from a file, or named; and its tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TextIO, TypeVar

import click

from bentos.errors import ConfigurationError
from bentos.records.subject import Keys, read_keys
from bentos.settings import Settings

Command = TypeVar("Command", bound=Callable[..., Any])


def subject_options(command: Command) -> Command:
    """Add `--subject` and `--subject-file`."""
    named = click.option(
        "--subject", help="Whom, as the client named them. It stays in the shell's history."
    )
    filed = click.option(
        "--subject-file",
        type=click.File(encoding="utf-8"),
        help="A file that holds whom, - for standard input. With neither, it is asked for.",
    )
    return named(filed(command))


def read_subject(subject: str | None, file: TextIO | None) -> str:
    """The subject's text, without the white space around it, which HTTP takes off, too."""
    if subject is not None and file is not None:
        raise click.UsageError("--subject and --subject-file do not go together")
    try:
        if file is not None:
            subject = file.read()
        elif subject is None:
            subject = str(click.prompt("Subject", hide_input=True))
        subject = subject.strip()
        subject.encode()
    except UnicodeError:
        raise click.UsageError("the subject is not UTF-8 text") from None
    if not subject:
        raise click.UsageError("the subject is empty")
    return subject


def require_keys(settings: Settings) -> Keys:
    """The keys that tokens are made with. Raises ConfigurationError where there are none."""
    keys = read_keys(settings.subject_keys.get_secret_value())
    if keys is None:
        raise ConfigurationError(
            "TABSERVE_SUBJECT_KEYS is not set: without the service's keys no command can tell "
            "whose records are whose"
        )
    return keys
