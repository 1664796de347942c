"""Likely causes of differences: units, rounding, time zones, window edges, late rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from sovereign_ml.config.leaving import FeatureTolerance
from sovereign_ml.leaving.feature_parity.equality import number_differs
from sovereign_ml.leaving.feature_parity.past_moments import FeatureReplay
from sovereign_ml.leaving.feature_parity.result import ComparedFeature, FeatureParity
from sovereign_ml.storage import duckdb as db

_RATIOS = (7, 24, 30, 60, 100, 365, 1000, 1440, 3600, 86400, 1_000_000)
"""Numbers between usual units: cents, days, hours, minutes, seconds."""
_FEWEST = 3
"""Smallest number of differences that show a common offset or ratio."""
_SHARE = 0.2
"""Share of a feature's open differences that a common offset or ratio must explain."""
_SHIFT_SHARE = 0.5
"""Share of the differences tried that another moment must explain."""
_MOMENTS, _PEOPLE = 10, 5_000
"""Moments and people of the differences that are tried at other moments."""
_OPEN = "cause IS NULL"


@dataclass(frozen=True)
class _Shift:
    cause: str
    detail: str
    sql: str
    """SQL for the moment at which the old values may have been computed."""


def _shifts() -> Iterator[_Shift]:
    yield _Shift("window edge", "its last moment counts", "moment + INTERVAL 1 SECOND")
    for hours in (1, -1, 2, -2):
        yield _Shift("time zone", f"{hours:+d} h", f"moment + INTERVAL ({hours}) HOUR")
    yield _Shift("window edge", "as of the start of the day", "date_trunc('day', moment)")
    yield _Shift(
        "window edge", "as of the end of the day", "date_trunc('day', moment) + INTERVAL 1 DAY"
    )
    for days in (1, -1):
        yield _Shift("window edge", f"{days:+d} day", f"moment + INTERVAL ({days}) DAY")
    for hours in (-5, -6, -8, 5, 6, 8, 9, -9):
        yield _Shift("time zone", f"{hours:+d} h", f"moment + INTERVAL ({hours}) HOUR")


def find(replay: FeatureReplay, result: FeatureParity, tolerance: FeatureTolerance) -> None:
    """Give every row of ``differences`` a cause, and count them in the features of ``result``."""
    connection = replay.connection
    for number, feature in enumerate(result.features):
        ((feature.differing, largest),) = connection.execute(
            "SELECT count(*), max(abs(old - new)) FILTER (isfinite(old) AND isfinite(new)) "
            "FROM differences WHERE feature = ?",
            [number],
        ).fetchall()
        feature.largest = float(largest or 0)
        if feature.kind == "number" and feature.differing:
            # The first cause that fits stays, so the most certain ones come first.
            _common_offset(replay, number, feature)
            _common_ratio(replay, number, feature, tolerance)
            _rounded(replay, number)
    if db.count(connection, "differences", _OPEN):
        _other_moments(replay, result, tolerance)
    _short_history(replay)
    day = "INTERVAL 1 DAY"
    late_rows = db.count(connection, "old_rows", f"created_timestamp > event_timestamp + {day}")
    # Where most rows were written later, as by a backfill, lateness explains nothing.
    if 2 * late_rows < result.all_rows:
        _set(replay, "late", f"written > moment + {day}")
    _set(replay, "unexplained", "true")
    for number, cause, count in connection.execute(
        "SELECT feature, cause, count(*) FROM differences GROUP BY ALL"
    ).fetchall():
        result.features[number].causes[cause] = count


def _short_history(replay: FeatureReplay) -> None:
    """Mark moments whose look-back begins before our first transaction."""
    _set(
        replay,
        "short history",
        f"moment < TIMESTAMP '{replay.first}' + INTERVAL {replay.lookback_days} DAY",
    )


def _set(replay: FeatureReplay, cause: str, where: str) -> None:
    """Give the open differences that satisfy ``where`` their cause."""
    replay.connection.execute(
        f"UPDATE differences SET cause = '{cause}' WHERE {_OPEN} AND ({where})"  # noqa: S608
    )


def _open(replay: FeatureReplay, number: int) -> int:
    return db.count(replay.connection, "differences", f"{_OPEN} AND feature = {number}")


def _common_offset(replay: FeatureReplay, number: int, feature: ComparedFeature) -> None:
    """Find a constant number of hours between values in days."""
    # Time zones reach from -12 to +14 hours.
    hours = "(old - new) * 24"
    rows = replay.connection.execute(
        f"SELECT CAST(round({hours}) AS INTEGER) AS h, count(*) AS n FROM differences "  # noqa: S608
        f"WHERE {_OPEN} AND feature = {number} AND abs({hours}) BETWEEN 0.5 AND 15 "
        f"AND abs({hours} - round({hours})) < 1e-5 GROUP BY h ORDER BY n DESC, h LIMIT 1"
    ).fetchall()
    for common, count in rows:
        if count >= max(_FEWEST, _SHARE * _open(replay, number)):
            fits = f"feature = {number} AND abs({hours} - {common}) < 1e-5"
            _set(replay, "time zone", fits)
            feature.details["time zone"] = f"{common:+d} h"


def _common_ratio(
    replay: FeatureReplay, number: int, feature: ComparedFeature, tolerance: FeatureTolerance
) -> None:
    """Find a constant factor of a usual unit."""
    factors = [f"{ratio}.0" for ratio in _RATIOS] + [f"1.0 / {ratio}" for ratio in _RATIOS]
    # Even without a tolerance, the quotient of two doubles is hardly ever exact.
    limit = max(tolerance.relative, 1e-6)

    def fits(factor: str) -> str:
        return f"new <> 0 AND abs(old / new / ({factor}) - 1) <= {limit}"

    counts = ", ".join(f"count(*) FILTER ({fits(factor)})" for factor in factors)
    rows = replay.connection.execute(
        f"SELECT {counts} FROM differences WHERE {_OPEN} AND feature = {number}"  # noqa: S608
    ).fetchall()
    count, factor = max(zip(rows[0], factors, strict=True))
    if count >= max(_FEWEST, _SHARE * _open(replay, number)):
        _set(replay, "unit", f"feature = {number} AND {fits(factor)}")
        feature.details["unit"] = f"times {factor.removesuffix('.0')}"


def _rounded(replay: FeatureReplay, number: int) -> None:
    """Mark old values with few decimals that are ours, rounded or cut off."""
    for decimals in range(5):
        step = f"1e-{decimals}"
        _set(
            replay,
            "rounding",
            f"feature = {number} AND abs(old - round(old, {decimals})) <= 1e-9 * abs(old) "
            # From 1e15 on a double has hardly a decimal, so that any value would look rounded.
            f"AND abs(old - new) < {step} AND abs(new) < 1e15",
        )


def _other_moments(
    replay: FeatureReplay, result: FeatureParity, tolerance: FeatureTolerance
) -> None:
    """Try whether open differences are our values as of another moment."""
    connection = replay.connection
    connection.execute(
        # A hash chooses the people, so that they are spread over all keys and the same each time.
        "CREATE OR REPLACE TABLE tried AS SELECT customer_id, moment, feature, old, old_text "  # noqa: S608
        f"FROM differences WHERE {_OPEN} AND moment IN (SELECT moment FROM differences "
        f"WHERE {_OPEN} GROUP BY moment ORDER BY count(*) DESC, moment LIMIT {_MOMENTS}) "
        f"AND customer_id IN (SELECT customer_id FROM differences WHERE {_OPEN} "
        f"GROUP BY customer_id ORDER BY hash(customer_id) LIMIT {_PEOPLE})"
    )
    counts = Counter(
        dict(connection.execute("SELECT feature, count(*) FROM tried GROUP BY ALL").fetchall())
    )
    best: dict[int, tuple[int, _Shift]] = {}
    with replay.only("tried"):
        for shift in _shifts():
            for number, count in _explained(replay, result, tolerance, shift):
                if count > best.get(number, (0, shift))[0]:
                    best[number] = (count, shift)
        for number, (count, shift) in best.items():
            if count < max(_FEWEST, _SHIFT_SHARE * counts[number]):
                continue
            # For the best shift again, because the table holds the answer to the last shift tried.
            _explained(replay, result, tolerance, shift)
            _set(
                replay,
                shift.cause,
                f"feature = {number} AND (customer_id, moment) IN "  # noqa: S608
                f"(SELECT (customer_id, moment) FROM explained WHERE feature = {number})",
            )
            result.features[number].details[shift.cause] = shift.detail
            if count >= 0.9 * counts[number]:
                # What holds for the differences tried holds for the others of the feature.
                _set(
                    replay,
                    shift.cause,
                    f"feature = {number} AND (customer_id, moment) NOT IN "  # noqa: S608
                    f"(SELECT (customer_id, moment) FROM tried WHERE feature = {number})",
                )


def _explained(
    replay: FeatureReplay, result: FeatureParity, tolerance: FeatureTolerance, shift: _Shift
) -> list[tuple[int, int]]:
    """Create ``explained``: tried differences that are none at the shifted moment. Count them."""
    connection = replay.connection
    moments = connection.execute(
        f"SELECT DISTINCT {shift.sql} AS replayed FROM tried ORDER BY replayed"  # noqa: S608
    ).fetchall()
    replay.compute([moment for (moment,) in moments])
    parts = []
    for number, feature in enumerate(result.features):
        if feature.kind == "number":
            value = f"CAST(({feature.expression}) AS DOUBLE)"
            same = f"NOT ({number_differs('old', value, tolerance)})"
        else:
            same = f"old_text IS NOT DISTINCT FROM CAST(({feature.expression}) AS VARCHAR)"
        parts.append(
            "SELECT t.customer_id, t.moment, feature FROM tried t JOIN snapshots s ON "  # noqa: S608
            f"t.customer_id = s.customer_id AND s.event_timestamp = {shift.sql} "
            f"WHERE feature = {number} AND {same}"
        )
    connection.execute(f"CREATE OR REPLACE TABLE explained AS {' UNION ALL '.join(parts)}")
    rows = connection.execute("SELECT feature, count(*) FROM explained GROUP BY ALL").fetchall()
    return [(int(number), int(count)) for number, count in rows]
