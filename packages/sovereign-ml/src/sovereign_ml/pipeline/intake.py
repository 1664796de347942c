"""Intake of step 1: the team's files mapped to the contract, with marks on people.

The marks are of people who may not be processed. The tables live in an in-memory DuckDB: ``mapped``
(purchases) and ``people`` (customers). Ids are still in clear.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sovereign_ml.config.tables import CustomerColumns, DataSettings, EventTable, ReaderSettings
from sovereign_ml.decision_log.entries import BARS
from sovereign_ml.errors import Misuse
from sovereign_ml.pipeline.input_checks import exchange_rates
from sovereign_ml.pipeline.input_checks.customer_ids import named_id
from sovereign_ml.pipeline.input_checks.event_rows import EventRows
from sovereign_ml.pipeline.input_checks.unusable import seen_columns
from sovereign_ml.pipeline.input_tables import Gates, InputTables
from sovereign_ml.pipeline.source import SYNTHETIC, InputFiles
from sovereign_ml.privacy import subjects, suppression
from sovereign_ml.storage import duckdb as db
from sovereign_ml.storage import instants
from sovereign_ml.storage.artifacts import read_json
from sovereign_ml.storage.expressions import Expressions, is_word, number

if TYPE_CHECKING:
    import duckdb

__all__ = [
    "SOURCE",
    "Intake",
    "contract_values",
    "event_values",
    "map_customers",
    "map_events",
    "map_transactions",
]

CONTRACT = ("started_at", "ended_at")
SOURCE = "source_transactions"
"""The loaded table of transactions or, in a database of its own, of events."""
NO_DATE = (
    *("null", "(null)", "nan", "nat", "<na>", "none", "nil", "n/a", "na", r"\n"),
    *("0000-00-00", "0000-00-00 00:00:00"),
)
"""Values of exports that stand for no date.

Any other value of an objection or an erasure counts as a date.
"""


@dataclass(frozen=True)
class Intake:
    """Reader of the input that ``data/source.json`` names, by the mapping of ``[data]``."""

    files: InputFiles
    gates: Gates

    @property
    def lawful_basis(self) -> str:
        """Return ``consent`` if the customers table has that column, else config.toml's basis."""
        config = self.files.config
        return "consent" if config.asks_consent else config.lawful_basis

    def read(self, source: Path) -> InputTables:
        """Load and map the input named in the file ``source``.

        Raises Misuse for input that cannot be read or mapped, and where the pseudonym key is not
        the one in use.
        """
        # First of all: pseudonyms under another key would meet no tombstone of an erased person.
        suppression.check_key(self.gates.suppression)
        connection = db.connect()
        connection.execute("SET TimeZone = 'UTC'")
        pinned = read_json(source)
        notes = _load(connection, pinned, self.files)
        with self.files.local_copies(self.files.config.rates_file) as paths:
            exchange_rates.load(connection, self.files.config, paths)
        map_customers(connection, self.files.config)
        map_transactions(connection, self.files.config)
        events = tuple(self._events(name) for name in self.files.config.events)
        return InputTables(connection, pinned, self.gates, self.files.config, notes, events)

    def _events(self, name: str) -> EventRows:
        """Load and map one event table, in a database of its own."""
        # A database of its own, because its tables have the names of those of the purchases.
        connection, table = db.connect(), self.files.config.events[name]
        with self.files.local_copies(table.file) as paths:
            notes = db.load_files(connection, SOURCE, paths, table.reader).notes
        map_events(connection, table, f"data.events.{name}", self.files.config.timezone)
        return EventRows(name, table, connection, tuple(notes))


def _load(
    connection: duckdb.DuckDBPyConnection, pinned: dict[str, Any], files: InputFiles
) -> tuple[str, ...]:
    """Load the tables as they are and return notes on what was left out on purpose."""
    config = files.config
    if not config.asks_consent and not config.lawful_basis:
        raise Misuse(
            "No customers table with a consent column: config.toml must name lawful_basis under "
            "[data] (contract, legal_obligation, legitimate_interests, public_task), and the card "
            "will say so."
        )
    if not config.asks_consent and config.lawful_basis == "consent":
        raise Misuse(
            "config.toml [data] lawful_basis is 'consent', but nothing says who consented: name a "
            "customers "
            "table and its consent column under [data.customer_columns], or another lawful basis."
        )
    if pinned["kind"] == SYNTHETIC:
        from sovereign_ml.pipeline.demo_shop import make

        shop = make(config.synthetic)
        connection.register("shop_transactions", shop.transactions)
        connection.register("shop_customers", shop.customers)
        connection.execute("CREATE TABLE source_transactions AS FROM shop_transactions")
        connection.execute("CREATE TABLE source_customers AS FROM shop_customers")
        return ()
    notes: list[str] = []
    for table in ("transactions", "customers"):
        if table in pinned:
            with files.local_copies(pinned[table]["path"]) as paths:
                loaded = db.load_files(connection, f"source_{table}", paths, config.reader)
            notes += loaded.notes
    return tuple(notes)


def map_customers(connection: duckdb.DuckDBPyConnection, config: DataSettings) -> None:
    """Make the table ``people`` with one row per customer: dates, marks and groups.

    It is empty without a customers table.
    """
    mapping = {k: v for k, v in config.customer_columns.model_dump().items() if v}
    if not config.customers:
        connection.execute(
            "CREATE TABLE people (customer_id VARCHAR, consent BOOLEAN, objected_at TIMESTAMPTZ, "
            "restricted_at TIMESTAMPTZ, withdrawn_at TIMESTAMPTZ, "
            "started_at TIMESTAMPTZ, ended_at TIMESTAMPTZ, birth_year INTEGER, country VARCHAR, "
            f"{', '.join(f'{mark} BOOLEAN' for mark in subjects.MARKS)})"
        )
        return
    read = Expressions(
        connection, "source_customers", "data.customer_columns", config.reader, mapping
    )
    read.check()
    db.set_zone(connection, config.timezone)
    e = {key: read.name(key) if key in mapping else "NULL" for key in CustomerColumns.model_fields}
    # An unreadable consent is none; without a consent column nobody is said to have refused.
    consent = (
        f"coalesce(TRY_CAST({e['consent']} AS BOOLEAN), false)"
        if "consent" in mapping
        else "NULL::BOOLEAN"
    )
    for mark in subjects.MARKS:
        value = e[f"{mark}_at"]
        nothing = is_word(f"CAST({value} AS VARCHAR)", NO_DATE)
        e[f"{mark}_at"] = f"CASE WHEN NOT {nothing} THEN {value} END" if value != "NULL" else value
    # Not guarded: an objection that cannot be read stops the step.
    rows = read.layered("source_customers", list(mapping), guarded=False)
    started, ended = (_contract_day(e[key], config) for key in CONTRACT)
    db.run_mapped(
        connection,
        f"""CREATE TABLE people AS SELECT {named_id(e["customer_id"], config.reader.null_words)} AS customer_id,
            bool_and({consent}) AS consent,
            {", ".join(f"min(TRY_CAST({e[f'{bar}_at']} AS TIMESTAMPTZ)) AS {bar}_at" for bar in BARS.values())},
            min({started}) AS started_at, min({ended}) AS ended_at,
            min(TRY_CAST({e["birth_year"]} AS INTEGER)) AS birth_year,
            min(CAST({e["country"]} AS VARCHAR)) AS country,
            {", ".join(f"bool_or({e[f'{mark}_at']} IS NOT NULL) AS {mark}" for mark in subjects.MARKS)}
        FROM {rows} GROUP BY ALL""",  # noqa: S608  expressions are the team's own configuration
        "data.customer_columns",
    )
    if "ended_at" in mapping:
        _check_contracts(connection, read, rows, config)


def _day_only(value: str) -> str:
    return f"regexp_full_match(trim(CAST({value} AS VARCHAR)), '[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}')"


def _contract_day(value: str, config: DataSettings) -> str:
    """Return SQL for the start or the end of a contract, null where there is none to read."""
    text = f"trim(CAST({value} AS VARCHAR))"
    # A date without a time is a day of the calendar and not an instant: cut-offs are days in UTC,
    # and midnight in Berlin would lie on the day before.
    full = f"CASE WHEN {_day_only(value)} THEN {text} || ' 00:00:00+00' ELSE {text} END"
    instant = f"TRY_CAST({full} AS TIMESTAMPTZ)"
    nothing = is_word(text, config.reader.null_words)
    return f"CASE WHEN NOT {nothing} AND isfinite({instant}) THEN {instant} END"


def _check_contracts(
    connection: duckdb.DuckDBPyConnection, read: Expressions, rows: str, config: DataSettings
) -> None:
    """Raise Misuse for unusable dates of contracts.

    These are dates that cannot be read, an end before its start, and several contracts of one
    customer.
    """
    where = "config.toml [data.customer_columns]"
    values = {key: read.name(key) for key in CONTRACT if key in read.mapping}
    for key, value in values.items():
        text = f"trim(CAST({value} AS VARCHAR))"
        masked = f"regexp_replace(regexp_replace({text}, '\\p{{L}}', 'a', 'g'), '[0-9]', '9', 'g')"
        ((bad, sample),) = connection.execute(
            f"""SELECT count(*), min({masked}) FROM {rows} WHERE {text} IS NOT NULL
            AND NOT {is_word(text, config.reader.null_words)} AND {_contract_day(value, config)} IS NULL"""  # noqa: S608
        ).fetchall()
        if bad:
            raise Misuse(
                f"{where} {key}: {bad:,} dates cannot be read, for example {sample!r} (letters as "
                "a, digits as 9). "
                f"Give the format, such as {key} = \"strptime(col, '%d/%m/%Y')\"."
            )
    days = {key: _contract_day(value, config) for key, value in values.items()}
    if "started_at" in days:
        start, end = (values[key] for key in CONTRACT)
        # An end without a time is the whole of its day, in the westernmost zone until noon UTC of
        # the next.
        mixed = f"{_day_only(end)} AND NOT {_day_only(start)}"
        ((bad,),) = connection.execute(
            f"""SELECT count(*) FROM {rows} WHERE {days["ended_at"]} +
            CASE WHEN {mixed} THEN INTERVAL 36 HOUR ELSE INTERVAL 0 HOUR END < {days["started_at"]}"""  # noqa: S608
        ).fetchall()
        if bad:
            raise Misuse(
                f"{where}: {bad:,} contracts have an ended_at before their started_at. Are the two "
                "exchanged, or is a date in the wrong format?"
            )
    customer = named_id(read.name("customer_id"), config.reader.null_words)
    fields = ", ".join(f"'{key}': {day}" for key, day in days.items())
    ((several,),) = connection.execute(
        f"""SELECT count(*) FROM (SELECT {customer} AS id FROM {rows} WHERE id IS NOT NULL
        GROUP BY ALL HAVING count(DISTINCT {{{fields}}}) > 1)"""  # noqa: S608
    ).fetchall()
    if several:
        raise Misuse(
            f"The customers table has {several:,} customers with several contracts: give one row "
            "for each customer, or make the number of the contract the customer_id in both tables."
        )


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
        "event_time": _moment(read.value("event_time")),
        "kind": f"CAST({read.value('kind')} AS VARCHAR)",
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
    time = _moment(read.value("event_time"))
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
            f"concat(CAST({read.value('currency')} AS VARCHAR), ' ', CAST({time} AS DATE)) END"
        )
    return {
        "customer_id": named_id(read.value("customer_id"), config.reader.null_words),
        "event_time": time,
        "amount_read": amount,
        "amount_eur": f"TRY_CAST({amount} * {rate} AS DECIMAL(18, 2))",
        "category": f"CAST({read.value('category')} AS VARCHAR)",
        "order_id": f"nullif(trim(CAST({read.value('order_id')} AS VARCHAR)), '')",
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
    if bad * 2 <= total:
        return
    named = db.mentioned(list(read.columns), read.mapping["event_time"])
    column = db.quoted(named[0]) if named else "NULL"
    sample = connection.execute(
        f"""SELECT CAST({column} AS VARCHAR) FROM {rows}
        WHERE TRY_CAST({read.value("event_time")} AS TIMESTAMPTZ) IS NULL ORDER BY ALL LIMIT 1"""  # noqa: S608
    ).fetchall()
    example = sample[0][0] if sample else None
    hint = instants.epoch_hint(example, column) if named else ""
    raise Misuse(
        f"{bad:,} of {total:,} times cannot be read, for example {example!r}: "
        + (
            f"these are seconds since 1970 or parts of them, write event_time = '{hint}'."
            if hint
            else f"give the format in [{read.section}], such as event_time = "
            "\"strptime(col, '%d/%m/%Y %H:%M')\"."
        )
    )
