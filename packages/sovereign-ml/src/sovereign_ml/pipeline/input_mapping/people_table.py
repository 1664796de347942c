"""The table ``people``: one row per customer with dates, marks and groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sovereign_ml.config.data_tables import CustomerColumns, DataSettings
from sovereign_ml.decision_log.entries import BARS
from sovereign_ml.errors import Misuse
from sovereign_ml.pipeline.input_checks.customer_ids import named_id
from sovereign_ml.privacy import subjects
from sovereign_ml.storage import duckdb as db
from sovereign_ml.storage.expressions import Expressions, is_number, is_word

if TYPE_CHECKING:
    import duckdb

__all__ = ["map_customers"]

CONTRACT = ("started_at", "ended_at")


NO_DATE = (
    *("null", "(null)", "nan", "nat", "<na>", "none", "nil", "n/a", "na", r"\n"),
    *("0000-00-00", "0000-00-00 00:00:00"),
)
"""Values of exports that stand for no date.

Any other value of an objection or an erasure counts as a date.
"""


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
    consent = _consent(read, e["consent"])
    for mark in subjects.MARKS:
        value = e[f"{mark}_at"]
        nothing = is_word(f"CAST({value} AS VARCHAR)", NO_DATE)
        e[f"{mark}_at"] = f"CASE WHEN NOT {nothing} THEN {value} END" if value != "NULL" else value
    # Not guarded: an objection that cannot be read stops the step.
    rows = read.layered("source_customers", list(mapping), guarded=False)
    started, ended = (_contract_day(e[key], config) for key in CONTRACT)
    # Of several rows of one customer, a refusal, the first objection and any mark count.
    db.run_mapped(
        connection,
        f"""CREATE TABLE people AS SELECT {named_id(e["customer_id"], config.reader.null_words)} AS customer_id,
            bool_and({consent}) AS consent,
            {", ".join(f"min(TRY_CAST({e[f'{bar}_at']} AS TIMESTAMPTZ)) AS {bar}_at" for bar in BARS.values())},
            min({started}) AS started_at, min({ended}) AS ended_at,
            min(TRY_CAST({e["birth_year"]} AS INTEGER)) AS birth_year,
            min(nullif(trim(CAST({e["country"]} AS VARCHAR)), '')) AS country,
            {", ".join(f"bool_or({e[f'{mark}_at']} IS NOT NULL) AS {mark}" for mark in subjects.MARKS)}
        FROM {rows} GROUP BY ALL""",  # noqa: S608  expressions are the team's own configuration
        "data.customer_columns",
    )
    if "birth_year" in mapping:
        _check_birth_years(connection, e["birth_year"], rows, config)
    if "ended_at" in mapping:
        _check_contracts(connection, read, rows, config)


def _consent(read: Expressions, value: str) -> str:
    """Return SQL that is true for a consent, and null for everybody without such a column."""
    if "consent" not in read.mapping:
        return "NULL::BOOLEAN"
    # As a truth value, every number but zero is true: also the 2 of a survey, which is a no.
    if is_number(read.result_type("consent")):
        return f"coalesce({value} = 1, false)"
    # A column of fixed width ends in spaces. An unreadable consent is none.
    return f"coalesce(TRY_CAST(trim(CAST({value} AS VARCHAR)) AS BOOLEAN), false)"


def _check_birth_years(
    connection: duckdb.DuckDBPyConnection, value: str, rows: str, config: DataSettings
) -> None:
    """Raise Misuse where most years of birth are no number: the fairness test would be empty."""
    text = f"trim(CAST({value} AS VARCHAR))"
    ((filled, years, sample),) = connection.execute(
        f"""SELECT count(*), count(TRY_CAST({value} AS INTEGER)), min({_masked(text)})
        FROM {rows} WHERE {text} IS NOT NULL AND NOT {is_word(text, config.reader.null_words)}"""  # noqa: S608
    ).fetchall()
    if 2 * years < filled:
        raise Misuse(
            f"config.toml [data.customer_columns] birth_year: {filled - years:,} of {filled:,} "
            f"values are no year, for example {sample!r} (letters as a, digits as 9). Of a date, "
            'take the year alone: birth_year = "year(CAST(col AS DATE))", or '
            "\"year(strptime(col, '%d.%m.%Y'))\"."
        )


def _masked(text: str) -> str:
    """Return SQL for the shape of ``text``, because a message must not hold a person's date."""
    return f"regexp_replace(regexp_replace({text}, '\\p{{L}}', 'a', 'g'), '[0-9]', '9', 'g')"


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
        ((bad, sample),) = connection.execute(
            f"""SELECT count(*), min({_masked(text)}) FROM {rows} WHERE {text} IS NOT NULL
            AND NOT {is_word(text, config.reader.null_words)} AND {_contract_day(value, config)} IS NULL"""  # noqa: S608
        ).fetchall()
        if bad:
            raise Misuse(
                f"{where} {key}: {bad:,} dates cannot be read, for example {sample!r} (letters as "
                "a, digits as 9). "
                f"Give the format, such as {key} = \"strptime(col, '%d/%m/%Y')\"."
            )
    days = {key: _contract_day(value, config) for key, value in values.items()}
    zero = f"{days['ended_at']} < TIMESTAMPTZ '1971-01-01 00:00:00+00'"
    if bad := db.count(connection, rows, zero):
        raise Misuse(
            f"{where} ended_at: {bad:,} dates are before 1971, as some exports write no date at "
            "all, and these contracts would have ended long ago. Write ended_at = "
            "\"nullif(col, '1900-01-01')\" with the date of your file."
        )
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
