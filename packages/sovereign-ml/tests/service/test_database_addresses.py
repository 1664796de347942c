"""One reader of database addresses: what it does not know becomes no file, and no password is shown."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import make_url
from typer.main import get_command

from service_desk import KEYS
from sovereign_ml.cli.main import application
from sovereign_ml.config.profiles import Secrets
from sovereign_ml.decision_log import LogUnavailableError, open_log
from sovereign_ml.errors import Misuse
from sovereign_ml.jurisdictions import (
    FileAddress,
    PostgresAddress,
    read_database_address,
)
from sovereign_ml.service.settings import SettingsError, read

EU = {"CHURN_PROFILE": "eu", "CHURN_KEYS": KEYS["score"][1]}
SECRET = "hunter2"
GOOD = {
    "plain": "postgresql://u:hunter2@127.0.0.1:5433/log",
    "short": "postgres://u:hunter2@127.0.0.1:5433/log",
    "with a driver": "postgresql+psycopg://u:hunter2@127.0.0.1:5433/log",
    "with another driver": "postgresql+psycopg2://u:hunter2@127.0.0.1:5433/log",
    "with blanks around": "  postgresql://u:hunter2@127.0.0.1:5433/log\n",
    "of libpq": "host=127.0.0.1 port=5433 dbname=log user=u password=hunter2",
    "with host in the query": "postgresql://u:hunter2@/log?host=127.0.0.1&port=5433",
    "of SQLAlchemy, host in the query": "postgresql+psycopg://u:hunter2@/log?host=127.0.0.1:5433",
}
BAD = {
    "quotes kept": "'postgresql://u:hunter2@db/log'",
    "double quotes kept": '"postgresql://u:hunter2@db/log"',
    "one slash": "postgresql:/u:hunter2@db/log",
    "a driver and one slash": "postgresql+psycopg:/u:hunter2@db/log",
    "no scheme": "u:hunter2@db:5432/log",
    "a name and no more": "decisions",
    "capitals": "POSTGRESQL://u:hunter2@db/log",
    "another database": "mysql://u:hunter2@db/log",
    "Java's": "jdbc:postgresql://db/log?user=u&password=hunter2",
    "an unknown driver": "postgresql+hunter2://u:hunter2@db/log",
    "a broken bracket": "postgresql://u:hunter2@[bad/log",
    "an @ in the password": "postgresql://u:x@hunter2@db/log",
    "a / in the password": "postgresql://u:hunter2/x@db/log",
    "a broken escape": "postgresql://u:hunter2%zz@db/log",
    "a port of words": "postgresql://u:p@db:hunter2/log",
    "Prisma's option": "postgresql://u:hunter2@db/log?pgbouncer=true",
    "a schema": "postgresql://u:hunter2@db/log?schema=public",
    "an unknown word of libpq": "host=db secret=hunter2",
    "a line break inside": "postgresql://u:hunter2@db/log\nx=y",
    "memory": "sqlite:///:memory:",
    "memory of this folder": "sqlite:///./:memory:",
    "memory by another way": "sqlite:///.//:memory:",
    "nothing of SQLite": "sqlite://",
    "blank": "   ",
}


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD)
def test_every_usual_spelling_means_the_same_database(text: str) -> None:
    address = read_database_address(text, "DATABASE_URL")
    assert isinstance(address, PostgresAddress)
    assert (address.hosts, address.port) == (("127.0.0.1",), 5433)
    url = make_url(address.sqlalchemy)
    assert (url.host, url.port, url.database, url.password) == ("127.0.0.1", 5433, "log", SECRET)
    assert address.environment["PGPASSWORD"] == SECRET
    assert SECRET not in repr(address)
    settings = read({**EU, "DATABASE_URL": text})
    assert settings.hosts == ("127.0.0.1",)
    assert SECRET not in repr(settings)


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_everything_else_is_refused_in_one_line_without_a_secret(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError) as refused:
        read({**EU, "DATABASE_URL": text})
    said = str(refused.value)
    assert said.startswith("DATABASE_URL ") and "\n" not in said
    assert SECRET not in said
    assert any(
        advice in said for advice in ("<user>:<password>@<host>", "sqlite:///", "leave it out")
    )
    secrets = Secrets.model_validate({"key_file": tmp_path / "key", "tracking_database": text})
    with pytest.raises(Misuse) as misuse:
        _tracking(secrets)
    assert SECRET not in str(misuse.value)
    if text != "decisions":
        with pytest.raises(LogUnavailableError) as away:
            open_log(text)
        assert SECRET not in str(away.value)
        assert list(tmp_path.iterdir()) == []


def _tracking(secrets: Secrets) -> Any:
    from sovereign_ml.config.connections import database

    return database(secrets.tracking_database, "tracking_database")


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("sqlite:///folder/x.db", "folder/x.db"),
        ("sqlite:////folder/x.db", "/folder/x.db"),
        ("sqlite+pysqlite:///x.db", "x.db"),
        ("/somebody@home/a=b/x.db", "/somebody@home/a=b/x.db"),
        ("folder/x.db", "folder/x.db"),
    ],
)
def test_a_file_is_named_as_a_path_or_as_sqlalchemy_does(text: str, path: str) -> None:
    assert read_database_address(text, "CHURN_LOG", plain_path=True) == FileAddress(Path(path))


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer"])
def test_profile_eu_sends_nothing_unencrypted_to_another_machine(mode: str) -> None:
    far, near = "postgresql://u:hunter2@db.acme.eu/log", "postgresql://u:hunter2@127.0.0.1/log"
    with pytest.raises(SettingsError, match="allows require"):
        read({**EU, "DATABASE_URL": f"{far}?sslmode={mode}"})
    assert "sslmode=require" in read({**EU, "DATABASE_URL": far}).log
    assert "verify-full" in read({**EU, "DATABASE_URL": f"{far}?sslmode=verify-full"}).log
    assert f"sslmode={mode}" in read({**EU, "DATABASE_URL": f"{near}?sslmode={mode}"}).log
    assert "sslmode" not in read({"CHURN_LOG": far}).log


def test_a_host_of_the_same_private_network_is_named_and_no_other_is_meant(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a platform injects it: the pooler speaks no TLS, and nothing else reaches it."""
    given = {**EU, "DATABASE_URL": "postgresql://u:hunter2@pooler:5432/log?sslmode=disable"}
    for others in ("", "db,pool", "ooler", "*"):
        with pytest.raises(SettingsError, match="CHURN_DATABASE_PLAINTEXT_HOSTS"):
            read({**given, "CHURN_DATABASE_PLAINTEXT_HOSTS": others})
    for hosts in ("db,pooler", "db, pooler ", "db,Pooler"):
        assert "disable" in read({**given, "CHURN_DATABASE_PLAINTEXT_HOSTS": hosts}).log
    monkeypatch.setenv("PGHOSTADDR", "203.0.113.9")
    with pytest.raises(SettingsError, match="CHURN_DATABASE_PLAINTEXT_HOSTS"):
        read({**given, "CHURN_DATABASE_PLAINTEXT_HOSTS": "db,pooler"})
    monkeypatch.delenv("PGHOSTADDR")
    two = {**given, "DATABASE_URL": "postgresql://u:hunter2@pooler,db.acme.eu/log"}
    assert "require" in read({**two, "CHURN_DATABASE_PLAINTEXT_HOSTS": "pooler"}).log


def test_the_variables_of_libpq_do_not_weaken_what_profile_eu_asks_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PGHOST", "db.acme.eu")
    monkeypatch.setenv("PGSSLMODE", "disable")
    assert "sslmode=require" in read({**EU, "DATABASE_URL": "postgresql:///log"}).log
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    assert "sslmode=verify-full" in read({**EU, "DATABASE_URL": "postgresql:///log"}).log


def test_profile_local_is_not_moved_by_the_database_of_another_application(tmp_path: Path) -> None:
    other = "postgresql://u:hunter2@db.shop.example/shop"
    assert read({"DATABASE_URL": other}).log == "decisions.db"
    assert read({"DATABASE_URL": other, "CHURN_LOG": "mine.db"}).log == "mine.db"
    assert read({"DATABASE_URL": "nonsense://x"}).log == "decisions.db"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("postgresql+psycopg:/u:hunter2@db/log", "DATABASE_URL is no address"),
        ("sqlite:///nowhere.db", "There is no decision log at nowhere.db"),
        ("  ", "DATABASE_URL is empty"),
    ],
)
def test_the_command_that_proves_the_log_reads_the_same_addresses(
    text: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", text)
    with pytest.raises(Misuse, match=says) as refused:
        get_command(application())(
            ["decisions", "verify", "--profile", "eu"], standalone_mode=False
        )
    assert SECRET not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_a_head_that_is_none_is_refused_and_not_passed_over(tmp_path: Path) -> None:
    log = tmp_path / "decisions.db"
    open_log(str(log)).close()
    for head in ("", " ", "5", "5:abc"):
        with pytest.raises(Misuse, match="--head is no head"):
            get_command(application())(
                ["decisions", "verify", "--log", str(log), "--head", head], standalone_mode=False
            )


def test_the_log_is_for_its_owner_only(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        path = tmp_path / "new" / "decisions.db"
        with closing(open_log(str(path))) as log:
            assert log.head()[0] == 0
            modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in path.parent.iterdir()}
        assert set(modes.values()) == {0o600} and len(modes) == 3
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        path.chmod(0o644)
        open_log(str(path)).close()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        os.umask(before)


@pytest.mark.parametrize("place", ["/dev/null", "/dev/zero", ".", "pipe", "./:memory:"])
def test_what_keeps_nothing_is_no_log(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    with pytest.raises(LogUnavailableError, match="no file"):
        open_log(place)


def test_opening_a_log_again_lets_go_of_no_lock(tmp_path: Path) -> None:
    """POSIX drops every lock of a process on a file once it closes any handle of that file."""
    path = tmp_path / "decisions.db"
    other = (
        "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN IMMEDIATE')"
    )
    with closing(open_log(str(path))) as log, log._db.transaction():
        log._db.change("INSERT INTO erased VALUES ('x')")
        open_log(str(path)).close()
        tried = subprocess.run(
            [sys.executable, "-c", other, str(path)], capture_output=True, text=True, check=False
        )
    assert "database is locked" in tried.stderr
