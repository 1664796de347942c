"""Refuse time expressions that drop a zone, or that read seconds since 1970 as local time."""

from __future__ import annotations

from sovereign_ml.errors import Misuse
from sovereign_ml.storage import duckdb as db
from sovereign_ml.storage.expressions import SPACES, Expressions, is_number

KEY = "event_time"
WITH_ZONE = ("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ_NS")
ZONE = (
    r".*[0-9]:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?\s*"
    r"(Z|z|[A-Z]{3,5}|[+-][0-9]{2}(:?[0-9]{2}){0,2}|[A-Z][A-Za-z]+/[A-Za-z_/]+)\s*"
)
"""A time of day with a zone after it."""
EPOCHS = (
    (3e8, 5e9, ""),
    (3e11, 5e12, " / 1000"),
    (3e14, 5e15, " / 1000000"),
    (3e17, 5e18, " / 1000000000"),
)
"""Seconds, milli-, micro- and nanoseconds since 1970 for 1979 to 2128, each with its divisor."""
TWO_ZONES = {"BST": "+01:00", "IST": "+01:00"}
"""Summer time of London and Dublin, which DuckDB reads as the time of Dhaka and of India."""
FROM_EPOCH = ("epoch", "make_timestamp", "interval")


def check(expressions: Expressions, source: str) -> None:
    """Check that the time expression keeps the instant over ``source``. Raises Misuse."""
    kind = expressions.result_type(KEY)
    columns = expressions.columns
    named = db.mentioned(list(columns), expressions.mapping[KEY])
    if is_number(kind):
        sample = _one(expressions, source, expressions.value(KEY), "true")
        raise Misuse(
            f"{_start(expressions)} gives numbers, for example {sample}: "
            f"{_advice(expressions, sample)}"
        )
    _check_names(expressions, source, kind)
    if kind in WITH_ZONE:
        return
    for name in named:
        _check_zone(expressions, source, name, columns[name], kind)
        if kind.startswith("TIMESTAMP"):
            _check_epoch(expressions, source, name)


def as_read(expressions: Expressions) -> str:
    """Return SQL for the guarded value of the time, without spaces around a text."""
    value = expressions.value(KEY)
    # DuckDB reads "2026-01-05 10:00 " of a column of fixed width, but not "2026-01-05 ".
    return f"trim({value}, {SPACES})" if expressions.result_type(KEY) == "VARCHAR" else value


def epoch_hint(sample: object, column: str) -> str:
    """Return the expression that reads ``sample`` as an epoch time, "" if it cannot be one."""
    try:
        size = abs(float(str(sample)))
    except ValueError:
        return ""
    for low, high, divided in EPOCHS:
        if low <= size <= high:
            return f"to_timestamp({column}{divided})"
    return ""


def _check_names(expressions: Expressions, source: str, kind: str) -> None:
    """Refuse an abbreviation of a zone that DuckDB reads as one on another continent."""
    expression = expressions.mapping[KEY]
    if kind == "VARCHAR":
        values = [expressions.value(KEY)]
    elif "%Z" in expression:
        named = db.mentioned(list(expressions.columns), expression)
        values = [f"CAST({db.quoted(name)} AS VARCHAR)" for name in named]
    else:
        return
    for value in values:
        for name, offset in TWO_ZONES.items():
            # Where the expression itself names the zone, it replaces it.
            if f"{name}'" in expression:
                continue
            sample = _one(expressions, source, value, f"regexp_matches({value}, '[0-9] *{name}$')")
            if sample is not None:
                raise Misuse(
                    f"{_start(expressions)}: {name} in {sample!r} is the name of several zones. "
                    f"Write the offset, such as event_time = \"replace(col, ' {name}', '{offset}')\" "
                    "for the summer time of London or Dublin."
                )


def _check_zone(
    expressions: Expressions, source: str, name: str, column_type: str, kind: str
) -> None:
    """Refuse where a value of the column has a zone and the result has none."""
    if column_type not in ("VARCHAR", *WITH_ZONE):
        return
    column = f"CAST({db.quoted(name)} AS VARCHAR)"
    value = expressions.value(KEY)
    has_zone = f"{value} IS NOT NULL AND regexp_full_match({column}, {db.literal(ZONE)})"
    if column_type in WITH_ZONE:
        has_zone = f"{column} IS NOT NULL"
    keeps_zone = f"regexp_full_match({value}, {db.literal(ZONE)})" if kind == "VARCHAR" else "false"
    sample = _one(expressions, source, column, f"{has_zone} AND NOT {keeps_zone}")
    if sample is not None:
        raise Misuse(
            f"{_start(expressions)} drops the zone of {sample!r}, so the time would be read in "
            f"[data] timezone: write event_time = '{_plain(name)}', or strptime with %z for "
            "another format."
        )


def _check_epoch(expressions: Expressions, source: str, name: str) -> None:
    """Refuse where the column holds seconds since 1970 and the result has no zone."""
    expression = expressions.mapping[KEY].lower()
    # strptime reads digits as a calendar date, never as an epoch.
    if "strptime" in expression and not any(word in expression for word in FROM_EPOCH):
        return
    size = f"abs(TRY_CAST(CAST({db.quoted(name)} AS VARCHAR) AS DOUBLE))"
    between = " OR ".join(f"{size} BETWEEN {low!r} AND {high!r}" for low, high, _ in EPOCHS)
    condition = f"{expressions.value(KEY)} IS NOT NULL AND ({between})"
    sample = _one(expressions, source, f"CAST({db.quoted(name)} AS VARCHAR)", condition)
    if sample is not None:
        raise Misuse(
            f"{_start(expressions)} gives a time without zone for the number {sample}, which "
            f"would be read in [data] timezone: write event_time = "
            f"'{epoch_hint(sample, _plain(name))}'."
        )


def _start(expressions: Expressions) -> str:
    return f"config.toml [{expressions.section}] {KEY} = {expressions.mapping[KEY]!r}"


def _advice(expressions: Expressions, sample: object) -> str:
    expression = expressions.mapping[KEY]
    if hint := epoch_hint(sample, expression):
        return f"write event_time = '{hint}'."
    return (
        f"seconds since 1970 are to_timestamp({expression}), milliseconds "
        f"to_timestamp({expression} / 1000); a calendar number such as 20260131 is "
        f"strptime(CAST({expression} AS VARCHAR), '%Y%m%d')."
    )


def _plain(name: str) -> str:
    return name if name.isidentifier() else db.quoted(name)


def _one(expressions: Expressions, source: str, value: str, condition: str) -> object:
    rows = expressions.connection.execute(
        # Ordered, so that the message shows the same value on every run.
        f"SELECT {value} FROM {source} WHERE {condition} ORDER BY ALL LIMIT 1"  # noqa: S608
    ).fetchall()
    return rows[0][0] if rows else None
