"""Channels for alarms: Prometheus, Alertmanager, a webhook, e-mail. None ever names a person."""

from __future__ import annotations

import smtplib
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from sovereign_ml.config.monitoring import AlarmSettings

if TYPE_CHECKING:
    from sovereign_ml.monitoring.reporting.stored_reports import MonitorReport

METRICS: Mapping[str, str] = {
    "churn_monitor_last_success_timestamp_seconds": "When the monitor last ended well.",
    "churn_monitor_alarm": "1 while the rule alarms.",
    "churn_monitor_unanswered_alarms": "Alarms that nobody answered.",
    "churn_monitor_feature_shift_log_odds": "Distance of a feature from the reference.",
    "churn_monitor_score_shift_log_odds": "Distance of the score from the reference.",
    "churn_monitor_customers": "Customers who can be scored.",
    "churn_monitor_newest_event_age_seconds": "Age of the newest event.",
    "churn_monitor_observed_ratio": "Share of matured decisions that churned.",
    "churn_monitor_expected_ratio": "Mean predicted probability of the same decisions.",
    "churn_monitor_early_ratio": "Early events over those expected.",
}
"""Every metric of the monitor, each a gauge."""
DAY_S = 86_400
DEADLINE_S = 20.0
"""Time limit for all channels together: clients only limit each read of a slow receiver."""
REPEATS_WITHIN = timedelta(days=2)
"""Time after which an alert ends by itself, unless it is sent again: two daily runs."""


def metrics_text(report: MonitorReport) -> str:
    """Return the report in Prometheus' text format, without a person or a group in any label."""
    from prometheus_client import CollectorRegistry, Gauge, generate_latest

    # The default registry would add figures of this process.
    registry = CollectorRegistry()
    gauges: dict[str, Gauge] = {}
    for name, labels, value in _samples(report):
        if name not in gauges:
            gauges[name] = Gauge(name, METRICS[name], list(labels), registry=registry)
        (gauges[name].labels(**labels) if labels else gauges[name]).set(value)
    return generate_latest(registry).decode()


def send(
    report: MonitorReport, settings: AlarmSettings, project: str, password: str, folder: Path
) -> list[str]:
    """Send the report to every channel of ``settings``, and return one line for each failure.

    The text file gets every run, from ``folder``. The others get the unanswered alarms on every
    run, so a receiver that was down misses none. A channel that fails or hangs stops no other.
    """
    channels: dict[str, Callable[[], None]] = {}
    if settings.textfile:
        channels["textfile"] = lambda: _to_textfile(Path(settings.textfile), folder)
    if report.alarms and settings.alertmanager:
        address = f"{settings.alertmanager.rstrip('/')}/api/v2/alerts"
        channels["alertmanager"] = lambda: _post(address, _alerts(report, project))
    if report.alarms and settings.webhook:
        channels["webhook"] = lambda: _post(settings.webhook, _summary(report, project))
    if report.alarms and settings.smtp:
        channels["smtp"] = lambda: _mail(report, settings, project, password)
    failed = dict.fromkeys(channels, f"no answer within {DEADLINE_S:g} s")

    def attempt(name: str) -> None:
        try:
            channels[name]()
        except (OSError, ValueError, smtplib.SMTPException) as error:
            failed[name] = str(error) or type(error).__name__
        else:
            failed.pop(name)

    # A daemon thread that hangs does not keep the command from ending.
    threads = [Thread(target=attempt, args=(name,), daemon=True) for name in channels]
    end = time.monotonic() + DEADLINE_S
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    # A copy, because a thread that is late may still change the dictionary.
    return [f"[monitor.alarm] {name}: {reason}" for name, reason in tuple(failed.items())]


def _samples(report: MonitorReport) -> Iterator[tuple[str, dict[str, str], float]]:
    version = {"model_version": report.model_version}
    made_at = datetime.strptime(report.made_at, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    yield "churn_monitor_last_success_timestamp_seconds", {}, made_at.timestamp()
    for state in report.states:
        labels = {"rule": state.rule, "kind": state.kind}
        yield "churn_monitor_alarm", labels, float(state.status == "alarm")
    yield "churn_monitor_unanswered_alarms", {}, len(report.alarms)
    for name, change in report.comparison.features.items():
        yield "churn_monitor_feature_shift_log_odds", {"feature": name}, change.shift
    yield "churn_monitor_score_shift_log_odds", {}, report.comparison.score_shift
    yield "churn_monitor_customers", {}, report.comparison.customers
    yield "churn_monitor_newest_event_age_seconds", {}, DAY_S * report.comparison.age_days
    for figures in report.realised:
        labels = {**version, "treated": str(figures.who == "treated").lower()}
        yield "churn_monitor_observed_ratio", labels, figures.observed
        yield "churn_monitor_expected_ratio", labels, figures.expected
    for look in report.early:
        yield "churn_monitor_early_ratio", {"day": str(look.day)}, look.ratio


def _to_textfile(target: Path, folder: Path) -> None:
    """Write the metrics for node_exporter, which must never see half a file."""
    side = target / ".churn_monitor.prom.part"
    try:
        side.write_bytes((folder / "metrics.prom").read_bytes())
        side.replace(target / "churn_monitor.prom")
    finally:
        # On a full disk, half a file would stay.
        side.unlink(missing_ok=True)


def _alerts(report: MonitorReport, project: str) -> list[dict[str, Any]]:
    # Without startsAt, Alertmanager takes endsAt for it.
    end = datetime.now(UTC) + REPEATS_WITHIN
    return [
        {
            "labels": {
                "alertname": f"Churn monitor: {alarm.name}",
                "alarm": alarm.id,
                "rule": alarm.rule,
                "kind": alarm.kind,
                "project": project,
                "model_version": alarm.model_version,
            },
            "annotations": {"summary": alarm.found, "description": alarm.todo},
            "startsAt": f"{alarm.opened}T00:00:00Z",
            "endsAt": f"{end:%Y-%m-%dT%H:%M:%SZ}",
        }
        for alarm in report.alarms
    ]


def _summary(report: MonitorReport, project: str) -> dict[str, Any]:
    return {
        "project": project,
        "day": report.day,
        "status": report.status,
        "alarms": [
            alarm.model_dump(mode="json", exclude={"answer", "ended"}) for alarm in report.alarms
        ],
    }


def _post(address: str, content: Any) -> None:
    """Post JSON. Raises OSError without the address, which may contain a secret."""
    import httpx

    try:
        status = httpx.post(address, json=content, timeout=DEADLINE_S).status_code
    except httpx.HTTPError as error:
        raise OSError(str(error) or type(error).__name__) from None
    except httpx.InvalidURL:
        raise OSError("this is no address of a web server: correct it in config.toml") from None
    if not httpx.codes.is_success(status):
        raise OSError(f"it answers {status}")


def _mail(report: MonitorReport, settings: AlarmSettings, project: str, password: str) -> None:
    """Send the alarms over STARTTLS. A server without it gets nothing."""
    host, _, port = settings.smtp.partition(":")
    message = EmailMessage()
    message["Subject"] = f"{project}: alarm of the monitor, {report.day}"
    message["From"] = sender = settings.email_from or settings.email_to[0]
    message["To"] = ", ".join(settings.email_to)
    lines = [
        f"- {alarm.id}, model version {alarm.model_version}. "
        f"{alarm.name}: {alarm.found}. {alarm.todo}"
        for alarm in report.alarms
    ]
    end = "Look at monitor.html of that day, then answer with `churn monitor answer`."
    message.set_content("\n".join(["Alarms that nobody answered:", *lines, "", end]))
    with smtplib.SMTP(host, int(port), timeout=DEADLINE_S) as server:
        # Without a context smtplib checks no certificate.
        server.starttls(context=ssl.create_default_context())
        if password:
            server.login(sender, password)
        try:
            refused = server.send_message(message)
        except smtplib.SMTPRecipientsRefused as error:
            refused = error.recipients
    # A server that takes one recipient raises nothing for those whom it refuses.
    if refused:
        answers = (
            f"{who} ({code} {text.decode(errors='replace')})"
            for who, (code, text) in refused.items()
        )
        raise OSError(f"it refuses {', '.join(answers)}: correct email_to")
