"""The mapped input in DuckDB: rows set aside by reason, pseudonyms, and Parquet files.

The files are the output of step 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sovereign_ml.config.connections import DataVersions, LogLocation, SuppressionFiles
from sovereign_ml.config.data_tables import CheckSettings, DataSettings
from sovereign_ml.config.tables import FeatureSettings
from sovereign_ml.decision_log.entries import BARS
from sovereign_ml.errors import Refused
from sovereign_ml.features.event_tables import names as event_tables
from sovereign_ml.pipeline.input_checks import plausibility, unusable
from sovereign_ml.pipeline.input_checks.event_rows import EventRows
from sovereign_ml.pipeline.input_checks.matching import (
    CustomerMatch,
    cut_off_ids,
    match_customers,
)
from sovereign_ml.pipeline.input_checks.row_reasons import Counts, count_reasons
from sovereign_ml.privacy import corrections, objections, suppression
from sovereign_ml.pseudonyms import pseudonyms
from sovereign_ml.storage import duckdb as db
from sovereign_ml.storage.artifacts import writing

if TYPE_CHECKING:
    import duckdb

__all__ = ["Gates", "InputTables", "after_the_end", "input_problems"]

_FREE = f"coalesce(consent, true) AND NOT ({' OR '.join(BARS.values())})"
"""True for people of whom more than the mark is kept."""


@dataclass(frozen=True)
class Gates:
    """Sources of decisions about people in the input.

    They are corrections, the suppression list, objections and restrictions, and consent. ``raw`` is
    the artifact of step 1 before this run, with the corrections so far.
    """

    raw: Path
    versions: DataVersions
    suppression: SuppressionFiles
    log: LogLocation
    asks_consent: bool

    def keys(self) -> tuple[bytes, ...]:
        """Return the keys of the pseudonyms, the one in use first."""
        return self.suppression.keys()


class InputTables:
    """The mapped input, with marks that decide which rows :meth:`set_aside` keeps out."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        pinned: dict[str, Any],
        gates: Gates,
        config: DataSettings,
        notes: tuple[str, ...] = (),
        events: tuple[EventRows, ...] = (),
    ) -> None:
        self._connection, self._pinned, self._gates = connection, pinned, gates
        self._config, self._notes, self._events = config, notes, events

    @property
    def kind(self) -> str:
        """Return ``synthetic`` for the built-in shop and ``files`` for other input."""
        return str(self._pinned["kind"])

    def correct(self, folder: Path) -> None:
        """Apply the requested corrections (GDPR Art. 16), and carry them into ``folder``."""
        corrections.apply(
            self._connection,
            {rows.name: rows.connection for rows in self._events},
            self._gates.raw,
            self._gates.versions,
            self._gates.keys(),
            self._pinned,
            folder,
        )

    def match_customers(self) -> CustomerMatch | None:
        """Compare the people of the customers table with the buyers, None without such a table.

        Call it after :meth:`correct`, and before people are marked whom the table itself does not
        mark.
        """
        if not self._config.customers:
            return None
        return match_customers(self._connection)

    def mark_erased_and_expired(self) -> None:
        """Mark erased people (Art. 17) and purchases past their retention period (Art. 5(1)(e))."""
        for connection in (self._connection, *(rows.connection for rows in self._events)):
            suppression.mark_expired(connection, self._gates.suppression)
        # Event tables copy the marks of people from this database in `set_aside`.
        suppression.mark_erased(self._connection, self._gates.suppression)

    def mark_objectors(self) -> None:
        """Mark people who objected (Art. 21(3)), withdrew consent or are restricted.

        These are the ones that the service recorded. The customers table has its own marks.
        """
        objections.mark(self._connection, self._gates.log, self._gates.keys(), self._pinned)

    def set_aside(self) -> Counts:
        """Give each row its reason or keep it, and give every person who stays a pseudonym."""
        end, consent_needed = self._after_the_end(), self._gates.asks_consent
        counts = count_reasons(self._connection, end, consent_needed=consent_needed)
        # Event tables read this table, so it is made before them.
        _names(self._connection, self._gates.keys()[0])
        for rows in self._events:
            rows.set_aside(self._connection, end, consent_needed=consent_needed)
        return replace(counts, notes=self._notes)

    def check(
        self, counts: Counts, match: CustomerMatch | None, windows: FeatureSettings, refused: Path
    ) -> str:
        """Return the headline of the step where the input looks right.

        Raises Refused with all problems. The values that cannot be used are then in the folder
        ``refused``.
        """
        connection = self._connection
        values = unusable.values(connection)
        problems = input_problems(connection, counts, match, self._config.checks)
        # Without a kept row there is no span, and `input_problems` has told so already.
        if counts.kept:
            span = plausibility.history(connection)
            problems += [problem for rows in self._events for problem in rows.problems(span)]
        if problems:
            where = ""
            if values or self._events:
                with writing(refused) as folder:
                    unusable.write_values(values, folder)
                    for rows in self._events:
                        rows.write_values(folder)
                where = f" Values that cannot be used are in {refused.name}/{unusable.FILE}."
            raise Refused(
                f"{counts.headline}. The input does not look right: {'; '.join(problems)}.{where}"
            )
        matched = [match.headline] if match else []
        events = [rows.headline for rows in self._events]
        orders = plausibility.notes_on_orders(connection)
        return "; ".join([counts.headline, *matched, span.headline(windows), *orders, *events])

    def event_facts(self) -> dict[str, Any]:
        """Return the figures of each event table for the summary."""
        return {rows.name: rows.facts() for rows in self._events}

    def _after_the_end(self) -> str:
        """Return SQL that is true for an event that has not happened yet."""
        # The built-in shop has a last day of its own, so that it works under any clock.
        if self.kind == "synthetic":
            from sovereign_ml.pipeline.demo_shop import LAST_DAY

            return f"event_time >= TIMESTAMPTZ '{LAST_DAY} UTC' + INTERVAL 1 DAY"
        return after_the_end(self._connection, self._config)

    def write(self, folder: Path) -> None:
        """Write transactions, customers, groups and events as Parquet, and the unusable values."""
        _write(self._connection, folder)
        for rows in self._events:
            rows.write(folder)
        unusable.write_values(unusable.values(self._connection), folder)

    def erased_in(self, folder: Path) -> int:
        """Count erased people in the output."""
        return _erased_found(self._connection, folder, self._gates.keys()[0])


def after_the_end(connection: duckdb.DuckDBPyConnection, config: DataSettings) -> str:
    """Return SQL that is true for an event later than now, or than ``[data] as_of``."""
    if config.as_of:
        db.set_zone(connection, config.timezone)
        return f"event_time >= CAST(DATE '{config.as_of}' + 1 AS TIMESTAMPTZ)"
    return f"event_time > TIMESTAMPTZ '{datetime.now(UTC).isoformat()}'"


def input_problems(
    connection: duckdb.DuckDBPyConnection,
    counts: Counts,
    match: CustomerMatch | None,
    checks: CheckSettings,
) -> list[str]:
    """Return the problems of the input in words."""
    problems = [
        *plausibility.too_many_unusable(
            counts.read, counts.set_aside, unusable.values(connection), checks
        ),
        *(match.problems(checks) if match else cut_off_ids(connection, checks)),
    ]
    if counts.kept:
        return problems + plausibility.signs_of_a_fault(connection, checks)
    set_aside = {name: n for name, n in counts.set_aside.items() if n}
    return [
        *problems,
        f"No transaction is left: all {counts.read:,} rows were set aside ({set_aside})",
    ]


def _names(connection: duckdb.DuckDBPyConnection, key: bytes) -> None:
    """Make the table ``names`` with the pseudonym of every person who stays."""
    connection.execute("CREATE TABLE names (customer_id VARCHAR, pseudonym VARCHAR)")
    # Erased people get no pseudonym: nothing of them goes on.
    ids = """SELECT customer_id FROM gated WHERE reason IS NULL
        UNION SELECT customer_id FROM people WHERE NOT erased AND customer_id IS NOT NULL"""
    for batch in db.texts(connection, ids):
        _add_names(connection, "names", batch, key)


def _add_names(
    connection: duckdb.DuckDBPyConnection, table: str, ids: list[str], key: bytes
) -> None:
    """Append ``ids`` with their pseudonyms to ``table``."""
    import pyarrow as pa

    rows = pa.table(
        {
            "customer_id": pa.array(ids, pa.string()),
            "pseudonym": pa.array(pseudonyms(ids, key), pa.string()),
        }
    )
    # A registered Arrow table is inserted at once. Parameters would be bound row by row.
    connection.register("names_", rows)
    connection.execute(f"INSERT INTO {table} FROM names_")
    connection.unregister("names_")


def _write(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    connection.execute("SET TimeZone = 'UTC'")
    # An order gets a number of its customer's own: its id would lead back into the shop.
    number = """CASE WHEN order_id IS NOT NULL THEN CAST(
        dense_rank() OVER (PARTITION BY customer_id ORDER BY order_id NULLS LAST) AS INTEGER) END"""
    # A window holds all rows in memory, so it is left out where no row has an order.
    if not db.count(connection, "gated", "order_id IS NOT NULL"):
        number = "CAST(NULL AS INTEGER)"
    db.write_parquet(
        connection,
        f"""SELECT pseudonym AS customer_id, event_time, amount_eur, category,
            {number} AS order_number
        FROM gated JOIN names USING (customer_id) WHERE reason IS NULL ORDER BY ALL""",  # noqa: S608
        folder / "transactions.parquet",
    )
    db.write_parquet(
        connection,
        f"""SELECT pseudonym AS customer_id, consent, {", ".join(f"{bar}_at" for bar in BARS.values())},
            CASE WHEN {_FREE} THEN started_at END AS started_at,
            CASE WHEN {_FREE} THEN ended_at END AS ended_at
        FROM people JOIN names USING (customer_id) ORDER BY ALL""",  # noqa: S608
        folder / "customers.parquet",
    )
    db.write_parquet(
        connection,
        f"""SELECT pseudonym AS customer_id, birth_year, country
        FROM people JOIN names USING (customer_id) WHERE {_FREE} ORDER BY ALL""",  # noqa: S608
        folder / "groups.parquet",
    )


def _erased_found(connection: duckdb.DuckDBPyConnection, folder: Path, key: bytes) -> int:
    """Return the number of erased people in the written files, by their pseudonyms."""
    connection.execute("CREATE OR REPLACE TEMP TABLE gone AS FROM names LIMIT 0")
    erased = "SELECT customer_id FROM people WHERE erased AND customer_id IS NOT NULL"
    for batch in db.texts(connection, erased):
        _add_names(connection, "gone", batch, key)
    # Counted from the output and not from the intent.
    tables = ("transactions", "customers", "groups", *event_tables(folder))
    files = [str(folder / f"{name}.parquet") for name in tables]
    counted = connection.execute(
        # The files have different columns in different places, and share the id alone.
        "SELECT count(DISTINCT customer_id) FROM read_parquet(?, union_by_name = true) "
        "WHERE customer_id IN (SELECT pseudonym FROM gone)",
        [files],
    ).fetchone()
    return int(counted[0]) if counted else 0
