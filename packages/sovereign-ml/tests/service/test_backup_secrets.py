"""A backup shows no password to other users of the machine, and neither do the commands' children."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from servers import Postgres, postgres_or_skip, until
from sovereign_ml.cli.service import _environment
from sovereign_ml.config.connections import ObjectStorage
from sovereign_ml.config.settings import ENVIRONMENT
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.jurisdictions import PostgresAddress, read_postgres_address
from sovereign_ml.servers import backup
from sovereign_ml.servers.health_checks import Trouble, redis
from sovereign_ml.servers.health_checks import postgres as ask

SECRET = "hunter2"


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres_or_skip() as running:
        yield running


def _address(server: Postgres) -> PostgresAddress:
    return read_postgres_address(server.url().replace("@", f":{SECRET}@"), "DATABASE_URL")


def _command_lines(program: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = path.read_bytes().split(b"\0")
            if words[0].endswith(program.encode()):
                found.append(b" ".join(words).decode())
    return found


@pytest.mark.servers
def test_a_dump_shows_no_password_while_it_runs_and_is_for_its_owner_only(
    server: Postgres, tmp_path: Path
) -> None:
    dump = tmp_path / "one.dump"
    with psycopg.connect(server.url()) as holder, ThreadPoolExecutor(1) as pool:
        holder.execute("CREATE TABLE held (x int)")
        holder.commit()
        holder.execute("LOCK TABLE held IN ACCESS EXCLUSIVE MODE")
        with backup._for_its_owner_only():
            arguments = ("pg_dump", _address(server), "--format=custom", f"--file={dump}")
            done = pool.submit(backup._run, *arguments)
            until(lambda: any(str(dump) in line for line in _command_lines("pg_dump")))
            (line,) = [one for one in _command_lines("pg_dump") if str(dump) in one]
            assert SECRET not in line and "postgresql:" not in line
            holder.rollback()
            done.result()
    assert stat.S_IMODE(dump.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["objects/governance/planted", "extra.dump", "link"])
def test_a_file_that_the_manifest_does_not_list_is_not_restored(tmp_path: Path, name: str) -> None:
    (tmp_path / backup.MANIFEST).write_text(json.dumps({"files": {}}))
    assert backup._verified_manifest(tmp_path) == {"files": {}}
    planted = tmp_path / name
    planted.parent.mkdir(parents=True, exist_ok=True)
    if name == "link":
        planted.symlink_to("/etc/hostname")
    else:
        planted.write_text("x")
    with pytest.raises(Refused, match="not in the manifest"):
        backup._verified_manifest(tmp_path)


@pytest.mark.servers
def test_doctor_says_in_one_line_what_is_wrong_with_an_address(server: Postgres) -> None:
    assert any("PostgreSQL" in note for note in ask(_address(server)))
    for wrong in ("?sslmode=hunter2", "?sslmode=require", "?options=--nonsense"):
        address = read_postgres_address(
            server.url().replace("@", ":hunter2@") + wrong, "DATABASE_URL"
        )
        with pytest.raises(Trouble) as trouble:
            ask(address)
        assert "\n" not in trouble.value.observation


def test_a_child_gets_no_secret_that_it_does_not_need(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {
        "CHURN_PSEUDONYM_KEY": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "SOTA_API_KEY": "x",
        "CHURN_TRACKING_DATABASE_URL": "x",
        "MLFLOW_TRACKING_PASSWORD": "x",
        "GITHUB_TOKEN": "x",
        "MAPS_APIKEY": "x",
        "STRIPE_KEY_2": "x",
        "SMTP_PWD": "x",
        "SENTRY_DSN": "x",
        "BROKER_URL": "amqp://u:hunter2@mq:5672/",
        "HTTPS_PROXY": "http://u:hunter2@proxy:3128",
    }
    needed = {"CHURN_KEYS": "k", "CHURN_SESSION_SECRET": "s", "FEATURE_STORE_TOKEN": "t"}
    harmless = {
        "TOKENIZERS_PARALLELISM": "false",
        "OLDPWD": "/",
        "KEYBOARD": "de",
        "SSL_CERT_FILE": "/etc/a.pem",
        "NO_PROXY": "http://mirror:8080/a@b",
    }
    for name, value in {**secrets, **needed, **harmless, "DATABASE_URL": "d"}.items():
        monkeypatch.setitem(ENVIRONMENT, name, value)
    local, eu = _environment("local"), _environment("eu")
    assert not (secrets.keys() | {"DATABASE_URL"}) & local.keys()
    assert harmless.items() <= local.items()
    assert needed.items() <= local.items() and needed.items() <= eu.items()
    assert eu["DATABASE_URL"] == "d" and not secrets.keys() & eu.keys()
    assert "PATH" in local


def test_a_backup_reads_every_address_before_it_makes_anything(tmp_path: Path) -> None:
    from sovereign_ml.config.profiles import Secrets

    secrets = Secrets.model_validate({"key_file": tmp_path / "key", "tracking_database": "x:y@z"})
    with pytest.raises(Misuse, match="CHURN_TRACKING_DATABASE_URL") as refused:
        backup._databases(secrets)
    assert "x:y" not in str(refused.value)


def of_bucket(monkeypatch: pytest.MonkeyPatch, *keys: str) -> None:
    """Put objects into a bucket that the backup sees. Each holds its own key."""

    def download(storage: object, address: str, folder: Path) -> Path:
        key = backup.s3.split(address)[1]
        path = folder / Path(key).name
        path.write_text(key)
        return path

    monkeypatch.setattr(backup, "_databases", lambda secrets: {})
    monkeypatch.setattr(backup.s3, "keys", lambda storage: list(keys))
    monkeypatch.setattr(backup.s3, "download", download)


STORAGE = ObjectStorage("", "", "acme", "path", Path())


def test_a_backup_holds_every_object_and_no_mark_of_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = ["dvc/files/md5/ab/cd", "mlflow/1/plots/ROC #1 ?.png", "a..b/c"]
    of_bucket(monkeypatch, "dvc/", "dvc/files/", *keys)
    backup.backup(tmp_path / "b", project="acme-churn", secrets=None, storage=STORAGE)  # type: ignore[arg-type]
    folder = tmp_path / "b/objects"
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    assert {name: path.read_text() for name, path in files.items() if path.is_file()} == {
        key: key for key in keys
    }


@pytest.mark.parametrize(
    "keys", [("a", "a/b"), ("x/y/z", "x/y"), ("ü" * 128,), ("dvc/" + "a" * 256 + "/b",)]
)
def test_an_object_that_no_folder_can_hold_ends_the_backup_before_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: tuple[str, ...]
) -> None:
    of_bucket(monkeypatch, "dvc/fine", *keys)
    with pytest.raises(Refused, match="1 objects that no folder of this machine can hold"):
        backup.backup(tmp_path / "b", project="acme-churn", secrets=None, storage=STORAGE)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", '{"files": null}', '{"files": 5}'])
def test_a_manifest_that_is_none_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / backup.MANIFEST).write_text(text)
    with pytest.raises(Refused, match="is no manifest of a backup"):
        backup._verified_manifest(tmp_path)


def test_a_backup_without_the_dump_of_a_database_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither server nor bucket is asked, so that none of them is filled in part."""
    (tmp_path / backup.MANIFEST).write_text('{"files": {}, "made": "2026-11-24"}')
    monkeypatch.setattr(backup, "_databases", lambda secrets: {"tracking": None})
    with pytest.raises(Refused, match=r"lists no tracking\.dump"):
        backup.restore(tmp_path, secrets=None, storage=STORAGE, governance=None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "url",
    [
        "redis:6379,password=hunter2",
        "memcached://hunter2@h:1",
        "redis://:hunter2@127.0.0.1:1/?db=x",
        "redis://:hun#ter2@127.0.0.1:1/0",
        "redis://:hunter2@127.0.0.1:1/?hunter2=1",
        "redis://:hunter2@127.0.0.1:1/?ssl_cert_reqs=none",
    ],
)
def test_doctor_says_in_one_line_that_an_address_is_none_of_redis(url: str) -> None:
    with pytest.raises(Trouble, match="cannot read") as trouble:
        redis(url)
    assert "hun" not in trouble.value.observation + trouble.value.do


@pytest.mark.parametrize("key", ["../../evil", "dvc/../../../evil", "/evil", "dvc//evil", "./evil"])
def test_the_name_of_an_object_does_not_lead_out_of_the_backup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    of_bucket(monkeypatch, "dvc/fine", key)
    with pytest.raises(Refused, match="1 objects whose name is no path"):
        backup.backup(tmp_path / "b", project="acme-churn", secrets=None, storage=STORAGE)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
