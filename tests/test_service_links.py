"""Variables that Kubernetes adds are told from settings."""

from __future__ import annotations

import pytest

from bentos import service_links, settings
from bentos.errors import ConfigurationError

# As a pod gets them, for a Service with one named port.
INJECTED = {
    "TABSERVE_SERVICE_HOST": "10.96.0.7",
    "TABSERVE_SERVICE_PORT": "3000",
    "TABSERVE_SERVICE_PORT_HTTP": "3000",
    "TABSERVE_PORT": "tcp://10.96.0.7:3000",
    "TABSERVE_PORT_3000_TCP": "tcp://10.96.0.7:3000",
    "TABSERVE_PORT_3000_TCP_PROTO": "tcp",
    "TABSERVE_PORT_3000_TCP_PORT": "3000",
    "TABSERVE_PORT_3000_TCP_ADDR": "10.96.0.7",
}
CANARY = {name.replace("TABSERVE_", "TABSERVE_CANARY_", 1): INJECTED[name] for name in INJECTED}
DRIFT = {name.replace("TABSERVE_", "TABSERVE_DRIFT_", 1): INJECTED[name] for name in INJECTED}


@pytest.mark.parametrize("variables", [INJECTED, CANARY, DRIFT, {**INJECTED, **CANARY, **DRIFT}])
def test_what_kubernetes_adds(variables: dict[str, str]) -> None:
    """Every variable of a Service is found, whatever else is there, and stops no start."""
    others = {"PATH": "/bin", "TABSERVE_WORKERS": "1"}
    assert service_links.find({**others, **variables}) == variables.keys()
    settings.read({**others, **variables})


@pytest.mark.parametrize(
    "name", ["TABSERVE_PORT", "TABSERVE_SERVICE_HOST", "TABSERVE_SERVICE_PORT"]
)
def test_one_alone_is_a_mistake(name: str) -> None:
    """Kubernetes adds all of them or none: one alone was set by a user, and is refused."""
    assert service_links.find({name: "3000"}) == frozenset()
    with pytest.raises(ConfigurationError, match=f"^{name} is not a setting"):
        settings.read({name: "3000"})


def test_a_typing_error_is_still_found() -> None:
    """A misspelt setting is refused where a Service has the same prefix."""
    with pytest.raises(ConfigurationError, match=r"^TABSERVE_WORKRES .*TABSERVE_WORKERS\?$"):
        settings.read({**INJECTED, "TABSERVE_WORKRES": "2"})
    with pytest.raises(ConfigurationError, match=r"^TABSERVE_PORT_NUMBER is not"):
        settings.read({**INJECTED, "TABSERVE_PORT_NUMBER": "2"})
