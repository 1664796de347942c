"""Decisions on cards as git knows them: who signed the commit that recorded each one.

The keys that count stand in ``governance/allowed_signers``: lines of OpenSSH's format for SSH keys, and for
GPG keys comments such as ``# gpg <fingerprint> Grace Hopper <grace@acme.example>``. Whoever changes that file
signs the change with a key that it already allowed.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from pydantic import ValidationError

from sovereign_ml import git
from sovereign_ml.card.approval import APPROVAL_FILE, load, record
from sovereign_ml.card.build import CardError
from sovereign_ml.card.person_names import same_person
from sovereign_ml.card.schema.card import Approval
from sovereign_ml.errors import Refused
from sovereign_ml.git import GitError

__all__ = ["APPROVALS", "SIGNERS", "Signer", "decisions", "is_set_up", "record_signed"]

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
    """Who signed a commit: the name that the signature covers, its mail address or principal, and the key."""

    name: str
    principal: str
    key: str

    def __str__(self) -> str:
        """Return principal and key."""
        return f"{self.principal} {self.key}"


def is_set_up(root: Path) -> bool:
    """Return whether the project ever named keys: then a decision without signature does not count.

    Raises CardError where the file was taken out, is not committed, or was changed by somebody it did not allow.
    """
    return _allowed(root) is not None


def decisions(root: Path) -> tuple[Approval, ...]:
    """Return the recorded decisions, each with the name and key of its signature.

    A rejection that was committed once and taken out of the file is there all the same. Where keys are
    set up, an approval without a good signature is left out. Where git does not answer, none is signed.
    """
    filed = [_bare(one) for one in load(root / APPROVALS)]
    allowed = _allowed(root)
    try:
        history = _history(root, APPROVALS)
    except GitError:
        history = []
    found: list[Approval] = []
    known: list[Approval] = []
    for commit, parents in history:
        before = [one for parent in parents for one in _at(root, parent)]
        added = [one for one in _at(root, commit) if one not in before]
        signer = _signer(root, commit, allowed) if allowed and added else None
        for one in added:
            known.append(one)
            if one in filed or one.decision == "reject":
                found.append(_by(one, signer))
    found += [one for one in filed if one not in known]
    return tuple(
        one for one in found if one.signed_by or allowed is None or one.decision == "reject"
    )


def record_signed(root: Path, made: Approval) -> Approval:
    """Record the decision in a commit of its own, signed with the key of whoever decides; return it with the key.

    Raises Refused with git's words, such as those about a missing key, and where the key is not among
    those that count or is somebody else's: nothing stays recorded then. Raises CardError where those keys
    cannot be believed, before anything is recorded.
    """
    allowed = _allowed(root) or ""
    file = root / APPROVALS
    before = file.read_bytes() if file.exists() else None
    record(file, made)
    try:
        git.ask(root, "add", "--", str(APPROVALS))
        message = f"Card {made.card_hash[:12]}: {made.decision} as {made.role}"
        sign = ("commit-tree", "-S", "-p", "HEAD", "-m", message)
        commit = git.ask(root, *sign, _tree_with_record(root))
        signer = _signer(root, commit, allowed)
        if signer is None:
            raise GitError(f"the key of this commit is not in {SIGNERS} for its author's address")
        if not same_person(signer.name, made.person):
            raise GitError(f"the key belongs to {signer.name}, not to {made.person}")
        git.ask(root, "update-ref", "-m", message, "HEAD", commit)
    except GitError as error:
        if before is None:
            file.unlink()
        else:
            file.write_bytes(before)
        with suppress(GitError):
            git.ask(root, "reset", "--quiet", "--", str(APPROVALS))
        raise Refused(
            f"Not recorded: git says: {error}. Set user.signingkey and gpg.format to your own key "
            "(docs/approval.md), and decide again."
        ) from None
    return _by(made, signer)


def _tree_with_record(root: Path) -> str:
    """Return a tree that is the last commit's with the record in it, and nothing else that is staged."""
    name = git.ask(root, "ls-files", "--full-name", "--", str(APPROVALS))
    blob = git.ask(root, "hash-object", "-w", "--", str(APPROVALS))
    with TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        git.ask(root, "read-tree", "HEAD", extra=index)
        git.ask(root, "update-index", "--add", "--cacheinfo", f"100644,{blob},{name}", extra=index)
        return git.ask(root, "write-tree", extra=index)


def _bare(one: Approval) -> Approval:
    """Return the decision without the signature that somebody typed into the file."""
    return one.model_copy(update={"signed_by": ""})


def _by(one: Approval, signer: Signer | None) -> Approval:
    if signer is None:
        return one
    return one.model_copy(update={"person": signer.name, "signed_by": str(signer)})


def _history(root: Path, path: Path) -> list[tuple[str, list[str]]]:
    """Return the commits that touched ``path``, oldest first, each with its parents.

    Raises GitError where the history is cut off: its oldest commit would be believed.
    """
    git.refuse_shallow(root)
    order = ("log", "--full-history", "--reverse", "--topo-order", "--format=%H %P")
    lines = git.ask(root, *order, "--", str(path)).splitlines()
    return [(line.split()[0], line.split()[1:]) for line in lines]


def _at(root: Path, commit: str) -> list[Approval]:
    """Return the decisions in the file as one commit holds it; none where it holds none that can be read."""
    text = _text(root, commit, APPROVALS)
    if text is None:
        return []
    try:
        return [_bare(one) for one in APPROVAL_FILE.validate_json(text)]
    except ValidationError:
        return []


def _text(root: Path, commit: str, path: Path) -> str | None:
    try:
        return git.ask(root, "show", f"{commit}:./{path}")
    except GitError:
        return None


def _allowed(root: Path) -> str | None:
    """Return the keys that count, as the last commit holds them; None where the project never named any."""
    there = (root / SIGNERS).exists()
    try:
        history = _history(root, SIGNERS)
    except GitError:
        return "" if there else None
    if not history:
        if there:
            raise CardError(f"{SIGNERS} is not committed: commit it before anybody decides.")
        return None
    for commit, parents in history[1:]:
        earlier = next((t for p in parents if (t := _text(root, p, SIGNERS)) is not None), "")
        if _signer(root, commit, earlier) is None:
            raise CardError(
                f"{SIGNERS} was changed by commit {commit[:12]}, which nobody signed whom it allowed "
                "before: revert that commit, and let an allowed person sign the change."
            )
    if git.ask(root, "ls-tree", "HEAD", "--", str(SIGNERS)).startswith("120000"):
        raise CardError(f"{SIGNERS} is a link: put the keys into the file itself and commit it.")
    last = _text(root, "HEAD", SIGNERS)
    if last is None:
        raise CardError(f"{SIGNERS} was taken out: restore it from git; decisions are signed here.")
    return last


def _signer(root: Path, commit: str, allowed: str) -> Signer | None:
    """Return who signed the commit, if that key is among the ``allowed`` ones."""
    with TemporaryDirectory() as folder:
        keys = Path(folder) / "allowed_signers"
        keys.write_text(allowed, encoding="utf-8")
        form = "--format=%G?%x00%GS%x00%GF%x00%GP%x00%an%x00%ae"
        trust = (*PROGRAMS, "-c", f"gpg.ssh.allowedSignersFile={keys}")
        try:
            told = git.ask(root, *trust, "log", "-1", "--no-show-signature", form, commit)
        except GitError:
            return None
    verdict, principal, key, primary, name, mail = told.split("\0")
    if key.startswith("SHA256:"):
        return _by_ssh(verdict, principal, key, name, mail)
    listed = {fingerprint.upper(): who for fingerprint, who in GPG.findall(allowed)}
    if verdict in ("G", "U") and (who := listed.get((primary or key).upper())):
        person, _, address = who.partition("<")
        return Signer(person.strip(), address.rstrip("> ") or person.strip(), primary or key)
    return None


def _by_ssh(verdict: str, principal: str, key: str, name: str, mail: str) -> Signer | None:
    """A principal that is a mail address must be the one in the commit; the name beside it is signed too."""
    if verdict != "G":
        return None
    if "@" not in principal:
        return Signer(principal, principal, key)
    return Signer(name, principal, key) if principal.casefold() == mail.casefold() else None
