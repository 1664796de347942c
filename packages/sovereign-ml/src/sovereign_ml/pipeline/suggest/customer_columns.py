"""Meaning of the columns of a customers table. Consent and objections are never assumed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sovereign_ml.pipeline.input_checks.customer_ids import id_text
from sovereign_ml.pipeline.suggest.column_values import ColumnValues, read_times
from sovereign_ml.pipeline.suggest.presets import plain
from sovereign_ml.pipeline.suggest.proposal import NO, YES, Candidate, ProposedSetting
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
    # A landing page and a birthplace have such a word in their names too.
    "country": "country|land(code|kz|name)?$|pays|pais|paese",
}
MARKETING = re.compile(r"newsletter|marketing|optin|subscribe|werbung")
ABOUT_OTHERS = re.compile(
    MARKETING.pattern + r"|e?mail|sms|phone|cookie|version|text|source|channel|type|(id|nr|by)$"
)
"""Names of a consent column that may be about something else than a yes to this processing."""
NEGATED = re.compile(
    r"withdraw|revo[ck]|widerruf|retir|retrait|ingetrokken|refus|denied|declin|verweiger|abgelehnt|"
    r"missing|fehlt|"
    r"^(no|not|without|ohne|kein\w*|sans|sin|senza|geen)(has|have|given|gave)?(consent|"
    r"einwilligung)"
)
"""Names of a consent column that mean the opposite, so that a refusal never counts as consent."""
ALLOWED = re.compile(
    r"(profiling|tracking|scoring|analytics|processing|contact|gdpr|dsgvo|rgpd|privacy|data).*"
    r"(allowed|permitted|permission|accepted|agreed|ok|granted|erlaubt|zugestimmt|akzeptiert|"
    r"accord|toegestaan)"
)
"""Names of a permission that may be the consent to this processing. A person decides."""
BARRED_WORDS = {
    "objected_at": ("objected", "opposed", "widersprochen", "opted out", "opt-out", "optout"),
    "restricted_at": ("blocked", "restricted", "locked", "gesperrt", "eingeschränkt", "frozen"),
    "erased_at": ("deleted", "erased", "anonymised", "anonymized", "gelöscht", "geloescht"),
}
"""Values of a state that may mean that a person must not be processed."""
REFUSALS = re.compile(
    r"opt(ed)?out|donot(contact|mail|call|process|profile|track|sell)|donttrack|unsubscri|blocked|"
    r"blocklist|blacklist|"
    r"sperr|robinson|abgemeldet|desabonn|desinscr|uitschrijv|keinewerbung|nomarketing"
)
"""Names of a refusal that may be an objection (GDPR Art. 21), or be about letters alone.

A person decides.
"""
FLAGS = ("objected_at", "restricted_at", "withdrawn_at", "erased_at")
"""Columns that some exports fill with yes and no in place of a date."""
FEW_WORDS = 12


def people_decisions(
    connection: duckdb.DuckDBPyConnection,
    buyer: str,
    buyers: str,
    columns: Mapping[str, ColumnValues],
) -> list[ProposedSetting]:
    """Return one decision for each key of ``[data.customer_columns]``.

    ``buyer`` is the expression for the customer in ``source_transactions``. The id is the column,
    as it stands or in small letters, whose values are most often among the buyers.
    """
    decisions = [_id(connection, buyer, buyers, columns)]
    filled = [column for column in columns.values() if column.filled]
    states = {column.name: _words(connection, column) for column in filled}
    for key, pattern in NAMES.items():
        named = [c for c in filled if re.search(pattern, plain(c.name))]
        if key == "consent":
            decisions.append(_consent(connection, named, filled, states))
            continue
        others = [c for c in filled if key == "objected_at" and REFUSALS.search(plain(c.name))]
        barred = [c for c in filled if set(states[c.name]) & set(BARRED_WORDS.get(key, ()))]
        if named:
            more = [c.name for c in (*named[1:], *others, *barred) if c is not named[0]]
            decisions.append(_plain(connection, key, named[0], list(dict.fromkeys(more))))
        elif others or barred:
            decisions.append(_refusal(connection, key, others, barred))
        else:
            decisions.append(ProposedSetting(TABLE, key, "", _nothing(key, columns)))
    return decisions


def _id(
    connection: duckdb.DuckDBPyConnection,
    buyer: str,
    buyers: str,
    columns: Mapping[str, ColumnValues],
) -> ProposedSetting:
    # A customers table has a row for each customer, so its id hardly repeats.
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
    """Return the decision about ``customer_id``: the column with the most ids of ``buyers``.

    The column is one of ``table``. ``buyers`` is a query of one column. A column of text is also
    tried in small letters.
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
    # Of equal counts the earlier one stays first: the column as it stands before small letters.
    met.sort(key=lambda match: -match[0])
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


def _words(connection: duckdb.DuckDBPyConnection, column: ColumnValues) -> dict[str, int]:
    """Return the values of a column of few words, in small letters, with their rows."""
    if column.distinct > FEW_WORDS:
        return {}
    rows = connection.execute(
        f"SELECT lower(trim(CAST({column.sql} AS VARCHAR))) AS w, count(*) FROM "  # noqa: S608
        "source_customers "
        "WHERE w <> '' GROUP BY w ORDER BY 2 DESC, 1"
    ).fetchall()
    return {str(word): int(n) for word, n in rows}


def _consent(
    connection: duckdb.DuckDBPyConnection,
    named: Sequence[ColumnValues],
    filled: Sequence[ColumnValues],
    states: Mapping[str, Mapping[str, int]],
) -> ProposedSetting:
    """Return the decision about consent.

    It is a question unless a column of that name has yes and no.
    """
    plainly = [c for c in named if not NEGATED.search(plain(c.name))]
    # Several consents are about several things, and the first one may be about letters alone.
    plainly.sort(key=lambda c: (ABOUT_OTHERS.search(plain(c.name)) is not None, len(c.name)))
    if plainly and (len(plainly) > 1 or ABOUT_OTHERS.search(plain(plainly[0].name))):
        return _which_consent(connection, plainly, states)
    if not plainly:
        return _unclear_consent(named, filled, states)
    column, words = plainly[0], states[plainly[0].name]
    candidate = _says(column, words, refusal=False)
    # A third word may mean anything, so then a person decides.
    if candidate.value and all(word in (*YES, *NO) for word in words):
        counted = ", ".join(f"{word} {n:,}" for word, n in words.items())
        why = (f"{column.name}: {counted}; an empty value is no consent",)
        return ProposedSetting(TABLE, "consent", candidate.value, why)
    reading = read_times(connection, "source_customers", column)
    if not candidate.value and reading and reading.readable > 0.9:
        dated = Candidate(f"{column.sql} IS NOT NULL", "a date is a consent, and none is none")
        return ProposedSetting(TABLE, "consent", None, (f"{column.name} holds dates",), [dated])
    why = (f"{column.name} has values that are neither yes nor no",)
    return ProposedSetting(TABLE, "consent", None, why, [candidate] if candidate.value else [])


def _unclear_consent(
    named: Sequence[ColumnValues],
    filled: Sequence[ColumnValues],
    states: Mapping[str, Mapping[str, int]],
) -> ProposedSetting:
    """Return the decision where no column is plainly a consent, but some may refuse or allow."""
    maybe = [c for c in filled if c in named or ALLOWED.search(plain(c.name))]
    if not maybe:
        columns = {column.name: column for column in filled}
        return ProposedSetting(TABLE, "consent", "", _nothing("consent", columns))
    why = (f"{', '.join(c.name for c in maybe)}: is this the consent to this processing?",)
    nobody = Candidate("", "it is not: name the lawful basis")
    listed = [_says(c, states[c.name], refusal=c in named) for c in maybe]
    granting = [candidate for candidate in listed if candidate.value]
    if not granting:
        why = (f"{', '.join(c.name for c in maybe)} names nobody who consented",)
        return ProposedSetting(TABLE, "consent", "", why)
    return ProposedSetting(TABLE, "consent", None, why, [*granting, nobody])


def _which_consent(
    connection: duckdb.DuckDBPyConnection,
    columns: Sequence[ColumnValues],
    states: Mapping[str, Mapping[str, int]],
) -> ProposedSetting:
    """Return the question which of ``columns`` is the consent to this processing, if any is."""
    candidates = []
    for column in columns:
        candidate = _says(column, states[column.name], refusal=False)
        if not candidate.value:
            reading = read_times(connection, "source_customers", column)
            if reading is None or reading.readable <= 0.9:
                continue
            candidate = Candidate(
                f"{column.sql} IS NOT NULL", f"{column.name}: a date is a consent, and none is none"
            )
        candidates.append(candidate)
    names = ", ".join(column.name for column in columns)
    candidates.append(Candidate("", "none of them is: name the lawful basis"))
    why = (f"{names}: which of them is the consent to this processing, and not to letters alone?",)
    return ProposedSetting(TABLE, "consent", None, why, candidates)


def _says(column: ColumnValues, words: Mapping[str, int], *, refusal: bool) -> Candidate:
    """Return SQL that is true where the column means yes.

    For the name of a ``refusal`` it is true where the column means no.
    """
    listed = [word for word in words if word in (NO if refusal else YES)]
    if not listed:
        return Candidate("")
    text = f"lower(trim(CAST({column.sql} AS VARCHAR)))"
    return Candidate(
        f"{text} IN ({', '.join(db.literal(word) for word in listed)})",
        f"{column.name} says {' or '.join(listed)}; an empty value is no consent",
    )


def _refusal(
    connection: duckdb.DuckDBPyConnection,
    key: str,
    columns: Sequence[ColumnValues],
    states: Sequence[ColumnValues],
) -> ProposedSetting:
    """Return the question whether the marked people must not be processed."""
    state = key.removesuffix("_at")
    # The trial run uses the first candidate, so it takes these people for barred.
    candidates = [
        Candidate(_marked(connection, column), f"{column.name} is an objection to this processing")
        for column in columns
    ]
    for column in states:
        text = f"lower(trim(CAST({column.sql} AS VARCHAR)))"
        words = ", ".join(db.literal(word) for word in BARRED_WORDS[key])
        value = f"CASE WHEN {text} IN ({words}) THEN {column.sql} END"
        candidates.append(Candidate(value, f"{column.name} has people who are {state}"))
    candidates.append(Candidate("", "it is about something else, such as letters alone"))
    why = {"objected_at": ("a refusal of marketing covers the profiling for it (GDPR Art. 21(2))",)}
    return ProposedSetting(TABLE, key, None, why.get(key, ()), candidates)


def _marked(connection: duckdb.DuckDBPyConnection, column: ColumnValues) -> str:
    """Return SQL for a mark or a date that is null where the column means no."""
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
    connection: duckdb.DuckDBPyConnection, key: str, column: ColumnValues, more: Sequence[str]
) -> ProposedSetting:
    value = column.sql
    if key == "birth_year" and not (column.is_numeric and not column.point):
        # Of a full date of birth the year is enough (GDPR Art. 5(1)(c)).
        value = f"year(CAST({column.sql} AS DATE))"
    why = [f"{column.name}: filled in {column.filled:,} of {column.rows:,} rows"]
    if key in FLAGS:
        value = _marked(connection, column)
        # Whoever is marked there alone would be processed, so nobody may overlook the column.
        if more:
            listed = ", ".join(more)
            why.append(f"{listed} may bar people too: if so, join them, as in coalesce(a, b)")
    return ProposedSetting(TABLE, key, value, why)


def _nothing(key: str, columns: Mapping[str, ColumnValues]) -> tuple[str, ...]:
    if key != "consent":
        return ("no such column",)
    near = [c.name for c in columns.values() if MARKETING.search(plain(c.name))]
    if not near:
        return ("no such column: name the lawful basis",)
    return (
        f"{', '.join(near)} may be a consent to letters and not to this processing: a person "
        "decides",
    )
