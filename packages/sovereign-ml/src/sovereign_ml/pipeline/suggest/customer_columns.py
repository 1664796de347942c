"""What the columns of a customers table mean. Consent and objections are never assumed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sovereign_ml.pipeline.input_checks.customer_ids import id_text
from sovereign_ml.pipeline.suggest.column_values import ColumnValues
from sovereign_ml.pipeline.suggest.presets import plain
from sovereign_ml.pipeline.suggest.proposed_setting import Candidate, ProposedSetting
from sovereign_ml.storage import duckdb as db

if TYPE_CHECKING:
    import duckdb

__all__ = ["met_among", "people_decisions"]

TABLE = "data.customer_columns"
NAMES = {
    "consent": "consent|einwilligung|consentement|consentimiento|consenso|toestemming",
    "objected_at": "objected|objection|widerspruch|widersprochen|opposition|bezwaar",
    "restricted_at": "restrict|eingeschrankt|einschrankung|gesperrt|limitation|beperk",
    "withdrawn_at": "withdraw|revoked|widerruf|retrait|ingetrokken",
    "erased_at": "erased|erasure|geloscht|geloescht|loschung|deleted|efface",
    "birth_year": "birth|geburt|naissance|nacimiento|nascita|geboorte",
    "country": "country|land|pays|pais|paese",
}
MARKETING = re.compile(r"newsletter|marketing|optin|subscribe|werbung")
REFUSALS = re.compile(
    r"opt(ed)?out|donot(contact|mail|call|process|profile|track|sell)|donttrack|unsubscri|blocked|blocklist|blacklist|"
    r"sperr|robinson|abgemeldet|desabonn|desinscr|uitschrijv|keinewerbung|nomarketing"
)
"""Names of a refusal that may be an objection (GDPR Art. 21), or one to letters alone: a person decides."""
FLAGS = ("objected_at", "restricted_at", "withdrawn_at", "erased_at")
"""Columns that some exports fill with yes and no in place of a date."""
YES = ("true", "1", "yes", "y", "ja", "j", "oui", "si", "tak", "granted")
NO = ("false", "0", "no", "n", "nein", "non", "nee", "nie", "refused", "withdrawn")


def people_decisions(
    connection: duckdb.DuckDBPyConnection,
    buyer: str,
    buyers: str,
    columns: Mapping[str, ColumnValues],
) -> list[ProposedSetting]:
    """Return one decision for each key of ``[data.customer_columns]``.

    ``buyer`` is the expression for the customer in ``source_transactions``. The id is the column, or its
    small letters, whose values are met most often among the buyers.
    """
    found = [_id(connection, buyer, buyers, columns)]
    for key, pattern in NAMES.items():
        named = [c for c in columns.values() if re.search(pattern, plain(c.name)) and c.filled]
        refusals = [c for c in columns.values() if c.filled and REFUSALS.search(plain(c.name))]
        if not named and key == "objected_at" and refusals:
            found.append(_refusal(connection, refusals))
        elif not named:
            found.append(ProposedSetting(TABLE, key, "", _nothing(key, columns)))
        elif key == "consent":
            found.append(_consent(connection, named[0]))
        else:
            found.append(_plain(connection, key, named[0]))
    return found


def _id(
    connection: duckdb.DuckDBPyConnection,
    buyer: str,
    buyers: str,
    columns: Mapping[str, ColumnValues],
) -> ProposedSetting:
    own = [column for column in columns.values() if column.distinct >= 0.5 * column.rows]
    ids = f"SELECT {id_text(buyer)} FROM {buyers}"  # noqa: S608
    return met_among(connection, "source_customers", ids, own, TABLE)


def met_among(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    buyers: str,
    columns: Sequence[ColumnValues],
    section: str,
) -> ProposedSetting:
    """Return the decision about ``customer_id``: the column of ``table`` with the most ids of ``buyers``.

    ``buyers`` is a query of one column. A column of text counts in small letters too.
    """
    met: list[tuple[int, str]] = []
    for column in columns:
        lower = [f"lower({column.sql})"] if column.sql_type == "VARCHAR" else []
        for expression in (column.sql, *lower):
            value = id_text(expression)
            ((n,),) = connection.execute(
                f"SELECT count(DISTINCT {value}) FROM {table} WHERE {value} IN ({buyers})"  # noqa: S608
            ).fetchall()
            met.append((int(n), expression))
    met.sort(key=lambda way: -way[0])
    candidates = [
        Candidate(expression, f"{n:,} of its values are met among the buyers")
        for n, expression in met[:4]
    ]
    if met and met[0][0]:
        return ProposedSetting(
            section, "customer_id", met[0][1], (candidates[0].evidence,), candidates
        )
    why = ("no column has an id of a buyer: objections would not hold",)
    return ProposedSetting(section, "customer_id", None, why, candidates)


def _consent(connection: duckdb.DuckDBPyConnection, column: ColumnValues) -> ProposedSetting:
    rows = connection.execute(
        f"SELECT lower(trim(CAST({column.sql} AS VARCHAR))) AS w, count(*) FROM source_customers "  # noqa: S608
        "WHERE w <> '' GROUP BY w ORDER BY 2 DESC, 1 LIMIT 12"
    ).fetchall()
    words = {str(word): int(n) for word, n in rows}
    yes = [word for word in words if word in YES]
    listed = ", ".join(db.literal(word) for word in yes)
    value = f"lower(trim(CAST({column.sql} AS VARCHAR))) IN ({listed})" if yes else ""
    if yes and all(word in (*YES, *NO) for word in words):
        counted = ", ".join(f"{word} {n:,}" for word, n in words.items())
        why = (f"{column.name}: {counted}; an empty value is no consent",)
        return ProposedSetting(TABLE, "consent", value, why)
    why = (f"{column.name} has values that are neither yes nor no",)
    return ProposedSetting(TABLE, "consent", None, why, [Candidate(value)] if value else [])


def _refusal(
    connection: duckdb.DuckDBPyConnection, columns: Sequence[ColumnValues]
) -> ProposedSetting:
    """Return the question whether one of ``columns`` is an objection. The trial run takes it for one."""
    candidates = [
        Candidate(_marked(connection, column), f"{column.name} is an objection to this processing")
        for column in columns
    ]
    candidates.append(Candidate("", "it is about letters and not about this processing"))
    why = ("a refusal of marketing covers the profiling for it (GDPR Art. 21(2))",)
    return ProposedSetting(TABLE, "objected_at", None, why, candidates)


def _marked(connection: duckdb.DuckDBPyConnection, column: ColumnValues) -> str:
    """Return SQL for a mark or a date that is null where the column says no."""
    text = f"lower(trim(CAST({column.sql} AS VARCHAR)))"
    rows = connection.execute(
        f"SELECT DISTINCT {text} FROM source_customers WHERE list_contains(?, {text}) ORDER BY 1",  # noqa: S608
        [list(NO)],
    ).fetchall()
    if not rows:
        return column.sql
    listed = ", ".join(db.literal(str(word)) for (word,) in rows)
    return f"CASE WHEN {text} NOT IN ({listed}) THEN {column.sql} END"


def _plain(
    connection: duckdb.DuckDBPyConnection, key: str, column: ColumnValues
) -> ProposedSetting:
    value = column.sql
    if key == "birth_year" and not (column.is_numeric and not column.point):
        value = f"year(CAST({column.sql} AS DATE))"
    why = [f"{column.name}: filled in {column.filled:,} of {column.rows:,} rows"]
    if key in FLAGS:
        value = _marked(connection, column)
    return ProposedSetting(TABLE, key, value, why)


def _nothing(key: str, columns: Mapping[str, ColumnValues]) -> tuple[str, ...]:
    if key != "consent":
        return ("no such column",)
    near = [c.name for c in columns.values() if MARKETING.search(plain(c.name))]
    if not near:
        return ("no such column: name the lawful basis",)
    return (
        f"{', '.join(near)} may be a consent to letters and not to this processing: a person decides",
    )
