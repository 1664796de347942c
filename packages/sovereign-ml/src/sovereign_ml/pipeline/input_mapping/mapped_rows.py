"""The table ``mapped``: purchases or events in the columns of the contract, ids still in clear."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sovereign_ml.config.data_tables import DataSettings, EventTable, ReaderSettings
from sovereign_ml.errors import Misuse
from sovereign_ml.pipeline.input_checks import exchange_rates
from sovereign_ml.pipeline.input_checks.customer_ids import named_id
from sovereign_ml.pipeline.input_checks.unusable import seen_columns, shown
from sovereign_ml.storage import duckdb as db
from sovereign_ml.storage import instants
from sovereign_ml.storage.expressions import Expressions, as_word, is_word, number

if TYPE_CHECKING:
    import duckdb

__all__ = ["SOURCE", "contract_values", "event_values", "map_events", "map_transactions"]

SOURCE = "source_transactions"
"""The loaded table of transactions or, in a database of its own, of events."""


def map_transactions(connection: duckdb.DuckDBPyConnection, config: DataSettings) -> None:
    """Make the table ``mapped``: the contract's columns and the copies of each distinct source row.

    The table ``exchange_rates`` must exist.
    """
    mapping = {k: v for k, v in config.columns.model_dump().items() if v}
    read = _opened(connection, config.reader, config.timezone, "data.columns", mapping)
    fate, copies = _once(connection, config, "data", list(read.columns))
    rows = read.layered("once", list(mapping), guarded=True)
    instants.check(read, rows)
    rows = exchange_rates.joined(read, rows, fate)
    value = contract_values(read, config)
    if "currency" in mapping:
        exchange_rates.check(connection, config)
    amount = value.pop("amount_read")
    failing = {
        f"unreadable_{key}": read.failed(key) for key in ("customer_id", "category", "order_id")
    }
    _store(read, rows, {"copies_": copies} | value, amount, fate, failing)


def map_events(
    connection: duckdb.DuckDBPyConnection, table: EventTable, section: str, timezone: str
) -> None:
    """Make the table ``mapped`` of an event table, with kind and value for order and amount.

    An empty value counts as no value. One that is no number makes its row unusable.
    """
    keys = ("customer_id", "event_time", "kind", "value")
    mapping = {key: getattr(table, key) for key in keys if getattr(table, key)}
    read = _opened(connection, table.reader, timezone, section, mapping)
    fate, copies = _once(connection, table, section, list(read.columns))
    rows = read.layered("once", list(mapping), guarded=True)
    instants.check(read, rows)
    values = event_values(read)
    written, value = f"CAST({read.value('value')} AS VARCHAR)", values["value"]
    # What stands in the file and is no number: as the result, or in a column that the expression
    # needs as one.
    needed = {db.quoted(name): sql for name, sql in read.numbers.get("value", {}).items()}
    no_number = " OR ".join(
        f"({sql} IS NULL AND {original} IS NOT NULL AND NOT "
        f"{is_word(original, table.reader.null_words)})"
        for original, sql in {written: value, **needed}.items()
    )
    failing = {
        "unreadable_customer_id": read.failed("customer_id"),
        "unreadable_kind": read.failed("kind"),
        "unreadable_value": f"{read.failed('value')} OR {no_number}",
    }
    values |= {"copies_": copies, "rate_seen": "NULL::VARCHAR"}
    _store(read, rows, values, value, fate, failing)


def _moment(value: str) -> str:
    """Return SQL for the time of an event, null for the zero of a calendar."""
    time = f"TRY_CAST({value} AS TIMESTAMPTZ)"
    # Exports write such a zero, 1970-01-01 or 0001-01-01, where there is no time.
    return f"CASE WHEN {time} >= TIMESTAMPTZ '1971-01-01 00:00:00+00' THEN {time} END"


def event_values(read: Expressions) -> dict[str, str]:
    """Return SQL for each column of an event table over the guarded values of ``read``."""
    written = f"CAST({read.value('value')} AS VARCHAR)"
    text = "value" in read.mapping and read.result_type("value") == "VARCHAR"
    value = number(written, read.reader.decimal if text else ".")
    return {
        "customer_id": named_id(read.value("customer_id"), read.reader.null_words),
        "event_time": _moment(instants.as_read(read)),
        "kind": as_word(read.value("kind")),
        "value": f"CASE WHEN isfinite({value}) THEN {value} END",
    }


def _opened(
    connection: duckdb.DuckDBPyConnection,
    reader: ReaderSettings,
    timezone: str,
    section: str,
    mapping: Mapping[str, str],
) -> Expressions:
    """Return the checked expressions over the loaded table, on a connection in the data's zone."""
    read = Expressions(connection, SOURCE, section, reader, mapping)
    read.check()
    db.set_zone(connection, timezone)
    return read


def _store(
    read: Expressions,
    rows: str,
    values: Mapping[str, str],
    amount: str,
    fate: str,
    failing: Mapping[str, str],
) -> None:
    """Make the table ``mapped`` of ``values``, and check its times.

    ``amount`` is SQL for the number that was read. ``fate`` is the column with the verdict of the
    filter. ``failing`` has SQL for each other reason why a row cannot be used.
    """
    cases = " ".join(f"WHEN {condition} THEN '{reason}'" for reason, condition in failing.items())
    columns = ", ".join(f"{value} AS {name}" for name, value in values.items())
    originals = seen_columns(
        list(read.columns), read.mapping, values["event_time"], amount, values["customer_id"]
    )
    db.run_mapped(
        read.connection,
        f"""CREATE TABLE mapped AS SELECT {columns},
            CASE WHEN {fate} IS NOT NULL THEN {fate} {cases} END AS unusable, {originals}
        FROM {rows}""",  # noqa: S608
        read.section,
    )
    _check_times(read, rows)


def contract_values(read: Expressions, config: DataSettings) -> dict[str, str]:
    """Return SQL for each column of the contract over the guarded values of ``read``.

    ``amount_read`` is the amount before its conversion to EUR. ``rate_age`` is the number of days
    from the start of the rate to the purchase, null for a constant rate. ``rate_seen`` has the
    currency and the day where a readable amount has no rate or an old one.
    """
    amount = read.value("amount_eur")
    text = read.result_type("amount_eur") == "VARCHAR"
    amount = number(amount, config.reader.decimal) if text else f"TRY_CAST({amount} AS DOUBLE)"
    time = _moment(instants.as_read(read))
    rate, age, rate_seen = "1", "NULL::INTEGER", "NULL::VARCHAR"
    if "currency" in read.mapping:
        rate, since = read.name("rate"), read.name("since")
        age = (
            f"CASE WHEN isfinite({time}) AND isfinite({since}) "
            f"THEN CAST({time} AS DATE) - {since} END"
        )
        telling = f"{rate} IS NULL OR ({age}) > {config.checks.max_rate_age_days}"
        rate_seen = (
            f"CASE WHEN {amount} IS NOT NULL AND {time} IS NOT NULL AND ({telling}) THEN "
            f"concat({as_word(read.value('currency'))}, ' ', CAST({time} AS DATE)) END"
        )
    return {
        "customer_id": named_id(read.value("customer_id"), config.reader.null_words),
        "event_time": time,
        "amount_read": amount,
        "amount_eur": f"TRY_CAST({amount} * {rate} AS DECIMAL(18, 2))",
        "category": as_word(read.value("category")),
        "order_id": as_word(read.value("order_id")),
        "rate_age": age,
        "rate_seen": rate_seen,
    }


def _once(
    connection: duckdb.DuckDBPyConnection,
    config: DataSettings | EventTable,
    section: str,
    columns: list[str],
) -> tuple[str, str]:
    """Make the table ``once`` of distinct rows, with copies and the verdict of ``where``.

    Returns the names of these two columns, which no column of the source has.
    """
    fate, copies = (_free(columns, name) for name in ("fate", "copies"))
    verdict, source = "NULL::VARCHAR", SOURCE
    if config.where:
        read = Expressions(connection, source, section, config.reader, {"where": config.where})
        read.check()
        if (kind := read.result_type("where")) != "BOOLEAN":
            raise Misuse(
                f"config.toml [{section}] where = {config.where!r} is no condition but {kind}: "
                "write one that is true "
                "for the rows to keep, such as \"status = 'paid'\"."
            )
        verdict = (
            f"CASE WHEN {read.failed('where')} THEN 'unreadable_filter' "
            f"WHEN {read.value('where')} IS NOT TRUE THEN 'filtered' END"
        )
        source = read.layered(source, ["where"], guarded=True)
    star = f"* EXCLUDE ({read.name('where')})" if config.where else "*"
    judged = f"(SELECT {star}, {verdict} AS {fate} FROM {source})"  # noqa: S608
    # Rows that the filter leaves out are counted one by one, so that each of them has one reason.
    single = "true" if config.duplicates == "keep" else f"{fate} IS NOT NULL"
    connection.execute(
        f"""CREATE TABLE once AS SELECT *, 1 AS {copies} FROM {judged} WHERE {single}
        UNION ALL SELECT *, count(*) AS {copies} FROM {judged} WHERE NOT ({single}) GROUP BY ALL"""  # noqa: S608
    )
    return fate, copies


def _free(columns: list[str], name: str) -> str:
    used = {column.casefold() for column in columns}
    while name in used:
        name += "_"
    return name


def _check_times(read: Expressions, rows: str) -> None:
    connection = read.connection
    judged = "unusable IS NULL OR unusable NOT IN ('filtered', 'unreadable_filter')"
    total = db.count(connection, "mapped", judged)
    bad = db.count(connection, "mapped", f"({judged}) AND event_time IS NULL")
    # More than half is a wrong format. Fewer are set aside and judged by their share.
    if bad * 2 <= total:
        return
    named = db.mentioned(list(read.columns), read.mapping["event_time"])
    column = db.quoted(named[0]) if named else "NULL"
    sample = connection.execute(
        f"""SELECT CAST({column} AS VARCHAR) FROM {rows}
        WHERE ({_moment(instants.as_read(read))}) IS NULL ORDER BY ALL LIMIT 1"""  # noqa: S608
    ).fetchall()
    example = sample[0][0] if sample else None
    hint = instants.epoch_hint(example, column) if named else ""
    # A wrong column may hold names or addresses, and messages end up in the logs of a cluster.
    example = example and shown(str(example), hide=False)
    raise Misuse(
        f"{bad:,} of {total:,} times cannot be read, for example {example!r}: "
        + (
            f"these are seconds since 1970 or parts of them, write event_time = '{hint}'."
            if hint
            else f"give the format in [{read.section}], such as event_time = "
            "\"strptime(col, '%d/%m/%Y %H:%M')\"."
        )
    )
