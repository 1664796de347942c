"""Proposal for an event table: customer, time, kind and number, tried against the buyers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from sovereign_ml.config.data_tables import DataSettings, EventTable
from sovereign_ml.errors import Misuse
from sovereign_ml.pipeline.input_checks import exchange_rates, plausibility, unusable
from sovereign_ml.pipeline.input_checks.event_rows import EventRows
from sovereign_ml.pipeline.input_checks.row_reasons import EVENT_REASONS, count_reasons
from sovereign_ml.pipeline.input_mapping.mapped_rows import (
    SOURCE,
    event_values,
    map_events,
    map_transactions,
)
from sovereign_ml.pipeline.input_mapping.people_table import map_customers
from sovereign_ml.pipeline.input_tables import after_the_end
from sovereign_ml.pipeline.source import SYNTHETIC, InputFiles
from sovereign_ml.pipeline.suggest.column_values import ColumnValues
from sovereign_ml.pipeline.suggest.customer_columns import met_among
from sovereign_ml.pipeline.suggest.file_columns import COLUMNS, FileColumns
from sovereign_ml.pipeline.suggest.mapping import customer
from sovereign_ml.pipeline.suggest.presets import plain
from sovereign_ml.pipeline.suggest.proposal import Candidate, ProposedSetting
from sovereign_ml.pipeline.suggest.time_column import time_and_zone
from sovereign_ml.pipeline.suggest.trial_run import (
    Judged,
    TrialRun,
    filtered,
    never_expired,
    sample_rows,
)
from sovereign_ml.storage import duckdb as db
from sovereign_ml.storage.expressions import Expressions

if TYPE_CHECKING:
    import duckdb

__all__ = ["EventGuess", "buyers_of", "try_events"]

KINDS = (
    "kind type topic category channel reason priority event eventtype eventname action subject art "
    "thema kategorie anliegen grund kanal typ sujet motif tema motivo"
)
NUMBERS = (
    "value minutes duration seconds hours pages count score rating amount dauer minuten sekunden "
    "stunden anzahl bewertung duree"
)
OWN_IDS = (
    "id ticketid ticketno ticket ticketnumber ticketnr caseid caseno casenumber eventid messageid "
    "mailid sessionid requestid vorgangsnummer vorgangid ticketnummer"
)
MOST_KINDS, LONGEST_KIND = 50, 64


class EventGuess(FileColumns):
    """The decisions about one event table over the loaded rows."""

    def decide(self, *, buyers: bool, timezone: str) -> list[ProposedSetting]:
        """Return one decision for each key of the table, the filter last.

        ``buyers`` tells whether the table ``buyers`` exists. ``timezone`` is that of ``[data]``.
        """
        self.preset, self.notes = None, []  # an export that is known has purchases
        time, zone = time_and_zone(self)
        if zone.is_open:
            self.notes.append(
                f"The times name no zone: they are read in [data] timezone, now {timezone!r}. For "
                "another one "
                "write event_time = \"(...) AT TIME ZONE 'Europe/Berlin'\"."
            )
        who = self._buyer() if buyers else customer(self)
        return [who, time, self._kind(), self._number(), self._one_row_an_event()]

    def _buyer(self) -> ProposedSetting:
        """Return the column of customers whose values are among the buyers."""
        ids = "SELECT customer_id FROM buyers"
        named = met_among(self.connection, self.table, ids, self.named("customer_id"), COLUMNS)
        if named.value:
            return named
        # A column of another name is only a candidate: numbers of tickets are met among numbers of
        # customers too.
        others = [c for c in self.columns.values() if c.filled and not self.is_time(c)]
        met = met_among(self.connection, self.table, ids, others, COLUMNS)
        why = (
            "no column with a name of a customer has an id of a buyer; a column of other numbers "
            "may have some by chance",
        )
        return replace(met, value=None, why=why, candidates=met.candidates or named.candidates)

    def _by_name(self, names: Sequence[str]) -> list[ColumnValues]:
        filled = {plain(column.name): column for column in self.columns.values() if column.filled}
        return [filled[name] for name in names if name in filled]

    def _kind(self) -> ProposedSetting:
        for column in self._by_name(KINDS.split()):
            words = self.words(column, MOST_KINDS)
            repeats = column.distinct <= max(2, column.filled / 2)  # free text hardly ever does
            if words and repeats and max(map(len, words)) <= LONGEST_KIND:
                why = (f'{self.counted(words)}; "" if no feature uses it',)
                return ProposedSetting(COLUMNS, "kind", column.sql, why)
        why = ("no column of a few words that is named like a kind",)
        return ProposedSetting(COLUMNS, "kind", "", why)

    def _number(self) -> ProposedSetting:
        for column in self._by_name(NUMBERS.split()):
            if column.is_numeric:
                why = (f'{column.name}: {column.numbers:,} numbers; "" if no feature uses it',)
                return ProposedSetting(COLUMNS, "value", column.number(self.decimal), why)
        return ProposedSetting(COLUMNS, "value", "", ("no column is named like a number",))

    def _one_row_an_event(self) -> ProposedSetting:
        """Return a question about the rows to count where an event has one row for each change."""
        for column in self._by_name(OWN_IDS.split()):
            if not column.distinct < 0.95 * column.filled:
                continue
            states = [(c, self.words(c)) for c in self.named("status")]
            candidates = [
                Candidate(f"{c.sql} = {db.literal(word)}", f"{c.name} {word}: {n:,} rows")
                for c, words in states
                for word, n in words.items()
            ]
            why = (
                f"{column.name} has {column.distinct:,} values in {column.filled:,} rows: an event "
                "that stands there once for each change is counted once for each",
            )
            every = Candidate("", "if each row is an event of its own")
            return ProposedSetting("data", "where", None, why, [*candidates, every])
        return ProposedSetting("data", "where", "", ("all rows are taken",))


def buyers_of(files: InputFiles) -> tuple[duckdb.DuckDBPyConnection | None, str]:
    """Return step 1 over the purchases of config.toml in memory, with the reason of each row.

    Without purchases of the team's own it is None, with the cause in words.
    """
    config = files.config
    if config.transactions == SYNTHETIC:
        return None, "config.toml names no transactions of yours: map those first"
    connection = db.connect()
    connection.execute("SET TimeZone = 'UTC'")
    try:
        for table, named in ((SOURCE, config.transactions), ("source_customers", config.customers)):
            if named:
                with files.local_copies(named) as paths:
                    db.load_files(connection, table, paths, config.reader)
        with files.local_copies(config.rates_file) as paths:
            exchange_rates.load(connection, config, paths)
        map_customers(connection, config)
        map_transactions(connection, config)
    except Misuse as error:
        return None, f"the purchases of config.toml cannot be read: {error}"
    never_expired(connection)
    end = after_the_end(connection, config)
    if not count_reasons(connection, end, consent_needed=config.asks_consent).kept:
        return None, "no purchase of config.toml is kept"
    connection.execute(
        # EventRows reads this table, and a trial makes no pseudonyms.
        "CREATE TABLE names AS SELECT DISTINCT customer_id, '' AS pseudonym FROM gated WHERE "
        "reason IS NULL"
    )
    return connection, ""


def try_events(
    connection: duckdb.DuckDBPyConnection,
    shop: duckdb.DuckDBPyConnection | None,
    project: DataSettings,
    name: str,
    notes: Sequence[str],
    *,
    in_clear: bool,
) -> TrialRun:
    """Return the trial run of the event table ``name`` of ``project``.

    It runs on the rows that ``connection`` has loaded.
    """
    table = project.events[name]
    section = f"data.events.{name}"
    try:
        map_events(connection, table, section, project.timezone)
        never_expired(connection)
        end = after_the_end(shop or connection, project)
        if shop is None:
            headline, problems = _without_buyers(connection, project, name, end)
        else:
            rows = EventRows(name, table, connection, tuple(notes))
            rows.set_aside(shop, end, consent_needed=project.asks_consent)
            problems = rows.problems(plausibility.history(shop))
            headline = rows.headline if rows.counts.kept else rows.counts.headline
            headline += f"; {rows.match.headline}"
        judged = _events(connection, table, section, project.timezone, end)
        columns = db.columns_of(connection, SOURCE)
        samples = sample_rows(connection, judged, columns, in_clear=in_clear)
        return TrialRun(headline, problems, samples)
    except Misuse as error:
        return TrialRun(stopped=str(error))


def _without_buyers(
    connection: duckdb.DuckDBPyConnection, project: DataSettings, name: str, end: str
) -> tuple[str, list[str]]:
    """Return counts and problems as if everybody in the table had bought."""
    checks = project.events[name].checks
    map_customers(connection, project.model_copy(update={"customers": ""}))
    connection.execute(
        "CREATE TABLE names AS SELECT DISTINCT customer_id FROM mapped WHERE customer_id IS NOT "
        "NULL"
    )
    # The table `people` is empty here, so everybody would lack a consent.
    counts = count_reasons(connection, end, consent_needed=False, reasons=EVENT_REASONS)
    values = unusable.values(connection)
    problems = plausibility.too_many_unusable(counts.read, counts.set_aside, values, checks)
    return f"{counts.headline}; who of them has bought is not known", problems


def _events(
    connection: duckdb.DuckDBPyConnection, table: EventTable, section: str, timezone: str, end: str
) -> Judged:
    """Return the rows of the file as step 1 maps and judges them."""
    keys = ("customer_id", "event_time", "kind", "value")
    mapping = {key: getattr(table, key) for key in keys if getattr(table, key)}
    source, fate = filtered(connection, table.where, table.reader, section)
    read = Expressions(connection, SOURCE, section, table.reader, mapping)
    read.check()
    db.set_zone(connection, timezone)
    verdict = f"""CASE WHEN filtered_ IS NOT NULL THEN filtered_
        WHEN customer_id IS NULL THEN 'no_customer_id' WHEN event_time IS NULL THEN 'unreadable_time'
        WHEN {end} THEN 'in_future'
        WHEN customer_id NOT IN (SELECT customer_id FROM names) THEN 'no_purchase' ELSE 'kept' END"""  # noqa: S608
    rows = read.layered(source, list(mapping), guarded=True)
    return Judged(
        rows, event_values(read) | {"filtered_": fate}, verdict, mapping, (table.where, table.kind)
    )
