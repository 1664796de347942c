"""Figures as a reader sees them: metrics with intervals, the price of a readable model, gaps between groups."""

from __future__ import annotations

from dataclasses import dataclass

from sovereign.card.render.speech import GAPS, METRICS, code, figure, interval
from sovereign.card.schema import Card


@dataclass(frozen=True)
class Figure:
    """One metric with its interval and what it means."""

    name: str
    value: str
    interval: str
    meaning: str


def figures(card: Card) -> list[Figure]:
    """Metrics on the test data, known ones first and explained."""
    known = [name for name in METRICS if name in card.facts.evaluation.metrics]
    rest = [name for name in card.facts.evaluation.metrics if name not in METRICS]
    rows = []
    for name in (*known, *rest):
        estimate = card.facts.evaluation.metrics[name]
        label, meaning = METRICS.get(name, (code(name), ""))
        rows.append(Figure(label, figure(estimate.value), interval(estimate.low, estimate.high), meaning))
    return rows


def metric_name(name: str) -> str:
    """A metric's name as a reader knows it."""
    return METRICS.get(name, (code(name), ""))[0]


def price_of_explainability(card: Card) -> list[Figure]:
    """How a model that nobody can read does on the same data."""
    rows = []
    for name, estimate in card.facts.evaluation.benchmark.items():
        base = name.removesuffix("_difference")
        label = metric_name(base)
        told = f"{label}, difference to this model" if name != base else label
        rows.append(Figure(told, figure(estimate.value), interval(estimate.low, estimate.high), ""))
    return rows


@dataclass(frozen=True)
class Gap:
    """A difference between groups; ``within`` the tolerance is None while no tolerance was set."""

    group: str
    compared: str
    value: str
    smallest: str
    within: bool | None
    suppressed: str


def gaps(card: Card) -> list[Gap]:
    """Fairness as measured, against the tolerance that people set."""
    tolerance = card.answers.evaluation.fairness_tolerance
    return [
        Gap(
            group=gap.group,
            compared=GAPS.get(gap.metric, code(gap.metric)),
            value=figure(gap.value),
            smallest=f"{gap.n_smallest:,}",
            within=None if isinstance(tolerance, str) else abs(gap.value) <= tolerance,
            suppressed=", ".join(gap.groups_suppressed),
        )
        for gap in card.facts.evaluation.fairness
    ]
