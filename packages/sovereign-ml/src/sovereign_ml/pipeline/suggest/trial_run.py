"""Trial of step 1 over a proposed mapping in memory. Nothing is written or pseudonymised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sovereign_ml.config.data_tables import DataSettings, ReaderSettings
from sovereign_ml.errors import Misuse
from sovereign_ml.pipeline.input_checks import exchange_rates
from sovereign_ml.pipeline.input_checks.matching import match_customers
from sovereign_ml.pipeline.input_checks.plausibility import notes_on_orders
from sovereign_ml.pipeline.input_checks.row_reasons import count_reasons
from sovereign_ml.pipeline.input_checks.unusable import shown
from sovereign_ml.pipeline.input_mapping.mapped_rows import (
    SOURCE,
    contract_values,
    map_transactions,
)
from sovereign_ml.pipeline.input_mapping.people_table import map_customers
from sovereign_ml.pipeline.input_tables import after_the_end, input_problems
from sovereign_ml.storage import duckdb as db
from sovereign_ml.storage.expressions import Expressions

if TYPE_CHECKING:
    import duckdb

__all__ = [
    "Judged",
    "SampleRow",
    "TrialRun",
    "filtered",
    "never_expired",
    "sample_rows",
    "trial_run",
]

SAMPLES = 10
FEW_WORDS = 12
PERSONAL = ("customer_id", "order_id")
"""Keys whose columns are shown as shapes: 9 for a digit, a for a letter."""
PLAIN = ("event_time", "amount_eur", "value")
"""Mapped values that are numbers and times, which reveal nothing about a person."""


@dataclass(frozen=True)
class SampleRow:
    """One row of the file before and after the mapping, and its fate in step 1."""

    before: Mapping[str, str]
    after: Mapping[str, str]
    fate: str


@dataclass(frozen=True)
class TrialRun:
    """The outcome of a trial: the headline of step 1, its problems, and sample rows."""

    headline: str = ""
    problems: Sequence[str] = ()
    samples: Sequence[SampleRow] = ()
    stopped: str = ""


def trial_run(
    connection: duckdb.DuckDBPyConnection,
    config: DataSettings,
    notes: Sequence[str],
    *,
    in_clear: bool,
) -> TrialRun:
    """Return the outcome of mapping the loaded tables by ``config``.

    Samples hold personal values only if ``in_clear``.
    """
    try:
        map_customers(connection, config)
        map_transactions(connection, config)
        never_expired(connection)
        end = after_the_end(connection, config)
        match = match_customers(connection) if config.customers else None
        counts = count_reasons(connection, end, consent_needed=config.asks_consent)
        problems = input_problems(connection, counts, match, config.checks)
        matched = [match.headline] if match else []
        orders = notes_on_orders(connection)
        headline = "; ".join([counts.headline, *notes, *matched, *orders])
        return TrialRun(headline, problems, _samples(connection, config, end, in_clear=in_clear))
    except Misuse as error:
        return TrialRun(stopped=str(error))


def never_expired(connection: duckdb.DuckDBPyConnection) -> None:
    """Mark no row as expired."""
    # Retention belongs to the project, and not to the file.
    connection.execute("ALTER TABLE mapped ADD COLUMN expired BOOLEAN DEFAULT false")


def _samples(
    connection: duckdb.DuckDBPyConnection, config: DataSettings, end: str, *, in_clear: bool
) -> list[SampleRow]:
    """Return rows of the transactions before and after the mapping."""
    mapping = {k: v for k, v in config.columns.model_dump().items() if v}
    source, fate = filtered(connection, config.where, config.reader, "data")
    read = Expressions(connection, SOURCE, "data.columns", config.reader, mapping)
    read.check()
    db.set_zone(connection, config.timezone)
    values = contract_values(read, config)
    rows = exchange_rates.joined(read, read.layered(source, list(mapping), guarded=True), fate)
    verdict = f"""CASE WHEN filtered_ IS NOT NULL THEN filtered_
        WHEN customer_id IS NULL THEN 'no_customer_id' WHEN event_time IS NULL THEN 'unreadable_time'
        WHEN amount_eur IS NULL AND rate_seen IS NOT NULL THEN 'no_rate'
        WHEN amount_eur IS NULL THEN 'unreadable_amount' WHEN {end} THEN 'in_future'
        WHEN amount_eur < 0 THEN 'kept, a return' ELSE 'kept' END"""
    few = (mapping.get("currency", ""), config.where)
    judged = Judged(rows, {**values, "filtered_": fate}, verdict, mapping, few)
    return sample_rows(connection, judged, list(read.columns), in_clear=in_clear)


@dataclass(frozen=True)
class Judged:
    """Rows of the file with SQL for each mapped value, and for the fate of the row.

    ``mapping`` has the team's expressions. ``few_words`` has those whose columns may be shown in
    clear.
    """

    rows: str
    values: Mapping[str, str]
    verdict: str
    mapping: Mapping[str, str]
    few_words: Sequence[str]


def filtered(
    connection: duckdb.DuckDBPyConnection, where: str, reader: ReaderSettings, section: str
) -> tuple[str, str]:
    """Return the rows of the file with the verdict of ``where``, and SQL for that verdict."""
    if not where:
        return SOURCE, "NULL"
    read = Expressions(connection, SOURCE, section, reader, {"where": where})
    read.check()
    fate = f"CASE WHEN {read.value('where')} IS NOT TRUE THEN 'filtered' END"
    return read.layered(SOURCE, ["where"], guarded=True), fate


def sample_rows(
    connection: duckdb.DuckDBPyConnection, judged: Judged, columns: Sequence[str], *, in_clear: bool
) -> list[SampleRow]:
    """Return ten rows: some of each kind, so that rows set aside are among them.

    Columns that the mapping does not use are not shown. Personal values are shown only if
    ``in_clear``.
    """
    mapping = judged.mapping
    used = db.mentioned(columns, *judged.few_words, *mapping.values())
    before = ", ".join(f"CAST({db.quoted(name)} AS VARCHAR)" for name in used)
    keys = [key for key in judged.values if key in mapping]
    after = ", ".join(f"CAST({key} AS VARCHAR)" for key in keys)
    values = ", ".join(f"{value} AS {key}" for key, value in judged.values.items())
    rows = connection.execute(
        # By hash, so that the samples are spread over the file and the same on every run.
        f"""WITH read AS (SELECT [{before}] AS before_, {values} FROM {judged.rows}),
        judged AS (SELECT before_, [{after}] AS after_, {judged.verdict} AS fate_ FROM read)
        SELECT before_, after_, fate_ FROM (SELECT *, row_number()
            OVER (PARTITION BY fate_ ORDER BY hash(before_), before_) AS place FROM judged)
        WHERE place <= {SAMPLES} ORDER BY place, fate_ <> 'kept', fate_ LIMIT {SAMPLES}"""  # noqa: S608
    ).fetchall()
    personal = db.mentioned(used, *(mapping.get(key, "") for key in PERSONAL))
    clear = set(_few_words(connection, used, *judged.few_words)) - set(personal)
    samples = []
    for before_row, after_row, verdict in rows:
        old = dict(zip(used, (str(v or "") for v in before_row), strict=True))
        new = dict(zip(keys, (str(v or "") for v in after_row), strict=True))
        if not in_clear:
            old = {k: v if k in clear else shown(v, hide=k in personal) for k, v in old.items()}
            new = {k: v if k in PLAIN else shown(v, hide=k in PERSONAL) for k, v in new.items()}
        samples.append(SampleRow(old, new, verdict))
    return samples


def _few_words(
    connection: duckdb.DuckDBPyConnection, used: Sequence[str], *expressions: str
) -> list[str]:
    """Return the columns of states and currencies."""
    names = []
    for name in db.mentioned(used, *expressions):
        column = db.quoted(name)
        distinct = f"(SELECT DISTINCT {column} FROM source_transactions)"  # noqa: S608
        words = db.count(connection, distinct)
        # A few words, shared by many rows, reveal nothing about a person. In a small file every
        # name and address would be one of a few.
        if words <= FEW_WORDS and 2 * words <= db.count(connection, SOURCE):
            names.append(name)
    return names
