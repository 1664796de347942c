"""The table [retention] of config.toml: period and start event of each class of data."""

from __future__ import annotations

import calendar
import re
from datetime import datetime, timedelta
from typing import Literal

from pydantic import field_validator

from sovereign_ml.config.profiles import ConfigTable

# A number has to follow the P, or "P" alone would be a period of no time.
PERIOD = re.compile(r"P(?=\d)(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?")
LOG_MINIMUM = "P6M"
"""AI Act Art. 19(1) and 26(6): logs of a high-risk system are kept for six months at least."""

Start = Literal[
    "purchase", "cut_off", "written", "replaced", "ended", "registered", "decided", "reviewed"
]


def back(now: datetime, period: str) -> datetime:
    """Return ``now`` less an ISO 8601 period. A missing day of a month becomes its last day."""
    match = PERIOD.fullmatch(period)
    if match is None:
        raise ValueError(f"{period!r} is no ISO 8601 period such as P24M")
    years, months, weeks, days = (int(part or 0) for part in match.groups())
    # Months first, then days: P1M before 31 March is the last day of February.
    index = now.year * 12 + now.month - 1 - years * 12 - months
    year, month = index // 12, index % 12 + 1
    day = min(now.day, calendar.monthrange(year, month)[1])
    return now.replace(year=year, month=month, day=day) - timedelta(weeks=weeks, days=days)


class RetentionPeriod(ConfigTable):
    """An ISO 8601 period of years, months, weeks and days, such as P24M, with its start event."""

    period: str
    start: Start

    @field_validator("period")
    @classmethod
    def _is_a_period(cls, value: str) -> str:
        if not PERIOD.fullmatch(value):
            raise ValueError("write an ISO 8601 period such as P24M, P90D or P2Y6M")
        moment = datetime(2000, 1, 1)
        try:
            before = back(moment, value)
        except (ValueError, OverflowError):
            raise ValueError("this period begins before the year 1: write a shorter one") from None
        # With no time at all `churn retain --apply` would delete what the last step has just made.
        if before == moment:
            raise ValueError("this period is no time at all: write one day (P1D) or more")
        return value

    def before(self, now: datetime) -> datetime:
        """Return the moment before which data is due at ``now``."""
        return back(now, self.period)


class Backups(RetentionPeriod):
    """Files in a backup folder that another system fills. Empty means none within reach."""

    folder: str = ""


def _rule(period: str, start: Start) -> RetentionPeriod:
    return RetentionPeriod(period=period, start=start)


class RetentionSettings(ConfigTable):
    """One rule for each class of data. Its start event follows from how it is stored."""

    raw: RetentionPeriod = _rule("P36M", "purchase")
    groups: RetentionPeriod = _rule("P3M", "written")
    features: RetentionPeriod = _rule("P24M", "cut_off")
    snapshots: RetentionPeriod = _rule("P24M", "cut_off")
    dvc_versions: RetentionPeriod = _rule("P12M", "replaced")
    runs: RetentionPeriod = _rule("P12M", "ended")
    models: RetentionPeriod = _rule("P24M", "registered")
    scores: RetentionPeriod = _rule("P3M", "written")
    decisions: RetentionPeriod = _rule("P24M", "decided")
    reviews: RetentionPeriod = _rule("P24M", "reviewed")
    monitor: RetentionPeriod = _rule("P36M", "written")
    notebooks: RetentionPeriod = _rule("P1M", "written")
    copies: RetentionPeriod = _rule("P1M", "written")
    backups: Backups = Backups(period="P3M", start="written")

    @field_validator("*")
    @classmethod
    def _start_is_what_is_stored(cls, rule: RetentionPeriod, info: object) -> RetentionPeriod:
        default = cls.model_fields[info.field_name].default  # type: ignore[attr-defined]
        if rule.start != default.start:
            raise ValueError(
                f"start can only be '{default.start}' here: nothing else is stored to count from"
            )
        return rule


def shorter_than_log_minimum(policy: RetentionSettings, now: datetime) -> dict[str, str]:
    """Return the periods of decisions and reviews below the AI Act's minimum for logs."""
    rules = {"decisions": policy.decisions, "reviews": policy.reviews}
    minimum = back(now, LOG_MINIMUM)
    return {name: rule.period for name, rule in rules.items() if rule.before(now) > minimum}
