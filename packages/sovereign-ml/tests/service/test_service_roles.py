"""The service's role in PostgreSQL writes the log and can do nothing else with it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from itertools import product
from typing import Any

import psycopg
import pytest

from servers import Postgres, postgres_or_skip
from service_desk import CUSTOMER, LOYAL, OTHER, Desk
from small_project import PROJECT
from sovereign_ml.decision_log import LogUnavailableError, open_log, verify
from sovereign_ml.service.admission import admit_role
from sovereign_ml.service.settings import ServiceSettings, SettingsError

pytestmark = pytest.mark.servers
TODAY = f"{datetime.now(UTC):%Y-%m-%d}"


def _as(role: str, address: str) -> str:
    return re.sub("//[^@]*@", f"//{role}@", address)


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres_or_skip() as running:
        with psycopg.connect(running.url(), autocommit=True) as connection:
            connection.execute("CREATE ROLE owner LOGIN")
            connection.execute("CREATE ROLE deputy LOGIN IN ROLE owner")
            connection.execute('CREATE ROLE "the ""service" LOGIN')
            connection.execute("CREATE ROLE service LOGIN")
            connection.execute("CREATE DATABASE log OWNER owner")
            connection.execute("CREATE ROLE maker CREATEROLE")
            # Rights that a role does not inherit, and takes by SET ROLE.
            connection.execute("CREATE ROLE cleaner")
            connection.execute("CREATE ROLE switcher")
            connection.execute("ALTER ROLE service NOINHERIT")
            connection.execute("GRANT switcher TO service")
        yield running


@pytest.fixture
def address(server: Postgres) -> str:
    """The log as the superuser sees it; its owner has made the tables and let the service in."""
    address = server.url("log")
    with closing(open_log(_as("owner", address))) as log:
        assert log.grant("service") == log.grant('the "service') == ""
        assert "owns the tables" in log.grant("deputy")
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute("GRANT DELETE ON decision_log TO cleaner")
        with pytest.raises(LogUnavailableError, match="no role nobody; make it with CREATE ROLE"):
            log.grant("nobody")
    return address


FORBIDDEN = (
    "DELETE FROM decision_log",
    "TRUNCATE decision_log",
    "UPDATE decision_log SET seal = '0'",
    "UPDATE decision_log SET kind = 'contest'",
    "ALTER TABLE decision_log DISABLE TRIGGER ALL",
    "DROP TRIGGER decision_log_keeps_all ON decision_log",
    "DROP TABLE open_reviews",
    "TRUNCATE open_reviews",
    "UPDATE open_reviews SET kind = 'decision'",
    "DELETE FROM objections",
    "UPDATE objections SET seq = 1",
    "DELETE FROM erased",
    "UPDATE restrictions SET seq = 1",
    "CREATE TABLE another (number INT)",
    "CREATE INDEX slow ON decision_log (at)",
    "CREATE OR REPLACE FUNCTION decision_log_is_append_only() RETURNS trigger LANGUAGE plpgsql "
    "AS 'BEGIN RETURN OLD; END'",
    "CREATE ROLE another",
    "SET ROLE owner",
    "COPY decision_log TO PROGRAM 'cat'",
)


def test_the_services_role_carries_a_case_through_its_life_and_may_do_nothing_else(
    address: str, desk: Callable[..., Desk]
) -> None:
    role = _as("service", address)
    service = desk(significant_effect=True, settings={"log": role})
    case = service.score().json()["decision_id"]
    assert service.contest(case).status_code == 202
    assert service.review(case).status_code == 200
    wrong = {"customer_id": CUSTOMER, "features": LOYAL, "corrects": case}
    right = service.call("POST", "/v1/score", "score", json=wrong).json()["decision_id"]
    told = {"reason": "The purchases were corrected.", "informed_on": TODAY}
    consent = {"reference": "Form 48213", "given_on": TODAY}
    assert service.bar("restrictions", ground="unlawful").status_code == 200
    assert service.bar("restrictions/lift", "review", **told).status_code == 200
    assert service.bar("withdrawals").status_code == 200
    assert service.bar("consents", **consent).status_code == 200
    assert service.decision(case).json()["corrected_by"] == right
    assert service.object(OTHER).status_code == 200
    with closing(open_log(role)) as log:
        assert log.erase_subject(CUSTOMER) > 5
        assert log.expire("9999") == 1
        assert verify(log).problems == ()
    for sql in FORBIDDEN:
        with (
            psycopg.connect(role) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute(sql.encode())


def _eu(address: str, **changed: Any) -> ServiceSettings:
    return ServiceSettings(profile="eu", log=address, **changed)


@pytest.mark.parametrize(
    ("role", "why"),
    [("postgres", "is a superuser"), ("owner", "owns the tables"), ("deputy", "owns the tables")],
)
def test_profile_eu_does_not_start_with_a_role_that_could_rewrite_history(
    address: str, role: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(SettingsError, match=why) as refused:
        admit_role(_eu(_as(role, address)))
    assert "\n" not in str(refused.value)
    assert "churn decisions prepare --role" in str(refused.value)
    admit_role(_eu(_as(role, address), database_owner="allow"))
    assert why in caplog.text
    admit_role(_eu(_as("service", address)))
    admit_role(ServiceSettings(profile="local", log=_as(role, address)))


WAYS = {
    "GRANT DELETE ON decision_log TO service": "may empty the log",
    "GRANT TRUNCATE ON decision_log TO PUBLIC": "may empty the log",
    "GRANT TRIGGER ON decision_log TO PUBLIC": "may empty the log or change its triggers",
    "GRANT pg_write_all_data TO service": "may empty the log",
    "GRANT pg_execute_server_program TO service": "may run programs",
    "GRANT pg_write_server_files TO service": "write files on the server",
    "GRANT postgres TO service": "is a superuser or may become one",
    "GRANT maker TO service": "may make roles",
    "GRANT cleaner TO service": "may empty the log",
    "GRANT SET ON PARAMETER session_replication_role TO service": "may set session_replication",
    "GRANT SET ON PARAMETER session_replication_role TO PUBLIC": "may set session_replication",
    "GRANT SET ON PARAMETER session_replication_role TO switcher": "may set session_replication",
    "GRANT ALTER SYSTEM ON PARAMETER archive_command TO service": "settings of the whole server",
    "ALTER ROLE service SET session_replication_role = replica": "has session_replication_role",
    "ALTER DATABASE log SET session_replication_role = local": "has session_replication_role",
    "ALTER ROLE service IN DATABASE log SET session_replication_role = replica": "no trigger",
    "GRANT owner TO service": "owns the tables",
    "ALTER ROLE service CREATEROLE": "may make roles",
    "ALTER TABLE open_reviews OWNER TO service": "owns the tables",
    "ALTER FUNCTION decision_log_is_append_only() OWNER TO service": "their triggers",
    "ALTER SCHEMA public OWNER TO service": "schema",
    "ALTER DATABASE log OWNER TO service": "or database",
}
"""Other ways in which a role gets at what keeps the log append-only."""


@pytest.mark.parametrize("sql", WAYS)
def test_whatever_lets_the_role_rewrite_history_stops_the_start(address: str, sql: str) -> None:
    back = re.sub("^GRANT(.*) TO", r"REVOKE\1 FROM", sql).replace("CREATEROLE", "NOCREATEROLE")
    back = re.sub(r"SET (session\w+) = .*", r"RESET \1", back)
    usual = "pg_database_owner" if "SCHEMA" in sql else "owner"
    back = back.replace("OWNER TO service", f"OWNER TO {usual}")
    assert back != sql
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(sql.encode())
        try:
            with pytest.raises(SettingsError, match=WAYS[sql]):
                admit_role(_eu(_as("service", address)))
        finally:
            connection.execute(back.encode())
    admit_role(_eu(_as("service", address)))


def test_each_server_of_the_infrastructure_has_a_role_that_opens_its_own_database_only(
    server: Postgres,
) -> None:
    """Run the script as the image of PostgreSQL does, then try every role at every door."""
    server.create("decisions")
    names = ("MLFLOW_DATABASE", "FEAST_DATABASE", "LOG_OWNER", "LOG_SERVICE")
    passwords = {f"{name}_PASSWORD": "p'w d" for name in names}
    script = PROJECT / "infra/databases.sql"
    with pytest.raises(subprocess.CalledProcessError):
        server.run_script(script, "decisions")
    server.run_script(script, "decisions", **passwords)
    homes = {"mlflow": "mlflow", "feast": "feast", "log_owner": "decisions"}
    for role, database in product([*homes, "log_service"], homes.values()):
        address = server.url(database, role)
        if homes.get(role, "decisions") != database:
            with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
                psycopg.connect(address)
        elif role in homes:
            with psycopg.connect(address) as connection:
                connection.execute("CREATE TABLE own (number INT)")
    with closing(open_log(server.url("decisions", "log_owner"))) as log:
        assert log.grant("log_service") == ""
    admit_role(_eu(server.url("decisions", "log_service")))
