"""A decision belongs to whoever signed its commit: real keys, real git, and every way around that we know."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cards import NOW, card
from small_project import commit, make_project
from sovereign_ml.card.approval import approve, load, problems, record, with_approvals
from sovereign_ml.card.build import CardError
from sovereign_ml.card.schema import Approval
from sovereign_ml.errors import Refused
from sovereign_ml.registry import signatures
from sovereign_ml.registry.signatures import APPROVALS, SIGNERS

PEOPLE = {
    "grace": ("Grace Hopper", "grace@acme.example"),
    "ada": ("Ada Lovelace", "ada@acme.example"),
    "mallory": ("Mallory Black", "mallory@acme.example"),
}
ROLES = ("business_owner", "model_owner")
CARD = card()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an SSH key of each person."""
    folder = tmp_path_factory.mktemp("keys")
    for who in PEOPLE:
        command = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(folder / who))
        subprocess.run(command, check=True)
    return folder


@pytest.fixture(scope="module")
def prepared(keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A committed project whose keys are those of Grace and Ada, not Mallory's."""
    root = make_project(tmp_path_factory.mktemp("prepared") / "project")
    (root / "governance").mkdir()
    (root / SIGNERS).write_text(line(keys, "grace") + line(keys, "ada"))
    commit(root)
    return root


@pytest.fixture
def root(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (
        "GIT_AUTHOR_NAME",
        "GIT_AUTHOR_EMAIL",
        "GIT_COMMITTER_NAME",
        "GIT_COMMITTER_EMAIL",
    ):
        monkeypatch.delenv(name, raising=False)
    return Path(shutil.copytree(prepared, tmp_path / "project"))


def line(keys: Path, who: str, principal: str = "") -> str:
    """One line of ``allowed_signers``."""
    kind, key, *_ = (keys / f"{who}.pub").read_text().split()
    return f'{principal or PEOPLE[who][1]} namespaces="git" {kind} {key}\n'


def git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def become(root: Path, keys: Path, who: str, name: str = "", mail: str = "") -> None:
    """Let git sign with the key of ``who``, under the name that she or he sets."""
    settings = {
        "user.name": name or PEOPLE[who][0],
        "user.email": mail or PEOPLE[who][1],
        "user.signingkey": str(keys / who),
        "gpg.format": "ssh",
    }
    for key, value in settings.items():
        git(root, "config", key, value)


def decide(person: str, role: str = "business_owner", **more: Any) -> Approval:
    return approve(CARD, role=role, person=person, at=NOW, **more)


def left(root: Path) -> list[str]:
    """What keeps the card, with all that is recorded, from being approved."""
    return list(problems(with_approvals(CARD, signatures.decisions(root)), ROLES))


def test_two_people_sign_and_the_card_names_their_keys(root: Path, keys: Path) -> None:
    assert signatures.is_set_up(root)
    for who, role in zip(("grace", "ada"), ROLES, strict=True):
        become(root, keys, who)
        made = signatures.record_signed(root, decide(PEOPLE[who][0], role))
        assert made.signed_by.startswith(f"{PEOPLE[who][1]} SHA256:")
    assert left(root) == []
    assert [one.person for one in signatures.decisions(root)] == ["Grace Hopper", "Ada Lovelace"]
    assert git(root, "status", "--porcelain") == ""


def test_a_commit_in_the_same_moment_is_not_lost(
    root: Path, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    become(root, keys, "grace")
    by = signatures.signer_of

    def meanwhile(*arguments: Any) -> Any:
        git(root, "commit", "-q", "--allow-empty", "--no-gpg-sign", "-m", "somebody else")
        return by(*arguments)

    monkeypatch.setattr(signatures, "signer_of", meanwhile)
    with pytest.raises(Refused, match="The decision was not recorded"):
        signatures.record_signed(root, decide("Grace Hopper"))
    assert git(root, "log", "-1", "--format=%s") == "somebody else"
    assert not (root / signatures.APPROVALS).exists()


def test_a_principal_may_be_a_name(root: Path, keys: Path) -> None:
    (root / SIGNERS).write_text(line(keys, "grace", '"Grace Hopper"'))
    shutil.rmtree(root / ".git")
    commit(root)
    become(root, keys, "grace", name="somebody", mail="else@acme.example")
    assert signatures.record_signed(root, decide("Grace Hopper")).person == "Grace Hopper"


def test_what_is_staged_besides_is_not_committed(root: Path, keys: Path) -> None:
    (root / "model_card.toml").write_text("changed")
    git(root, "add", "model_card.toml")
    become(root, keys, "grace")
    signatures.record_signed(root, decide("Grace Hopper"))
    assert git(root, "show", "--name-only", "--format=") == str(APPROVALS)
    assert git(root, "diff", "--cached", "--name-only") == "model_card.toml"


@pytest.mark.parametrize(
    ("who", "name", "mail", "person", "reason"),
    [
        ("mallory", "", "", "Mallory Black", "is not in governance/allowed_signers"),
        ("mallory", "Grace Hopper", "grace@acme.example", "Grace Hopper", "is not in governance"),
        ("grace", "", "", "Ada Lovelace", "the key belongs to Grace Hopper, not to Ada Lovelace"),
        ("grace", "Ada Lovelace", "ada@acme.example", "Ada Lovelace", "for its author's address"),
    ],
    ids=["no key of the project", "only the name", "another's name", "another's address"],
)
def test_a_decision_under_another_key_is_not_recorded(
    root: Path, keys: Path, who: str, name: str, mail: str, person: str, reason: str
) -> None:
    become(root, keys, who, name, mail)
    before = git(root, "rev-parse", "HEAD")
    with pytest.raises(Refused, match=reason):
        signatures.record_signed(root, decide(person))
    assert git(root, "rev-parse", "HEAD") == before
    assert git(root, "status", "--porcelain") == ""
    assert not (root / APPROVALS).exists()


def test_without_a_key_git_says_why(root: Path) -> None:
    for key, value in (("user.name", "Grace Hopper"), ("user.email", "grace@acme.example")):
        git(root, "config", key, value)
    git(root, "config", "gpg.format", "ssh")
    git(root, "config", "user.signingkey", "/nowhere/key")
    with pytest.raises(Refused, match=r"not recorded\. Git says: .*user.signingkey"):
        signatures.record_signed(root, decide("Grace Hopper"))
    assert not (root / APPROVALS).exists()


def test_a_refused_decision_leaves_what_was_staged_in_its_file(root: Path) -> None:
    git(root, "config", "user.signingkey", "/nowhere/key")
    (root / APPROVALS).parent.mkdir(exist_ok=True)
    (root / APPROVALS).write_text("[]\n")
    git(root, "add", "--", str(APPROVALS))
    before = git(root, "status", "--porcelain"), git(root, "ls-files", "--stage")
    with pytest.raises(Refused, match="not recorded"):
        signatures.record_signed(root, decide("Grace Hopper"))
    assert before == (git(root, "status", "--porcelain"), git(root, "ls-files", "--stage"))


def typed_signature(root: Path, keys: Path) -> None:
    """The file written with an editor, signature and all."""
    forged = decide("Grace Hopper").model_copy(
        update={"signed_by": "grace@acme.example SHA256:forged"}
    )
    record(root / APPROVALS, forged)


def unsigned_commit(root: Path, keys: Path) -> None:
    record(root / APPROVALS, decide("Grace Hopper"))
    commit(root)


def foreign_commit(root: Path, keys: Path) -> None:
    """Signed by somebody whose key does not count."""
    become(root, keys, "mallory", *PEOPLE["grace"])
    record(root / APPROVALS, decide("Grace Hopper"))
    git(root, "add", "--all")
    git(root, "commit", "-q", "-S", "-m", "x")


def amended_commit(root: Path, keys: Path) -> None:
    """A signed commit whose content was exchanged afterwards: the signature covers the old one."""
    become(root, keys, "grace")
    signatures.record_signed(root, decide("Grace Hopper", "legal"))
    content = git(root, "cat-file", "commit", "HEAD")
    record(root / APPROVALS, decide("Grace Hopper"))
    git(root, "add", "--all")
    tree = git(root, "write-tree")
    bent = content.replace(content.splitlines()[0], f"tree {tree}", 1) + "\n"
    made = subprocess.run(
        ["git", "-C", str(root), "hash-object", "-t", "commit", "-w", "--stdin"],
        input=bent,
        capture_output=True,
        text=True,
        check=True,
    )
    git(root, "update-ref", "HEAD", made.stdout.strip())


def program_that_agrees(root: Path, keys: Path) -> None:
    """The repository's own configuration names a program that calls every signature good."""
    yes = root.parent / "yes"
    words = 'Good "git" signature for grace@acme.example with ED25519 key SHA256:AAAA'
    yes.write_text(f"#!/bin/sh\necho '{words}'\n")
    yes.chmod(0o755)
    foreign_commit(root, keys)
    git(root, "config", "gpg.ssh.program", str(yes))


def own_keys(root: Path, keys: Path) -> None:
    """The repository's own configuration names other keys."""
    mine = root.parent / "mine"
    mine.write_text(line(keys, "mallory", "grace@acme.example"))
    git(root, "config", "gpg.ssh.allowedSignersFile", str(mine))
    foreign_commit(root, keys)


def key_added_and_not_committed(root: Path, keys: Path) -> None:
    foreign_commit(root, keys)
    with (root / SIGNERS).open("a") as file:
        file.write(line(keys, "mallory", "grace@acme.example"))


@pytest.mark.parametrize(
    "cheat",
    [
        *(typed_signature, unsigned_commit, foreign_commit, amended_commit, program_that_agrees),
        *(own_keys, key_added_and_not_committed),
    ],
)
def test_what_grace_did_not_sign_is_no_decision_of_hers(
    root: Path, keys: Path, cheat: Callable[[Path, Path], None]
) -> None:
    cheat(root, keys)
    assert [one for one in load(root / APPROVALS) if one.role == "business_owner"]
    assert "Nobody has approved as business_owner." in left(root)


def test_a_decision_copied_into_a_commit_of_somebody_else_is_that_persons(
    root: Path, keys: Path
) -> None:
    become(root, keys, "ada")
    record(root / APPROVALS, decide("Grace Hopper"))
    git(root, "add", "--all")
    git(root, "commit", "-q", "-S", "-m", "x")
    signatures.record_signed(root, decide("Ada Lovelace", "model_owner"))
    assert any("two roles are two people" in problem for problem in left(root))


def keys_added_by(root: Path, keys: Path, who: str, *options: str) -> None:
    become(root, keys, who)
    with (root / SIGNERS).open("a") as file:
        file.write(line(keys, "mallory"))
    git(root, "add", "--all")
    git(root, "commit", "-qm", "keys", *options)


def grafted(root: Path, keys: Path) -> None:
    """The commit that let Mallory in is made the first one."""
    keys_added_by(root, keys, "mallory", "-S")
    graft = root / ".git/info/grafts"
    graft.parent.mkdir(exist_ok=True)
    graft.write_text(git(root, "rev-parse", "HEAD") + "\n")


def cut_off(root: Path, keys: Path) -> None:
    keys_added_by(root, keys, "mallory", "-S")
    (root / ".git/shallow").write_text(git(root, "rev-parse", "HEAD") + "\n")


def replaced(root: Path, keys: Path) -> None:
    """The last commit is replaced by one of the same content without a parent."""
    keys_added_by(root, keys, "mallory", "-S")
    orphan = git(root, "commit-tree", "-m", "first", "HEAD^{tree}")
    git(root, "replace", "HEAD", orphan)


def bent_commit_graph(root: Path, keys: Path) -> None:
    """Git's cache of parents says that the last commit has none."""
    keys_added_by(root, keys, "mallory", "-S")
    git(root, "commit-graph", "write", "--reachable")
    file = root / ".git/objects/info/commit-graph"
    content = bytearray(file.read_bytes())
    chunks = {
        bytes(content[at : at + 4]): int.from_bytes(content[at + 4 : at + 12])
        for at in range(8, 8 + 12 * content[6], 12)
    }
    head = bytes.fromhex(git(root, "rev-parse", "HEAD"))
    place = (content.index(head, chunks[b"OIDL"]) - chunks[b"OIDL"]) // 20
    parents = chunks[b"CDAT"] + 36 * place + 20
    content[parents : parents + 8] = (0x70000000).to_bytes(4) * 2
    content[-20:] = hashlib.sha1(content[:-20], usedforsecurity=False).digest()
    file.chmod(0o644)
    file.write_bytes(content)


def beside_the_line(root: Path, keys: Path) -> None:
    """The change lies on a merged branch, and the repository asks git to follow one file only."""
    git(root, "config", "log.follow", "true")
    become(root, keys, "mallory")
    main = git(root, "branch", "--show-current")
    git(root, "checkout", "-qb", "side")
    keys_added_by(root, keys, "mallory", "-S")
    git(root, "checkout", "-q", main)
    git(root, "merge", "-q", "--no-ff", "-m", "merge", "side")


@pytest.mark.parametrize("cheat", [grafted, cut_off, replaced, bent_commit_graph, beside_the_line])
def test_a_bent_history_lets_no_key_in(
    root: Path, keys: Path, cheat: Callable[[Path, Path], None]
) -> None:
    cheat(root, keys)
    become(root, keys, "mallory")
    with pytest.raises((CardError, Refused)):
        signatures.record_signed(root, decide("Mallory Black"))
    assert not (root / APPROVALS).exists()


def test_keys_behind_a_link_do_not_count(root: Path, keys: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text(line(keys, "mallory"))
    (root / SIGNERS).unlink()
    (root / SIGNERS).symlink_to(outside)
    shutil.rmtree(root / ".git")
    commit(root)
    with pytest.raises(CardError, match="is a link: put the keys into the file itself"):
        signatures.is_set_up(root)


def test_a_link_as_folder_of_the_keys_does_not_count(
    root: Path, keys: Path, tmp_path: Path
) -> None:
    shutil.move(root / "governance", tmp_path / "elsewhere")
    (root / "governance").symlink_to(tmp_path / "elsewhere")
    become(root, keys, "mallory")
    git(root, "add", "--all")
    git(root, "commit", "-qm", "link")
    with pytest.raises(CardError):
        signatures.decisions(root)


def test_a_program_of_another_signature_format_counts_for_nothing(root: Path, keys: Path) -> None:
    """The repository names a program for X.509 that says that Grace's GPG key signed."""
    key = "AB" * 20
    (root / SIGNERS).write_text(f"# gpg {key} Grace Hopper <grace@acme.example>\n")
    shutil.rmtree(root / ".git")
    commit(root)
    yes = root.parent / "yes"
    told = (
        f"[GNUPG:] GOODSIG {key[-16:]} Grace Hopper <grace@acme.example>\n"
        f"[GNUPG:] VALIDSIG {key} 2026-11-24 1795510800 0 4 0 1 10 01 {key}\n"
        "[GNUPG:] TRUST_ULTIMATE 0 shell\n[GNUPG:] SIG_CREATED D 1 10 00 1795510800 " + key
    )
    yes.write_text(
        f"#!/bin/sh\ncat <<'END'\n{told}\nEND\n"
        'case "$*" in *--verify*) ;; *) printf -- '
        "'-----BEGIN SIGNED MESSAGE-----\\nAAAA\\n-----END SIGNED MESSAGE-----\\n' ;; esac\n"
    )
    yes.chmod(0o755)
    become(root, keys, "mallory", *PEOPLE["grace"])
    for name, value in (("gpg.format", "x509"), ("gpg.x509.program", str(yes))):
        git(root, "config", name, value)
    content = git(root, "cat-file", "commit", "HEAD")
    record(root / APPROVALS, decide("Grace Hopper"))
    git(root, "add", "--all")
    tree, parent = git(root, "write-tree"), git(root, "rev-parse", "HEAD")
    people = [row for row in content.splitlines() if row.startswith(("author ", "committer "))]
    signed = [
        *(f"tree {tree}", f"parent {parent}", *people),
        *("gpgsig -----BEGIN SIGNED MESSAGE-----", " AAAA", " -----END SIGNED MESSAGE-----"),
        *("", "x", ""),
    ]
    made = subprocess.run(
        ["git", "-C", str(root), "hash-object", "-t", "commit", "-w", "--stdin"],
        input="\n".join(signed),
        capture_output=True,
        text=True,
        check=True,
    )
    git(root, "update-ref", "HEAD", made.stdout.strip())
    assert git(root, "log", "-1", "--format=%G?") in ("G", "U")
    assert "Nobody has approved as business_owner." in left(root)


@pytest.mark.parametrize(("who", "options"), [("grace", ("--no-gpg-sign",)), ("mallory", ("-S",))])
def test_keys_are_changed_only_by_whom_they_allow(
    root: Path, keys: Path, who: str, options: tuple[str, ...]
) -> None:
    keys_added_by(root, keys, who, *options)
    with pytest.raises(CardError, match="without an allowed signature"):
        signatures.decisions(root)


def test_an_allowed_person_adds_a_key(root: Path, keys: Path) -> None:
    keys_added_by(root, keys, "grace", "-S")
    become(root, keys, "mallory")
    assert signatures.record_signed(root, decide("Mallory Black")).signed_by


def on_a_branch(root: Path, change: Callable[[], None]) -> str:
    """Let ``change`` commit on a branch that begins here, and return to the branch before."""
    main = git(root, "branch", "--show-current")
    git(root, "checkout", "-qb", "side")
    change()
    git(root, "checkout", "-q", main)
    return git(root, "rev-parse", "side")


def feature(root: Path, keys: Path) -> None:
    """A commit of Mallory's that has nothing to do with keys."""
    become(root, keys, "mallory")
    (root / "notes.md").write_text("x")
    git(root, "add", "--all")
    git(root, "commit", "-qm", "feature", "--no-gpg-sign")


@pytest.mark.parametrize("keys_on_branch", [True, False])
def test_a_merge_that_changes_no_key_needs_no_allowed_signature(
    root: Path, keys: Path, keys_on_branch: bool
) -> None:
    """A server for code reviews merges: the keys changed, signed, on one side before."""
    steps = [lambda: keys_added_by(root, keys, "grace", "-S"), lambda: feature(root, keys)]
    on_branch, here = steps if keys_on_branch else reversed(steps)
    on_a_branch(root, on_branch)
    here()
    git(root, "merge", "-q", "--no-ff", "--no-gpg-sign", "-m", "merge", "side")
    become(root, keys, "mallory")
    assert signatures.record_signed(root, decide("Mallory Black")).signed_by


@pytest.mark.parametrize("signed_by", ["ada", "grace"])
def test_a_key_that_was_taken_out_comes_back_by_no_merge_of_its_owner(
    root: Path, keys: Path, signed_by: str
) -> None:
    """Ada's key is taken out. She lets Mallory in on an older branch, and it is merged."""

    def lets_mallory_in() -> None:
        keys_added_by(root, keys, "ada", "-S")

    side = on_a_branch(root, lets_mallory_in)
    become(root, keys, "grace")
    (root / SIGNERS).write_text(line(keys, "grace"))
    git(root, "add", "--all")
    git(root, "commit", "-q", "-S", "-m", "Ada leaves")
    become(root, keys, signed_by)
    # The order of the parents is chosen by whoever merges.
    merge = ("commit-tree", "-S", "-m", "merge", "-p", side, "-p", "HEAD", "side^{tree}")
    git(root, "reset", "-q", "--hard", git(root, *merge))
    if signed_by == "grace":
        assert signatures.is_set_up(root)
        return
    with pytest.raises(CardError, match="without an allowed signature"):
        signatures.is_set_up(root)


def test_keys_that_were_taken_out_do_not_lower_the_bar(root: Path) -> None:
    (root / SIGNERS).unlink()
    assert signatures.is_set_up(root)
    commit(root)
    with pytest.raises(CardError, match="without an allowed signature"):
        signatures.is_set_up(root)


def test_keys_that_are_not_committed_count_for_nothing(tmp_path: Path, keys: Path) -> None:
    root = make_project(tmp_path / "project")
    assert not signatures.is_set_up(root)
    (root / "governance").mkdir()
    (root / SIGNERS).write_text(line(keys, "mallory"))
    with pytest.raises(CardError, match="not committed"):
        signatures.is_set_up(root)


@pytest.mark.parametrize("signed", [True, False])
def test_a_rejection_that_was_committed_stands_though_it_is_taken_out_of_the_file(
    root: Path, keys: Path, signed: bool
) -> None:
    become(root, keys, "grace")
    no = decide("Grace Hopper", "legal", decision="reject")
    if signed:
        signatures.record_signed(root, no)
    else:
        record(root / APPROVALS, no)
        commit(root)
    (root / APPROVALS).write_text(json.dumps([]))
    commit(root)
    assert any("Grace Hopper rejected it as legal" in problem for problem in left(root))
    become(root, keys, "ada")
    signatures.record_signed(root, decide("Ada Lovelace", "legal"))
    assert any("Grace Hopper rejected it as legal" in problem for problem in left(root))


def test_where_git_is_silent_nothing_counts_as_approved(root: Path, keys: Path) -> None:
    become(root, keys, "grace")
    signatures.record_signed(root, decide("Grace Hopper"))
    shutil.rmtree(root / ".git")
    assert "Nobody has approved as business_owner." in left(root)


def _no_git(root: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("PATH", str(root))


def _broken_repository(root: Path, patch: pytest.MonkeyPatch) -> None:
    (root / ".git/HEAD").write_text("broken")


def _cut_history(root: Path, patch: pytest.MonkeyPatch) -> None:
    (root / ".git/shallow").write_text(git(root, "rev-parse", "HEAD") + "\n")


@pytest.mark.parametrize("silence", [_no_git, _broken_repository, _cut_history])
def test_where_git_is_silent_keys_that_are_gone_are_not_taken_for_never_there(
    root: Path, monkeypatch: pytest.MonkeyPatch, silence: Callable[..., None]
) -> None:
    (root / SIGNERS).unlink()
    record(root / APPROVALS, decide("Grace Hopper"))
    silence(root, monkeypatch)
    assert signatures.is_set_up(root)
    assert signatures.decisions(root) == ()


def test_before_the_first_commit_and_outside_of_git_no_keys_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "governance").mkdir()
    record(tmp_path / APPROVALS, decide("Grace Hopper"))
    for _ in range(2):
        assert not signatures.is_set_up(tmp_path)
        assert [each.person for each in signatures.decisions(tmp_path)] == ["Grace Hopper"]
        git(tmp_path, "init", "--quiet")


def moved(root: Path, to: str = "churn") -> Path:
    """Move the project into a folder of its repository, without a commit."""
    (root / to).mkdir(parents=True)
    names = git(root, "ls-tree", "--name-only", "HEAD").splitlines()
    git(root, "mv", *names, f"{to}/")
    return root / to


def signed_commit(root: Path, keys: Path, who: str) -> None:
    become(root, keys, who)
    git(root, "add", "--all", ".")
    git(root, "commit", "-q", "-S", "-m", "move")


def test_a_project_that_was_moved_keeps_its_keys(root: Path, keys: Path) -> None:
    become(root, keys, "grace")
    here = moved(root)
    commit(root)
    assert signatures.is_set_up(here)
    keys_added_by(here, keys, "grace", "-S")
    (root / "team").mkdir()
    git(root, "mv", "churn", "team/churn")
    commit(root)
    again = root / "team/churn"
    become(again, keys, "mallory")
    assert signatures.record_signed(again, decide("Mallory Black")).signed_by


@pytest.mark.parametrize("who", ["grace", "mallory"])
def test_a_move_that_adds_a_key_is_signed_by_somebody_allowed(
    root: Path, keys: Path, who: str
) -> None:
    here = moved(root)
    with (here / SIGNERS).open("a") as file:
        file.write(line(keys, "mallory"))
    signed_commit(root, keys, who)
    if who == "grace":
        assert signatures.is_set_up(here)
        return
    with pytest.raises(CardError, match=r"was started by commit .* with other keys than \.\./gov"):
        signatures.decisions(here)


def _copied_then_removed(root: Path, keys: Path) -> Path:
    shutil.copytree(root, root / "churn", ignore=shutil.ignore_patterns(".git"))
    (root / "churn" / SIGNERS).write_text(line(keys, "mallory"))
    signed_commit(root, keys, "mallory")
    git(root, "rm", "-rq", "governance", "config.toml")
    signed_commit(root, keys, "mallory")
    return root / "churn"


def _removed_then_made_anew(root: Path, keys: Path) -> Path:
    here = moved(root)
    git(root, "rm", "-rqf", "churn/governance")
    signed_commit(root, keys, "mallory")
    (here / SIGNERS).parent.mkdir()
    (here / SIGNERS).write_text(line(keys, "mallory"))
    signed_commit(root, keys, "mallory")
    return here


def _renamed_before(root: Path, keys: Path) -> Path:
    """The old folder gets another name, and after the copy the new one its own again."""
    configuration = root / "config.toml"
    own = configuration.read_text()
    configuration.write_text(own.replace('"acme-churn"', '"acme-other"'))
    assert configuration.read_text() != own
    signed_commit(root, keys, "mallory")
    here = _copied_then_removed(root, keys)
    (here / "config.toml").write_text(own)
    signed_commit(root, keys, "mallory")
    return here


def _list_moved_alone(root: Path, keys: Path) -> Path:
    """The list goes to a folder that names no project, so that the old place has none."""
    (root / "x").mkdir()
    git(root, "mv", "governance", "x/governance")
    signed_commit(root, keys, "mallory")
    here = moved(root)
    (here / SIGNERS).parent.mkdir()
    (here / SIGNERS).write_text(line(keys, "mallory"))
    signed_commit(root, keys, "mallory")
    return here


@pytest.mark.parametrize(
    "cheat",
    [_copied_then_removed, _removed_then_made_anew, _renamed_before, _list_moved_alone],
)
def test_a_project_in_another_folder_lets_no_key_in(
    root: Path, keys: Path, cheat: Callable[[Path, Path], Path]
) -> None:
    here = cheat(root, keys)
    with pytest.raises(CardError, match=r"with other keys|without an allowed signature"):
        signatures.decisions(here)


def test_a_folder_without_keys_of_a_project_that_had_them_is_refused(
    root: Path, keys: Path
) -> None:
    here = moved(root)
    git(root, "rm", "-rqf", "churn/governance")
    signed_commit(root, keys, "mallory")
    with pytest.raises(CardError, match="listed keys in"):
        signatures.decisions(here)


def test_another_project_of_the_same_repository_has_its_own_keys(root: Path, keys: Path) -> None:
    here = root / "returns"
    shutil.copytree(root, here, ignore=shutil.ignore_patterns(".git"))
    (here / "config.toml").write_text(
        (here / "config.toml").read_text().replace('"acme-churn"', '"acme-returns"')
    )
    (here / SIGNERS).write_text(line(keys, "mallory"))
    signed_commit(root, keys, "mallory")
    assert signatures.is_set_up(root)
    assert signatures.record_signed(here, decide("Mallory Black")).signed_by


def test_a_rejection_stands_though_the_project_was_moved(root: Path, keys: Path) -> None:
    become(root, keys, "grace")
    signatures.record_signed(root, decide("Grace Hopper", "legal", decision="reject"))
    (root / APPROVALS).write_text(json.dumps([]))
    here = moved(root)
    commit(root)
    assert any("Grace Hopper rejected it as legal" in problem for problem in left(here))


def test_a_gpg_key_that_the_project_lists_signs_too(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "g"
    home.mkdir(mode=0o700)
    monkeypatch.setenv("GNUPGHOME", str(home))
    batch = ("gpg", "--batch", "--quiet", "--passphrase", "", "--pinentry-mode", "loopback")
    who = "Grace Hopper <grace@acme.example>"
    subprocess.run([*batch, "--quick-gen-key", who, "ed25519", "sign"], check=True)
    shown = subprocess.run(
        ["gpg", "--list-keys", "--with-colons"], check=True, capture_output=True, text=True
    )
    (key,) = (row.split(":")[9] for row in shown.stdout.splitlines() if row.startswith("fpr"))
    for name, value in (
        ("user.name", "Grace Hopper"),
        ("user.email", "grace@acme.example"),
        ("user.signingkey", key),
        ("gpg.format", "openpgp"),
    ):
        git(root, "config", name, value)
    with pytest.raises(Refused, match="is not in governance/allowed_signers"):
        signatures.record_signed(root, decide("Grace Hopper"))
    (root / SIGNERS).write_text(f"# gpg {key} {who}\n")
    shutil.rmtree(root / ".git")
    commit(root)
    for name, value in (
        ("user.signingkey", key),
        ("user.name", "x"),
        ("user.email", "x@y.example"),
    ):
        git(root, "config", name, value)
    made = signatures.record_signed(root, decide("Grace Hopper"))
    assert made.signed_by == f"grace@acme.example {key}"
    subprocess.run(["gpgconf", "--kill", "all"], check=False)
