"""Walks through rendered dashboards and their queries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import promql_parser as promql

Json = dict[str, Any]

# What stands for Grafana's variables where a query is only parsed.
PLACEHOLDERS = {"$__rate_interval": "4m59s", "$__range": "6h", "$__interval": "1m"}


def panels(dashboard: Mapping[str, Any]) -> Iterator[Json]:
    """Every panel, those of folded rows too; rows themselves are none."""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            yield from panel["panels"]
        else:
            yield panel


def targets(dashboard: Mapping[str, Any]) -> Iterator[tuple[Json, Json]]:
    """Every query with its panel."""
    for panel in panels(dashboard):
        for target in panel["targets"]:
            yield panel, target


def variables(dashboard: Mapping[str, Any], kind: str = "query") -> list[Json]:
    """The variables of a kind."""
    return [one for one in dashboard["templating"]["list"] if one["type"] == kind]


def label_query(query: str) -> tuple[str, str]:
    """The selector and the label of `label_values(SELECTOR, LABEL)`."""
    inner = query.removeprefix("label_values(").removesuffix(")")
    assert inner != query, query
    selector, _, label = inner.rpartition(",")
    return selector.strip(), label.strip()


def fill(query: str, chosen: Mapping[str, str] | None = None) -> str:
    """A query with its variables replaced: `chosen` by name, all others by any value."""
    for name, value in PLACEHOLDERS.items():
        query = query.replace(name, value)
    for name, value in sorted((chosen or {}).items(), key=lambda pair: -len(pair[0])):
        query = query.replace(f"${name}", value)
    return query


def walk(
    node: promql.Expr, parents: tuple[promql.Expr, ...] = ()
) -> Iterator[tuple[promql.Expr, tuple[promql.Expr, ...]]]:
    """Every node of a query with those above it, the nearest last."""
    yield node, parents
    below = (*parents, node)
    if isinstance(node, promql.BinaryExpr):
        children = [node.lhs, node.rhs]
    elif isinstance(node, promql.Call):
        children = list(node.args)
    elif isinstance(node, promql.AggregateExpr):
        children = [node.expr] if node.param is None else [node.expr, node.param]
    elif isinstance(node, promql.MatrixSelector):
        children = [node.vector_selector]
    elif isinstance(node, (promql.ParenExpr, promql.UnaryExpr, promql.SubqueryExpr)):
        children = [node.expr]
    else:
        children = []
    for child in children:
        yield from walk(child, below)


def selectors(query: str) -> Iterator[promql.VectorSelector]:
    """The vector selectors of a query."""
    for node, _ in walk(promql.parse(fill(query))):
        if isinstance(node, promql.VectorSelector):
            yield node


def metrics(query: str) -> set[str]:
    """The names of the metrics that a query asks for."""
    return {selector.name for selector in selectors(query) if selector.name}
