"""Decisions on cards, each with the signer of the git commit that recorded it.

The keys that count are listed in ``governance/allowed_signers``: SSH keys as lines in OpenSSH's
format, GPG keys as comments such as ``# gpg <fingerprint> Grace Hopper <grace@acme.example>``. A
change of that file counts only if it is signed with a key that the file already allowed. A merge
that changes it needs a key that both sides allow.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from pydantic import ValidationError

from sovereign_ml import git
from sovereign_ml.card.approval import APPROVAL_FILE, alone, append, load
from sovereign_ml.card.build import CardError
from sovereign_ml.card.person_names import same_person
from sovereign_ml.card.schema.model_card import Approval
from sovereign_ml.errors import Refused
from sovereign_ml.git import GitError

APPROVALS: Final = Path("governance/approvals.json")
SIGNERS: Final = Path("governance/allowed_signers")
GPG: Final = re.compile(r"(?m)^#\s*gpg\s+([0-9A-Fa-f]{40})\s+(\S.*?)\s*$")
PROGRAMS: Final = tuple(
    word
    for program in ("ssh.program=ssh-keygen", "program=gpg", "x509.program=false")
    for word in ("-c", f"gpg.{program}")
)
"""A project's own git configuration may name a program that calls every signature good.

Nobody signs with X.509 here, so nothing checks such a signature.
"""


@dataclass(frozen=True)
class Signer:
    """The signer of a commit: the signed name, the mail address or principal, and the key."""

    name: str
    principal: str
    key: str

    def __str__(self) -> str:
        """Return principal and key."""
        return f"{self.principal} {self.key}"


def is_set_up(root: Path) -> bool:
    """Return whether the project ever listed keys. Then a decision needs a signature to count.

    Raises CardError where the file of keys was removed, is not committed, or was changed by a
    signer whom it did not allow.
    """
    return _allowed(root) is not None


def decisions(root: Path) -> tuple[Approval, ...]:
    """Return the recorded decisions, each with the name and key of its signature.

    A rejection that was committed once still counts after it was deleted from the file. Where keys
    are set up, an approval without a good signature is left out. Without git, none is signed.
    """
    filed = [_bare(approval) for approval in load(root / APPROVALS)]
    allowed = _allowed(root)
    try:
        history = _history(root, APPROVALS)
    except GitError:
        history = []
    counted: list[Approval] = []
    committed: list[Approval] = []
    for commit, parents in history:
        # A merge adds only what none of its parents has.
        before = [approval for parent in parents for approval in _at(root, parent)]
        added = [approval for approval in _at(root, commit) if approval not in before]
        signer = _signer(root, commit, allowed) if allowed and added else None
        for approval in added:
            committed.append(approval)
            if approval in filed or approval.decision == "reject":
                counted.append(_by(approval, signer))
    counted += [approval for approval in filed if approval not in committed]
    return tuple(
        approval
        for approval in counted
        if approval.signed_by or allowed is None or approval.decision == "reject"
    )


def record_signed(root: Path, approval: Approval) -> Approval:
    """Record the decision in its own commit, signed by the person who decides, and return it.

    Raises Refused with git's message (a missing key, for example), and where the key is not
    allowed or belongs to somebody else: nothing is recorded then. Raises CardError where those keys
    cannot be believed, before anything is recorded.
    """
    allowed = _allowed(root) or ""
    try:
        with alone(root / APPROVALS), git.put_back_on_error(root, APPROVALS):
            parent = git.ask(root, "rev-parse", "HEAD")
            append(root / APPROVALS, approval)
            git.ask(root, "add", "--", str(APPROVALS))
            message = f"Card {approval.card_hash[:12]}: {approval.decision} as {approval.role}"
            sign = ("commit-tree", "-S", "-p", parent, "-m", message)
            commit = git.ask(root, *sign, _tree_with_record(root, parent))
            signer = _signer(root, commit, allowed)
            if signer is None:
                raise GitError(
                    f"the key of this commit is not in {SIGNERS} for its author's address"
                )
            if not same_person(signer.name, approval.person):
                raise GitError(f"the key belongs to {signer.name}, not to {approval.person}")
            # The branch moves last: until here a refused signature leaves only an unreachable
            # commit.
            # Git refuses to move it where somebody else has committed in the meantime.
            git.ask(root, "update-ref", "-m", message, "HEAD", commit, parent)
    except GitError as error:
        raise Refused(
            f"The decision was not recorded. Git says: {error}. Set user.signingkey and gpg.format "
            "to your own key (docs/approval.md), and decide again."
        ) from None
    return _by(approval, signer)


def _tree_with_record(root: Path, commit: str) -> str:
    """Return the tree of ``commit`` plus the record, without anything else that is staged."""
    # Names that are not ASCII come quoted without -z.
    name = git.ask(root, "ls-files", "-z", "--full-name", "--", str(APPROVALS)).rstrip("\0")
    blob = git.ask(root, "hash-object", "-w", "--", str(APPROVALS))
    with TemporaryDirectory() as folder:
        # An index of its own, so that what the person has staged stays as it is.
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        git.ask(root, "read-tree", commit, extra=index)
        git.ask(root, "update-index", "--add", "--cacheinfo", f"100644,{blob},{name}", extra=index)
        return git.ask(root, "write-tree", extra=index)


def _bare(approval: Approval) -> Approval:
    """Return the decision without a signature that somebody typed into the file."""
    return approval.model_copy(update={"signed_by": ""})


def _by(approval: Approval, signer: Signer | None) -> Approval:
    if signer is None:
        return approval
    return approval.model_copy(update={"person": signer.name, "signed_by": str(signer)})


def _history(root: Path, path: Path) -> list[tuple[str, list[str]]]:
    """Return the commits that touched ``path``, oldest first, each with its parents.

    Raises GitError where the history is cut off: its oldest commit would be believed.
    """
    git.refuse_shallow(root)
    order = ("log", "--full-history", "--reverse", "--topo-order", "--format=%H %P")
    lines = git.ask(root, *order, "--", str(path)).splitlines()
    return [(line.split()[0], line.split()[1:]) for line in lines]


def _at(root: Path, commit: str) -> list[Approval]:
    """Return the decisions in the file as of ``commit``, none if it is missing or unreadable."""
    text = _text(root, commit, APPROVALS)
    if text is None:
        return []
    try:
        return [_bare(approval) for approval in APPROVAL_FILE.validate_json(text)]
    except ValidationError:
        return []


def _text(root: Path, commit: str, path: Path) -> str | None:
    try:
        return git.ask(root, "show", f"{commit}:./{path}")
    except GitError:
        return None


def _allowed(root: Path) -> str | None:
    """Return the allowed keys as of the last commit, None if the project never listed any."""
    exists = (root / SIGNERS).exists()
    try:
        history = _history(root, SIGNERS)
    except GitError:
        return "" if exists else None
    if not history:
        if exists:
            raise CardError(f"{SIGNERS} is not committed: commit it before anybody decides.")
        return None
    # The first commit starts the list, so no key could be allowed before it.
    for commit, parents in history[1:]:
        if not _keeps_newest_keys(root, commit, parents) and not _may_change_keys(
            root, commit, parents
        ):
            raise CardError(
                f"{SIGNERS} was changed by commit {commit[:12]} without an allowed signature: "
                "revert that commit, and let an allowed person sign the change."
            )
    if git.ask(root, "ls-tree", "HEAD", "--", str(SIGNERS)).startswith("120000"):
        raise CardError(f"{SIGNERS} is a link: put the keys into the file itself and commit it.")
    last = _text(root, "HEAD", SIGNERS)
    if last is None:
        raise CardError(f"{SIGNERS} was removed: restore it from git. Decisions are signed here.")
    return last


def _keeps_newest_keys(root: Path, commit: str, parents: list[str]) -> bool:
    """Return whether a merge takes the keys of one parent, and no other parent changed them since.

    Whoever merges a branch, such as a server for code reviews, changes no key then.
    """
    if len(parents) < 2:
        return False
    keys = _text(root, commit, SIGNERS)
    for parent in parents:
        # A parent that is older has no change that this one lacks.
        newer = ("log", "-1", "--full-history", "--format=%H", f"^{parent}", *parents)
        if _text(root, parent, SIGNERS) == keys and not git.ask(root, *newer, "--", str(SIGNERS)):
            return True
    return False


def _may_change_keys(root: Path, commit: str, parents: list[str]) -> bool:
    """Return whether the commit is signed with a key that every parent with a list allows."""
    lists = [keys for parent in parents if (keys := _text(root, parent, SIGNERS)) is not None]
    # All of them, so that no merge with an older commit brings back a key that was taken out.
    return bool(lists) and all(_signer(root, commit, keys) for keys in lists)


def _signer(root: Path, commit: str, allowed: str) -> Signer | None:
    """Return who signed the commit, if that key is among the ``allowed`` ones."""
    with TemporaryDirectory() as folder:
        keys = Path(folder) / "allowed_signers"
        keys.write_text(allowed, encoding="utf-8")
        # NUL separates the fields, because a name may hold any other character.
        form = "--format=%G?%x00%GS%x00%GF%x00%GP%x00%an%x00%ae"
        trust = (*PROGRAMS, "-c", f"gpg.ssh.allowedSignersFile={keys}")
        try:
            fields = git.ask(root, *trust, "log", "-1", "--no-show-signature", form, commit)
        except GitError:
            return None
    verdict, principal, key, primary, name, mail = fields.split("\0")
    if key.startswith("SHA256:"):
        return _by_ssh(verdict, principal, key, name, mail)
    listed = {fingerprint.upper(): holder for fingerprint, holder in GPG.findall(allowed)}
    # U is a good signature of a key to which nobody gave a level of trust.
    if verdict in ("G", "U") and (holder := listed.get((primary or key).upper())):
        person, _, address = holder.partition("<")
        return Signer(person.strip(), address.rstrip("> ") or person.strip(), primary or key)
    return None


def _by_ssh(verdict: str, principal: str, key: str, name: str, mail: str) -> Signer | None:
    """Return the signer, unless the principal is a mail address other than the commit's own."""
    if verdict != "G":
        return None
    if "@" not in principal:
        return Signer(principal, principal, key)
    # The signature covers the commit's author line, so a matching address vouches for the name.
    return Signer(name, principal, key) if principal.casefold() == mail.casefold() else None
