"""`python -m k8s.secrets`: print Secrets with passwords made now, for kind and demonstrations.

    python -m k8s.secrets | kubectl create -f -

`create` and not `apply`: passwords that a database was made with must stay. In production the same
names come from where your secrets are kept; k8s/README.md lists them.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

import yaml

from bentos.serving.access import keys as access

NAMESPACE = "tabserve"


def make() -> dict[str, dict[str, str]]:
    """Every Secret that the manifests refer to, by name, with its keys and their values."""
    owner, service, drift = (secrets.token_urlsafe(24) for _ in range(3))
    store = "postgresql:5432/tabserve"
    scraper, scraper_key = access.make("prometheus", ("admin",))
    client, client_key = access.make("demonstration", ("predict", "feedback"))
    return {
        # Of components/postgres.
        "postgresql": {
            "owner-password": owner,
            "service-password": service,
            "drift-password": drift,
        },
        # The log as the service writes it, as its owner, and as the drift job reads it.
        "tabserve-store": {"url": f"postgresql://scorer:{service}@{store}"},
        "tabserve-owner": {"url": f"postgresql://owner:{owner}@{store}"},
        "tabserve-drift": {"TABSERVE_STORE_URL": f"postgresql://drift:{drift}@{store}"},
        # Of components/monitoring. Nothing is sent where these two lead to no one.
        "grafana": {"admin-password": secrets.token_urlsafe(24)},
        "alertmanager": {"slack-url": "https://slack.invalid/", "smtp-password": "none"},
        # Of components/keys: the file of the keys' hashes, and the two keys themselves.
        "tabserve-keys": {"keys": access.write((scraper, client)).decode()},
        "tabserve-metrics": {"token": scraper_key},
        "tabserve-client": {"token": client_key},
    }


def render(made: Mapping[str, Mapping[str, str]], namespace: str = NAMESPACE) -> str:
    """Write them as manifests."""
    return yaml.safe_dump_all(
        (
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name, "namespace": namespace},
                "type": "Opaque",
                "stringData": dict(values),
            }
            for name, values in made.items()
        ),
        sort_keys=False,
    )


if __name__ == "__main__":
    print(render(make()), end="")  # noqa: T201 - this command's result
