"""The option that allows code that came with a model to run."""

from __future__ import annotations

import click

trust_code_option = click.option(
    "--trust-code",
    "trusts_code",
    is_flag=True,
    envvar="TABSERVE_TRUST_CODE",
    help="Let code that came with the model run: pickles, code folders, loaders of its own.",
)
