"""The time of an event in the team's file, and the zone that it is meant in."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sovereign_ml.pipeline.suggest.column_values import ColumnValues, TimeReading
from sovereign_ml.pipeline.suggest.file_columns import COLUMNS, FileColumns
from sovereign_ml.pipeline.suggest.proposal import Candidate, ProposedSetting
from sovereign_ml.storage import duckdb as db

__all__ = ["time_and_zone"]


def time_and_zone(file: FileColumns) -> tuple[ProposedSetting, ProposedSetting]:
    """Return the decisions about ``event_time`` and ``timezone``."""
    preset = file.preset
    named = (
        [file.by_plain_name[n] for n in preset.time.split("|") if n in file.by_plain_name]
        if preset
        else file.named("event_time")
    )
    times = [(c, reading) for c in named if (reading := file.read(c))]
    # A known export has its time in a known column, so no other one is tried.
    others = [] if preset else [c for c in file.columns.values() if c not in named]
    more = [(c, reading) for c in others if (reading := file.read(c))]
    if preset and not times and (fiscal := _without_year(file, named)):
        return fiscal, _zone(file, TimeReading([], 1.0, False, False))
    if not times:
        candidates = [Candidate(r.candidates[0].value, f"column {c.name}") for c, r in more]
        reason = ("no column has a name of a time and values that are one",)
        reading = more[0][1] if more else TimeReading([], 0, False, False)
        question = ProposedSetting(COLUMNS, "event_time", None, reason, candidates)
        return question, _zone(file, reading)
    column, reading = times[0]
    why = list(reading.why)
    rest = [c.name for c, _ in (*times[1:], *more)]
    if rest:
        why.append(f"also times: {', '.join(rest)}")
    if reading.readable < 1:
        why.append(f"{reading.readable:.1%} of the values of {column.name} can be read")
    if not preset and not file.is_sure("event_time", [c for c, _ in times]):
        several = [
            Candidate(option.value, f"column {c.name}") for c, r in times for option in r.candidates
        ]
        return ProposedSetting(COLUMNS, "event_time", None, why, several), _zone(file, reading)
    if len(reading.candidates) > 1:
        return ProposedSetting(COLUMNS, "event_time", None, why, reading.candidates), _zone(
            file, reading
        )
    value = str(reading.candidates[0].value)
    if not reading.has_clock:
        file.notes += _clocks(file, column)
    if preset and preset.utc and not reading.has_zone:
        value = f"CAST({value} AS TIMESTAMP) AT TIME ZONE 'UTC'"
        why.append(f"{preset.name}: times are in UTC")
        reading = TimeReading([], reading.readable, True, True)
    return ProposedSetting(COLUMNS, "event_time", value, why), _zone(file, reading)


def _clocks(file: FileColumns, day: ColumnValues) -> list[str]:
    """Return advice where the time of day is in a column of its own."""
    clock = (
        r"regexp_full_match(trim(CAST({} AS VARCHAR)), "
        r"'[0-2]?[0-9]:[0-5][0-9](:[0-5][0-9].*)?')"
    )
    return [
        f"{day.name} has no time of day, and {c.name} may be it. To join them, such as: --set "
        '"event_time='
        f"strptime({day.sql} || ' ' || {c.sql}, '%d.%m.%Y %H:%M:%S')\"."
        for c in file.columns.values()
        if c.filled
        and c is not day
        and db.count(file.connection, file.table, clock.format(c.sql)) >= 0.95 * c.filled
    ]


def _without_year(file: FileColumns, named: Sequence[ColumnValues]) -> ProposedSetting | None:
    """Return the time of postings that have day and month alone."""
    # The first line of such an export has the start of the fiscal year.
    year = re.search(r"(?<!\d)(20\d{2})0101(?!\d)", "\n".join(file.above))
    if not named:
        return None
    day = f"lpad({named[0].sql}, 4, '0')"
    if not year:
        candidates = [Candidate(f"strptime({day} || '2026', '%d%m%Y')", "put the year in")]
        why = ("day and month without a year",)
        return ProposedSetting(COLUMNS, "event_time", None, why, candidates)
    why = (f"day and month; the first line says that the fiscal year {year[1]} starts in January",)
    return ProposedSetting(COLUMNS, "event_time", f"strptime({day} || '{year[1]}', '%d%m%Y')", why)


def _zone(file: FileColumns, reading: TimeReading) -> ProposedSetting:
    if file.preset and file.preset.timezone:
        return ProposedSetting(
            "data", "timezone", file.preset.timezone, (f"known of {file.preset.name}",)
        )
    if reading.has_zone:
        return ProposedSetting("data", "timezone", "UTC", ("not used: each time has its zone",))
    if not reading.has_clock:
        return ProposedSetting("data", "timezone", "UTC", ("dates without a time of day",))
    why = ("the times name no zone, and the file cannot tell whose clock they are",)
    zones = ("Europe/Berlin", "UTC", "Europe/London")
    return ProposedSetting("data", "timezone", None, why, [Candidate(zone) for zone in zones])
