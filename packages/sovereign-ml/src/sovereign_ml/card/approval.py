"""Approvals: a named person decides about one exact content of the card.

Each decision is a record in a JSON file in git. A change of card, model or data changes the content
hash, and the approvals recorded for the old hash no longer hold. The data protection officer gives
an opinion (``sign_off.dpo_opinion``) and never an approval (GDPR 38(6)).
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Final, Literal, get_args

from pydantic import ConfigDict, TypeAdapter, ValidationError

from sovereign_ml.card.build import CardError
from sovereign_ml.card.person_names import (
    author_is,
    hidden_in,
    is_named_person,
    names_somebody,
    plain,
)
from sovereign_ml.card.schema.model_card import Approval, Card
from sovereign_ml.decisions.rule_policy import ApprovalRole

ROLES: Final[tuple[ApprovalRole, ...]] = get_args(ApprovalRole)
APPROVAL_FILE: Final = TypeAdapter(tuple[Approval, ...], config=ConfigDict(defer_build=True))


class ApprovalError(ValueError):
    """Refusal to record an approval. The message says why and what to do."""


def approve(
    card: Card,
    *,
    role: str,
    person: str,
    at: datetime,
    decision: Literal["approve", "reject"] = "approve",
    comment: str = "",
) -> Approval:
    """Return the approval of ``person`` for this content of the card.

    Raises ApprovalError with one line.
    """
    fields = {
        "role": _known(role),
        # A name with hidden characters stays as it is, so that the refusal can show it.
        "person": person if hidden_in(person) else plain(person),
        "decision": decision,
        "at": _after_own(at, role, person, card.approvals),
        "comment": comment,
    }
    approval = Approval.model_validate({**fields, "card_hash": card.computed_hash()})
    # An unknown author keeps nobody from rejecting.
    if decision == "approve":
        for problem in _unknown_author(card):
            raise ApprovalError(problem)
    for problem in _who(approval, card):
        raise ApprovalError(problem)
    # Approvals of another content do not count for the check of two people.
    if decision == "approve":
        others = [a for a in _last_words(card.approvals) if a.card_hash == approval.card_hash]
        for problem in _twice(approval, [a for a in others if _is_yes(a)]):
            raise ApprovalError(problem)
    return approval


def _after_own(at: datetime, role: str, person: str, recorded: Iterable[Approval]) -> datetime:
    """Return ``at``, or a moment after the last decision of this person in this role."""
    # The last word counts. With a clock that is behind, a rejection would not be it.
    name = plain(person).casefold()
    own = [a.at for a in recorded if a.role == role and plain(a.person).casefold() == name]
    return max([at, *(before + timedelta(microseconds=1) for before in own)])


def _known(role: str) -> str:
    if role in ROLES:
        return role
    # GDPR 38(6): who approves could not advise independently any more.
    hint = (
        " The data protection officer gives an opinion in [sign_off], never an approval."
        if "dpo" in role
        else ""
    )
    raise ApprovalError(f"Unknown role '{role}': allowed are {', '.join(ROLES)}.{hint}")


def with_approvals(card: Card, approvals: tuple[Approval, ...], roles: Iterable[str] = ()) -> Card:
    """Return the card with the approvals recorded for it. The content hash does not change.

    The status of a complete card follows from them: rejected, approved when each of ``roles`` has
    approved, otherwise in review.
    """
    signed = card.model_copy(update={"approvals": approvals})
    required_roles = tuple(roles)
    if signed.status == "draft" or not required_roles:
        return signed
    rejected = any(_rejections(signed))
    approved = not any(problems(signed, required_roles))
    return signed.model_copy(
        update={"status": "rejected" if rejected else "approved" if approved else "in_review"}
    )


def problems(card: Card, roles: Iterable[str], today: date | None = None) -> Iterator[str]:
    """Yield each reason why the approvals do not carry the card (rule R48).

    Nothing is yielded when each role has a valid approval. With ``today``, a decision with a later
    date does not count: it would outlive what its author decides next.
    """
    current = card.computed_hash()
    if card.content_hash != current:
        yield (
            "The content hash in card.json does not fit its content: "
            "the file was changed after it was built."
        )
    yield from _unknown_author(card)
    yield from (
        f"The decision of {a.person} as {a.role} is dated {a.at:%Y-%m-%d}, which is in the future."
        for a in card.approvals
        # One day is allowed, because it may be tomorrow already in another time zone.
        if today and (a.at.date() - today).days > 1
    )
    counted: list[Approval] = []
    for role in roles:
        role_approvals = [a for a in _last_words(card.approvals) if a.role == role and _is_yes(a)]
        # An approval of another content is told apart from none at all.
        valid = sorted((a for a in role_approvals if a.card_hash == current), key=lambda a: a.at)
        if not role_approvals:
            yield f"Nobody has approved as {role}."
        elif not valid:
            latest = max(role_approvals, key=lambda a: a.at)
            yield f"The card changed after {latest.person} approved it as {role}."
        else:
            yield from _personal(valid[-1], card)
            yield from _twice(valid[-1], counted)
            counted.append(valid[-1])
    yield from (
        f"{a.person} rejected it as {a.role}. "
        f"A rejection stands until {a.person} approves as {a.role}."
        for a in _rejections(card)
    )


def load(path: Path) -> tuple[Approval, ...]:
    """Return the recorded approvals, oldest first.

    Returns none when the file does not exist. Raises CardError on a broken file.
    """
    if not path.exists():
        return ()
    try:
        return APPROVAL_FILE.validate_json(path.read_bytes())
    except ValidationError as error:
        raise CardError(f"{path} is no list of approvals: {error.errors()[0]['msg']}.") from None


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Wait until no other process changes the approvals at ``path``, and keep others waiting."""
    is_new = not path.parent.is_dir()
    path.parent.mkdir(parents=True, exist_ok=True)
    # The folder is locked and not the file, which is replaced. The lock ends with the process.
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)
        if is_new:
            with suppress(OSError):
                path.parent.rmdir()


def record(path: Path, approval: Approval) -> None:
    """Append one approval to the file. Nothing recorded before is changed."""
    with alone(path):
        append(path, approval)


def append(path: Path, approval: Approval) -> None:
    """Do what `record` does for a caller that is `alone` already."""
    # Replaced as a whole: a call that is killed must not cut what others decided.
    side = path.with_name(f".{path.name}.part")
    side.write_bytes(APPROVAL_FILE.dump_json((*load(path), approval), indent=2) + b"\n")
    side.replace(path)


def _last_words(approvals: tuple[Approval, ...]) -> list[Approval]:
    """Return the latest decision of each person in each role.

    Nobody overrules the decision of somebody else.
    """
    latest: list[Approval] = []
    # A merge of two branches may leave the file in another order than that of time.
    for approval in sorted(approvals, key=lambda a: a.at):
        same = (a for a in latest if a.role == approval.role and _is_same(a, approval))
        if (earlier := next(same, None)) is not None:
            latest.remove(earlier)
        latest.append(approval)
    return latest


def _is_same(approval: Approval, other: Approval) -> bool:
    """Return whether two decisions are those of one person.

    Their names are spelled alike, and so are their signatures where the decisions are signed.
    """
    # A name is only typed, so an unsigned decision never replaces a signed one.
    return plain(approval.person).casefold() == plain(other.person).casefold() and (
        not approval.signed_by or approval.signed_by == other.signed_by
    )


def rejections(approvals: tuple[Approval, ...]) -> dict[str, str]:
    """Return the hash of each card with a standing rejection, and the person who rejected it.

    A rejection stands until the same person approves.
    """
    return {a.card_hash: a.person for a in _last_words(approvals) if not _is_yes(a)}


def _is_yes(approval: Approval) -> bool:
    return approval.decision == "approve"


def _rejections(card: Card) -> list[Approval]:
    """Return every rejection that its author has not lifted.

    Neither the role nor a later change of the card matters.
    """
    return [a for a in _last_words(card.approvals) if not _is_yes(a)]


def _twice(approval: Approval, others: Iterable[Approval]) -> Iterator[str]:
    """Yield a problem where one person approves in two roles.

    GDPR 24: two roles are two people.
    """
    for other in others:
        if other.role != approval.role and author_is(identity(approval), (identity(other),)):
            yield (
                f"{approval.person} approves as {approval.role} and as {other.role}: "
                "two roles are two people."
            )


def identity(approval: Approval) -> str:
    """Return the person who decided, as ``Name <mail>`` where a signature says the mail address."""
    # A signature binds the mail address. A name alone is only typed.
    mail = approval.signed_by.partition(" ")[0]
    return f"{approval.person} <{mail}>" if "@" in mail else approval.person


def _unknown_author(card: Card) -> Iterator[str]:
    """Yield a problem while the author is unknown.

    GDPR 24: while nobody knows the author, anybody who approves may be the author.
    """
    model = card.facts.model
    if not any(names_somebody(author) for author in model.authors):
        reason = (model.authors_unknown_because or "the card names no author").rstrip(".")
        yield (
            f"Nobody knows who wrote this: {reason}. Let git answer, run `churn card`, "
            "and approve then."
        )


def _personal(approval: Approval, card: Card) -> Iterator[str]:
    """Yield problems with the person and the signature of an approval.

    GDPR 24: the person who answers for the card did not make it. Outside profile ``local`` the
    decision is signed.
    """
    yield from _who(approval, card)
    if card.facts.run.profile != "local" and not approval.signed_by:
        yield (
            f"The decision of {approval.person} as {approval.role} is recorded and not signed: "
            "outside profile local it needs a signed commit, see docs/approval.md."
        )


def _who(approval: Approval, card: Card) -> Iterator[str]:
    if hidden := hidden_in(approval.person):
        yield f"The name {approval.person!r} has {hidden}: write it as people read it."
    elif not is_named_person(approval.person):
        yield (
            f"'{approval.person}' is no named person: give first and last name, e.g. "
            "'Ada Lovelace'."
        )
    if author_is(identity(approval), card.facts.model.authors):
        yield (
            f"{approval.person} wrote what is approved: "
            f"somebody else must approve as {approval.role}."
        )
