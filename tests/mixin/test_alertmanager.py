"""Alertmanager's configuration: valid, secrets from files, each severity to the right people."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from monitoring.mixin import render

CONFIG = render.OUT / "alertmanager.yaml"


def run(amtool: str, *arguments: object) -> str:
    """Run amtool on the configuration. Raises CalledProcessError."""
    return subprocess.run(
        [amtool, *map(str, arguments)], capture_output=True, check=True, text=True
    ).stdout


def test_check_config(amtool: str) -> None:
    """amtool takes the configuration."""
    assert "SUCCESS" in run(amtool, "check-config", CONFIG)


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (["severity=page", "alertname=TabserveDown"], "page"),
        (["severity=ticket", "alertname=TabserveDrift"], "ticket"),
        (["alertname=OfSomebodyElse"], "ticket"),
    ],
)
def test_routes(amtool: str, labels: list[str], receiver: str) -> None:
    """A page goes to the people on call, a ticket and everything else to the team."""
    tested = run(
        amtool, "config", "routes", "test",
        f"--config.file={CONFIG}", f"--verify.receivers={receiver}", *labels,
    )  # fmt: skip
    assert tested.split()[0] == receiver


def test_a_wrong_route_is_seen(amtool: str) -> None:
    """The check of routes fails where an alert would go to other people."""
    with pytest.raises(subprocess.CalledProcessError):
        run(
            amtool, "config", "routes", "test",
            f"--config.file={CONFIG}", "--verify.receivers=ticket", "severity=page",
        )  # fmt: skip


def test_secrets_are_files(mixin: dict[str, Any]) -> None:
    """Passwords and the address of Slack's hook are read from files, and are nowhere else."""
    settings = mixin["alertmanager"]
    text = str(settings)
    assert settings["global"]["smtp_auth_password_file"].startswith("/")
    assert "'api_url'" not in text
    assert "'smtp_auth_password'" not in text
    for receiver in settings["receivers"]:
        assert receiver["email_configs"]
        assert all(one["api_url_file"].startswith("/") for one in receiver["slack_configs"])


def test_inhibition_names_alerts(mixin: dict[str, Any]) -> None:
    """What inhibits, and what is inhibited by name, are alerts that exist."""
    names = {rule["alert"] for group in mixin["alerts"]["groups"] for rule in group["rules"]}
    for rule in mixin["alertmanager"]["inhibit_rules"]:
        for matcher in [*rule["source_matchers"], *rule["target_matchers"]]:
            label, _, pattern = matcher.partition("=")
            if label == "alertname" and "+" not in pattern:
                assert set(pattern.lstrip("~").strip('"').split("|")) <= names
