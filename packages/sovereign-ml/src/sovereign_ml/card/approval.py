"""Approvals: a named person decides about one exact content of the card; the record is a JSON file in git.

A change of card, model or data changes the content hash, and the approvals recorded for it no longer hold. The data
protection officer gives an opinion (``sign_off.dpo_opinion``) and never an approval (GDPR 38(6)).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Final, Literal, get_args

from pydantic import ConfigDict, TypeAdapter, ValidationError

from sovereign_ml.card.build import CardError
from sovereign_ml.card.schema.card import Approval, ApprovalRole, Card

ROLES: Final[tuple[ApprovalRole, ...]] = get_args(ApprovalRole)
NAMED: Final = re.compile(r"[^\W\d_][\w.'’-]*(,? [^\W\d_][\w.'’-]*)+")
NOT_A_PERSON: Final = re.compile(
    r"\b(team|bot|admin|owner|officer|department|service|ci|pipeline|group|committee)\b", re.I
)
_FILE: Final = TypeAdapter(tuple[Approval, ...], config=ConfigDict(defer_build=True))


class ApprovalError(ValueError):
    """The approval may not be recorded; the message says why and what to do."""


def approve(
    card: Card,
    *,
    role: str,
    person: str,
    at: datetime,
    decision: Literal["approve", "reject"] = "approve",
    comment: str = "",
) -> Approval:
    """The approval of ``person`` for this content of the card. Raises ApprovalError with one line."""
    given = {
        "role": _known(role),
        "person": person.strip(),
        "decision": decision,
        "at": at,
        "comment": comment,
    }
    approval = Approval.model_validate({**given, "card_hash": card.computed_hash()})
    if decision == "approve":
        for problem in _unknown_author(card):
            raise ApprovalError(problem)
    for problem in _personal(approval, card.facts.model.authors):
        raise ApprovalError(problem)
    return approval


def _known(role: str) -> str:
    if role in ROLES:
        return role
    hint = (
        " The data protection officer gives an opinion in [sign_off], never an approval."
        if "dpo" in role
        else ""
    )
    raise ApprovalError(f"Unknown role '{role}': allowed are {', '.join(ROLES)}.{hint}")


def with_approvals(card: Card, approvals: tuple[Approval, ...], roles: Iterable[str] = ()) -> Card:
    """The card with the approvals recorded for it; the content hash does not change.

    The status of a complete card follows: rejected, approved when each of ``roles`` has approved, else in review.
    """
    signed = card.model_copy(update={"approvals": approvals})
    wanted = tuple(roles)
    if signed.status == "draft" or not wanted:
        return signed
    current = card.computed_hash()
    latest = (_latest(approvals, role) for role in ROLES)
    rejected = any(a and a.decision == "reject" and a.card_hash == current for a in latest)
    approved = not any(problems(signed, wanted))
    return signed.model_copy(
        update={"status": "rejected" if rejected else "approved" if approved else "in_review"}
    )


def problems(card: Card, roles: Iterable[str]) -> Iterator[str]:
    """Why the card's approvals do not carry it; nothing when each role has a valid one (rule R48)."""
    current = card.computed_hash()
    if card.content_hash != current:
        yield "The content hash in card.json does not fit its content: the file was changed after it was built."
    yield from _unknown_author(card)
    for role in roles:
        latest = _latest(card.approvals, role)
        if latest is None:
            yield f"Nobody has approved as {role}."
        elif latest.decision == "reject":
            yield f"{latest.person} rejected it as {role}."
        elif latest.card_hash != current:
            yield f"The card changed after {latest.person} approved it as {role}."
        else:
            yield from _personal(latest, card.facts.model.authors)
    yield from (
        f"{a.person} rejected it as {a.role}." for a in _vetoes(card, tuple(roles), current)
    )


def load(path: Path) -> tuple[Approval, ...]:
    """The recorded approvals, oldest first; none when the file does not exist. Raises CardError on a broken file."""
    if not path.exists():
        return ()
    try:
        return _FILE.validate_json(path.read_bytes())
    except ValidationError as error:
        raise CardError(f"{path} is no list of approvals: {error.errors()[0]['msg']}.") from None


def record(path: Path, approval: Approval) -> None:
    """Add one approval to the file; nothing recorded before is changed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_FILE.dump_json((*load(path), approval), indent=2) + b"\n")


def _latest(approvals: tuple[Approval, ...], role: str) -> Approval | None:
    return max((a for a in approvals if a.role == role), key=lambda a: a.at, default=None)


def _vetoes(card: Card, roles: tuple[str, ...], current: str) -> list[Approval]:
    """Rejections of this content by roles that need not approve."""
    others = [
        latest for role in ROLES if role not in roles and (latest := _latest(card.approvals, role))
    ]
    return [a for a in others if a.decision == "reject" and a.card_hash == current]


def is_named_person(name: str) -> bool:
    """Whether ``name`` reads as first and last name of a person, not as a role, team or machine."""
    return bool(NAMED.fullmatch(name)) and not NOT_A_PERSON.search(name)


def _unknown_author(card: Card) -> Iterator[str]:
    """GDPR 24: while nobody knows the author, anybody who approves may be the author."""
    model = card.facts.model
    if not any(re.search(r"\w", author) for author in model.authors):
        reason = (model.authors_unknown_because or "the card names no author").rstrip(".")
        yield f"Nobody knows who wrote this: {reason}. Let git answer, run `churn card`, and approve then."


def _personal(approval: Approval, authors: tuple[str, ...]) -> Iterator[str]:
    """GDPR 24: somebody answers for it, and it is not the person who made it."""
    if not is_named_person(approval.person):
        yield f"'{approval.person}' is no named person: give first and last name, e.g. 'Ada Lovelace'."
    if any(_same(approval.person, author) for author in authors):
        yield f"{approval.person} wrote what is approved: somebody else must approve as {approval.role}."


def _same(person: str, author: str) -> bool:
    """Whether a name is the name or the mail address of a git author written as ``Name <mail>``."""
    name, _, mail = author.partition("<")
    mail = mail.rstrip("> ")
    spellings = {name, mail, mail.partition("@")[0].replace(".", " ").replace("_", " ")}
    return _key(person) in {_key(spelling) for spelling in spellings}


def _key(name: str) -> str:
    """Letters only, in any order: 'Lovelace, Ada' is Ada Lovelace."""
    return " ".join(sorted(re.findall(r"\w+", name.casefold())))
