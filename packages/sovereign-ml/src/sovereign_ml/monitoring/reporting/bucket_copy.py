"""The monitor's reports and alarms in the bucket, for scheduled runs on a cluster.

Such a run has neither the repository nor the disk of the run before it. It reads both from the
bucket first and stores its own there. `churn monitor sync` exchanges them with the repository,
where people answer alarms and git keeps the answers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from pydantic import ValidationError

from sovereign_ml.config.connections import DataVersions
from sovereign_ml.errors import Misuse
from sovereign_ml.monitoring import alarms
from sovereign_ml.monitoring.alarms import AlarmRecord
from sovereign_ml.monitoring.reporting.stored_reports import FOLDER, REPORT, MonitorReport
from sovereign_ml.privacy.tombstones import write_durably
from sovereign_ml.storage import s3
from sovereign_ml.storage.artifacts import writing

ALARMS = "alarms/"
"""Alarms of a project, below the prefix of its reports."""
FILES = ("metrics.prom", "monitor.html", REPORT)
"""Files of a report. The last one comes last: a report without it does not count."""


@dataclass(frozen=True)
class Exchange:
    """What a sync changed: days of new reports here, and ids of alarms here and in the bucket."""

    reports: tuple[str, ...]
    alarms_here: tuple[str, ...]
    alarms_there: tuple[str, ...]


@dataclass(frozen=True)
class MonitorCopy:
    """Reports and alarms of ``project`` in the bucket of the profile."""

    project: str
    versions: DataVersions

    def sync(self) -> Exchange:
        """Exchange alarms both ways and fetch the reports that are not here or older here.

        An answer and an end on one side are taken over by the other. Of two answers the earlier one
        stays, and of two reports on a day the later one. Does nothing in a profile without a
        bucket. Raises Misuse for a file that is broken.
        """
        if not self.versions.in_bucket:
            return Exchange((), (), ())
        etags = s3.etags(self.versions.storage, self._key(""))
        return Exchange(self._fetch_reports(etags), *self._exchange_alarms(list(etags)))

    def publish(self, day: str) -> None:
        """Exchange the alarms, and store the report of ``day``."""
        if not self.versions.in_bucket:
            return
        # Alarms come first: a report must never name one that nobody has.
        self._exchange_alarms(s3.keys(self.versions.storage, self._key("")))
        folder = self.versions.root / FOLDER / day
        for name in FILES:
            content = (folder / name).read_bytes()
            s3.write(self.versions.storage, self._key(f"{day}/{name}"), content)

    def _fetch_reports(self, etags: Mapping[str, str]) -> tuple[str, ...]:
        days = []
        for key, etag in etags.items():
            path = PurePosixPath(key)
            if path.name != REPORT:
                continue
            target = self.versions.root / FOLDER / path.parent.name
            here = (target / REPORT).read_bytes() if (target / REPORT).is_file() else b""
            # Most storages have the MD5 as ETag, so that an equal report need not be read.
            if here and etag == hashlib.md5(here, usedforsecurity=False).hexdigest():
                continue
            there = s3.read(self.versions.storage, key)
            if here and _made_at(there) <= _made_at(here):
                continue
            # All files or none, since the next run takes the report for complete if it is here.
            with writing(target) as folder:
                for name in FILES[:-1]:
                    content = s3.read(self.versions.storage, f"{path.parent}/{name}")
                    (folder / name).write_bytes(content)
                (folder / REPORT).write_bytes(there)
            days.append(path.parent.name)
        return tuple(days)

    def _exchange_alarms(self, keys: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        root = self.versions.root
        here = {record.id: record for record in alarms.read_alarms(root)}
        there = {}
        for key in keys:
            if PurePosixPath(key).match(f"{ALARMS}A-*.json"):
                record = self._read(key)
                there[record.id] = record
        self._rename_alarms_of_another_version(here, there)
        changed: tuple[list[str], list[str]] = ([], [])
        for name in sorted(here.keys() | there.keys()):
            sides = [side[name] for side in (here, there) if name in side]
            record = merged(*sides)
            text = alarms.text_of(record)
            if here.get(name) != record:
                write_durably(alarms.path_of(root, record), text)
                changed[0].append(name)
            if there.get(name) != record:
                s3.write(self.versions.storage, self._key(f"{ALARMS}{name}.json"), text.encode())
                changed[1].append(name)
        return tuple(changed[0]), tuple(changed[1])

    def _rename_alarms_of_another_version(
        self, here: dict[str, AlarmRecord], there: dict[str, AlarmRecord]
    ) -> None:
        """Give alarms of ``here`` an id of their own whose id in ``there`` is of another version.

        Machines that watch two versions on one day choose the same id: day and rule.
        """
        for name in here.keys() & there.keys():
            record = here[name]
            if record.model_version == there[name].model_version:
                continue
            own = record.model_copy(update={"id": f"{name}-v{record.model_version}"})
            here[own.id] = merged(own, here.get(own.id))
            write_durably(alarms.path_of(self.versions.root, own), alarms.text_of(here[own.id]))
            # Its file takes the record of the other version in the exchange.
            del here[name]

    def _read(self, key: str) -> AlarmRecord:
        try:
            record = AlarmRecord.model_validate_json(s3.read(self.versions.storage, key))
        except ValidationError as error:
            raise Misuse(
                f"{self.versions.storage.address(key)} is no alarm record "
                f"({error.error_count()} errors): restore it from governance/monitoring/ in git."
            ) from None
        # The id becomes the name of a file.
        if record.id != PurePosixPath(key).stem:
            raise Misuse(
                f"{self.versions.storage.address(key)} is the alarm {record.id}: delete it."
            )
        return record

    def _key(self, name: str) -> str:
        return f"{reports_prefix(self.project)}{name}"


def _made_at(content: bytes) -> str:
    """Return the time (UTC) of the report ``content``, "" for one that this release cannot read."""
    try:
        return MonitorReport.model_validate_json(content).made_at
    except ValidationError:
        return ""


def reports_prefix(project: str) -> str:
    """Return the prefix of reports and alarms in the bucket, which hold aggregates only."""
    return f"monitoring/{project}/"


def merged(first: AlarmRecord, second: AlarmRecord | None = None) -> AlarmRecord:
    """Return one record of two of the same alarm: the earlier answer, and the earlier end."""
    if second is None:
        return first
    answers = [record.answer for record in (first, second) if record.answer]
    ends = [record.ended for record in (first, second) if record.ended]
    # Two machines that opened it measured at different times. Every sync has to choose the same
    # text, or they would replace each other's for ever.
    record = min(first, second, key=lambda side: (side.opened, side.found, side.todo, side.limit))
    return record.model_copy(
        update={
            "answer": min(answers, key=lambda answer: answer.at, default=None),
            "ended": min(ends, default=None),
        }
    )
