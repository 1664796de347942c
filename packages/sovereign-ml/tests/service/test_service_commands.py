import json
import re
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from servers import postgres_or_skip
from service_desk import CUSTOMER, Desk
from sovereign_ml.cli import service
from sovereign_ml.cli.service import HEADS, app
from sovereign_ml.config.connections import LogLocation
from sovereign_ml.decision_log import LogUnavailableError, open_log
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.git import ask
from sovereign_ml.privacy.objections import facts
from sovereign_ml.service.access.api_keys import find, read_keys
from sovereign_ml.service.settings import read

RUN = CliRunner()


def _run(*arguments: str) -> str:
    result = RUN.invoke(app, [*arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_verify_says_that_the_chain_holds_and_gives_its_head(open_service: Desk) -> None:
    open_service.score()
    said = _run("decisions", "verify", "--log", str(open_service.log_path))
    assert "2 entries, 0 blanked. Head: 2:" in said
    assert "The chain holds." in said


def test_verify_refuses_a_log_that_was_cut_off(open_service: Desk) -> None:
    open_service.score()
    with pytest.raises(Refused, match="does not hold: 1 problems"):
        _run("decisions", "verify", "--log", str(open_service.log_path), "--head", "9:" + "0" * 64)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a commit, in which whoever commits can sign."""
    root, key = tmp_path / "project", tmp_path / "key"
    root.mkdir()
    make_key = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
    subprocess.run(make_key, check=True)
    settings = {"user.name": "Grace", "user.email": "grace@acme.example", "gpg.format": "ssh"}
    ask(root, "init", "--quiet")
    for name, value in {**settings, "user.signingkey": str(key)}.items():
        ask(root, "config", name, value)
    ask(root, "commit", "--quiet", "--allow-empty", "-m", "First")
    monkeypatch.setenv("CHURN_ROOT", str(root))
    return root


def test_a_log_that_was_cut_off_behind_the_head_signed_in_git_is_refused(
    open_service: Desk, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHURN_LOG", str(open_service.log_path))
    for _ in range(2):
        open_service.score()
        assert "The chain holds" in _run("decisions", "verify", "--sign")
    assert "continues the head noted" in _run("decisions", "verify")
    assert ask(repository, "status", "--porcelain") == ""
    assert ask(repository, "cat-file", "commit", "HEAD").count("BEGIN SSH SIGNATURE") == 1
    note = repository / HEADS
    assert [line.split()[0] for line in note.read_text().splitlines()] == ["local", "local"]
    ask(repository, "config", "user.signingkey", "/nowhere")
    before = note.read_text()
    with pytest.raises(Refused, match="Not noted: git says"):
        _run("decisions", "verify", "--sign")
    assert note.read_text() == before
    with closing(sqlite3.connect(open_service.log_path, isolation_level=None)) as file:
        file.execute("DROP TRIGGER decision_log_keeps_rows")
        file.execute("DELETE FROM decision_log WHERE seq = 3")
        file.execute("UPDATE fact_counts SET entries = 1")
    with pytest.raises(Refused, match="does not hold: 1 problems"):
        _run("decisions", "verify")
    with pytest.raises(Misuse, match="leave --log out"):
        _run("decisions", "verify", "--sign", "--log", "x.db")


@pytest.mark.parametrize("staged", [None, "", "local 2026-01-01 1:aa\n"])
@pytest.mark.parametrize("unborn", [False, True])
def test_a_head_that_git_does_not_sign_leaves_file_and_index_as_they_were(
    repository: Path, staged: str | None, unborn: bool
) -> None:
    """Whatever was there before: nothing, or a line that somebody staged and changed since."""
    if unborn:
        ask(repository, "update-ref", "-d", "HEAD")
    note = repository / HEADS
    if staged is not None:
        note.parent.mkdir()
        note.write_text(staged)
        ask(repository, "add", "--", str(HEADS))
        note.write_text(f"{staged}not staged\n")
    (repository / "other.txt").write_text("staged besides")
    ask(repository, "add", "other.txt")
    before = ask(repository, "status", "--porcelain"), ask(repository, "ls-files", "--stage")
    ask(repository, "config", "user.signingkey", "/nowhere")
    with pytest.raises(Refused, match="Not noted: git says"):
        service._note_head("local", repository, "1:" + "0" * 64)
    assert before == (
        ask(repository, "status", "--porcelain"),
        ask(repository, "ls-files", "--stage"),
    )
    assert note.exists() == note.parent.exists() == (staged is not None)


def test_a_head_is_taken_back_where_somebody_interrupts_the_signature(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(root: Path, *words: str) -> str:
        if words[0] == "commit":
            raise KeyboardInterrupt
        return ask(root, *words)

    monkeypatch.setattr("sovereign_ml.git.ask", interrupted)
    with pytest.raises(KeyboardInterrupt):
        service._note_head("local", repository, "1:" + "0" * 64)
    assert ask(repository, "status", "--porcelain") == ""


def test_verify_compares_the_log_with_the_head_on_the_card(
    open_service: Desk, new_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A card of another profile is about another log; without the card's entry the log was cut."""
    open_service.score()
    monkeypatch.setattr(
        service, "_opened", lambda *_, **__: closing(open_log(str(open_service.log_path)))
    )
    # Where a project keeps its card is its own choice.
    root, place = new_project({"paths.card": "elsewhere"}), Path("elsewhere/card.json")
    monkeypatch.setenv("CHURN_ROOT", str(root))
    head = facts(LogLocation("", str(open_service.log_path)))["decision"]["log_head"]
    (root / place).parent.mkdir()

    def card(profile: str, log_head: str | None) -> None:
        content = {"run": {"profile": profile}, "decision": {"log_head": log_head}}
        (root / place).write_text(json.dumps({"facts": content}))

    card("local", head)
    assert f"It continues the head noted in {place}." in _run("decisions", "verify")
    card("local", f"2:{'0' * 64}")
    with pytest.raises(Refused, match="does not hold: 1 problems"):
        _run("decisions", "verify")
    for profile, log_head in (("eu", f"2:{'0' * 64}"), ("local", None)):
        card(profile, log_head)
        assert "continues" not in _run("decisions", "verify")
    for broken in ("", "[]", '{"facts": {}}', '{"facts": {"run": [], "decision": 1}}'):
        (root / place).write_text(broken)
        with pytest.raises(Misuse, match="is no card"):
            _run("decisions", "verify")


def test_verify_does_not_make_a_log_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(Misuse, match="no decision log at"):
        _run("decisions", "verify", "--log", str(tmp_path / "none.db"))
    assert not (tmp_path / "none.db").exists()


def test_verify_says_in_one_line_that_a_file_is_no_log(tmp_path: Path) -> None:
    (tmp_path / "other.db").write_text(
        "not a database, not even close to one, whatever its name may say"
    )
    with pytest.raises(Misuse, match="file is not a database"):
        _run("decisions", "verify", "--log", str(tmp_path / "other.db"))


@pytest.mark.parametrize("other", ["", "CREATE TABLE experiments (name TEXT)"])
def test_a_database_without_a_log_does_not_hold_and_stays_as_it_is(
    tmp_path: Path, other: str
) -> None:
    """An empty file, and the database of another tool."""
    path = tmp_path / "other #1.db"
    with closing(sqlite3.connect(path)) as file:
        file.execute(other or "PRAGMA user_version")
    path.touch()
    before = path.read_bytes(), path.stat().st_mode, sorted(tmp_path.iterdir())
    with pytest.raises(Misuse, match="no table of a decision log"):
        _run("decisions", "verify", "--log", str(path))
    assert before == (path.read_bytes(), path.stat().st_mode, sorted(tmp_path.iterdir()))


@pytest.mark.servers
def test_a_server_without_a_log_does_not_hold_and_stays_as_it_is() -> None:
    with postgres_or_skip() as server:
        address = server.url()
        with pytest.raises(Misuse, match="no table of a decision log"):
            _run("decisions", "verify", "--log", address)
        with pytest.raises(LogUnavailableError):
            open_log(address, existing=True)
        open_log(address).close()
        assert "The chain holds" in _run("decisions", "verify", "--log", address)


def test_an_empty_profile_is_the_profile_local_and_leaves_the_database_of_others_alone(
    open_service: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As for the service: a compose file writes an unset variable as an empty one."""
    open_service.score()
    monkeypatch.setenv("CHURN_ROOT", str(tmp_path))
    monkeypatch.setenv("CHURN_PROFILE", "")
    monkeypatch.setenv("DATABASE_URL", "postgresql://shop@127.0.0.1:1/shop")
    monkeypatch.setenv("CHURN_LOG", str(open_service.log_path))
    assert "2 entries" in _run("decisions", "verify")


def test_an_expired_decision_is_gone_from_the_service(open_service: Desk) -> None:
    decision = open_service.score().json()["decision_id"]
    with closing(open_log(str(open_service.log_path))) as log:
        assert log.expire("2020-01-01T00:00:00.000000Z") == 0
        assert log.expire("2999-01-01T00:00:00.000000Z") == 1
    assert open_service.decision(decision, CUSTOMER).status_code == 404


def test_a_new_key_opens_the_service_with_the_line_that_was_printed() -> None:
    said = _run(
        "keys", "new", "crm", "--scope", "score", "--scope", "subject", "--expires", "2099-01-01"
    )
    token, line = (row.split()[-1] for row in said.splitlines())
    key = find(read_keys(line), token)
    assert key
    assert (key.name, key.scopes) == ("crm", {"score", "subject"})
    assert read({"CHURN_KEYS": line}).keys == (key,)


def test_a_key_with_an_unknown_scope_is_refused() -> None:
    with pytest.raises(Misuse, match="scopes are score, subject, review, admin"):
        _run("keys", "new", "crm", "--scope", "everything")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("Crm", "--scope", "score"), "the name 'Crm' is not possible: write 1 to 32 of a-z"),
        (("crm team", "--scope", "score"), "the name 'crm team' is not possible"),
        (("crm:admin", "--scope", "score"), "the name 'crm:admin' is not possible"),
        (("c" * 33, "--scope", "score"), "is not possible"),
        (("crm", "--scope", "Score"), "there is no scope 'Score'; scopes are score"),
        (("crm", "--scope", "score+admin"), r"there is no scope 'score\+admin'"),
        (("crm", "--scope", "score", "--expires", "2020-02-29"), "--expires 2020-02-29 is over"),
    ],
)
def test_what_is_wrong_with_a_new_key_is_named(arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(Misuse, match=words):
        _run("keys", "new", *arguments)


def test_a_scope_that_is_named_twice_is_one_and_a_key_may_end_today() -> None:
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    said = _run("keys", "new", "crm", "--scope", "score", "--scope", "score", "--expires", today)
    assert re.search(rf"crm:score:[0-9a-f]{{64}}:{today}$", said.strip())
