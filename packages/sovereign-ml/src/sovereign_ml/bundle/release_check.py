"""The check that a bundle may decide about real people: origin, reviewer, and card today."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sovereign_ml.bundle.sealed import Bundle
    from sovereign_ml.card.schema import Card

TOLD: Final = ("dtype", "unit", "label", "changeable")
"""What people are told of an input, in the contract of a bundle and on its card."""


def objections_to(bundle: Bundle, rule_digest: str) -> Iterator[str]:
    """Yield everything that speaks against serving ``bundle`` in profile eu, one sentence each.

    ``rule_digest`` is that of the rules here. The card counts only under the rules that judged it.
    """
    from sovereign_ml.card.schema import is_open

    if bundle.manifest.rule_digest != rule_digest:
        judged = bundle.manifest.rule_digest[:12] or "unknown"
        yield (
            f"its card was judged by the rules {judged} of sovereign-ml "
            f"{bundle.manifest.library_version or 'unknown'}, installed are the rules "
            f"{rule_digest[:12]}: install the library that the bundle names, or run `churn card` "
            "again and every step after it"
        )
    # The contact of the template is at such a domain, and nobody answers there.
    if is_open(bundle.policy.reviewer_contact) or "example." in bundle.policy.reviewer_contact:
        yield "policy.json has no reviewer_contact that a person can reach (model_card.toml)"
    if bundle.manifest.profile != "eu":
        yield (
            f"the bundle was made with profile {bundle.manifest.profile}; "
            "register it with CHURN_PROFILE=eu"
        )
    yield from _card(bundle)


def today() -> date:
    """Return the day on which the card is judged, UTC."""
    return datetime.now(UTC).date()


def _card(bundle: Bundle) -> Iterator[str]:
    """Yield the findings on the card, as strictly as at promotion."""
    from pydantic import ValidationError

    from sovereign_ml.card.rules import blocks, check
    from sovereign_ml.card.schema import Card

    try:
        card = Card.model_validate(bundle.card)
    except ValidationError as error:
        first = error.errors()[0]
        yield f"card.json is no model card: {'.'.join(map(str, first['loc']))}: {first['msg']}"
        return
    if card.facts.library.rule_digest != bundle.manifest.rule_digest:
        yield "bundle.json and card.json name different rules: register the card again"
    if card.facts.run.profile != bundle.manifest.profile:
        yield (
            f"the card was made in profile {card.facts.run.profile}, the bundle in profile "
            f"{bundle.manifest.profile}: register the card again"
        )
    yield from other_model(bundle, card)
    # The team's own rules are not here: they ran when the bundle was registered and promoted.
    findings = blocks(check(card, bundle.rules, today(), at="promote", own=None))
    yield from (
        f"{finding.rule}: {finding.found}" for finding in findings if not finding.open_answers
    )
    if sections := sum(finding.open_answers for finding in findings):
        yield (
            f"R01: open answers in {sections} sections of model_card.toml; "
            "`churn card --open` lists them"
        )


def other_model(bundle: Bundle, card: Card) -> Iterator[str]:
    """Yield each way in which the bundle decides otherwise than the card that was approved says.

    Anybody may seal a changed bundle again: its seal has no key. What was approved is the card.
    """
    from sovereign_ml.card.derive import derive
    from sovereign_ml.card.duties import SIGNIFICANT

    present, approved_hash = (
        bundle.manifest.files["model.json"],
        card.facts.model.artifact_sha256 or "unknown",
    )
    if present != approved_hash:
        yield f"model.json has the SHA-256 {present[:12]}, the card approves {approved_hash[:12]}"
    policy, decision = bundle.policy, card.facts.decision
    # The last band is open above, however its limit is written in config.toml.
    bands = [(band.name, band.below) for band in policy.bands]
    approved = [(band.name, band.below) for band in decision.bands]
    if [*bands[:-1], bands[-1][0]] != [*approved[:-1], *(name for name, _ in approved[-1:])]:
        yield (
            f"policy.json has the bands {_in_words(bands)}, the card approves {_in_words(approved)}"
        )
    answers = card.answers
    outcomes = [{"name": name, **each.model_dump()} for name, each in policy.outcomes.items()]
    stated = [each.model_dump() for each in decision.outcomes]
    if outcomes != stated:
        yield f"policy.json has the outcomes {outcomes}, the card approves {stated}"
    for name, used, approves in (
        ("action_band", policy.action_band, decision.action_band),
        (
            "max_feature_age_days",
            policy.max_feature_age_days,
            decision.max_feature_age_days,
        ),
        ("reviewer_contact", policy.reviewer_contact, card.facts.project.contact),
        (
            "significant_effect",
            policy.significant_effect,
            derive(answers, card.facts).decision.effect in SIGNIFICANT,
        ),
        ("human_review", policy.human_review, answers.human_review.stage == "before_effect"),
    ):
        if used != approves:
            yield f"policy.json has {name} {used}, the card approves {approves}"
    inputs = {feature.name: feature for feature in card.facts.data.features}
    if other := sorted(inputs.keys() ^ set(bundle.model.features)):
        yield f"model.json and the card differ in inputs: {', '.join(other)}"
    for spec in bundle.contract.features:
        if spec.name not in inputs:
            continue
        for name in TOLD:
            used, approves = getattr(spec, name), getattr(inputs[spec.name], name)
            if used != approves:
                yield (
                    f"contract.json has {name} {used!r} of {spec.name}, the card approves "
                    f"{approves!r}"
                )


def _in_words(bands: list[tuple[str, float]]) -> str:
    return ", ".join(f"{name} below {below}" for name, below in bands) or "none"
