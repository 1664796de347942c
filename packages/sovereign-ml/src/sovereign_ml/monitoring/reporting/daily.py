"""One run of the monitor with everything that follows from it, here and on a cluster."""

from __future__ import annotations

from datetime import datetime

from sovereign_ml.errors import Refused
from sovereign_ml.monitoring import alarms, channels
from sovereign_ml.monitoring.reporting.bucket_copy import MonitorCopy
from sovereign_ml.monitoring.reporting.stored_reports import FOLDER, MonitorReport
from sovereign_ml.monitoring.watch import Watch


def run_and_tell(watch: Watch, end: datetime, now: datetime) -> tuple[MonitorReport, list[str]]:
    """Run the monitor and tell every channel. Return the report, and a line for each failure.

    Where there is no repository, as on a cluster, alarms and earlier reports are read from the
    bucket, and the new report is stored there before anybody is told.
    """
    settings = watch.settings
    copy = MonitorCopy(settings.project.name, settings.data_versions)
    elsewhere = settings.data_versions.from_image
    if elsewhere:
        copy.sync()
    report = watch.run(end, now)
    if elsewhere:
        copy.publish(report.day)
    # The report is stored by now, so a channel that fails loses no alarm.
    password = settings.secrets.smtp_password
    failed = channels.send(
        report,
        settings.monitor.alarm,
        settings.project.name,
        password.get_secret_value() if password else "",
        settings.root / FOLDER / report.day,
    )
    return report, failed


def refuse_unanswered(report: MonitorReport, failed: list[str]) -> None:
    """Raise Refused while an alarm has no answer, or if a channel could not be reached."""
    alarms.refuse_waiting(report.alarms)
    if failed:
        raise Refused("A channel could not be reached.")
