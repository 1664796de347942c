"""Where alarms go: metrics for Prometheus, Alertmanager, a webhook, e-mail. Counts and rules only, never a person."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sovereign_ml.config.monitoring import AlarmSettings

if TYPE_CHECKING:
    from sovereign_ml.monitoring.watch import MonitorReport

__all__ = ["METRICS", "metrics_text", "send"]

METRICS: Mapping[str, str] = {
    "churn_monitor_last_success_timestamp_seconds": "When the monitor last ended well.",
    "churn_monitor_alarm": "1 while the rule alarms.",
    "churn_monitor_unanswered_alarms": "Alarms that nobody answered.",
    "churn_monitor_feature_shift_log_odds": "Distance of a feature's contributions from the reference.",
    "churn_monitor_score_shift_log_odds": "Distance of the score from the reference.",
    "churn_monitor_customers": "Customers who can be scored.",
    "churn_monitor_newest_event_age_days": "Age of the newest event.",
    "churn_monitor_observed_ratio": "Share of matured decisions that churned.",
    "churn_monitor_expected_ratio": "Mean predicted probability of the same decisions.",
    "churn_monitor_early_ratio": "Early events over those expected.",
}
"""Every metric of the monitor, each a gauge."""
TIMEOUT_S = 20
REPEATS_WITHIN = timedelta(days=2)
"""An alert that is not sent again ends by itself after two daily runs."""


def metrics_text(report: MonitorReport) -> str:
    """Return the report in Prometheus' text format; no label ever holds a person or a group."""
    lines: list[str] = []
    samples: dict[str, list[tuple[dict[str, str], float]]] = {name: [] for name in METRICS}
    for name, labels, value in _samples(report):
        samples[name].append((labels, value))
    for name, about in METRICS.items():
        if samples[name]:
            lines += [f"# HELP {name} {about}", f"# TYPE {name} gauge"]
            lines += [f"{name}{_labels(labels)} {value:.10g}" for labels, value in samples[name]]
    return "\n".join(lines) + "\n"


def send(
    report: MonitorReport, settings: AlarmSettings, title: str, password: str, folder: Path
) -> list[str]:
    """Give the report to every channel of ``settings``; return what failed, one line each.

    ``folder`` holds the run's files. A channel that fails stops no other one, and the alarm is on
    disk already.
    """
    failed = []
    alarms = [state for state in report.states if state.status == "alarm"]
    steps: dict[str, Callable[[], None]] = {
        settings.textfile: lambda: _to_textfile(Path(settings.textfile), folder),
        settings.alertmanager: lambda: _post(
            f"{settings.alertmanager.rstrip('/')}/api/v2/alerts", _alerts(report, title)
        ),
        settings.webhook: lambda: _post(settings.webhook, _summary(report, title)),
        settings.smtp if settings.email_to else "": lambda: _mail(
            report, settings, title, password
        ),
    }
    for place, step in steps.items():
        if not place or (not alarms and place != settings.textfile):
            continue
        try:
            step()
        except (OSError, ValueError, smtplib.SMTPException) as error:
            failed.append(f"{place}: {str(error) or type(error).__name__}")
    return failed


def _samples(report: MonitorReport) -> Iterator[tuple[str, dict[str, str], float]]:
    version = {"model_version": report.model_version}
    made = datetime.strptime(report.made_at, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    yield "churn_monitor_last_success_timestamp_seconds", {}, made.timestamp()
    for state in report.states:
        labels = {"rule": state.rule, "kind": state.kind}
        yield "churn_monitor_alarm", labels, float(state.status == "alarm")
    yield "churn_monitor_unanswered_alarms", {}, len(report.alarms)
    for name, change in report.comparison.features.items():
        yield "churn_monitor_feature_shift_log_odds", {"feature": name}, change.shift
    yield "churn_monitor_score_shift_log_odds", {}, report.comparison.score_shift
    yield "churn_monitor_customers", {}, report.comparison.customers
    yield "churn_monitor_newest_event_age_days", {}, report.comparison.age_days
    for figures in report.realised:
        labels = {**version, "treated": str(figures.who == "treated").lower()}
        yield "churn_monitor_observed_ratio", labels, figures.observed
        yield "churn_monitor_expected_ratio", labels, figures.expected
    for look in report.early:
        yield "churn_monitor_early_ratio", {"day": str(look.day)}, look.ratio


def _labels(labels: Mapping[str, str]) -> str:
    quoted = {
        k: v.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        for k, v in labels.items()
    }
    inside = ",".join(f'{name}="{value}"' for name, value in quoted.items())
    return f"{{{inside}}}" if inside else ""


def _to_textfile(target: Path, folder: Path) -> None:
    """Put the metrics where node_exporter reads them; it must never see half a file."""
    side = target / ".churn_monitor.prom.part"
    side.write_bytes((folder / "metrics.prom").read_bytes())
    side.replace(target / "churn_monitor.prom")


def _alerts(report: MonitorReport, title: str) -> list[dict[str, Any]]:
    # Without startsAt, Alertmanager takes endsAt for it.
    now = datetime.now(UTC)
    return [
        {
            "labels": {
                "alertname": f"Churn monitor: {state.name}",
                "rule": state.rule,
                "kind": state.kind,
                "project": title,
                "model_version": report.model_version,
            },
            "annotations": {"summary": state.found, "description": state.todo},
            "startsAt": f"{state.since}T00:00:00Z",
            "endsAt": f"{now + REPEATS_WITHIN:%Y-%m-%dT%H:%M:%SZ}",
        }
        for state in report.states
        if state.status == "alarm"
    ]


def _summary(report: MonitorReport, title: str) -> dict[str, Any]:
    return {
        "project": title,
        "day": report.day,
        "status": report.status,
        "model_version": report.model_version,
        "alarms": [
            {"rule": s.rule, "kind": s.kind, "since": s.since, "found": s.found, "todo": s.todo}
            for s in report.states
            if s.status == "alarm"
        ],
    }


def _post(address: str, content: Any) -> None:
    import httpx

    try:
        httpx.post(address, json=content, timeout=TIMEOUT_S).raise_for_status()
    except httpx.HTTPError as error:
        raise OSError(str(error) or type(error).__name__) from None


def _mail(report: MonitorReport, settings: AlarmSettings, title: str, password: str) -> None:
    """Send the alarms over STARTTLS; a server without it gets nothing."""
    host, _, port = settings.smtp.partition(":")
    message = EmailMessage()
    message["Subject"] = f"{title}: alarm of the monitor, {report.day}"
    message["From"] = sender = settings.email_from or settings.email_to[0]
    message["To"] = ", ".join(settings.email_to)
    lines = [
        f"- {state.name}, since {state.since}: {state.found}. {state.todo}"
        for state in report.states
        if state.status == "alarm"
    ]
    end = "Look at monitor.html of that day, then answer with `churn monitor answer`."
    message.set_content("\n".join([f"Model version {report.model_version}.", *lines, "", end]))
    with smtplib.SMTP(host, int(port), timeout=TIMEOUT_S) as server:
        server.starttls(context=ssl.create_default_context())
        if password:
            server.login(sender, password)
        server.send_message(message)
