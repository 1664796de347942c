"""Approvals: a named person, not the author, about one exact content of the card."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from cards import NOW, card, signed, with_key
from sovereign_ml.card.approval import (
    ApprovalError,
    approve,
    load,
    problems,
    record,
    with_approvals,
)
from sovereign_ml.card.build import CardError
from sovereign_ml.card.person_names import is_named_person
from sovereign_ml.card.schema import Card

ROLES = ("business_owner", "model_owner")


def test_an_approval_says_who_what_when_and_about_which_card() -> None:
    good = card()
    given = approve(
        good, role="legal", person="Ada Lovelace", at=NOW, comment="checked with counsel"
    )
    assert (given.role, given.person, given.decision, given.at) == (
        "legal",
        "Ada Lovelace",
        "approve",
        NOW,
    )
    assert given.card_hash == good.content_hash


@pytest.mark.parametrize(
    "person", ["Ada", "CRM team", "ci bot", "Model Owner", "ada@acme.example", ""]
)
def test_an_approver_is_a_named_person(person: str) -> None:
    with pytest.raises(ApprovalError, match="no named person"):
        approve(card(), role="legal", person=person, at=NOW)


@pytest.mark.parametrize(
    "name", ["Ada Lovelace", "Jean-Luc O'Brien", "Müller-Lüdenscheidt, Änne", "J. R. Tolkien"]
)
def test_names_of_people_are_accepted(name: str) -> None:
    assert is_named_person(name)


@pytest.mark.parametrize("spelling", ["Alan Turing", "ALAN TURING", "Turing, Alan"])
@pytest.mark.parametrize(
    "author", ["Alan Turing <alan@acme.example>", "at <alan.turing@acme.example>"]
)
def test_the_author_of_the_commit_may_not_approve_under_any_spelling(
    spelling: str, author: str
) -> None:
    with pytest.raises(ApprovalError, match="somebody else must approve"):
        approve(card(facts={"model.authors": [author]}), role="legal", person=spelling, at=NOW)


def test_a_decision_of_the_future_carries_nothing_whatever_was_decided_since() -> None:
    later = signed(card()).approvals
    ahead = tuple(a.model_copy(update={"at": a.at.replace(year=2999)}) for a in later)
    no = later[0].model_copy(update={"decision": "reject"})
    told = list(problems(card().model_copy(update={"approvals": (*ahead, no)}), ROLES, NOW.date()))
    assert sum("is dated 2999-" in line and "in the future" in line for line in told) == len(ROLES)


@pytest.mark.parametrize("authors", [[], [""], [" <>"]])
def test_nobody_may_approve_what_nobody_knows_the_author_of(authors: list[str]) -> None:
    words = "fatal: detected dubious ownership in repository at '.'"
    unknown = card(
        facts={"model.authors": authors, "model.authors_unknown_because": f"git says: {words}"}
    )
    with pytest.raises(ApprovalError, match=f"Nobody knows who wrote this: git says: {words}"):
        approve(unknown, role="model_owner", person="Ada Lovelace", at=NOW)
    assert (
        approve(
            unknown, role="model_owner", person="Ada Lovelace", at=NOW, decision="reject"
        ).decision
        == "reject"
    )


def test_approvals_written_by_hand_do_not_carry_a_card_without_an_author() -> None:
    known, unknown = signed(card()), card(facts={"model.authors": []})
    hash_ = unknown.computed_hash()
    by_hand = tuple(a.model_copy(update={"card_hash": hash_}) for a in known.approvals)
    (problem,) = problems(with_approvals(unknown, by_hand), ROLES)
    assert problem.startswith("Nobody knows who wrote this: the card names no author.")


def test_the_data_protection_officer_gives_an_opinion_and_no_approval() -> None:
    with pytest.raises(ApprovalError, match="opinion in \\[sign_off\\], never an approval"):
        approve(card(), role="dpo", person="Dora Ohm", at=NOW)


def test_approvals_of_every_role_carry_the_card() -> None:
    assert list(problems(signed(card()), ROLES)) == []


def test_the_last_word_of_a_role_counts() -> None:
    good = card()
    no = approve(
        good, role="model_owner", person="Ada Lovelace", at=NOW.replace(hour=13), decision="reject"
    )
    changed_mind = with_approvals(good, (*signed(good).approvals, no))
    assert list(problems(changed_mind, ROLES)) == [
        "Ada Lovelace rejected it as model_owner. "
        "A rejection stands until Ada Lovelace approves as model_owner.",
    ]


@pytest.mark.parametrize("year", [1970, 2026, 2126])
def test_a_clock_that_is_behind_makes_no_rejection_an_earlier_word(year: int) -> None:
    good = signed(card())
    yes = good.approvals[0].model_copy(update={"at": NOW.replace(year=year)})
    good = with_approvals(card(), (yes, *good.approvals[1:]))
    role, person = yes.role, yes.person
    no = approve(good, role=role, person=person.upper(), at=NOW, decision="reject")
    no = with_key(no)
    assert no.at > yes.at and (no.at - max(NOW, yes.at)) <= timedelta(microseconds=1)
    recorded = with_approvals(good, (*good.approvals, no))
    assert any("rejected it" in reason for reason in problems(recorded, ROLES))
    again = approve(recorded, role=role, person=person, at=NOW.replace(year=1970))
    lifted = with_approvals(recorded, (*recorded.approvals, with_key(again)))
    assert not any("rejected it" in reason for reason in problems(lifted, ROLES))
    # Somebody else's decision says nothing about this clock.
    other = approve(
        good, role=role, person="Rosa Parks", at=NOW.replace(year=1970), decision="reject"
    )
    assert other.at.year == 1970


def test_a_rejection_stands_over_a_change_of_the_card_and_over_somebody_elses_approval() -> None:
    rejected, later = card(), NOW.replace(hour=13)
    no = with_key(
        approve(rejected, role="model_owner", person="Lex Luthor", at=NOW, decision="reject")
    )
    changed = card(answers={"purpose.statement": "Offers for those who are about to leave."})
    over = with_approvals(changed, (no, *signed(changed).approvals), ROLES)
    assert over.status == "rejected"
    assert [p for p in problems(over, ROLES) if "Lex Luthor rejected it as model_owner" in p]
    lifted = with_key(approve(changed, role="model_owner", person="Lex Luthor", at=later))
    assert list(problems(with_approvals(changed, (*over.approvals, lifted)), ROLES)) == []
    forged = lifted.model_copy(update={"signed_by": "mallory@acme.example SHA256:other"})
    assert list(problems(with_approvals(changed, (*over.approvals, forged)), ROLES)) != []


def test_outside_local_a_decision_without_signature_does_not_carry_the_card() -> None:
    bare = tuple(a.model_copy(update={"signed_by": ""}) for a in signed(card()).approvals)
    told = list(problems(with_approvals(card(), bare), ROLES))
    assert len(told) == 2 and all("is recorded and not signed" in line for line in told)
    local = card(facts={"run.profile": "local"})
    assert list(problems(with_approvals(local, bare), ROLES)) == []
    unknown = card(facts={"run.profile": None})
    assert len(list(problems(with_approvals(unknown, bare), ROLES))) == 2


@pytest.mark.parametrize(
    "second", ["Grace Hopper", "HOPPER, Grace", "G. Hopper", "Gracé B. Hopper"]
)
def test_two_roles_are_two_people(second: str) -> None:
    good = card()
    first = signed(good, {"business_owner": "Grace Hopper"})
    with pytest.raises(ApprovalError, match="two roles are two people"):
        approve(first, role="model_owner", person=second, at=NOW)
    twin = approve(good, role="model_owner", person=second, at=NOW)
    by_hand = with_approvals(good, (*first.approvals, with_key(twin)))
    assert any("two roles are two people" in line for line in problems(by_hand, ROLES))


def test_one_key_is_one_person_whatever_name_stands_beside_it() -> None:
    given = signed(card()).approvals
    key = given[0].signed_by
    one_key = tuple(a.model_copy(update={"signed_by": key}) for a in given)
    assert any("two people" in line for line in problems(with_approvals(card(), one_key), ROLES))


def test_the_author_is_known_by_mail_address_too() -> None:
    of = card(facts={"model.authors": ["Somebody <grace.hopper@acme.example>"]})
    assert any("Grace Hopper wrote" in line for line in problems(forced(of), ROLES))


def forced(of: Card) -> Card:
    """The approvals of the good card, written by hand for this one."""
    hash_ = of.computed_hash()
    given = (a.model_copy(update={"card_hash": hash_}) for a in signed(card()).approvals)
    return with_approvals(of, tuple(given))


def test_the_status_of_a_card_follows_from_what_was_recorded() -> None:
    good = card()
    yes = signed(good).approvals
    no = approve(good, role="legal", person="Lex Luthor", at=NOW, decision="reject")
    old = tuple(a.model_copy(update={"card_hash": "0" * 64}) for a in yes)
    recorded = {"in_review": old, "approved": yes, "rejected": (*yes, no)}
    assert {
        status: with_approvals(good, given, ROLES).status for status, given in recorded.items()
    } == {status: status for status in recorded}
    assert with_approvals(card(answers={"notice.languages": "?"}), yes, ROLES).status == "draft"


def test_the_record_keeps_what_was_recorded_before(tmp_path: Path) -> None:
    file = tmp_path / "governance" / "approvals.json"
    assert load(file) == ()
    first, second = signed(card()).approvals
    record(file, first)
    record(file, second)
    assert load(file) == (first, second)


def test_of_decisions_at_the_same_moment_none_is_lost(tmp_path: Path) -> None:
    file = tmp_path / "governance" / "approvals.json"
    (template, *_) = signed(card()).approvals
    made = [template.model_copy(update={"comment": str(number)}) for number in range(24)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda approval: record(file, approval), made))
    assert sorted(load(file), key=lambda a: int(a.comment)) == made
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_call_that_is_killed_while_it_writes_leaves_the_record_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "approvals.json"
    first, second = signed(card()).approvals
    record(file, first)

    class Killed(BaseException):
        """A signal in the middle of a write."""

    def half(path: Path, content: bytes) -> int:
        with path.open("wb") as stream:
            stream.write(content[: len(content) // 2])
        raise Killed

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(Killed):
        record(file, second)
    assert load(file) == (first,)


def test_a_time_without_a_zone_is_refused_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "approvals.json"
    first, second = signed(card()).approvals
    record(file, first)
    row = second.model_dump(mode="json") | {"at": "2026-11-20T10:00:00"}
    file.write_text(json.dumps([*json.loads(file.read_text(encoding="utf-8")), row]), "utf-8")
    with pytest.raises(CardError, match="timezone"):
        load(file)


def test_a_broken_record_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "approvals.json"
    file.write_text('[{"role": "king"}]', encoding="utf-8")
    with pytest.raises(CardError, match="no list of approvals"):
        load(file)
