"""The variables that Kubernetes adds to every container of a namespace, some for each Service.

Those of a Service named `tabserve` or `tabserve-...` begin as settings do: TABSERVE_PORT,
TABSERVE_SERVICE_HOST. They are no mistake of a user's, and must not stop a start. A variable is
one of them only if the Service's own address is there as well, so that a user's TABSERVE_PORT is
still refused as the setting that it is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_HOST = "_SERVICE_HOST"
_PORT = "_SERVICE_PORT"
# Of each port, by its name (`_SERVICE_PORT_HTTP`) and by its number (`_PORT_3000_TCP_ADDR`).
_OF_A_PORT = re.compile(r"_SERVICE_PORT(_\w+)?|_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?")


def find(names: Iterable[str]) -> frozenset[str]:
    """Pick from a process's variables those that Kubernetes added for a Service."""
    present = frozenset(names)
    services = [
        name.removesuffix(_HOST)
        for name in present
        if name.endswith(_HOST) and name.removesuffix(_HOST) + _PORT in present
    ]
    return frozenset(
        name
        for name in present
        for service in services
        if name == service + _HOST
        or (name.startswith(service) and _OF_A_PORT.fullmatch(name.removeprefix(service)))
    )
