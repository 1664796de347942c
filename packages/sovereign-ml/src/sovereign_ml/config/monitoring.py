"""The table [monitor] of config.toml: limits of the monitor, and where its alarms go."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from sovereign_ml.config.profiles import ConfigTable, Count, Share

__all__ = ["AlarmSettings", "MonitorSettings"]

WEEK = 7


def _host_and_port(address: str) -> str:
    known = re.fullmatch(r"[A-Za-z0-9.-]+:(\d{1,5})", address)
    if address and not (known and 0 < int(known[1]) < 65_536):
        raise ValueError("write host:port, such as smtp.example.eu:587, or nothing for no e-mail")
    return address


def _web_address(address: str) -> str:
    # A password in the address would be in config.toml, and so in git.
    if address and not re.fullmatch(r"https?://[^/\s@]+(/\S*)?", address):
        raise ValueError("write https://host/path without a user or password, or nothing for none")
    return address


def _whole_weeks(days: tuple[int, ...]) -> tuple[int, ...]:
    # Part weeks see other weekdays than the reference: a healthy shop was 35 % off on day 3.
    if any(day <= 0 or day % WEEK for day in days) or list(days) != sorted(set(days)):
        raise ValueError("give whole weeks, shortest first, such as [7, 14, 21]")
    return days


WebAddress = Annotated[str, AfterValidator(_web_address)]
Limit = Annotated[float, Field(gt=0)]


class AlarmSettings(ConfigTable):
    """Channels of an alarm. An empty one is not used."""

    email_to: tuple[str, ...] = ()
    email_from: str = ""
    smtp: Annotated[str, AfterValidator(_host_and_port)] = ""
    alertmanager: WebAddress = ""
    webhook: WebAddress = ""
    textfile: str = ""
    """Folder of the textfile collector of node_exporter."""

    @model_validator(mode="after")
    def _mail_has_both_ends(self) -> AlarmSettings:
        if bool(self.smtp) != bool(self.email_to):
            raise ValueError("smtp and email_to go together: give both or none")
        return self


class MonitorSettings(ConfigTable):
    """Limits of `churn monitor`. They are policy of the project, not law."""

    feature_shift: Limit = 0.10
    score_shift: Limit = 0.20
    missing: Share = 0.10
    beyond: Share = 0.05
    unseen: Share = 0.10
    volume: Share = 0.35
    newest_event_days: Count = 2
    early_days: Annotated[tuple[int, ...], AfterValidator(_whole_weeks)] = (7, 14, 21)
    early_ratio: Share = 0.20
    tolerance: Share = 0.025
    looks_per_false_alarm: Annotated[float, Field(gt=1)] = 240
    in_a_row: Count = 2
    min_decisions: Count = 500
    alarm: AlarmSettings = AlarmSettings()
