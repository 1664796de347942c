"""The files for Prometheus, Alertmanager and Grafana, held to their own checkers and to the metrics that we expose."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from loopback import Quiet, certificate, listening
from mail_server import mail_server
from monitor_reports import a_report
from servers import free_port, until
from small_project import PROJECT
from sovereign_ml.config.monitoring import AlarmSettings
from sovereign_ml.monitoring import channels
from sovereign_ml.servers.doctor import HealthLine, channel_lines
from sovereign_ml.service.counters import Metrics

FILES = PROJECT / "infra" / "monitoring"
RULES = FILES / "rules.yml"
METRIC = re.compile(r"\bchurn_\w+")


def program(name: str) -> str:
    """Return the path of a program of Debian's; the test is skipped where it is not installed."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"needs {name} (Debian: prometheus, prometheus-alertmanager)")
    return path


def checked(*command: str, cwd: Path | None = None) -> str:
    """Run a checker; the test fails with its words where it refuses."""
    result = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"
    return result.stdout


def exposed() -> set[str]:
    """Return the names of all samples of the service and of the monitor."""
    metrics = Metrics()
    metrics.count("/v1/score", 200)
    metrics.decided("offer")
    metrics.scored(0.7, ["mean_gap_days"])
    text = metrics.text().decode() + channels.metrics_text(a_report())
    return {s.name for family in text_string_to_metric_families(text) for s in family.samples}


def expressions() -> list[str]:
    """Return all expressions of the dashboard and the rules' file as text."""
    panels = json.loads((FILES / "dashboard.json").read_text(encoding="utf-8"))["panels"]
    return [t["expr"] for p in panels for t in p["targets"]] + [RULES.read_text(encoding="utf-8")]


def test_rules_and_dashboard_name_only_metrics_that_we_expose() -> None:
    named = {name for text in expressions() for name in METRIC.findall(text)}
    assert len(named) > 10
    assert named - exposed() == set()


def test_every_metric_of_the_monitor_is_on_the_dashboard_or_in_a_rule() -> None:
    assert (
        set(channels.METRICS) - {n for text in expressions() for n in METRIC.findall(text)} == set()
    )


def test_prometheus_takes_the_rules_and_each_fires_when_it_should(tmp_path: Path) -> None:
    promtool = program("promtool")
    checked(promtool, "check", "rules", str(RULES))
    shutil.copy(RULES, tmp_path / "rules.yml")
    shutil.copy(Path(__file__).with_name("prometheus_rules.yml"), tmp_path / "tests.yml")
    checked(promtool, "test", "rules", "tests.yml", cwd=tmp_path)


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    cases = Path(__file__).with_name("prometheus_rules.yml").read_text(encoding="utf-8")
    for alert in re.findall(r"alert: Churn(\w+)", RULES.read_text(encoding="utf-8")):
        assert f"alertname: Churn{alert}}}" in cases
        assert re.search(rf'alertname=~?"Churn(\w+|\()?(\|?\w+\|)*{alert}', cases), alert


def test_prometheus_reads_what_service_and_monitor_expose() -> None:
    metrics = Metrics()
    metrics.scored(0.7, ["mean_gap_days"])
    for text in (metrics.text().decode(), channels.metrics_text(a_report())):
        result = subprocess.run(
            [program("promtool"), "check", "metrics"],
            input=text,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (result.returncode, result.stderr) == (0, "")


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[tuple[str, list[Any]]]:
    """A real Alertmanager with the route of our example, and what its on-call receiver was sent."""
    received: list[Any] = []

    class Receiver(Quiet):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.reply(200, b"{}")

    program("prometheus-alertmanager")
    example = (FILES / "alertmanager.yml.example").read_text(encoding="utf-8")
    with listening(Receiver) as url:
        config = tmp_path / "alertmanager.yml"
        mail = "email_configs: [{to: ml-team@example.eu, send_resolved: true}]"
        assert mail in example
        config.write_text(
            example.replace(mail, f"webhook_configs: [{{url: '{url}'}}]").replace(
                "receiver: team\n", "receiver: team\n  group_wait: 100ms\n", 1
            )
        )
        checked(program("amtool"), "check-config", str(config))
        port = free_port()
        command = [
            program("prometheus-alertmanager"),
            f"--config.file={config}",
            f"--storage.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
        ]
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                base = f"http://127.0.0.1:{port}"
                until(lambda: httpx.get(f"{base}/-/ready").status_code == 200)
                yield base, received
            finally:
                process.terminate()


@pytest.mark.servers
def test_a_real_alertmanager_takes_the_alarms_and_tells_the_team(
    alertmanager: tuple[str, list[Any]], tmp_path: Path
) -> None:
    url, received = alertmanager
    (tmp_path / "metrics.prom").touch()
    report, settings = a_report(), AlarmSettings(alertmanager=url)
    assert channels.send(report, settings, "acme-churn", "", tmp_path) == []
    (alert,) = httpx.get(f"{url}/api/v2/alerts").json()
    assert alert["status"]["state"] in {"active", "unprocessed"}
    assert alert["labels"]["alarm"] == report.alarms[0].id
    # It stays until the monitor has missed two daily runs, however old the alarm is.
    assert alert["endsAt"] > alert["updatedAt"]
    until(lambda: bool(received))
    assert received[0]["alerts"][0]["labels"]["project"] == "acme-churn"
    # The next run sends it again, which changes nothing: no second message, one alert.
    assert channels.send(report, settings, "acme-churn", "", tmp_path) == []
    assert len(httpx.get(f"{url}/api/v2/alerts").json()) == 1


@pytest.mark.servers
def test_doctor_asks_every_channel_that_can_be_asked(
    alertmanager: tuple[str, list[Any]], tmp_path: Path
) -> None:
    alarms = AlarmSettings(alertmanager=alertmanager[0], textfile=str(tmp_path))
    assert [(line.state, line.found) for line in asked(alarms)] == [
        ("ok", "ready"),
        ("ok", "a folder of this machine"),
    ]


@pytest.mark.parametrize("tls", ["trusted", "untrusted", "none"])
def test_doctor_says_whether_mail_can_be_sent(
    tls: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = certificate(tmp_path, "localhost", datetime.now(UTC) + timedelta(days=9))
    if tls == "trusted":
        monkeypatch.setenv("SSL_CERT_FILE", str(files[0]))
    with mail_server(None if tls == "none" else files) as (port, mailbox):
        (line,) = asked(AlarmSettings(smtp=f"localhost:{port}", email_to=("a@acme.example",)))
    wanted = {"trusted": "STARTTLS", "untrusted": "TLS: ", "none": "it offers no STARTTLS"}
    assert line.state == ("ok" if tls == "trusted" else "fail")
    assert line.found.startswith(wanted[tls])
    assert "MAIL" not in mailbox.steps


def test_doctor_names_a_channel_that_is_away(tmp_path: Path) -> None:
    alarms = AlarmSettings(
        alertmanager=f"http://127.0.0.1:{free_port()}", textfile=str(tmp_path / "gone")
    )
    lines = asked(alarms)
    assert [line.state for line in lines] == ["fail", "fail"]
    assert lines[0].found.endswith("connection refused")
    assert lines[1].found == "there is no such folder"


def asked(alarms: AlarmSettings) -> list[HealthLine]:
    """Return the lines of doctor about the channels alone."""
    return list(channel_lines(alarms, Path("model_card.toml")))
