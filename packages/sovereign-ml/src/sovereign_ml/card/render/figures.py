"""Figures as a reader sees them.

They are metrics with intervals, the price of a readable model, and gaps between groups.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from sovereign_ml.card.render.speech import GAPS, METRICS, code, figure, interval
from sovereign_ml.card.schema import Card
from sovereign_ml.card.schema.facts_model import Estimate

CHOSEN = {
    "contacted_share": "Share of people",
    "precision": "Of them had the outcome",
    "recall": "Of the outcomes reached",
    "agreement": "Score and truth agree",
    "budget": "Share of people",
    "lift": "Times better than chance",
}
"""Labels of the figures about chosen people."""


@dataclass(frozen=True)
class Figure:
    """One metric with its interval and its meaning."""

    name: str
    value: str
    interval: str
    meaning: str


def figures(card: Card) -> list[Figure]:
    """Return the metrics on the test data, known ones first and explained."""
    explained = [name for name in METRICS if name in card.facts.evaluation.metrics]
    rest = [name for name in card.facts.evaluation.metrics if name not in METRICS]
    rows = []
    for name in (*explained, *rest):
        estimate = card.facts.evaluation.metrics[name]
        label, meaning = METRICS.get(name, (code(name), ""))
        rows.append(
            Figure(label, figure(estimate.value), interval(estimate.low, estimate.high), meaning)
        )
    return rows


def metric_name(name: str) -> str:
    """Return a metric's name as a reader knows it."""
    return METRICS.get(name, (code(name), ""))[0]


def price_of_explainability(card: Card) -> list[Figure]:
    """Return the figures of a model that nobody can read, on the same data."""
    return _compared(card.facts.evaluation.benchmark)


def price_of_directions(card: Card) -> list[Figure]:
    """Return the figures on the same data where the curves may rise and fall as they like."""
    return _compared(card.facts.evaluation.constraints)


def offer_effect(card: Card) -> str:
    """Return what offers changed in the newest measured campaign, "" without any."""
    facts = card.facts.campaign
    if facts.prevented is None or facts.low is None or facts.high is None:
        return ""
    text = (
        f"Campaign {facts.name}: the offer prevented {100 * facts.prevented:+.1f} points of churn "
        f"(95 % {100 * facts.low:+.1f} to {100 * facts.high:+.1f}), {facts.treated} people with it "
        f"and {facts.control} without."
    )
    return text if facts.is_shown else f"{text} This does not show that it changed anything."


def how_parts_combine(card: Card) -> str:
    """Return what the pictures of the inputs are.

    The text also says what that means for Articles 15(1)(h) and 22.
    """
    if card.facts.explanation.individual_method != "exact_shapley":
        return (
            "Each input adds to the score or takes away from it, and no input changes what another "
            "one means. The pictures are the model itself."
        )
    return (
        "Each input adds to the score or takes away from it, and how much depends on the other "
        "inputs as well: the pictures are averages, and no score can be worked out from them. GDPR "
        "Article 15(1)(h): what a person is told is of their own score alone, by exact Shapley "
        "values, which add up to it; the same value may weigh differently for somebody else, and "
        "the answer has to say so. The change that would move the band is found by search, and a "
        "smaller one of several inputs may exist. Article 22: who reviews a decision cannot check "
        "it by adding up, and needs the person's own explanation and the trees' file to contradict "
        "the score."
    )


def directions(card: Card) -> str:
    """Return which inputs the model keeps to an expected direction, in one sentence."""
    parts = card.facts.explanation.curves
    by_direction = {
        direction: [part.label or part.name for part in parts if part.expected == direction]
        for direction in ("raises", "lowers")
    }
    clauses = (
        [f"never lowers it: {', '.join(by_direction['raises'])}"] if by_direction["raises"] else []
    )
    clauses += (
        [f"never raises it: {', '.join(by_direction['lowers'])}"] if by_direction["lowers"] else []
    )
    joined = "; more ".join(clauses)
    return (
        f"Over the whole range, more {joined}." if clauses else "No input is kept to a direction."
    )


def _compared(estimates: dict[str, Estimate]) -> list[Figure]:
    rows = []
    for name, estimate in estimates.items():
        base = name.removesuffix("_difference")
        label = metric_name(base)
        heading = f"{label}, difference to this model" if name != base else label
        rows.append(
            Figure(heading, figure(estimate.value), interval(estimate.low, estimate.high), "")
        )
    return rows


@dataclass(frozen=True)
class Gap:
    """A difference between groups.

    ``within`` the tolerance is None while no tolerance was set.
    """

    group: str
    compared: str
    value: str
    smallest: str
    within: bool | None
    suppressed: str


def gaps(card: Card) -> list[Gap]:
    """Return fairness as measured, against the tolerance that people set."""
    tolerance = card.answers.evaluation.fairness_tolerance
    # Rule R52 tolerates no more than the policy either.
    limit = card.facts.policy.get("max_fairness_tolerance", {}).get("value", math.inf)
    return [
        Gap(
            group=code(gap.group),
            compared=GAPS.get(gap.metric, code(gap.metric)),
            value=figure(gap.value),
            smallest=f"{gap.n_smallest:,}",
            # An open answer is text: without a tolerance no gap is within it.
            within=None if isinstance(tolerance, str) else abs(gap.value) <= min(tolerance, limit),
            suppressed=", ".join(gap.groups_suppressed),
        )
        for gap in card.facts.evaluation.fairness
    ]


@dataclass(frozen=True)
class GivenAway:
    """Separation of the groups of one protected column by the inputs (Cramer's V).

    It holds the strongest input, the score, and all inputs together.
    """

    group: str
    strongest: str
    value: str
    score: str
    together: str


def given_away(card: Card) -> list[GivenAway]:
    """Return one row for each group column that was measured."""
    scan = card.facts.data.special_scan
    labels = {feature.name: feature.label or feature.name for feature in card.facts.data.features}
    groups: dict[str, dict[str, float]] = {}
    for row in scan.associations if scan else ():
        groups.setdefault(row.group, {})[row.feature] = row.value
    rows = []
    for group, associations in groups.items():
        # The score and all inputs together are no single inputs, so they go before the maximum.
        score, together = (
            figure(associations.pop("score", None), 2),
            figure(associations.pop("all_inputs_together", None), 2),
        )
        name = max(associations, key=lambda feature: associations[feature], default="")
        rows.append(
            GivenAway(
                code(group),
                labels.get(name, name),
                figure(associations.get(name), 2),
                score,
                together,
            )
        )
    return rows


def shifted(card: Card) -> list[tuple[str, str]]:
    """Return the columns in which training and scoring differ most, largest first, five at most."""
    labels = {feature.name: feature.label or feature.name for feature in card.facts.data.features}
    widest = sorted(card.facts.data.shifts, key=lambda shift: -shift.value)[:5]
    return [(labels.get(shift.name, code(shift.name)), figure(shift.value, 2)) for shift in widest]


def percent(share: float | None) -> str:
    """Return a share in percent, or that it is of too few people to show."""
    return "too few to show" if share is None else f"{100 * share:.0f} %"


def agreement(card: Card) -> str:
    """Return how often outcomes follow the score, or why that is not known."""
    facts = card.facts.decision
    if facts.score_outcome_agreement is None:
        return f"not measurable here: {facts.agreement_not_measured_because or 'not recorded'}"
    counted = (
        f" ({facts.outcomes_on_record} outcomes on record)" if facts.outcomes_on_record else ""
    )
    return f"{100 * facts.score_outcome_agreement:.1f} % are what the score alone gives{counted}"
