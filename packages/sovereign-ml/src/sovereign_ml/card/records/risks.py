"""Risks that a customer score brings, each with what the card's figures show and what stands against it."""

from __future__ import annotations

from dataclasses import dataclass

from sovereign_ml.card.render.figures import gaps
from sovereign_ml.card.render.speech import OPEN_TEXT, figure, interval, said
from sovereign_ml.card.schema import Card


@dataclass(frozen=True)
class Risk:
    """A risk to people; ``point`` says what the figures leave open or raise."""

    name: str
    shown: str
    measure: str
    point: str = ""


def risks(card: Card) -> tuple[Risk, ...]:
    """The risks in the order of WP248rev.01 annex 2: unfairness, error, opacity, creep, disclosure, foreign access."""
    return (
        _unfair(card),
        _excluded(card),
        _wrong(card),
        _opaque(card),
        _unwanted(card),
        _creep(card),
        *_disclosed(card),
    )


def _unfair(card: Card) -> Risk:
    found = gaps(card)
    shown = "; ".join(f"{gap.group}, {gap.compared}: gap {gap.value}" for gap in found)
    above = [f"{gap.group} ({gap.compared})" for gap in found if gap.within is False]
    unmeasured = card.facts.evaluation.fairness_not_measured_because or OPEN_TEXT
    return Risk(
        "A group is treated worse",
        shown or unmeasured,
        f"tolerance {said(card.answers.evaluation.fairness_tolerance)}; measured at each training",
        f"The gap is above the tolerance for {', '.join(above)}."
        if above
        else ""
        if found
        else "No gap was measured.",
    )


def _excluded(card: Card) -> Risk:
    lasting = card.answers.decision.effect_factors.prolonged_or_permanent
    return Risk(
        "The same people are left out for good",
        f"lasting effect: {said(lasting)}",
        said(card.answers.decision.not_selected_outcome),
        "The effect is stated as lasting." if lasting is True else "",
    )


def _wrong(card: Card) -> Risk:
    metrics = card.facts.evaluation.metrics
    named = {"roc_auc": "ROC AUC", "brier": "Brier score", "calibration_slope": "calibration slope"}
    shown = [
        f"{label} {figure(metrics[name].value)} ({interval(metrics[name].low, metrics[name].high) or 'no interval'})"
        for name, label in named.items()
        if name in metrics
    ]
    return Risk(
        "A person is scored wrongly",
        "; ".join(shown) or OPEN_TEXT,
        f"correction: {said(card.answers.rights.rectification)}",
        "" if shown else "No figures are recorded.",
    )


def _opaque(card: Card) -> Risk:
    told = card.facts.explanation
    coverage = told.counterfactual_coverage
    found = (
        ""
        if coverage is None
        else f"; what would change the band is found for {100 * coverage:.0f} % of people"
    )
    return Risk(
        "A person cannot understand the score",
        f"method: {said(told.individual_method)}; a person gets: {said(told.individual_returns or None)}{found}",
        f"plain text: {said(card.answers.explanation.plain_language_ref)}",
    )


def _unwanted(card: Card) -> Risk:
    consent = card.facts.consent
    leaks = consent.leak_count
    return Risk(
        "A person who objected is scored or contacted",
        f"objectors found among the scored: {said(leaks)}; applied at: {said(consent.suppression_applied_to or None)}",
        f"stop channel: {said(card.answers.objection.marketing_channel)}",
        f"{leaks} people who objected were found among the scored." if leaks else "",
    )


def _creep(card: Card) -> Risk:
    purpose = card.answers.purpose
    return Risk(
        "The score is used for something else",
        f"misuse to expect: {said(purpose.foreseeable_misuse)}",
        f"forbidden: {said(purpose.out_of_scope_uses)}; access: {said(card.answers.model_privacy.access_controls)}",
    )


def _disclosed(card: Card) -> tuple[Risk, ...]:
    privacy, leftovers = (
        card.facts.model_privacy,
        card.facts.retention.erased_subjects_still_in_snapshot,
    )
    attacks = "; ".join(
        f"{t.attack}: {t.metric} {figure(t.value)} (limit {figure(t.limit)})" for t in privacy.tests
    )
    failed = [test.attack for test in privacy.tests if not test.passed]
    reached = [host.hostname for host in card.facts.hosting if host.us_nexus]
    return (
        Risk(
            "The model gives away whom it was trained on",
            f"stores rows: {said(privacy.stores_training_rows)}; {attacks or 'no attack was tried'}",
            privacy.stores_training_rows_proof or OPEN_TEXT,
            f"The attack {', '.join(failed)} succeeded."
            if failed
            else ""
            if attacks
            else "No attack was tried.",
        ),
        Risk(
            "Purchase history leaks or is linked to a name",
            f"identifiers in the data: {_hits(card)}; erased people still in data: {said(leftovers)}",
            f"pseudonyms: {said(card.answers.data.pseudonymisation)}",
            f"{leftovers} erased people are still in the data." if leftovers else "",
        ),
        Risk(
            "An authority outside the EEA gets access",
            f"hosts within reach of US law: {', '.join(reached) or 'none found'}",
            f"transfers: {said(card.answers.hosting.transfers)}",
            f"Compelled access remains possible at {', '.join(reached)}." if reached else "",
        ),
    )


def _hits(card: Card) -> str:
    scan = card.facts.data.pii_scan
    return OPEN_TEXT if scan is None else str(scan.hits)
