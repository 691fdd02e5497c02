"""Arguments and variables in the manifests are what our programs take."""

from __future__ import annotations

import re

import click
import pytest

from bentos.cli import main
from bentos.settings import Settings, variable
from monitoring.drift import settings as drift_settings
from tests.k8s.rendered import NAMES, Object, containers, pods, render


def _expand(name: str, container: Object) -> list[str]:
    """The command with $(NAME) replaced from the ConfigMaps, as a pod gets it."""
    maps = {
        item["metadata"]["name"]: item["data"]
        for item in render(name)
        if item["kind"] == "ConfigMap"
    }
    values: dict[str, str] = {}
    for source in container.get("envFrom", []):
        values |= maps.get(source.get("configMapRef", {}).get("name"), {})
    # The table is on a claim; here any file stands for it.
    values |= {key: __file__ for key, value in values.items() if value.startswith("/data/")}
    expanded = [
        re.sub(r"\$\((\w+)\)", lambda found: values[found[1]], part)
        for part in container["command"]
    ]
    assert not [part for part in expanded if "$(" in part]
    return expanded


@pytest.mark.parametrize("name", NAMES)
def test_commands_parse(name: str) -> None:
    """Every `tabserve ...` names a command of ours, with arguments that it takes."""
    found = 0
    for owner, template in pods(name):
        for container in containers(template):
            if container.get("command", [""])[0] == "tabserve":
                _, command, *arguments = _expand(name, container)
                with click.Context(main) as context:
                    known = main.get_command(context, command)
                    assert known is not None, owner
                    known.make_context(command, list(arguments))
                found += 1
    assert found >= 2


def test_a_wrong_argument_would_be_found() -> None:
    """The check above can fail."""
    with click.Context(main) as context:
        known = main.get_command(context, "retention")
    assert known is not None
    with pytest.raises(click.ClickException):
        known.make_context("retention", ["--kept", "180d"])


@pytest.mark.parametrize("name", NAMES)
def test_variables_are_settings(name: str) -> None:
    """Every TABSERVE_ variable of a pod is a setting of what runs there."""
    service = {variable(field) for field in Settings.model_fields}
    drift = {option.variable for option in drift_settings.list_options()} | {"TABSERVE_STORE_URL"}
    maps = {
        item["metadata"]["name"]: item["data"]
        for item in render(name)
        if item["kind"] == "ConfigMap"
    }
    for owner, template in pods(name):
        known = drift if "tabserve-drift" in owner else service
        for container in containers(template):
            names = {each["name"] for each in container.get("env", [])}
            for source in container.get("envFrom", []):
                names |= maps.get(source.get("configMapRef", {}).get("name"), {}).keys()
            assert {each for each in names if each.startswith("TABSERVE_")} <= known, owner


def test_the_drift_jobs_arguments_parse() -> None:
    """The drift CronJob's arguments and settings are taken by the job itself."""
    (template,) = [each for owner, each in pods("kind") if owner == "CronJob/tabserve-drift"]
    (container,) = template["spec"]["containers"]
    drift_settings.read(container["args"], {})
