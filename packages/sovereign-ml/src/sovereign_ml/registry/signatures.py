"""Decisions on cards, each with the signer of the git commit that recorded it."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from pydantic import ValidationError

from sovereign_ml import git
from sovereign_ml.card.approval import APPROVAL_FILE, alone, append, load
from sovereign_ml.card.person_names import same_person
from sovereign_ml.card.schema.model_card import Approval
from sovereign_ml.errors import Refused
from sovereign_ml.git import GitError
from sovereign_ml.registry.signer_list import (
    GPG,
    SIGNERS,
    Signer,
    allowed_keys,
    earlier_places,
    history_of,
    signer_of,
    text_at,
)

__all__ = ["APPROVALS", "GPG", "SIGNERS", "Signer", "decisions", "is_set_up", "record_signed"]

APPROVALS: Final = Path("governance/approvals.json")


def is_set_up(root: Path) -> bool:
    """Return whether the project ever listed keys. Then a decision needs a signature to count.

    Raises CardError where the file of keys was removed, is not committed, or was changed by a
    signer whom it did not allow.
    """
    return allowed_keys(root) is not None


def decisions(root: Path) -> tuple[Approval, ...]:
    """Return the recorded decisions, each with the name and key of its signature.

    A rejection that was committed once still counts after it was deleted from the file, or the
    project's folder was moved. Where keys are set up, an approval without a good signature is left
    out. So it is where git does not answer. Outside of a repository none is signed.
    """
    filed = [_bare(approval) for approval in load(root / APPROVALS)]
    allowed = allowed_keys(root)
    counted: list[Approval] = []
    committed: list[Approval] = []
    for path, commit, parents in _commits(root):
        # A merge adds only what none of its parents has.
        before = [approval for parent in parents for approval in _at(root, parent, path)]
        added = [each for each in _at(root, commit, path) if each not in before]
        own = path == APPROVALS
        signer = signer_of(root, commit, allowed) if allowed and added and own else None
        for approval in added:
            if own:
                committed.append(approval)
            if (own and approval in filed) or approval.decision == "reject":
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
    allowed = allowed_keys(root) or ""
    try:
        with alone(root / APPROVALS), git.put_back_on_error(root, APPROVALS):
            parent = git.ask(root, "rev-parse", "HEAD")
            append(root / APPROVALS, approval)
            git.ask(root, "add", "--", str(APPROVALS))
            message = f"Card {approval.card_hash[:12]}: {approval.decision} as {approval.role}"
            sign = ("commit-tree", "-S", "-p", parent, "-m", message)
            commit = git.ask(root, *sign, _tree_with_record(root, parent))
            signer = signer_of(root, commit, allowed)
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


def _commits(root: Path) -> list[tuple[Path, str, list[str]]]:
    """Return the commits that touched the record, here and where the project was before."""
    try:
        places = [*earlier_places(root, "HEAD"), SIGNERS.parent]
        return [
            (path, commit, parents)
            for path in (place / APPROVALS.name for place in places)
            for commit, parents in history_of(root, path)
        ]
    except GitError:
        return []


def _at(root: Path, commit: str, path: Path) -> list[Approval]:
    """Return the decisions in the file as of ``commit``, none if it is missing or unreadable."""
    text = text_at(root, commit, path)
    if text is None:
        return []
    try:
        return [_bare(approval) for approval in APPROVAL_FILE.validate_json(text)]
    except ValidationError:
        return []
