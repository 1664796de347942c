"""Promotion: only what rules and approvals carry, and closed when anything is missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from cards import LIBRARY, NOW, POLICY, TODAY, card, signed
from sovereign_ml.card.alias_history import (
    AliasMove,
    RegistryError,
    broken_history,
    chained,
    version_before,
)
from sovereign_ml.card.promotion import PromotionDecision, promote, rollback
from sovereign_ml.card.rules import RulePolicy
from sovereign_ml.card.schema import Card

BY = "Grace Hopper"


@dataclass
class MemoryRegistry:
    """A registry in memory; ``down`` makes every call fail."""

    cards: dict[str, str] = field(default_factory=dict)
    figures: dict[str, dict[str, float]] = field(default_factory=dict)
    moves: list[AliasMove] = field(default_factory=list)
    marked: dict[str, str] = field(default_factory=dict)
    alias: str | None = None
    down: bool = False
    killed_after: int = 9
    """Steps of a move that are made before the program is ended."""

    def add(self, version: str, of: Card, roc_auc: float = 0.74) -> None:
        """Register a version with its card."""
        self.cards[version], self.figures[version] = of.computed_hash(), {"roc_auc": roc_auc}

    def promoted(self, *versions: str) -> None:
        """Move the alias to each version in turn, as promotion does."""
        for version in versions:
            if version not in self.cards:
                self.add(version, card())
            move = AliasMove(
                kind="promote",
                version=version,
                previous=self.alias,
                by=BY,
                at=NOW,
                why="new",
                fingerprint=self.fingerprint(version) or "",
            )
            self.move(chained(move, self.history()))

    def _answer(self) -> None:
        if self.down:
            raise RegistryError("connection refused")

    def production(self) -> str | None:
        self._answer()
        return self.alias

    def fingerprint(self, version: str) -> str | None:
        self._answer()
        if version not in self.cards:
            return None
        return f"{self.cards[version]} {sorted(self.figures[version].items())}"

    def marks(self) -> Mapping[str, str]:
        self._answer()
        return self.marked

    def metrics(self, version: str) -> Mapping[str, float]:
        self._answer()
        return self.figures[version]

    def card_hash(self, version: str) -> str | None:
        self._answer()
        return self.cards.get(version)

    def history(self) -> tuple[AliasMove, ...]:
        self._answer()
        return tuple(self.moves)

    def move(self, move: AliasMove) -> None:
        self._answer()
        for number, step in enumerate(
            (lambda: self.moves.append(move), lambda: self.point(move), lambda: self.mark(move))
        ):
            if self.killed_after == number:
                raise KeyboardInterrupt
            step()

    def point(self, move: AliasMove) -> None:
        self.alias = move.version

    def mark(self, move: AliasMove) -> None:
        self.marked[move.version] = move.chain

    def take_out(self, move: AliasMove) -> None:
        assert self.moves.pop() == move


def tried(
    of: Card,
    registry: MemoryRegistry | None = None,
    *,
    policy: RulePolicy = POLICY,
    by: str = BY,
    why: str = "quarterly retraining",
    later: int = 0,
    rule_digest: str = LIBRARY.rule_digest,
    taken_back: int = 0,
) -> PromotionDecision:
    """Try to promote ``of`` as version 3, ``later`` days after today; the alias moves exactly when it is allowed."""
    if registry is None:
        registry = MemoryRegistry()
        registry.add("3", of)
    before = len(registry.moves)
    decision = promote(
        registry,
        of,
        policy,
        version="3",
        by=by,
        why=why,
        at=NOW + timedelta(days=later),
        rule_digest=rule_digest,
    )
    assert len(registry.moves) - before == decision.allowed - taken_back
    return decision


def refused(decision: PromotionDecision, *words: str) -> bool:
    """Refused, and one reason says every word."""
    return not decision.allowed and any(
        all(word in reason for word in words) for reason in decision.reasons
    )


def test_an_approved_card_is_promoted_and_the_registry_keeps_who_when_and_why() -> None:
    registry, good = MemoryRegistry(), signed(card())
    registry.add("3", good)
    assert tried(good, registry).allowed
    assert registry.moves[-1].model_dump() == {
        "kind": "promote",
        "version": "3",
        "previous": None,
        "by": BY,
        "at": NOW,
        "why": "quarterly retraining",
        "card_hash": good.content_hash,
        "fingerprint": registry.fingerprint("3"),
        "chain": registry.moves[-1].link(""),
    }


def test_a_card_that_other_rules_judged_is_refused() -> None:
    assert refused(
        tried(signed(card()), rule_digest="a" * 64),
        "judged by the rules ffffffffffff",
        "churn card",
    )
    unknown = signed(card(facts={"library.rule_digest": None}))
    assert refused(tried(unknown), "judged by the rules unknown")


def test_a_worse_metric_is_refused() -> None:
    registry, good = MemoryRegistry(), signed(card())
    registry.add("2", good, roc_auc=0.80)
    registry.add("3", good, roc_auc=0.74)
    registry.promoted("2")
    assert refused(tried(good, registry), "roc_auc falls")


def test_a_metric_within_the_tolerance_is_promoted() -> None:
    registry, good = MemoryRegistry(), signed(card())
    registry.add("2", good, roc_auc=0.745)
    registry.add("3", good, roc_auc=0.74)
    registry.promoted("2")
    assert tried(good, registry).allowed


def test_a_version_without_the_metric_is_refused() -> None:
    registry, good = MemoryRegistry(), signed(card())
    registry.add("3", good)
    registry.figures["3"] = {}
    assert refused(tried(good, registry), "no roc_auc")


def test_an_unfair_slice_is_refused() -> None:
    gap = [{"group": "country", "metric": "tpr_difference", "value": 0.3, "n_smallest": 300}]
    assert refused(tried(signed(card(facts={"evaluation.fairness": gap}))), "R52", "country")


def test_an_open_answer_is_refused_even_where_it_only_warns() -> None:
    unanswered = signed(card(answers={"notice.languages": "?"}))
    assert refused(tried(unanswered, policy=RulePolicy(open_answers="warn")), "R01", "languages")


def test_an_unsigned_card_is_refused() -> None:
    assert refused(tried(card()), "R48", "Nobody has approved as business_owner")


def test_an_author_as_approver_is_refused() -> None:
    approved = signed(card(facts={"model.authors": ["Someone Else <x@acme.example>"]}))
    hers = {"model.authors": ["Ada Lovelace <ada@acme.example>"]}
    own = card(facts=hers).model_copy(update={"approvals": _moved(approved, card(facts=hers))})
    assert refused(tried(own), "R48", "Ada Lovelace wrote what is approved")


def _moved(of: Card, to: Card) -> tuple[Any, ...]:
    """The approvals of one card, rewritten by hand to the hash of another."""
    return tuple(a.model_copy(update={"card_hash": to.content_hash}) for a in of.approvals)


def test_a_card_changed_after_approval_is_refused() -> None:
    approvals = signed(card()).approvals
    changed = card(answers={"purpose.statement": "Something else"}).model_copy(
        update={"approvals": approvals}
    )
    assert refused(tried(changed), "R48", "changed after Grace Hopper approved")


def test_a_model_or_data_changed_after_approval_is_refused() -> None:
    approvals = signed(card()).approvals
    for fact in ({"model.artifact_sha256": "e" * 64}, {"data.snapshots.0.dvc_md5": "e" * 32}):
        changed = card(facts=fact).model_copy(update={"approvals": approvals})
        assert refused(tried(changed), "R48", "changed after")


def test_a_card_file_edited_by_hand_is_refused() -> None:
    edited = signed(card()).model_copy(update={"id": "another-model"})
    assert refused(tried(edited), "R48", "content hash")


def test_a_rejection_is_refused_whoever_else_approves() -> None:
    good = signed(card())
    no = good.approvals[0].model_copy(
        update={"decision": "reject", "role": "legal", "person": "Lex Luthor"}
    )
    assert refused(
        tried(good.model_copy(update={"approvals": (*good.approvals, no)})),
        "R48",
        "Lex Luthor rejected",
    )


def test_stale_data_is_refused() -> None:
    assert refused(tried(signed(card()), later=90), "test data is", "days old")


@pytest.mark.parametrize(("days", "allowed"), [(1, True), (2, False)])
def test_test_data_of_the_future_is_refused(days: int, allowed: bool) -> None:
    decision = tried(
        signed(card(facts={"evaluation.test_cutoff": TODAY + timedelta(days=days)})),
    )
    assert decision.allowed is allowed
    assert refused(decision, "lies in the future") is not allowed


def test_an_expired_law_date_is_refused() -> None:
    assert refused(tried(signed(card()), later=500), "R55", "law date")


def test_an_unreachable_registry_is_a_refusal_and_not_a_crash() -> None:
    assert refused(tried(signed(card()), MemoryRegistry(down=True)), "registry cannot be reached")


def test_a_version_registered_with_another_card_is_refused() -> None:
    registry = MemoryRegistry()
    registry.add("3", card(answers={"purpose.statement": "Another card"}))
    assert refused(tried(signed(card()), registry), "registered with another card")


def test_a_version_that_the_impact_assessment_does_not_cover_is_refused() -> None:
    covers_two = {"dpia.model_versions_covered": ["2"]}
    unnumbered = signed(card("article22", answers=covers_two, facts={"model.version": "candidate"}))
    assert refused(tried(unnumbered), "does not cover version 3")


def test_somebody_must_promote_and_say_why() -> None:
    assert refused(tried(signed(card()), by="ci-bot"), "no named person")
    assert refused(tried(signed(card()), why=" "), "Say why")


def test_rollback_returns_to_the_version_before_and_then_to_the_one_before_that() -> None:
    registry = MemoryRegistry()
    registry.promoted("1", "2", "3")
    assert [rollback(registry, by=BY, why="complaints", at=NOW).version for _ in range(2)] == [
        "2",
        "1",
    ]
    assert [(m.kind, m.version) for m in registry.moves[-2:]] == [
        ("rollback", "2"),
        ("rollback", "1"),
    ]
    assert refused(rollback(registry, by=BY, why="again", at=NOW), "no version before")


def test_no_way_leads_back_to_a_version_whose_card_somebody_rejected_since() -> None:
    registry = MemoryRegistry()
    registry.promoted("1", "2")
    hashes = {registry.card_hash("1") or "": "Grace Hopper"}
    decision = rollback(registry, by=BY, why="complaints", at=NOW, rejected=hashes)
    assert refused(decision, "Grace Hopper has rejected the card of version 1")
    assert rollback(registry, by=BY, why="complaints", at=NOW, rejected={"other": BY}).allowed


def test_rollback_needs_a_reason_and_a_registry_too() -> None:
    registry = MemoryRegistry()
    registry.promoted("1", "2")
    assert refused(rollback(registry, by=BY, why="", at=NOW), "Say why")
    registry.down = True
    assert refused(
        rollback(registry, by=BY, why="complaints", at=NOW), "registry cannot be reached"
    )
    assert len(registry.moves) == 2


def test_a_promotion_after_a_rollback_makes_the_rolled_back_version_unreachable() -> None:
    promoted = [
        AliasMove(kind="promote", version=v, previous=None, by=BY, at=NOW, why="new") for v in "123"
    ]
    back = AliasMove(kind="rollback", version="1", previous="2", by=BY, at=NOW, why="complaints")
    assert version_before((*promoted[:2], back, promoted[2])) == "1"


def test_a_version_promoted_twice_in_a_row_is_no_way_back_to_itself() -> None:
    registry = MemoryRegistry()
    registry.promoted("1", "2", "2")
    assert rollback(registry, by=BY, why="complaints", at=NOW).version == "1"
    assert (registry.alias, broken_history(registry)) == ("1", [])


def test_a_figure_that_is_no_number_is_a_missing_one() -> None:
    registry, good = MemoryRegistry(), signed(card())
    registry.add("3", good, roc_auc=float("nan"))
    assert refused(tried(good, registry), "The candidate has no roc_auc")


def alias_moved(registry: MemoryRegistry) -> None:
    registry.alias = "1"


def alias_deleted(registry: MemoryRegistry) -> None:
    registry.alias = None


def last_move_cut_off(registry: MemoryRegistry) -> None:
    registry.moves.pop()


def history_cut_off_and_alias_put_back(registry: MemoryRegistry) -> None:
    registry.moves.pop()
    registry.alias = "1"


def history_deleted(registry: MemoryRegistry) -> None:
    registry.moves.clear()
    registry.alias = None


def first_move_cut_off(registry: MemoryRegistry) -> None:
    registry.moves.pop(0)


def reason_rewritten(registry: MemoryRegistry) -> None:
    registry.moves[0] = registry.moves[0].model_copy(update={"by": "Ada Lovelace"})


def links_taken_out(registry: MemoryRegistry) -> None:
    registry.moves[:] = [move.model_copy(update={"chain": ""}) for move in registry.moves]


def card_hash_changed(registry: MemoryRegistry) -> None:
    registry.cards["1"] = "0" * 64


def metric_lowered(registry: MemoryRegistry) -> None:
    registry.figures["2"] = {"roc_auc": 0.5}


def production_deleted(registry: MemoryRegistry) -> None:
    del registry.cards["2"]


BY_HAND = {
    alias_moved: "points to version 1, the history says 2",
    alias_deleted: "points to version none, the history says 2",
    last_move_cut_off: "points to version 2, the history says 1",
    history_cut_off_and_alias_put_back: "Version 2 was moved to by a promotion that the history",
    history_deleted: "a promotion that the history does not know",
    first_move_cut_off: "Move 1 of the registry's history was changed, or one before it",
    reason_rewritten: "Move 1 of the registry's history was changed",
    links_taken_out: "Move 1 of the registry's history was changed",
    card_hash_changed: "Tags, run or metrics of version 1 changed",
    metric_lowered: "Tags, run or metrics of version 2 changed",
    production_deleted: "Version 2 was deleted from the registry",
}


@pytest.mark.parametrize("by_hand", BY_HAND)
def test_a_registry_that_disagrees_with_its_history_promotes_nothing_and_goes_nowhere_back(
    by_hand: Callable[[MemoryRegistry], None],
) -> None:
    registry, good = MemoryRegistry(), signed(card())
    registry.promoted("1", "2")
    registry.add("3", good)
    assert broken_history(registry) == []
    by_hand(registry)
    assert refused(tried(good, registry), BY_HAND[by_hand])
    assert refused(rollback(registry, by=BY, why="complaints", at=NOW), BY_HAND[by_hand])


def test_a_version_that_retention_deleted_is_no_way_back_and_no_hindrance() -> None:
    registry, good = MemoryRegistry(), signed(card())
    registry.promoted("1", "2")
    registry.add("3", good)
    del registry.cards["1"]
    assert refused(rollback(registry, by=BY, why="complaints", at=NOW), "Version 1 was deleted")
    assert tried(good, registry).allowed


def test_a_model_whose_versions_were_all_deleted_on_purpose_starts_anew() -> None:
    registry, good = MemoryRegistry(), signed(card())
    registry.promoted("1")
    retired = AliasMove(kind="retire", version="", previous="1", by="erasure", at=NOW, why="erased")
    registry.moves.append(chained(retired, registry.history()))
    registry.alias = None
    registry.marked.clear()
    registry.add("3", good)
    assert tried(good, registry).allowed
    assert refused(rollback(registry, by=BY, why="complaints", at=NOW), "no version before")


def test_evidence_from_outside_the_card_refuses_whatever_the_card_says() -> None:
    registry, good = MemoryRegistry(), signed(card())
    registry.add("3", good)
    decision = promote(
        registry,
        good,
        POLICY,
        version="3",
        by=BY,
        why="new",
        at=NOW,
        rule_digest=LIBRARY.rule_digest,
        evidence=("Git does not say who wrote this.",),
    )
    assert decision.reasons == ("Git does not say who wrote this.",)
    assert registry.moves == []


@pytest.mark.parametrize("before", [(), ("2",)])
@pytest.mark.parametrize("steps", [1, 2])
def test_a_promotion_that_was_ended_half_way_is_made_by_the_next_call(
    before: tuple[str, ...], steps: int
) -> None:
    good, registry = signed(card()), MemoryRegistry()
    registry.add("3", good)
    registry.promoted(*before)
    registry.killed_after = steps
    with pytest.raises(KeyboardInterrupt):
        tried(good, registry, later=1)
    registry.killed_after = 9
    assert tried(good, registry, later=2, taken_back=steps == 1).reasons == ()
    assert broken_history(registry) == []
    assert [move.version for move in registry.moves][-1] == registry.alias == "3"
    assert registry.marked["3"] == registry.moves[-1].chain
    assert len(registry.moves) == len(before) + steps  # what was not made is not in the history


def test_a_rollback_that_was_ended_half_way_is_made_by_the_next_call() -> None:
    registry = MemoryRegistry()
    registry.promoted("1", "2")
    for at, steps in ((NOW, 1), (NOW + timedelta(hours=1), 9)):
        registry.killed_after = steps
        try:
            decision = rollback(registry, by=BY, why="complaints", at=at)
        except KeyboardInterrupt:
            assert "was recorded and not made" in broken_history(registry)[0]
    assert decision.allowed
    assert (registry.alias, broken_history(registry)) == ("1", [])
    assert [move.kind for move in registry.moves] == ["promote", "promote", "rollback"]


def test_a_promotion_that_may_be_under_way_is_waited_for() -> None:
    good, registry = signed(card()), MemoryRegistry()
    registry.add("3", good)
    registry.promoted("2")
    registry.killed_after = 1
    with pytest.raises(KeyboardInterrupt):
        tried(good, registry)
    registry.killed_after = 9
    assert "wait 10 minutes" in tried(good, registry).reasons[0]
    assert len(registry.moves) == 2


def test_an_alias_that_was_moved_back_by_hand_is_no_ended_promotion() -> None:
    good, registry = signed(card()), MemoryRegistry()
    registry.add("3", good)
    registry.promoted("1", "2")
    registry.alias = "1"
    assert "moved by hand" in tried(good, registry, later=1).reasons[0]
    assert len(registry.moves) == 2
