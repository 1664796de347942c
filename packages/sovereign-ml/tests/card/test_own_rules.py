"""The rules that a team adds: they block and warn, and they never touch a rule of the library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cards import BASES, NOW, POLICY, TODAY, card, signed
from sovereign_ml.bundle.sealed import rules_json
from sovereign_ml.card.alias_history import AliasMove
from sovereign_ml.card.promotion import promote
from sovereign_ml.card.render.html import render_html
from sovereign_ml.card.render.markdown import render_markdown
from sovereign_ml.card.rules import RULES, Case, Hits, OwnRules, Rule, RuleHit, check, engine, rule
from sovereign_ml.card.rules.own import own_rules
from sovereign_ml.card.schema import Card
from sovereign_ml.card.schema.facts import OwnRulesFacts

CODE = "5a" * 32


class NewRegistry:
    """A registry with one version that was registered with ``card`` and never promoted."""

    def __init__(self, card: Card) -> None:
        self.card, self.moves = card, list[AliasMove]()

    def production(self) -> None:
        return None

    def metrics(self, version: str) -> dict[str, float]:
        return {POLICY.metric: 0.9}

    def card_hash(self, version: str) -> str:
        return self.card.content_hash

    def history(self) -> tuple[AliasMove, ...]:
        return tuple(self.moves)

    def fingerprint(self, version: str) -> str:
        return "unchanged"

    def marks(self) -> dict[str, str]:
        return {}

    def move(self, move: AliasMove) -> None:
        self.moves.append(move)

    def mark(self, move: AliasMove) -> None:
        """A move is always whole here."""

    def take_out(self, move: AliasMove) -> None:
        """A move is always whole here."""


def declared(check: Callable[[Case], Any], id: str = "T01", **more: Any) -> Rule:
    check.__doc__ = "The team's policy is not kept."
    return rule(id, "Policy 7", "Keep to the policy.", **more)(check)


def always(case: Case) -> Hits:
    yield f"{case.card.id} breaks the policy."


def listing(own: OwnRules, base: str = "offer", **changes: Any) -> Card:
    """Return a good card that was written with the rules ``own``."""
    good = card(base, **changes)
    facts = good.facts.model_copy(update={"own_rules": own.facts()})
    ready = good.model_copy(update={"facts": facts})
    return ready.model_copy(update={"content_hash": ready.computed_hash()})


def findings_of(own: OwnRules | None, of: Card, at: engine.At = "register") -> dict[str, str]:
    return {f.rule: f.severity for f in check(of, POLICY, TODAY, at=at, own=own)}


@pytest.mark.parametrize("severity", ["block", "warn"])
def test_a_rule_of_the_team_blocks_or_warns(severity: engine.Severity) -> None:
    own = own_rules([declared(always, severity=severity)], CODE)
    assert findings_of(own, listing(own))["T01"] == severity


def test_a_finding_may_say_its_own_severity_and_advice() -> None:
    def lenient(case: Case) -> Hits:
        yield RuleHit("A little too much.", severity="warn", do="Take less.")

    own = own_rules([declared(lenient)], CODE)
    found = [f for f in check(listing(own), POLICY, TODAY, own=own) if f.rule == "T01"]
    assert [(f.severity, f.do) for f in found] == [("warn", "Take less.")]


@pytest.mark.parametrize("base", BASES)
def test_the_findings_of_the_library_stay_whatever_the_team_declares(base: str) -> None:
    def tampering(case: Case) -> Hits:
        case.answers.__dict__["purpose"] = None
        yield "Something."

    of = card(base, answers={"roles.controller": "?", "purpose.statement": "?"})
    before = findings_of(OwnRules(), of)
    assert before
    own = own_rules([declared(always), declared(tampering, "T02")], CODE)
    of_team = listing(own, base, answers={"roles.controller": "?", "purpose.statement": "?"})
    after = findings_of(own, of_team)
    assert {id: after[id] for id in before} == before


@pytest.mark.parametrize("id", ["R01", "F01", "T00", "T1", "T001", "t01", "T1a", ""])
def test_an_id_that_is_not_a_teams_is_refused(id: str) -> None:
    with pytest.raises(ValueError, match="T01 to T99"):
        declared(always, id)


def test_a_rule_of_the_library_cannot_be_declared_as_the_teams() -> None:
    weakened = Rule("R01", "warn", "none", "Nothing.", "promote", always)
    for declaration in (weakened, RULES["R01"]):
        with pytest.raises(ValueError, match="R01"):
            own_rules([declaration], CODE)


def test_an_id_is_declared_once() -> None:
    with pytest.raises(ValueError, match="T01 is declared twice"):
        own_rules([declared(always), declared(always)], CODE)


@pytest.mark.parametrize(("article", "do"), [("", "Act."), ("Policy 7", " ")])
def test_a_rule_without_source_or_advice_is_refused(article: str, do: str) -> None:
    with pytest.raises(ValueError, match="needs an article"):
        rule("T01", article, do)(always)


def test_nothing_is_added_to_the_rules_of_the_library_or_taken_away() -> None:
    with pytest.raises(TypeError):
        del RULES["R01"]  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        RULES["R01"] = declared(always)  # type: ignore[index]
    with pytest.raises(ValueError, match="R01 is defined twice"):
        engine.rule("R01", "none", "Nothing.")(always)


def broken_lookup(case: Case) -> Hits:
    yield {"a": "b"}["missing"]


def no_generator(case: Case) -> None:
    return None


def late_failure(case: Case) -> Hits:
    yield "A first finding."
    raise RuntimeError("the rest is unknown")


def wrong_type(case: Case) -> Any:
    yield 7


def wrong_severity(case: Case) -> Hits:
    yield RuleHit("Something.", severity="none")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "failing", [broken_lookup, no_generator, late_failure, wrong_type, wrong_severity]
)
def test_a_rule_that_fails_blocks(failing: Callable[[Case], Any]) -> None:
    own = own_rules([declared(failing, severity="warn")], CODE)
    found = [f for f in check(listing(own), POLICY, TODAY, own=own) if f.rule == "T01"]
    assert [f.severity for f in found] == ["block"]
    assert "The rule itself failed" in found[0].found
    assert failing.__name__ in found[0].do


def test_a_rule_for_promotion_is_left_out_at_registration() -> None:
    own = own_rules([declared(always, at="promote")], CODE)
    assert "T01" not in findings_of(own, listing(own))
    assert findings_of(own, listing(own), "promote")["T01"] == "block"


@pytest.mark.parametrize(
    ("on_the_card", "here"),
    [(CODE, "6b" * 32), (CODE, ""), ("", CODE)],
    ids=["edited", "removed", "added"],
)
def test_rules_that_are_not_those_of_the_card_block(on_the_card: str, here: str) -> None:
    of = listing(OwnRules(digest=on_the_card))
    assert findings_of(OwnRules(digest=here), of) == {"T00": "block"}
    assert findings_of(OwnRules(digest=on_the_card), of) == {}


def test_a_card_with_own_rules_is_not_judged_without_them_by_mistake() -> None:
    of = listing(own_rules([declared(always)], CODE))
    assert [f.rule for f in check(of, POLICY, TODAY)] == ["T00"]


def test_the_service_judges_by_the_rules_of_the_library_alone() -> None:
    own = own_rules([declared(always)], CODE)
    assert findings_of(None, listing(own)) == {}
    assert "T01" not in rules_json(POLICY)


@pytest.mark.parametrize("severity", ["block", "warn"])
def test_promotion_asks_the_rules_of_the_team(severity: engine.Severity) -> None:
    own = own_rules([declared(always, severity=severity)], CODE)
    of = signed(listing(own))
    registry = NewRegistry(of)
    decision = promote(
        registry,
        of,
        POLICY,
        version="3",
        by="Ada Lovelace",
        why="better",
        at=NOW,
        rule_digest=of.facts.library.rule_digest or "",
        own=own,
    )
    assert decision.allowed == (severity == "warn")
    assert len(registry.moves) == decision.allowed
    assert any("T01" in reason for reason in decision.reasons) == (severity == "block")


def test_the_card_lists_the_rules_of_the_team_with_a_digest_of_their_own() -> None:
    own = own_rules([declared(always, severity="warn")], CODE)
    of = listing(own)
    assert of.facts.own_rules.digest == CODE
    assert [listed.id for listed in of.facts.own_rules.rules] == ["T01"]
    for page in (render_html(of), render_markdown(of)):
        assert "Own rule T01, warns" in page
        assert CODE in page
    assert "Own rule" not in render_html(card()) + render_markdown(card())


def test_an_approval_covers_the_rules_of_the_team() -> None:
    with_rule = listing(own_rules([declared(always)], CODE))
    other = with_rule.facts.model_copy(update={"own_rules": OwnRulesFacts(digest="6b" * 32)})
    assert with_rule.model_copy(update={"facts": other}).computed_hash() != with_rule.content_hash
