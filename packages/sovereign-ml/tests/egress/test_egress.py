"""Which hosts a profile may reach, and that every entry point holds to it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from small_project import churn, environment
from sovereign_ml.egress import allow_list

TABLE = {
    "profile": {
        "local": {"tracking_uri": "sqlite:///.mlflow/mlflow.db", "online_store": "sqlite"},
        "eu": {"tracking_uri": "https://mlflow.acme.eu", "online_store": "redis"},
    },
    "s3": {"endpoint": "https://fsn1.your-objectstorage.com"},
    "deploy": {"slug": "acme-churn"},
    "pipeline": {"host": "https://kubeflow.acme.eu/"},
}


def test_local_reaches_nothing_outside() -> None:
    assert (
        allow_list.allowed_hosts(TABLE, "local", {"DATABASE_URL": "postgresql://u:p@db.acme.eu/d"})
        == ()
    )


def test_eu_reaches_the_hosts_of_its_configuration_and_of_its_servers() -> None:
    given = {
        "DATABASE_URL": "postgresql://u:p@db.acme.eu:5432/d",
        "HOME": "https://elsewhere.example",
    }
    assert set(allow_list.allowed_hosts(TABLE, "eu", given)) == {
        "mlflow.acme.eu",
        "fsn1.your-objectstorage.com",
        "kubeflow.acme.eu",
        "db.acme.eu",
    }


@pytest.mark.parametrize(
    "broken",
    [
        *({"profile": "eu"}, {"profile": {"eu": "x"}}, {"s3": "x"}, {"pipeline": [1]}),
        *({"spark": 1}, {"monitor": "x"}, {"monitor": {"alarm": "x"}}, {"audit": 2}),
        *({"deploy": "x"}, {"deploy": {"api_url": 3, "service_url": []}}, {"hopsworks": "x"}),
    ],
)
def test_a_value_in_place_of_a_table_is_left_to_the_command_that_reports_it(broken: Any) -> None:
    for command in ("", "deploy", "monitor", "clearml push", "supply-chain vuln"):
        hosts = allow_list.allowed_hosts(broken, "eu", {}, command=command)
        assert set(hosts) <= {"api.sota.io", ".sota.io"}


def test_the_platform_is_reached_by_the_commands_that_ship_only() -> None:
    assert "api.sota.io" not in allow_list.allowed_hosts(TABLE, "eu", {})
    assert {"api.sota.io", "acme-churn.sota.io"} <= set(
        allow_list.allowed_hosts(TABLE, "eu", {}, command="deploy")
    )


def test_the_vulnerability_database_is_reached_by_its_own_command_only() -> None:
    table = TABLE | {"audit": {"vulnerability_service": "https://osv.acme.eu/v1/query"}}
    assert allow_list.allowed_hosts(table, "local", {}) == ()
    assert allow_list.allowed_hosts(table, "local", {}, command="supply-chain vuln") == (
        "osv.acme.eu",
    )


def test_the_channels_of_alarms_are_reached_by_the_monitor_only() -> None:
    alarm = {"webhook": "https://hooks.acme.eu/x", "smtp": "smtp.acme.eu:587"}
    table = TABLE | {"monitor": {"alarm": alarm}}
    assert allow_list.allowed_hosts(table, "local", {}, command="train") == ()
    hosts = allow_list.allowed_hosts(table, "local", {}, command="monitor")
    assert set(hosts) == {"hooks.acme.eu", "smtp.acme.eu"}


def python(project: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run ``code`` in the project's folder and environment."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=project,
        env=environment(project),
        capture_output=True,
        text=True,
        check=False,
    )


LOOK_UP = "import socket; socket.getaddrinfo('telemetry.example.com', 443)"


@pytest.mark.parametrize("entry", ["cli", "component", "notebook"])
def test_an_entry_point_refuses_a_host_that_the_profile_does_not_name(
    entry: str, project: Path
) -> None:
    install = {
        "cli": "import os; from sovereign_ml.egress import allow_list as a; a.install(os.environ, ['run'])",
        "component": "from sovereign_ml.kubeflow import entry_points\n"
        "try: entry_points.run_step('score', {}, 'x')\nexcept KeyError: pass",
        "notebook": "from sovereign_ml import notebook; notebook.open_project()",
    }[entry]
    done = python(project, f"{install}\n{LOOK_UP}")
    assert done.returncode != 0
    assert "telemetry.example.com" in done.stderr
    assert "profile.local" in done.stderr


START = "import os, subprocess, sys; from sovereign_ml.egress import allow_list; allow_list.install(os.environ); "


def test_a_child_of_a_command_is_guarded_too(project: Path) -> None:
    code = f"{START}sys.exit(subprocess.run([sys.executable, '-c', {LOOK_UP!r}]).returncode)"
    done = python(project, code)
    assert done.returncode != 0
    assert "telemetry.example.com" in done.stderr


EAGER = """
import os, socket
print("DO_NOT_TRACK", os.environ.get("DO_NOT_TRACK"))
socket.getaddrinfo("telemetry.example.com", 443)
"""


def test_the_code_of_the_project_is_imported_silent_and_guarded(
    project: Path, tmp_path: Path
) -> None:
    root = tmp_path / "eager"
    shutil.copytree(project, root, ignore=shutil.ignore_patterns("data", ".mlflow", ".git"))
    table = root / "pyproject.toml"
    text = table.read_text(encoding="utf-8")
    table.write_text(text.replace("churn.project:PROJECT", "eager:PROJECT"), encoding="utf-8")
    (root / "src").mkdir()
    (root / "src" / "eager.py").write_text(EAGER, encoding="utf-8")
    done = churn(root, "data")
    assert done.returncode == 2
    assert "DO_NOT_TRACK true" in done.stdout
    assert "The egress guard refused telemetry.example.com once to eager:4" in done.stderr


PHONING = """
import socket, sys
from sovereign_ml.cli import main, step_commands

def phone():
    for _ in range(2):
        try:
            socket.getaddrinfo("telemetry.example.com", 443)
        except OSError:
            pass

step_commands.app.command("phone")(phone)
sys.argv = ["churn", "phone"]
main.main()
"""


def test_a_command_ends_with_what_the_guard_refused(project: Path) -> None:
    done = python(project, PHONING)
    assert done.returncode == 0
    assert done.stderr.splitlines()[-1] == (
        "The egress guard refused telemetry.example.com 2 times to __main__:8: "
        "not among the hosts of [profile.local] in config.toml."
    )


def test_an_empty_profile_is_the_profile_local(monkeypatch, tmp_path):
    """A compose file writes an unset variable as an empty one."""
    profiles = []
    monkeypatch.setattr(
        allow_list.guard, "install", lambda _, *, profile, **__: profiles.append(profile)
    )
    for environ in ({}, {"CHURN_PROFILE": ""}, {"CHURN_PROFILE": "eu"}):
        allow_list.install({**environ, "CHURN_ROOT": str(tmp_path)})
    assert profiles == ["local", "local", "eu"]


def test_of_a_profile_that_is_given_twice_the_last_counts_as_for_the_command():
    assert allow_list._option(("run", "--profile", "eu", "--profile=local")) == "local"
    assert allow_list._option(("run", "--profile=local", "--profile", "eu")) == "eu"
    assert allow_list._option(("run", "--profile")) is None


def test_an_address_with_a_star_opens_nothing():
    table = {
        "s3": {"endpoint": "https://*.eu"},
        "deploy": {"slug": "*", "service_url": "https://*.com"},
    }
    hosts = allow_list.allowed_hosts(
        table, "eu", {"FEATURE_STORE_URI": "https://*.example.eu"}, command="deploy"
    )
    assert hosts == ("api.sota.io",)
