"""Columns that look like the end of a contract.

Churn may then mean such an end, which a person decides.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sovereign_ml.pipeline.suggest.column_values import ColumnValues, profile, read_times
from sovereign_ml.pipeline.suggest.presets import plain
from sovereign_ml.pipeline.suggest.proposal import Candidate, ProposedSetting, chosen
from sovereign_ml.storage import duckdb as db
from sovereign_ml.storage.expressions import is_word

if TYPE_CHECKING:
    import duckdb

__all__ = ["contract_decisions", "contract_note"]

TABLE = "data.customer_columns"
OF_WHAT = (
    "(customer|client|user|account|contract|subscription|subscriber|membership|member|plan|policy|"
    "service|"
    "abonnement|abo|vertrags?|kunden|mitgliedschafts?|contrat|contrato|contratto)?"
)
WHEN = "(at|on|date|day|time|datetime|timestamp|ts|utc|datum|tag|am|zum)?"
NOTICE = "(cancel|cancell?ed|cancell?ation|kue?ndigungs?|gekue?ndigt|resiliation|opzeg|notice)"
"""Words that may mean the day on which notice was given."""
ENDS = (
    rf"{OF_WHAT}(end|ends|ended|ende|endet|beendet|terminated|termination|churn|churned|closed|"
    r"closure|exit|"
    r"expire[ds]?|expiry|expiration|lapsed|ablauf|austritts?|validto|validuntil|gue?ltigbis|"
    rf"{NOTICE}){WHEN}",
    r"(date|fecha|data)(de)?(la)?(fin|fine|resiliation|baja|cancelacion|disdetta|cessazione|"
    r"zakonczenia)(contrat\w*)?",
    r"(eind|opzeg)datum",
)
STARTS = (
    rf"{OF_WHAT}(start|starts|started|begin|began|beginn?s?|activated|activation|joined|join|"
    r"signup|signedup|"
    rf"since|validfrom|abschluss|eintritts?|gue?ltigab|gue?ltigvon){WHEN}",
    r"(date|fecha|data)(de)?(debut|inicio|alta|inizio|rozpoczecia)(contrat\w*)?",
)
FEWEST_RUNNING = 0.1
"""Smallest share of rows without an end, or with an end to come.

With fewer of them, nearly all contracts would be over.
"""


def contract_decisions(
    connection: duckdb.DuckDBPyConnection,
    columns: Mapping[str, ColumnValues],
    null_words: Sequence[str],
    answers: Mapping[str, Any],
) -> list[ProposedSetting]:
    """Return the decisions about the label and the dates of contracts in ``source_customers``.

    There are none without a column that looks like an end. With one the label is a question, and
    its answer decides about the dates too.
    """
    table = "source_customers"
    ends = [
        reading for c in columns.values() for reading in _ends(connection, table, c, null_words)
    ]
    # A day of notice stands behind the end itself.
    ends.sort(key=lambda end: _is_notice(end.evidence))
    if not ends:
        return []
    starts = [
        Candidate(candidate.value, f"column {column.name}")
        for column in columns.values()
        if _is_named(column, STARTS)
        for candidate, _ in _readings(connection, table, column, null_words)
    ]
    label = ProposedSetting(
        "label",
        "kind",
        None,
        (
            f"{ends[0].evidence}: if it is the end of a contract, churn may be that end",
            "the other settings of this choice: docs/your-data.md, Contracts and subscriptions",
        ),
        [
            Candidate("ended", "a contract that ends in the horizon"),
            Candidate("no_purchase", "no purchase in the horizon, as in a shop"),
        ],
    )
    label = chosen(label, answers)
    dates = [_date("ended_at", ends, label), _date("started_at", starts, label)]
    return [*(chosen(date, answers) for date in dates if date), label]


def contract_note(
    connection: duckdb.DuckDBPyConnection,
    customer: str,
    rows: str,
    columns: Mapping[str, ColumnValues],
    null_words: Sequence[str],
) -> list[str]:
    """Return advice where the transactions have a column that looks like a contract's end.

    ``customer`` is SQL for the customer in ``rows``, which are the transactions.
    """
    table = "source_transactions"
    notes = []
    for column in columns.values():
        if not _ends(connection, table, column, null_words):
            continue
        value = f"coalesce(CAST({column.sql} AS VARCHAR), '')"
        ((several, mixed),) = connection.execute(
            f"""SELECT count(*), count(*) FILTER (different > 1) FROM (
            SELECT count(DISTINCT {value}) AS different, count(*) AS n, max({value}) AS latest FROM {rows}
            GROUP BY {customer} HAVING n > 1 AND latest <> '')"""  # noqa: S608
        ).fetchall()
        # An end is the same in all rows of a customer. A day on which an order was cancelled is
        # not.
        if mixed <= 0.1 * several:
            notes.append(
                f"{column.name} looks like the end of a contract: give this file as --customers "
                "too, and churn may be that end (docs/your-data.md, Contracts and subscriptions)."
            )
    return notes


def _date(
    key: str, candidates: Sequence[Candidate], label: ProposedSetting
) -> ProposedSetting | None:
    if label.value == "no_purchase":
        return ProposedSetting(TABLE, key, "", ("churn is no purchase",))
    if not candidates:
        return None
    if label.value == "ended" and len(candidates) == 1:
        return ProposedSetting(TABLE, key, candidates[0].value, (candidates[0].evidence,))
    return ProposedSetting(TABLE, key, None, ('with label.kind = "ended"',), candidates)


def _ends(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    column: ColumnValues,
    null_words: Sequence[str],
) -> list[Candidate]:
    """Return the readings of ``column`` as the end of a contract.

    There are none where its name or its values contradict that.
    """
    if not _is_named(column, ENDS):
        return []
    ends = []
    for candidate, rows in _readings(connection, table, column, null_words):
        over = f"TRY_CAST(TRY({candidate.value}) AS TIMESTAMPTZ) <= now()"
        if db.problem_with(connection, rows, over):  # seconds since 1970 are still text here
            over = f"{column.sql} IS NOT NULL"
        running = column.rows - db.count(connection, rows, over)
        if running >= FEWEST_RUNNING * column.rows:
            words = (
                f"{column.name} has no end, or one to come, in {running:,} of {column.rows:,} rows"
            )
            if _is_notice(column.name):
                words += " (is it the day of the end, or of the notice?)"
            words += f", {candidate.evidence}" if candidate.evidence else ""
            ends.append(Candidate(_without(candidate.value, column, rows, connection), words))
    return ends


def _readings(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    column: ColumnValues,
    null_words: Sequence[str],
) -> list[tuple[Candidate, str]]:
    """Return the readings of ``column`` as a time, each with its table.

    In that table, words for nothing are null.
    """
    rows = table
    if column.sql_type == "VARCHAR":
        word = is_word(db.quoted(column.name), null_words)
        name = db.quoted(column.name)
        rows = (
            f"(SELECT CASE WHEN NOT {word} THEN {name} END AS {name}, {name} AS raw_ FROM {table})"  # noqa: S608
        )
    filled = profile(connection, rows)[column.name]
    reading = read_times(connection, rows, filled) if filled.filled else None
    if reading is None or reading.readable < 0.9:
        return []
    return [(candidate, rows) for candidate in reading.candidates]


def _without(
    expression: str, column: ColumnValues, rows: str, connection: duckdb.DuckDBPyConnection
) -> str:
    """Return ``expression`` over a column in which words for nothing are null."""
    start = f"strptime({column.sql},"
    if not expression.startswith(start):
        return expression
    words = connection.execute(
        f"SELECT DISTINCT raw_ FROM {rows} WHERE {column.sql} IS NULL AND trim(raw_) "  # noqa: S608
        "<> '' ORDER BY ALL"
    ).fetchall()
    # A format would stop at these words.
    text = column.sql
    for (word,) in words:
        text = f"nullif({text}, {db.literal(str(word))})"
    return f"strptime({text},{expression.removeprefix(start)}"


def _is_named(column: ColumnValues, patterns: Sequence[str]) -> bool:
    name = plain(column.name)
    return any(re.fullmatch(pattern, name) for pattern in patterns)


def _is_notice(words: str) -> bool:
    return re.search(NOTICE, plain(words)) is not None
