"""How long each class of data is kept, and from when: the table [retention] of config.toml."""

from __future__ import annotations

import calendar
import re
from datetime import datetime, timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict, field_validator

PERIOD = re.compile(r"P(?=\d)(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?")
LOG_MINIMUM = "P6M"
"""AI Act Art. 19(1) and 26(6): logs of a high-risk system are kept for six months at least."""

Start = Literal[
    "purchase", "cut_off", "written", "replaced", "ended", "registered", "decided", "reviewed"
]


class RetentionPeriod(BaseModel):
    """An ISO 8601 period of years, months, weeks and days, such as P24M, and the event from which it counts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    period: str
    start: Start

    @field_validator("period")
    @classmethod
    def _is_a_period(cls, value: str) -> str:
        if not PERIOD.fullmatch(value):
            raise ValueError("write an ISO 8601 period such as P24M, P90D or P2Y6M")
        return value

    def before(self, now: datetime) -> datetime:
        """What began before this moment is due at ``now``."""
        return back(now, self.period)


class Backups(RetentionPeriod):
    """Backups are files in a folder that somebody else fills; empty: none is within reach of this project."""

    folder: str = ""


def _rule(period: str, start: Start) -> RetentionPeriod:
    return RetentionPeriod(period=period, start=start)


class RetentionSettings(BaseModel):
    """One rule a class of data. The start events follow from how each class is stored and cannot be chosen."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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


def back(now: datetime, period: str) -> datetime:
    """``now`` less an ISO 8601 period; a day that the month does not have becomes its last day."""
    found = PERIOD.fullmatch(period)
    if found is None:
        raise ValueError(f"{period!r} is no ISO 8601 period such as P24M")
    years, months, weeks, days = (int(part or 0) for part in found.groups())
    index = now.year * 12 + now.month - 1 - years * 12 - months
    year, month = index // 12, index % 12 + 1
    day = min(now.day, calendar.monthrange(year, month)[1])
    return now.replace(year=year, month=month, day=day) - timedelta(weeks=weeks, days=days)


def shorter_than_log_minimum(policy: RetentionSettings, now: datetime) -> bool:
    """Whether decisions would be gone before the AI Act's minimum for logs of a high-risk system."""
    return policy.decisions.before(now) > back(now, LOG_MINIMUM)
