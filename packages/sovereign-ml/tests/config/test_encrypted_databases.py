"""In profile eu the way to rows about people is encrypted, whoever opens the database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from servers import Postgres, postgres_or_skip
from small_project import load, make_project
from sovereign_ml.cli.watch import campaign
from sovereign_ml.config.connections import database
from sovereign_ml.config.profiles import VARIABLES
from sovereign_ml.config.settings import Settings
from sovereign_ml.data_subjects.stores import inventory, redis_postgres
from sovereign_ml.errors import Misuse
from sovereign_ml.jurisdictions import PLAINTEXT
from sovereign_ml.privacy import objections
from sovereign_ml.servers import backup, health_checks
from warm_churn import churn

pytestmark = pytest.mark.servers
OWN = {
    "s3.endpoint": "http://127.0.0.1:1",
    "profile.eu.tracking_uri": "http://127.0.0.1:1",
    "pipeline.image": "registry.acme.eu/churn@sha256:" + "1" * 64,
}


ADDRESSES = (
    *("DATABASE_URL", "CHURN_ONLINE_STORE_URL"),
    *("CHURN_TRACKING_DATABASE_URL", "CHURN_FEATURE_REGISTRY_URL"),
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("encrypted") / "project", **OWN)


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """PostgreSQL as Debian installs it here: it speaks no TLS."""
    with postgres_or_skip() as running:
        yield running


def _elsewhere(server: Postgres) -> str:
    # The system reads 127.1 as 127.0.0.1, and the rule reads it as the name of another machine.
    return server.url().replace("127.0.0.1", "127.1")


def _read(settings: Settings) -> None:
    with objections.decision_log(settings.log_location) as log:
        assert log and log.head()


def _campaign(settings: Settings) -> None:
    with campaign._log(settings) as log:
        assert log.head()


def _erase(settings: Settings) -> None:
    store = inventory.decisions(settings.log_location)
    assert store and store.find(["nobody"]) == []


def _vacuum(settings: Settings) -> None:
    redis_postgres.log_database(settings.log_location).vacuum()


def _back_up(settings: Settings) -> None:
    backup._tables(database(settings.secrets.decision_log, "decision_log"))


def _dump(settings: Settings) -> None:
    address = database(settings.secrets.decision_log, "decision_log")
    backup._run("pg_dump", address, "--schema-only")


def _health(settings: Settings) -> None:
    health_checks.postgres(database(settings.secrets.decision_log, "decision_log"))


def _online(settings: Settings) -> None:
    stored = settings.feature_stores
    with redis_postgres.PostgresDatabase("online_store", stored.online_url).connection():
        pass


def _tracking(settings: Settings) -> None:
    backup._tables(database(settings.secrets.tracking_database, "tracking_database"))


def _registry(settings: Settings) -> None:
    with redis_postgres.PostgresDatabase(
        "feature_registry", settings.feature_stores.registry
    ).connection():
        pass


DOORS: tuple[Callable[[Settings], Any], ...] = (
    *(_read, _campaign, _erase, _vacuum, _back_up, _dump, _health, _online, _tracking, _registry),
)


@pytest.mark.parametrize("door", DOORS)
def test_no_way_in_sends_rows_about_people_unencrypted_to_another_machine(
    door: Callable[[Settings], Any], server: Postgres, project: Path
) -> None:
    def settings(profile: str, address: str, **more: str) -> Settings:
        urls = dict.fromkeys(ADDRESSES, address)
        return load(project, profile, **urls, **more)

    with pytest.raises((Misuse, health_checks.Trouble)) as refused:
        door(settings("eu", _elsewhere(server)))
    assert "\n" not in str(refused.value)
    # The same server is good enough on this machine, and where somebody names its network.
    door(settings("eu", server.url()))
    door(settings("eu", _elsewhere(server), **{PLAINTEXT: "db,127.1"}))


@pytest.mark.parametrize(
    "command",
    [
        ("campaign", "list", "may", "--output", "may.csv"),
        ("data-subject", "access", "--subject", "17"),
        ("data-subject", "erase", "--subject", "17"),
        ("decisions", "verify"),
        ("doctor",),
        ("retain",),
        ("score",),
        ("servers", "backup", "copy"),
    ],
    ids=" ".join,
)
def test_every_command_refuses_an_address_that_forbids_tls(
    command: tuple[str, ...], project: Path
) -> None:
    address = "postgresql://u:hunter2@db.acme.eu/log?sslmode=prefer"
    done = churn(project, *command, "--profile", "eu", DATABASE_URL=address)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1 and "allows require, verify-ca" in done.stderr
    assert "DATABASE_URL asks for sslmode=prefer" in done.stderr and "hunter2" not in done.stderr


@pytest.mark.parametrize("variable", ADDRESSES)
def test_every_database_is_reached_encrypted_unless_its_network_is_named(
    variable: str, project: Path
) -> None:
    def address(text: str, profile: str = "eu", **more: str) -> str:
        secrets = load(project, profile, **{variable: text}, **more).secrets
        field = next(name for name, value in VARIABLES.items() if value == variable)
        return str(getattr(secrets, field).get_secret_value())

    far = "postgresql://u:p@db.acme.eu/x"
    assert address(far).endswith("?sslmode=require")
    assert address(f"{far}?sslmode=verify-full") == f"{far}?sslmode=verify-full"
    assert address(far, **{PLAINTEXT: "db.acme.eu"}) == far
    assert address("postgresql://u:p@127.0.0.1/x") == "postgresql://u:p@127.0.0.1/x"
    with pytest.raises(Misuse, match=f"{variable} asks for sslmode=disable"):
        address(f"{far}?sslmode=disable")
    if variable != "DATABASE_URL":  # which profile local does not read
        assert address(far, "local") == far


def test_the_online_store_may_stay_redis_and_a_stronger_mode_stays(project: Path) -> None:
    redis, far = "redis://:p@db.acme.eu:6379/0", "postgresql://u:p@db.acme.eu/log"

    def address(text: str, profile: str = "eu") -> str:
        secret = load(project, profile, CHURN_ONLINE_STORE_URL=text).secrets.online_store
        assert secret
        return secret.get_secret_value()

    assert address(redis) == redis
    assert address(far).endswith("?sslmode=require")
    assert address(far, "local") == far
    assert address(f"{far}?sslmode=verify-full").endswith("=verify-full")
    assert address("nonsense://x") == "nonsense://x"
