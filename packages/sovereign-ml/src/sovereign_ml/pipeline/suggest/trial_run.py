"""Step 1 over a proposed mapping, in memory: nothing is written and nobody gets a pseudonym."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sovereign_ml.config.tables import Columns, DataSettings
from sovereign_ml.errors import Misuse
from sovereign_ml.pipeline.input_checks import exchange_rates
from sovereign_ml.pipeline.input_checks.matching import match_customers
from sovereign_ml.pipeline.input_checks.row_reasons import count_reasons
from sovereign_ml.pipeline.input_checks.unusable import shown
from sovereign_ml.pipeline.input_tables import after_the_end, input_problems
from sovereign_ml.pipeline.intake import contract_values, map_customers, map_transactions
from sovereign_ml.storage import duckdb as db
from sovereign_ml.storage.expressions import Expressions

if TYPE_CHECKING:
    import duckdb

__all__ = ["SampleRow", "TrialRun", "trial_run"]

SAMPLES = 10
FEW_WORDS = 12
PERSONAL = ("customer_id", "order_id")
"""Keys whose columns are shown as shapes: 9 for a digit, a for a letter."""


@dataclass(frozen=True)
class SampleRow:
    """One row of the file before and after the mapping, and what would become of it."""

    before: Mapping[str, str]
    after: Mapping[str, str]
    fate: str


@dataclass(frozen=True)
class TrialRun:
    """The outcome of a trial: the headline of step 1, what it would stop at, and sample rows."""

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
    """Map the loaded tables by ``config``. Samples hold personal values only if ``in_clear``."""
    try:
        map_customers(connection, config)
        map_transactions(connection, config)
        # Retention and the suppression list belong to the project, and not to the file.
        connection.execute("ALTER TABLE mapped ADD COLUMN expired BOOLEAN DEFAULT false")
        end = after_the_end(connection, config)
        match = match_customers(connection) if config.customers else None
        counts = count_reasons(connection, end, consent_needed=config.asks_consent)
        problems = input_problems(connection, counts, match, config.checks)
        headline = "; ".join([counts.headline, *notes, *([match.headline] if match else [])])
        return TrialRun(headline, problems, _samples(connection, config, end, in_clear=in_clear))
    except Misuse as error:
        return TrialRun(stopped=str(error))


def _samples(
    connection: duckdb.DuckDBPyConnection, config: DataSettings, end: str, *, in_clear: bool
) -> list[SampleRow]:
    """Return ten rows: some of each kind, so that returns and rows set aside are among them."""
    source = "source_transactions"
    mapping = {k: v for k, v in config.columns.model_dump().items() if v}
    fate = "NULL"
    if config.where:
        filtered = Expressions(connection, source, "data", config.reader, {"where": config.where})
        filtered.check()
        source = filtered.layered(source, ["where"], guarded=True)
        fate = f"CASE WHEN {filtered.value('where')} IS NOT TRUE THEN 'filtered' END"
    read = Expressions(connection, "source_transactions", "data.columns", config.reader, mapping)
    read.check()
    db.set_zone(connection, config.timezone)
    values = contract_values(read, config)
    used = db.mentioned(list(read.columns), config.where, *mapping.values())
    before = [f"CAST({db.quoted(name)} AS VARCHAR)" for name in used]
    keys = [key for key in values if key in Columns.model_fields]
    after = [f"CAST({values[key]} AS VARCHAR)" for key in keys]
    rows = exchange_rates.joined(read, read.layered(source, list(mapping), guarded=True), fate)
    found = connection.execute(
        f"""WITH read AS (SELECT [{", ".join(before)}] AS before, [{", ".join(after)}] AS after,
            {fate} AS fate, {values["customer_id"]} AS customer_id,
            {values["event_time"]} AS event_time, {values["amount_eur"]} AS amount_eur,
            {values["rate_seen"]} AS rate_seen FROM {rows}),
        judged AS (SELECT before, after, CASE WHEN fate IS NOT NULL THEN fate
            WHEN customer_id IS NULL THEN 'no_customer_id' WHEN event_time IS NULL THEN 'unreadable_time'
            WHEN amount_eur IS NULL AND rate_seen IS NOT NULL THEN 'no_rate'
            WHEN amount_eur IS NULL THEN 'unreadable_amount' WHEN {end} THEN 'in_future'
            WHEN amount_eur < 0 THEN 'kept, a return' ELSE 'kept' END AS fate FROM read)
        SELECT before, after, fate FROM (SELECT *,
            row_number() OVER (PARTITION BY fate ORDER BY hash(before), before) AS place FROM judged)
        WHERE place <= {SAMPLES} ORDER BY place, fate <> 'kept', fate LIMIT {SAMPLES}"""  # noqa: S608
    ).fetchall()
    personal = db.mentioned(used, *(mapping.get(key, "") for key in PERSONAL))
    words = _few_words(connection, used, mapping.get("currency", ""), config.where)
    samples = []
    for before_row, after_row, verdict in found:
        old = dict(zip(used, (str(v or "") for v in before_row), strict=True))
        new = dict(zip(keys, (str(v or "") for v in after_row), strict=True))
        if not in_clear:
            clear = set(words) - set(personal)
            old = {k: v if k in clear else shown(v, hide=k in personal) for k, v in old.items()}
            plain = ("event_time", "amount_eur")
            new = {k: v if k in plain else shown(v, hide=k in PERSONAL) for k, v in new.items()}
        samples.append(SampleRow(old, {k: v for k, v in new.items() if k in mapping}, verdict))
    return samples


def _few_words(
    connection: duckdb.DuckDBPyConnection, used: Sequence[str], *expressions: str
) -> list[str]:
    """Return the columns of states and currencies: they have a few words, which say nothing of a person."""
    names = []
    for name in db.mentioned(used, *expressions):
        column = db.quoted(name)
        distinct = f"(SELECT DISTINCT {column} FROM source_transactions)"  # noqa: S608
        if db.count(connection, distinct) <= FEW_WORDS:
            names.append(name)
    return names
