"""Promotion of a version to production: the registry's alias moves only when it may.

It fails closed. The decision is a pure function of card, findings and metrics, and anything that
goes wrong with the registry is a refusal.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, datetime

from sovereign_ml.card.alias_history import (
    AliasMove,
    Registry,
    RegistryError,
    broken_history,
    chained,
    settle,
    version_before,
)
from sovereign_ml.card.derive import derive
from sovereign_ml.card.person_names import is_named_person
from sovereign_ml.card.rules import OwnRules, RulePolicy, blocks, check
from sovereign_ml.card.rules.engine import Finding
from sovereign_ml.card.rules.own import NO_OWN_RULES
from sovereign_ml.card.schema.base import Group, is_future
from sovereign_ml.card.schema.model_card import Card


class PromotionDecision(Group):
    """The decision whether the alias may move, with every reason why not."""

    allowed: bool
    reasons: tuple[str, ...]
    version: str
    previous: str | None = None
    findings: tuple[Finding, ...] = ()


def may_promote(
    card: Card,
    findings: list[Finding],
    *,
    candidate: Mapping[str, float],
    production: Mapping[str, float] | None,
    policy: RulePolicy,
    today: date,
) -> tuple[str, ...]:
    """Return every reason why the version may not become production, none when it may.

    ``production`` is None for the first version. ``findings`` are those of ``check(card, policy,
    today, at="promote")``: open answers, unfair slices, approvals, Article 22 and dates are rules.
    The metric and the age of the data are judged here, because a card alone cannot tell them.
    """
    refused = [f"{finding.rule}: {finding.found} {finding.do}" for finding in blocks(findings)]
    return (*refused, *_worse(candidate, production, policy), *_stale(card, policy, today))


def promote(
    registry: Registry,
    card: Card,
    policy: RulePolicy,
    *,
    version: str,
    by: str,
    why: str,
    at: datetime,
    rule_digest: str,
    own: OwnRules = NO_OWN_RULES,
    evidence: tuple[str, ...] = (),
) -> PromotionDecision:
    """Move ``production`` to ``version`` if rules, approvals, metric and data allow it.

    Otherwise it is refused with reasons. The card must be the one that ``version`` was registered
    with, judged by the installed rules, whose digest is ``rule_digest``. ``evidence`` holds what
    speaks against the card outside of it: git, the artifacts, the bundle. A registry that fails
    never raises: that is a refusal too.
    """
    findings, card_hash = (
        check(card, policy, at.date(), at="promote", own=own),
        card.computed_hash(),
    )
    try:
        too_early = settle(registry, at)
        previous = registry.production()
        move = AliasMove(
            kind="promote",
            version=version,
            previous=previous,
            by=by,
            at=at,
            why=why,
            card_hash=card_hash,
        )
        history = registry.history()
        reasons = (
            *evidence,
            *other_rules(card, rule_digest),
            # After a change by hand no other comparison with the registry means anything.
            *(
                ([too_early] if too_early else broken_history(registry))
                or _against(registry, card, policy, findings, move)
            ),
        )
        if not reasons:
            registry.move(_chained(registry, move, history))
    except RegistryError as error:
        return _refused(
            version,
            f"The registry cannot be reached or does not answer, so nothing is promoted: {error}",
        )
    return PromotionDecision(
        allowed=not reasons,
        reasons=reasons,
        version=version,
        previous=previous,
        findings=tuple(findings),
    )


def _against(
    registry: Registry, card: Card, policy: RulePolicy, findings: list[Finding], move: AliasMove
) -> tuple[str, ...]:
    """Return every reason against the move.

    They come from rules and approvals, metric and data, the registry, person and reason.
    """
    candidate = registry.metrics(move.version)
    production = registry.metrics(move.previous) if move.previous else None
    day = move.at.date()
    return (
        *may_promote(
            card, findings, candidate=candidate, production=production, policy=policy, today=day
        ),
        *_another_card(registry, move),
        *_uncovered(card, move.version),
        *_who_and_why(move.by, move.why),
    )


def rollback(
    registry: Registry,
    *,
    by: str,
    why: str,
    at: datetime,
    rejected: Mapping[str, str] | None = None,
) -> PromotionDecision:
    """Move ``production`` back to the version before.

    That version was approved then, so only a person and a reason are asked for. ``rejected`` are
    hashes of cards, each with the person who rejected it since: no way leads back to those.
    """
    try:
        too_early = settle(registry, at)
        current, history = registry.production(), registry.history()
        before = version_before(history)
        # Retention deletes old versions: the alias would point to nothing.
        deleted = before is not None and registry.fingerprint(before) is None
        reasons = (
            *([too_early] if too_early else broken_history(registry)),
            *([f"Version {before} was deleted from the registry."] if deleted else ()),
            *_rejected_since(registry, before, rejected or {}),
            *_who_and_why(by, why),
        )
        if before is None:
            reasons = (*reasons, "There is no version before: the alias has moved once at most.")
        if reasons or before is None:
            return PromotionDecision(
                allowed=False, reasons=reasons, version=before or "", previous=current
            )
        move = AliasMove(kind="rollback", version=before, previous=current, by=by, at=at, why=why)
        registry.move(_chained(registry, move, history))
    except RegistryError as error:
        return _refused(
            "",
            "The registry cannot be reached or does not answer, "
            f"so nothing is rolled back: {error}",
        )
    return PromotionDecision(allowed=True, reasons=(), version=before, previous=current)


def _rejected_since(
    registry: Registry, version: str | None, rejected: Mapping[str, str]
) -> list[str]:
    person = rejected.get(registry.card_hash(version) or "") if version else None
    if person is None:
        return []
    return [
        f"{person} has rejected the card of version {version}: a rejection stands until {person} "
        "approves it again. Promote another version."
    ]


def _chained(registry: Registry, move: AliasMove, history: tuple[AliasMove, ...]) -> AliasMove:
    # It is stored with the move, so that a later change of tags, run or metrics shows.
    fingerprint = registry.fingerprint(move.version)
    if fingerprint is None:
        raise RegistryError(f"there is no version {move.version}")
    return chained(move.model_copy(update={"fingerprint": fingerprint}), history)


def _refused(version: str, reason: str) -> PromotionDecision:
    return PromotionDecision(allowed=False, reasons=(reason,), version=version)


def _worse(
    candidate: Mapping[str, float], production: Mapping[str, float] | None, policy: RulePolicy
) -> list[str]:
    # A missing figure proves nothing, so it refuses like a bad one. So does NaN.
    if not math.isfinite(candidate.get(policy.metric, math.nan)):
        return [f"The candidate has no {policy.metric}: evaluate it before promoting."]
    if production is None:
        return []
    if not math.isfinite(production.get(policy.metric, math.nan)):
        return [f"The production version has no {policy.metric} to compare with."]
    new, old = candidate[policy.metric], production[policy.metric]
    if new >= old - policy.metric_tolerance:
        return []
    return [
        f"{policy.metric} falls from {old:.4f} to {new:.4f} "
        f"(policy: by {policy.metric_tolerance} at most)."
    ]


def _stale(card: Card, policy: RulePolicy, today: date) -> list[str]:
    """Return a problem where the test data is too old.

    GDPR 5(1)(d): a model tested on old data says nothing about people today.
    """
    cutoff = card.facts.evaluation.test_cutoff
    if cutoff is None:
        return ["The cut-off of the test data is not recorded."]
    if is_future(cutoff, today):
        return [f"The cut-off of the test data, {cutoff}, lies in the future: correct its dates."]
    age = (today - cutoff).days
    if age <= policy.max_data_age_days:
        return []
    return [
        f"The test data is {age} days old (policy: {policy.max_data_age_days}): "
        "run the flow on newer data."
    ]


def other_rules(card: Card, rule_digest: str) -> list[str]:
    """Return why ``card`` does not count under the rules of ``rule_digest``: others judged it."""
    library = card.facts.library
    if library.rule_digest == rule_digest:
        return []
    judged = (library.rule_digest or "unknown")[:12]
    return [
        f"The card was judged by the rules {judged} of {library.name} "
        f"{library.version or 'unknown'}, installed are the rules {rule_digest[:12]}: "
        "run `churn card` again, and every step after it."
    ]


def _another_card(registry: Registry, move: AliasMove) -> list[str]:
    if registry.card_hash(move.version) == move.card_hash:
        return []
    return [
        f"Version {move.version} was registered with another card: "
        "register it again after the last change."
    ]


def _uncovered(card: Card, version: str) -> list[str]:
    """Return a problem where the impact assessment does not cover the version.

    GDPR 35(11): it must cover this very version. The card may not know its number yet.
    """
    covered = card.answers.dpia.model_versions_covered
    # Computed afresh, so that a card that was edited by hand does not escape it.
    needed = derive(card.answers, card.facts).dpia.required is not False
    if not needed or {version, "*"} & set(covered):
        return []
    return [
        f"The impact assessment does not cover version {version}: see dpia.model_versions_covered."
    ]


def _who_and_why(by: str, why: str) -> tuple[str, ...]:
    named = (
        () if is_named_person(by) else (f"'{by}' is no named person: give first and last name.",)
    )
    return (
        named if why.strip() else (*named, "Say why: the reason is kept in the registry's history.")
    )
