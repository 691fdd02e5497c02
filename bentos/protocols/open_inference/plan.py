"""What requests to one model have in common, worked out once. Pure.

Most tensors are plain: a datatype that the feature takes as it stands, in JSON. Their values
need a look at their types alone; every other tensor is read by `tensors`, which is the authority.
"""

from __future__ import annotations

from typing import Any

import msgspec

from bentos.model.contract import INTEGER_LIMITS, Contract, Feature
from bentos.model.loading import LoadedModel
from bentos.protocols.open_inference import datatypes, outputs
from bentos.protocols.open_inference.datatypes import DATATYPES, Datatype
from bentos.protocols.open_inference.outputs import Output
from bentos.protocols.open_inference.request import Tensor

_KEY = "open_inference"
_NONE = type(None)

# Parameters that say nothing which a plain tensor's datatype does not say.
_PLAIN_PARAMETERS = ({"content_type": "str"}, {"content_type": "np"}, {"content_type": "pd"})

_TYPES: dict[str, frozenset[type]] = {
    "float": frozenset({float, int, _NONE}),
    "integer": frozenset({int, _NONE}),
    "boolean": frozenset({bool, _NONE}),
    "bytes": frozenset({str, _NONE}),
}


class Plan(msgspec.Struct, frozen=True):
    """One model's tensors.

    `plain`: by the name and datatype of a tensor, the position of its feature and the types that
    its values may have. `outputs`: what the model gives.
    """

    plain: dict[tuple[str, str], tuple[int, frozenset[type]]]
    outputs: dict[str, Output]

    def read(self, tensor: Tensor, count: int) -> tuple[int, list[Any]] | None:
        """The position and the values of a plain tensor; None for any other."""
        known = self.plain.get((tensor.name, tensor.datatype))
        values = tensor.data
        if known is None or not isinstance(values, list) or len(values) != count:
            return None
        if tensor.parameters and tensor.parameters not in _PLAIN_PARAMETERS:
            return None
        position, types = known
        if count == 1:
            value = values[0]
            return None if type(value) not in types or value == "" else (position, values)
        found = set(map(type, values))
        if not found <= types or (str in found and "" in values):
            return None
        return position, values


def of_model(model: LoadedModel) -> Plan:
    """The plan of a model, made when it is first asked for."""
    plan = model.derived.get(_KEY)
    if not isinstance(plan, Plan):
        plan = model.derived[_KEY] = _make(model.contract)
    return plan


def _make(contract: Contract) -> Plan:
    plain = {
        (feature.name, datatype.name): (position, _TYPES[datatype.family])
        for position, feature in enumerate(contract.features)
        for datatype in DATATYPES.values()
        if _is_plain(feature, datatype)
    }
    return Plan(plain, {output.name: output for output in outputs.of_model(contract)})


def _is_plain(feature: Feature, datatype: Datatype) -> bool:
    """Whether JSON values of a datatype need no rounding, and no check of a range of its own."""
    if not datatypes.takes(feature, datatype):
        return False
    if datatype.family == "float":
        return datatype.name == "FP64"
    if datatype.family == "integer":
        low, high = INTEGER_LIMITS.get(feature.dtype, (-(2**63), 2**63))
        return feature.kind == "integer" and datatype.low <= low and high <= datatype.high
    return True
