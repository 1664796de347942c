"""Meaning of the columns of purchases: customer, time, amount, order, category and filter."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from sovereign_ml.pipeline.suggest.column_values import ColumnValues
from sovereign_ml.pipeline.suggest.column_words import (
    DEAD_WORDS,
    FLAGS,
    GUESTS,
    LIVE_WORDS,
    NAMES,
    words_of,
)
from sovereign_ml.pipeline.suggest.file_columns import COLUMNS, FileColumns
from sovereign_ml.pipeline.suggest.money_columns import amount, codes_of, currency
from sovereign_ml.pipeline.suggest.presets import plain
from sovereign_ml.pipeline.suggest.proposal import NO, YES, Candidate, ProposedSetting
from sovereign_ml.pipeline.suggest.time_column import time_and_zone
from sovereign_ml.storage import duckdb as db

__all__ = ["MappingGuess", "customer", "decimal_of"]

NO_SUCH = {
    "order_id": "no column of order numbers: lines of a customer at the same time are one purchase",
    "category": "no column of product groups",
}


def decimal_of(columns: Mapping[str, ColumnValues]) -> ProposedSetting | None:
    """Return the decimal mark of the file, None where no value has one."""
    numeric = [c for c in columns.values() if c.is_numeric and c.sql_type == "VARCHAR"]
    comma = [c for c in numeric if c.comma]
    point = [c for c in numeric if c.point]
    words = [f"{c.name}: {c.comma:,} values such as 12,50" for c in comma]
    words += [f"{c.name}: {c.point:,} values such as 12.50" for c in point]
    candidates = (Candidate(",", "12,50 and 1.234,56"), Candidate(".", "12.50 and 1,234.56"))
    if comma and point:
        if sum(c.point for c in point) > sum(c.comma for c in comma):
            candidates = candidates[::-1]
        return ProposedSetting("data.reader", "decimal", None, words, candidates)
    if comma or point:
        return ProposedSetting("data.reader", "decimal", "," if comma else ".", words)
    # 1,234 may be a thousand or a fraction.
    grouped = [c for c in numeric if c.comma_groups or c.point_groups]
    if grouped:
        why = [
            f"{c.name}: {c.comma_groups + c.point_groups:,} values have one mark with three digits "
            "after it, which may be thousands or a fraction"
            for c in grouped
        ]
        if not any(c.point_groups for c in grouped):
            candidates = candidates[::-1]
        return ProposedSetting("data.reader", "decimal", None, why, candidates)
    return None


class MappingGuess(FileColumns):
    """The decisions about ``[data]`` and ``[data.columns]`` over a loaded file."""

    def decisions(self) -> list[ProposedSetting]:
        """Return one decision for each key, in the order of config.toml."""
        time, zone = time_and_zone(self)
        keys: dict[str, Callable[[FileColumns], ProposedSetting]] = {
            "customer_id": customer,
            "amount_eur": amount,
            "category": lambda _: self._optional("category"),
            "currency": currency,
            "order_id": lambda _: self._optional("order_id"),
        }
        mapped = {key: self._from_preset(key) or guess(self) for key, guess in keys.items()}
        return [
            zone,
            self._from_preset("where") or self._where(),
            mapped.pop("customer_id"),
            time,
            *mapped.values(),
        ]

    def _from_preset(self, key: str) -> ProposedSetting | None:
        for template in self.preset.templates.get(key, ()) if self.preset else ():
            marks = re.findall(r"\{#?(\w+)\}", template)
            if all(mark in self.by_plain_name for mark in marks):
                value = re.sub(r"\{(#?)(\w+)\}", self._filled_in, template)
                table = "data" if key == "where" else COLUMNS
                why = [f"known export: {self.preset.name}"] if self.preset else []
                if key == "currency":
                    why += codes_of(self, value)
                return ProposedSetting(table, key, value, why)
        return None

    def _filled_in(self, mark: re.Match[str]) -> str:
        column = self.by_plain_name[mark[2]]
        return str(column.number(self.decimal) if mark[1] else column.sql)

    def _optional(self, key: str) -> ProposedSetting:
        """Return a column that has the very name of ``key``.

        One that only has the word in its name is mentioned.
        """
        named = [c for c in self.named(key) if c.distinct > 1]
        sure = [c for c in named if plain(c.name) in NAMES[key].split()]
        if sure:
            return ProposedSetting(COLUMNS, key, sure[0].sql, (self.values_in_words(sure[0]),))
        near = [c.name for c in named if not self.is_time(c)]
        why = (NO_SUCH[key], *([f"perhaps {', '.join(near)}"] if near else []))
        return ProposedSetting(COLUMNS, key, "", why)

    def _where(self) -> ProposedSetting:
        """Return the filter, a question where a state or a mark may stand for no purchase."""
        live, ended = LIVE_WORDS.split(), DEAD_WORDS.split()
        for column in self.named("status"):
            words = {w: n for w, n in self.words(column).items() if w.strip()}
            dead = [w for w in words if w.strip().casefold() in ended]
            unknown = [w for w in words if w not in dead and w.strip().casefold() not in live]
            empty = column.rows - column.filled if words else 0
            counts = self.counted(words) + (f", (empty) {empty:,}" if empty else "")
            why = (f"rows that are no purchases are left out; {column.name}: {counts}",)
            # Where no word is one of a purchase, an empty state is that of a purchase.
            in_doubt = empty > 0 and len(dead) < len(words)
            if dead and not unknown and not in_doubt:
                return ProposedSetting("data", "where", _none_of(column, dead), why)
            if (unknown and column.distinct + bool(empty) > 1) or (dead and in_doubt):
                return ProposedSetting(
                    "data", "where", None, why, _states(column, words, dead, empty)
                )
        for column in self.columns.values():
            if column.filled and (keep := self._unmarked(column)):
                candidates = [Candidate(keep), Candidate("", "if marked rows are purchases too")]
                why = (f"{column.name} marks rows that may be no purchases",)
                return ProposedSetting("data", "where", None, why, candidates)
        return ProposedSetting("data", "where", "", ("all rows are taken",))

    def _unmarked(self, column: ColumnValues) -> str:
        """Return SQL for the rows that a column such as ``is_cancelled`` does not mark.

        It is empty for other columns.
        """
        if not words_of(column.name) & set(FLAGS.split()):
            return ""
        words = {word.strip().casefold() for word in self.words(column)}
        marks = {*YES, "x"}
        yes = sorted(words & marks)
        if yes and words <= {*marks, *NO}:
            listed = ", ".join(db.literal(word) for word in yes)
            text = f"lower(trim(CAST({column.sql} AS VARCHAR)))"
            # NULL NOT IN (...) is null in SQL, and a filter would leave out every unmarked row.
            return f"coalesce({text}, '') NOT IN ({listed})"
        # A reason or a date is a mark where other rows have none.
        unclear = column.filled < column.rows and not words <= set(NO)
        return f"{column.sql} IS NULL" if unclear or self.is_time(column) else ""


def _none_of(column: ColumnValues, words: Sequence[str]) -> str:
    listed = ", ".join(db.literal(word) for word in words)
    # NULL NOT IN (...) is null in SQL, and a filter would leave out every row without a state.
    return f"coalesce({column.sql}, '') NOT IN ({listed})"


def _states(
    column: ColumnValues, words: Mapping[str, int], dead: Sequence[str], empty: int
) -> list[Candidate]:
    """Return the filters by a state that a person has to choose from.

    ``words`` are the states with their rows, the most frequent first, ``dead`` those that are
    known for no purchase. ``empty`` rows have no state.
    """
    candidates = []
    if dead:
        stay = f", so the {empty:,} rows without a state stay" if empty else ""
        why = f"the states that are known for it{stay}"
        candidates.append(Candidate(_none_of(column, dead), why))
    if dead and empty:
        why = "those, and the rows without a state"
        value = f"trim(coalesce({column.sql}, '')) <> '' AND {_none_of(column, dead)}"
        candidates.append(Candidate(value, why))
    each = "each of these states" + (", and none," if empty else "")
    candidates.append(Candidate("", f"if {each} is a purchase"))
    most, rows = next(iter(words.items()))
    # No cast and no coalesce: where the state is null, this is not true, as it should be.
    value = f"{column.sql} = {db.literal(most)}"
    return [*candidates, Candidate(value, f"the most frequent one alone: {rows:,} rows")]


def customer(file: FileColumns) -> ProposedSetting:
    """Return the column that names the customer, a question where none surely does."""
    named = file.named("customer_id")
    # A column with a single value names nobody.
    usable = [c for c in named if c.distinct > 1 and not file.is_time(c)]
    if not usable:
        # Customers come back, so a value that is new in nearly every row names no customer. A
        # comma or a point marks an amount.
        repeated = [
            c
            for c in file.columns.values()
            if c.filled
            and 1 < c.distinct < 0.9 * c.filled
            and not c.comma
            and not c.point
            and not file.is_time(c)
        ]
        repeated.sort(key=lambda c: -c.distinct)
        candidates = [Candidate(c.sql, file.values_in_words(c)) for c in repeated[:5]]
        reason = ("no column has a name of a customer",)
        return ProposedSetting(COLUMNS, "customer_id", None, reason, candidates)
    first = usable[0]
    why = [file.values_in_words(first)]
    if others := [c.name for c in usable[1:4]]:
        why.append(f"also possible: {', '.join(others)}")
    if not file.is_sure("customer_id", usable):
        candidates = [Candidate(c.sql, file.values_in_words(c)) for c in usable]
        return ProposedSetting(COLUMNS, "customer_id", None, why, candidates)
    # A value that never repeats may be the id of the order, so a person decides.
    # In fewer rows, it may be by chance that nobody bought twice.
    if first.distinct == first.filled > 20:
        why.append("each row has its own: nobody would ever have bought twice")
        candidates = [Candidate(c.sql, file.values_in_words(c)) for c in (*usable[1:], first)]
        return ProposedSetting(COLUMNS, "customer_id", None, why, candidates)
    mails = [c for c in usable[1:] if "mail" in plain(c.name)]
    # Orders of guests have no account, so the e-mail address has to name the customer.
    gaps = _guests(file, first, mails[0]) if mails else 0
    if gaps:
        value = (
            f"CASE WHEN {_is_guest(first)} THEN lower({mails[0].sql}) "
            f"ELSE CAST({first.sql} AS VARCHAR) END"
        )
        why.append(f"{gaps:,} orders without an account are known by {mails[0].name}")
        return ProposedSetting(COLUMNS, "customer_id", value, why)
    # Some write the same e-mail address in capitals.
    mail = "mail" in plain(first.name) or _holds_mails(file, first)
    value = f"lower({first.sql})" if mail else first.sql
    return ProposedSetting(COLUMNS, "customer_id", value, why)


def _guests(file: FileColumns, column: ColumnValues, mail: ColumnValues) -> int:
    condition = f"{_is_guest(column)} AND {mail.sql} LIKE '%@%'"
    return db.count(file.connection, file.table, condition)


def _holds_mails(file: FileColumns, column: ColumnValues) -> bool:
    """Return whether nearly all values are e-mail addresses, which some write in capitals."""
    condition = f"CAST({column.sql} AS VARCHAR) LIKE '%_@_%'"
    return db.count(file.connection, file.table, condition) >= 0.9 * column.filled


def _is_guest(column: ColumnValues) -> str:
    words = ", ".join(db.literal(word) for word in ("", *GUESTS))
    return f"lower(trim(coalesce(CAST({column.sql} AS VARCHAR), ''))) IN ({words})"
