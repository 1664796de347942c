"""The list of keys whose signatures count, and the proof that nobody else changed it.

The keys are in ``governance/allowed_signers``: SSH keys as lines in OpenSSH's format, GPG keys as
comments such as ``# gpg <fingerprint> Grace Hopper <grace@acme.example>``. A change of that file
counts only if it is signed with a key that the file already allowed. A merge that changes it needs
a key that both sides allow. The list goes on where the project's folder is moved or copied.
"""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from sovereign_ml import git
from sovereign_ml.card.build import CardError
from sovereign_ml.git import GitError

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


def history_of(root: Path, path: Path, *until: str) -> list[tuple[str, list[str]]]:
    """Return the commits ``until`` which ``path`` was touched, oldest first, each with its parents.

    Raises GitError where the history is cut off: its oldest commit would be believed.
    """
    git.refuse_shallow(root)
    order = ("log", "--full-history", "--reverse", "--topo-order", "--format=%H %P")
    lines = git.ask(root, *order, *until, "--", f":(literal){path}").splitlines()
    return [(line.split()[0], line.split()[1:]) for line in lines]


def text_at(root: Path, commit: str, path: Path) -> str | None:
    """Return the text of ``path``, relative to ``root``, as of ``commit``, None without one."""
    try:
        return git.ask(root, "show", f"{commit}:./{path}")
    except GitError:
        return None


def allowed_keys(root: Path) -> str | None:
    """Return the allowed keys as of the last commit, None if the project never listed any.

    They are "", which allows nobody, where git does not answer. Raises CardError for keys that
    cannot be believed.
    """
    exists = (root / SIGNERS).exists()
    try:
        history = history_of(root, SIGNERS)
        if history:
            _refuse_unsigned_changes(root, SIGNERS, history)
        elif exists:
            raise CardError(f"{SIGNERS} is not committed: commit it before anybody decides.")
        elif places := earlier_places(root, "HEAD"):
            raise CardError(
                f"{SIGNERS} is missing, and this project listed keys in {places[0]} before: "
                f"move that file here with `git mv`."
            )
        else:
            return None
        if git.ask(root, "ls-tree", "HEAD", "--", str(SIGNERS)).startswith("120000"):
            raise CardError(
                f"{SIGNERS} is a link: put the keys into the file itself and commit it."
            )
    except GitError:
        return None if not exists and _has_no_commits(root) else ""
    last = text_at(root, "HEAD", SIGNERS)
    if last is None:
        raise CardError(f"{SIGNERS} was removed: restore it from git. Decisions are signed here.")
    return last


def _has_no_commits(root: Path) -> bool:
    """Return whether there is nothing that git could tell, as before the first commit."""
    if not git.in_repository(root):
        return True
    try:
        return not git.ask(root, "rev-list", "--all", "--max-count=1")
    except GitError:
        return False


def _refuse_unsigned_changes(root: Path, path: Path, history: list[tuple[str, list[str]]]) -> None:
    """Raise CardError for a change of the list that nobody signed whom it allowed."""
    first, parents = history[0]
    places = earlier_places(root, *parents) if parents else []
    others = [place / path.name for place in places if place != path.parent]
    for other in others:
        _refuse_another_start(root, path, first, other, history_of(root, other, *parents))
    # Without another place the first commit starts the list: no key could be allowed before it.
    for commit, parents in history[1:]:
        if not (
            _keeps_newest_keys(root, path, commit, parents)
            or _may_change_keys(root, path, commit, parents)
            or _is_moved(root, path, commit, parents)
        ):
            raise CardError(
                f"{path} was changed by commit {commit[:12]} without an allowed signature: "
                "revert that commit, and let an allowed person sign the change."
            )


def _refuse_another_start(
    root: Path, path: Path, first: str, other: Path, history: list[tuple[str, list[str]]]
) -> None:
    """Raise CardError where ``first`` starts the list ``path`` with other keys than ``other`` had.

    A copy of the project's folder in the same repository would let anybody in otherwise.
    """
    _refuse_unsigned_changes(root, other, history)
    last, parents = history[-1]
    keys = text_at(root, last, other)
    # The project was moved from there before, and the place that it came to is asked too.
    if keys is None and _is_moved(root, other, last, parents):
        return
    if keys is None:
        keys = next((text for each in parents if (text := text_at(root, each, other))), "")
    if text_at(root, first, path) != keys and not signer_of(root, first, keys):
        raise CardError(
            f"{path} was started by commit {first[:12]} with other keys than {other} has, which "
            "is the same project: begin with the same keys, and let an allowed person sign the "
            "change."
        )


def _is_moved(root: Path, path: Path, commit: str, parents: list[str]) -> bool:
    """Return whether ``commit`` moved the list, unchanged, to another place of this project."""
    if len(parents) != 1 or text_at(root, commit, path) is not None:
        return False
    keys = text_at(root, parents[0], path)
    places = [*earlier_places(root, commit), SIGNERS.parent]
    return any(
        text_at(root, commit, place / path.name) == keys
        and text_at(root, parents[0], place / path.name) is None
        for place in places
        if place != path.parent
    )


def earlier_places(root: Path, *revisions: str) -> list[Path]:
    """Return the folders of keys elsewhere in the repository, up to ``revisions``, of this project.

    They are relative to ``root``. A folder counts if the ``config.toml`` beside it ever named the
    same project, so that no change of the name hides it. Raises GitError.
    """
    listing = ("log", "--full-history", "-m", "--format=", "--name-only", "-z", *revisions)
    names = git.ask(root, *listing, "--", f":(top,glob)**/{SIGNERS}").split("\0")
    own = git.ask(root, "rev-parse", "--show-prefix")
    project = _project_name(root)
    places = []
    for name in sorted({name.strip("\n") for name in names} - {"", f"{own}{SIGNERS}"}):
        folder = Path(os.path.relpath(Path(name).parent, own or "."))
        configuration = folder.parent / "config.toml"
        named = ("log", "-1", "--full-history", "-m", "--format=%H", f"-S{project}", *revisions)
        if not project or git.ask(root, *named, "--", f":(literal){configuration}"):
            places.append(folder)
    return places


def _project_name(root: Path) -> str:
    """Return the name in ``[project]`` of the configuration, "" where it cannot be read."""
    try:
        table = tomllib.loads((root / "config.toml").read_text(encoding="utf-8"))
        return str(table["project"]["name"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _keeps_newest_keys(root: Path, path: Path, commit: str, parents: list[str]) -> bool:
    """Return whether a merge takes the keys of one parent, and no other parent changed them since.

    Whoever merges a branch, such as a server for code reviews, changes no key then.
    """
    if len(parents) < 2:
        return False
    keys = text_at(root, commit, path)
    for parent in parents:
        # A parent that is older has no change that this one lacks.
        newer = ("log", "-1", "--full-history", "--format=%H", f"^{parent}", *parents)
        if text_at(root, parent, path) == keys and not git.ask(
            root, *newer, "--", f":(literal){path}"
        ):
            return True
    return False


def _may_change_keys(root: Path, path: Path, commit: str, parents: list[str]) -> bool:
    """Return whether the commit is signed with a key that every parent with a list allows."""
    lists = [keys for parent in parents if (keys := text_at(root, parent, path)) is not None]
    # All of them, so that no merge with an older commit brings back a key that was taken out.
    return bool(lists) and all(signer_of(root, commit, keys) for keys in lists)


def signer_of(root: Path, commit: str, allowed: str) -> Signer | None:
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
