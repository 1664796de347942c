"""The amount in the team's file, with the sign of a return, and its currency."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from sovereign_ml.config.data_tables import ReaderSettings
from sovereign_ml.pipeline.suggest.column_values import ColumnValues
from sovereign_ml.pipeline.suggest.column_words import (
    CODE,
    LESS,
    MONEY,
    RETURN_WORDS,
    SEVERAL,
    SIGNS,
    UNITS,
    words_of,
)
from sovereign_ml.pipeline.suggest.file_columns import COLUMNS, FileColumns
from sovereign_ml.pipeline.suggest.proposal import Candidate, ProposedSetting
from sovereign_ml.storage import duckdb as db
from sovereign_ml.storage.expressions import Expressions

__all__ = ["NO_AMOUNT", "amount", "codes_of", "currency"]

NO_AMOUNT = "no column has a name of an amount"


def amount(file: FileColumns) -> ProposedSetting:
    """Return the amount of a row in its currency, a question where several columns may be it."""
    totals = [c for c in file.named("line_total") if c.is_numeric]
    pieces = [c for c in file.named("quantity") if c.is_numeric]
    prices = [c for c in file.named("unit_price") if c.is_numeric]
    product = (
        f"{pieces[0].number(file.decimal)} * {prices[0].number(file.decimal)}"
        if pieces and prices
        else ""
    )
    # Beside a quantity, the price of a piece is no total.
    totals = [c for c in totals if not prices or c.name != prices[0].name or not pieces]
    choices = [Candidate(c.number(file.decimal), f"column {c.name}") for c in totals]
    if product:
        choices.append(Candidate(product, f"{pieces[0].name} times {prices[0].name}"))
    if not choices:
        numeric = [c for c in file.columns.values() if c.is_numeric and (c.comma or c.point)]
        candidates = [Candidate(c.number(file.decimal), f"column {c.name}") for c in numeric]
        reason = (NO_AMOUNT,)
        return ProposedSetting(COLUMNS, "amount_eur", None, reason, candidates)
    why: list[str] = []
    if product and totals:
        share = _agreement(file, str(choices[0].value), product)
        words = f"{totals[0].name} is {choices[-1].evidence} in {share:.1%} of the rows"
        if share < 0.95:
            return _signed(file, None, choices, [words])
        why.append(words)
    if len(totals) > 1 and not product:
        same = _agreement(file, str(choices[0].value), str(choices[1].value))
        if same < 0.95 or not file.is_sure("line_total", totals):
            return _signed(file, None, choices, ["several columns may be the amount"])
    if len(choices) > 1:
        why.append(f"also possible: {', '.join(c.evidence for c in choices[1:])}")
    return _signed(file, str(choices[0].value), choices[:1], why)


def _agreement(file: FileColumns, expression: str, other: str) -> float:
    """Return the share of the rows in which two expressions give the same amount."""
    mapping = {"amount_eur": f"abs(({expression}) - ({other}))"}
    reader = ReaderSettings(decimal=file.decimal)
    read = Expressions(file.connection, file.table, COLUMNS, reader, mapping)
    read.check()
    rows = read.layered(file.table, ["amount_eur"], guarded=True)
    # Both may be rounded to a cent, and computing with floats adds a little.
    same = db.count(file.connection, rows, f"{read.value('amount_eur')} < 0.011")
    return same / max(db.count(file.connection, file.table), 1)


def _signed(
    file: FileColumns, value: str | None, choices: Sequence[Candidate], why: list[str]
) -> ProposedSetting:
    """Return the amount with the sign of a return, where the data show it.

    Another column or the signs themselves may show it.
    """
    column = next((c for c in file.columns.values() if value and c.sql in value), None)
    if value is None or column is None:
        return ProposedSetting(COLUMNS, "amount_eur", None, why, choices)
    question = _other_amount(file, value, column, why)
    return question or _with_sign(file, value, column, why)


def _with_sign(
    file: FileColumns, value: str, column: ColumnValues, why: list[str]
) -> ProposedSetting:
    """Return the amount ``value`` of ``column`` with its sign, or a question.

    It is a question where the sign may be turned.
    """
    sides = [c for c in file.named("side") if 1 < c.distinct <= 3]
    if sides and not column.negative:
        words = file.words(sides[0])
        credit = [w for w in words if w.strip().upper() in ("H", "C", "CR", "HABEN", "CREDIT")]
        if credit:
            listed = ", ".join(db.literal(w) for w in credit)
            turned = f"CASE WHEN {sides[0].sql} IN ({listed}) THEN -({value}) ELSE {value} END"
            other = f"CASE WHEN {sides[0].sql} IN ({listed}) THEN {value} ELSE -({value}) END"
            candidates = [
                Candidate(turned, "accounts of customers: a debit is a sale"),
                Candidate(other, "accounts of revenue: a credit is a sale"),
            ]
            why.append(f"{sides[0].name} has the sign: {file.counted(words)}")
            return ProposedSetting(COLUMNS, "amount_eur", None, why, candidates)
    if not column.negative:
        for kind in file.named("kind") + file.named("status"):
            words = file.words(kind)
            back = [w for w in words if any(r in w.casefold() for r in RETURN_WORDS.split())]
            # Where every word is one of returns, the column tells nothing apart.
            if back and len(back) < len(words):
                listed = ", ".join(db.literal(w) for w in back)
                # Some exports write a return with its sign already.
                signed = f"CASE WHEN {kind.sql} IN ({listed}) THEN -abs({value}) ELSE {value} END"
                candidates = [
                    Candidate(signed, f"{kind.name} names returns: {file.counted(words)}"),
                    Candidate(value, "if such rows are no money back"),
                ]
                return ProposedSetting(COLUMNS, "amount_eur", None, why, candidates)
        why.append("no amount is negative: the file has no returns, or writes them otherwise")
        return ProposedSetting(COLUMNS, "amount_eur", value, why)
    share = column.negative / max(column.numbers, 1)
    why.append(
        f"{column.negative:,} of {column.numbers:,} values of {column.name} are negative: returns"
    )
    # More returns than sales are unlikely, so the sign may be turned.
    if share > 0.5:
        candidates = [
            Candidate(f"-({value})", "the sign is turned, as in accounts of revenue"),
            Candidate(value, "most rows are returns"),
        ]
        return ProposedSetting(COLUMNS, "amount_eur", None, why, candidates)
    return ProposedSetting(COLUMNS, "amount_eur", value, why)


def _other_amount(
    file: FileColumns, value: str, column: ColumnValues, why: Sequence[str]
) -> ProposedSetting | None:
    """Return a question where the amount's name or another number casts doubt on it."""
    words = words_of(column.name)
    for form, units in UNITS.items():
        if words & set(units.split()):
            candidates = [
                Candidate(form.format(value), f"{column.name} is in another unit by its name"),
                Candidate(value, "if it is not"),
            ]
            return ProposedSetting(COLUMNS, "amount_eur", None, why, candidates)
    for other in file.columns.values():
        less = words_of(other.name) & set(LESS.split())
        if not less or other is column or not other.is_numeric or not _any_above_zero(file, other):
            continue
        # An empty discount is none, while NULL would empty the amount.
        net = f"{value} - coalesce({other.number(file.decimal)}, 0)"
        candidates = [
            Candidate(net, f"{other.name} is not taken off {column.name} yet"),
            Candidate(value, f"{column.name} is without {other.name} already"),
        ]
        return ProposedSetting(COLUMNS, "amount_eur", None, why, candidates)
    return None


def _any_above_zero(file: FileColumns, column: ColumnValues) -> bool:
    value = f"CAST({column.sql} AS VARCHAR)"
    return db.count(file.connection, file.table, f"regexp_matches({value}, '[1-9]')") > 0


def currency(file: FileColumns) -> ProposedSetting:
    """Return the currency of an amount: a column of codes, words or signs, or one for all rows."""
    for column in file.named("currency"):
        words = file.words(column)
        if words and all(CODE.fullmatch(word) for word in words):
            tidy = all(word == word.strip().upper() for word in words)
            value = column.sql if tidy else f"upper(trim({column.sql}))"
            return ProposedSetting(COLUMNS, "currency", value, codes_of(file, value))
        if words:
            return _written_currency(file, column, words)
    if signed := _currency_signs(file):
        return signed
    for column in file.named("line_total") or file.named("unit_price"):
        for code, names in MONEY.items():
            # EUR needs no setting, because amounts are EUR without one.
            if code != "EUR" and words_of(column.name) & set(names.split()):
                why = (f"by the name of {column.name}",)
                return ProposedSetting(COLUMNS, "currency", f"'{code}'", why)
    why = ("no column of currency codes: amounts are taken as EUR; for pounds write \"'GBP'\"",)
    return ProposedSetting(COLUMNS, "currency", "", why)


def _written_currency(
    file: FileColumns, column: ColumnValues, words: Mapping[str, int]
) -> ProposedSetting:
    """Return the currency of a column that writes it as a sign or a word, or a question."""
    codes: dict[str, str] = {}
    for word in words:
        matches = [code for code, names in MONEY.items() if words_of(word) & set(names.split())]
        matches += [SIGNS[sign] for sign in SIGNS if re.search(sign, word)]
        matches += ["EUR"] if "€" in word else []
        if matches or CODE.fullmatch(word):
            codes[word] = matches[0] if matches else word.strip().upper()
    whens = " ".join(
        f"WHEN {db.literal(word)} THEN {db.literal(code)}" for word, code in codes.items()
    )
    value = f"CASE CAST({column.sql} AS VARCHAR) {whens} END"
    why = [f"{column.name}: {file.counted(words)}"]
    if len(codes) == len(words):
        return ProposedSetting(COLUMNS, "currency", value, why)
    why.append("some of these words name no currency that is known here")
    candidates = [Candidate(value)] if codes else []
    candidates.append(Candidate("", "if amounts are EUR"))
    return ProposedSetting(COLUMNS, "currency", None, why, candidates)


def _currency_signs(file: FileColumns) -> ProposedSetting | None:
    """Return the currency that stands beside the amounts themselves.

    Returns None where it is EUR or where there is none.
    """
    amounts = [c for role in ("line_total", "unit_price") for c in file.named(role)]
    column = next((c for c in amounts if c.with_symbol), None)
    if column is None:
        return None
    text = f"CAST({column.sql} AS VARCHAR)"
    signs = {
        pattern: n
        for pattern in SIGNS
        if (n := db.count(file.connection, file.table, f"regexp_matches({text}, '{pattern}')"))
    }
    if not signs:
        return None
    whens = " ".join(f"WHEN regexp_matches({text}, '{p}') THEN '{SIGNS[p]}'" for p in signs)
    alone = len(signs) == 1 and sum(signs.values()) == column.filled
    value = f"'{SIGNS[next(iter(signs))]}'" if alone else f"CASE {whens} ELSE 'EUR' END"
    why = [f"{column.name} has {SIGNS[p]} beside {n:,} amounts" for p, n in signs.items()]
    if not any(SIGNS[p] in SEVERAL for p in signs):
        return ProposedSetting(COLUMNS, "currency", value, why)
    why.append("several countries write their money so")
    candidates = (Candidate(value, "if it is that one"), Candidate("", "if amounts are EUR"))
    return ProposedSetting(COLUMNS, "currency", None, why, candidates)


def codes_of(file: FileColumns, expression: str) -> list[str]:
    """Return the currency codes that ``expression`` gives, with their rows, as evidence."""
    rows = file.connection.execute(
        f"SELECT CAST({expression} AS VARCHAR) AS w, count(*) FROM {file.table} "  # noqa: S608
        "GROUP BY w ORDER BY 2 DESC, 1 LIMIT 20"
    ).fetchall()
    counted = {str(word or ""): int(n) for word, n in rows}
    several = "several currencies: " if len(set(counted) - {""}) > 1 else ""
    return [several + file.counted({code or "(empty)": n for code, n in counted.items()})]
