"""Every feature against its reference, each by itself: checks, one family, one finding each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from monitoring.drift.decision.categories import compare_categories, list_moves
from monitoring.drift.decision.decide import StatisticError, decide
from monitoring.drift.decision.findings import Check, FeatureFinding
from monitoring.drift.decision.limits import SHARES, Limits
from monitoring.drift.decision.numbers import compare_numbers
from monitoring.drift.decision.sample import (
    Sample,
    find_recorded,
    kind_of,
    share_out,
    write_category,
)

if TYPE_CHECKING:
    from bentos.model.contract import Contract, Feature

_NOT_RECORDED = "not recorded: the log keeps no values of it"
_IGNORED = "ignored: the settings leave it out"


def compare_features(
    reference: Sample,
    window: Sample,
    contract: Contract,
    limits: Limits,
    importance: Mapping[str, float],
) -> list[FeatureFinding]:
    """Compare each feature, in the order of the contract.

    False discoveries are controlled across features and their tests. Those that cannot carry the
    verdict are a family of their own: what drifts among them must not make it easier for the
    others to be found.
    """
    shares = share_out(importance, contract)
    is_known = any(importance.get(name, 0.0) > 0.0 for name in contract.names)
    carries = {
        name: not is_known or share >= limits.min_importance for name, share in shares.items()
    }
    found = {
        feature.name: _check(feature, reference, window, limits) for feature in contract.features
    }
    decided: dict[str, list[Check]] = {}
    for family in (True, False):
        names = [name for name in found if carries[name] is family]
        checks = iter(
            decide(
                [check for name in names for check in found[name]],
                limits.alpha,
                SHARES["features"],
            )
        )
        decided |= {name: [next(checks) for _ in found[name]] for name in names}
    return [
        _describe(
            feature,
            decided[feature.name],
            reference,
            window,
            shares[feature.name],
            carries[feature.name],
            feature.name in limits.ignore,
        )
        for feature in contract.features
    ]


def _check(feature: Feature, reference: Sample, window: Sample, limits: Limits) -> list[Check]:
    is_numeric = kind_of(feature) == "numeric"
    limits = limits.of(feature.name)
    sides = [find_recorded(side, feature.name) for side in (reference, window)]
    columns = [side.to_numpy() for side in sides if side is not None]
    if feature.name in limits.ignore or len(columns) < 2:
        note = _IGNORED if feature.name in limits.ignore else _NOT_RECORDED
        least = limits.min_ks if is_numeric else limits.min_cramers_v
        return [Check("ks" if is_numeric else "chi_square", min_effect=least, note=note)]
    before, after = columns
    try:
        if is_numeric:
            return compare_numbers(before, after, limits)
        return compare_categories(before, after, _list_categories(feature), limits)
    except ValueError as error:
        raise StatisticError(f"feature {feature.name!r} cannot be tested: {error}") from error


def _describe(
    feature: Feature,
    checks: list[Check],
    reference: Sample,
    window: Sample,
    importance: float,
    carries: bool,
    is_ignored: bool,
) -> FeatureFinding:
    first, *others = checks
    notes = [first.note] if first.note else []
    if feature.name in window.recorded:
        rows = int(window.recorded[feature.name].sum())
        notes.append(f"recorded in {rows:,} of {len(window):,} rows")
    before, column = (find_recorded(side, feature.name) for side in (reference, window))
    is_drifted = any(check.drifted for check in checks)
    levels = []
    if (
        is_drifted
        and before is not None
        and column is not None
        and kind_of(feature) == "categorical"
    ):
        levels = list_moves(before.to_numpy(), column.to_numpy())
    return FeatureFinding(
        name=feature.name,
        kind=kind_of(feature),
        importance=importance,
        test=first.name,
        statistic=first.statistic,
        p_value=first.p_value,
        effect=first.effect,
        drifted=is_drifted,
        reasons=[check.name for check in checks if check.drifted],
        missing_rate=None if column is None else float(column.isna().mean()),
        reference_missing_rate=0.0 if before is None else float(before.isna().mean()),
        outside_share=others[-1].statistic if others else None,
        note="; ".join(notes),
        checks=checks,
        levels=levels,
        carries=carries,
        is_ignored=is_ignored,
    )


def _list_categories(feature: Feature) -> list[str] | None:
    if feature.kind == "boolean":
        return ["false", "true"]
    if feature.categories is None:
        return None
    return [str(write_category(category)) for category in feature.categories]
