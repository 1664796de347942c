"""The rows of an event table in step 1: people, reasons for setting aside, and checks."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sovereign_ml.config.data_tables import EventTable
from sovereign_ml.features.event_tables import PREFIX
from sovereign_ml.pipeline.input_checks import plausibility, unusable
from sovereign_ml.pipeline.input_checks.matching import CustomerMatch, match_events
from sovereign_ml.pipeline.input_checks.row_reasons import EVENT_REASONS, Counts, count_reasons
from sovereign_ml.privacy import subjects
from sovereign_ml.storage import duckdb as db

if TYPE_CHECKING:
    import duckdb

__all__ = ["EventRows"]


@dataclass
class EventRows:
    """The mapped rows of ``[data.events.<name>]``, in the table ``mapped`` of an own database.

    Call :meth:`set_aside` before the other methods.
    """

    name: str
    config: EventTable
    connection: duckdb.DuckDBPyConnection
    notes: tuple[str, ...]
    counts: Counts = field(init=False)
    match: CustomerMatch = field(init=False)

    def set_aside(
        self, shop: duckdb.DuckDBPyConnection, after_the_end: str, *, consent_needed: bool
    ) -> None:
        """Give each row its reason or keep it, by the people of ``shop``.

        The purchases in ``shop`` must have their reasons already.
        """
        marks = ", ".join(("customer_id", "consent", *subjects.MARKS))
        # Only events of people with a kept purchase are kept: everybody else is barred, or of no
        # use.
        names = "FROM names SEMI JOIN (FROM gated WHERE reason IS NULL) USING (customer_id)"
        for name, query in (("people", f"SELECT {marks} FROM people"), ("names", names)):  # noqa: S608
            # Two databases in memory cannot be joined, so the people are copied through Arrow.
            self.connection.register(f"shop_{name}", shop.sql(query).to_arrow_table())
            self.connection.execute(f"CREATE TABLE {name} AS FROM shop_{name}")
        # All buyers, also those who are not kept: the spelling of the ids is compared here.
        buyers = shop.execute(
            "SELECT DISTINCT customer_id FROM mapped WHERE customer_id IS NOT NULL"
        )
        section = f"data.events.{self.name}"
        self.match = match_events(self.connection, [row[0] for row in buyers.fetchall()], section)
        counts = count_reasons(
            self.connection, after_the_end, consent_needed=consent_needed, reasons=EVENT_REASONS
        )
        self.counts = replace(counts, notes=self.notes)

    def problems(self, shop: plausibility.History) -> list[str]:
        """Return the problems of the rows in words.

        ``shop`` is the span of the purchases that are kept.
        """
        values, checks = unusable.values(self.connection), self.config.checks
        texts = plausibility.too_many_unusable(
            self.counts.read, self.counts.set_aside, values, checks, self.match.section
        )
        texts += self.match.problems(checks)
        if self.counts.kept:
            texts += plausibility.signs_in_events(self.connection, self.config, shop.last)
        else:
            texts.append(f"no event is left: {self.counts.headline}")
        return [f"{self.name}: {problem}" for problem in texts]

    @property
    def headline(self) -> str:
        """Return the counts and the span in one line."""
        span = plausibility.history(self.connection)
        return (
            f"{self.name}: {self.counts.headline}, "
            f"from {span.first:%Y-%m-%d} to {span.last:%Y-%m-%d}"
        )

    def facts(self) -> dict[str, Any]:
        """Return the figures for the summary."""
        span = plausibility.history(self.connection)
        ((people,),) = self.connection.execute(
            "SELECT count(DISTINCT customer_id) FROM gated WHERE reason IS NULL"
        ).fetchall()
        return {
            "rows_in": self.counts.read,
            "rows_out": self.counts.kept,
            "set_aside": {reason: n for reason, n in self.counts.set_aside.items() if n},
            "people": people,
            "people_met_share": round(self.match.customers_met / max(1, self.match.customers), 3),
            "first_event": f"{span.first:%Y-%m-%d}",
            "newest_event": f"{span.last:%Y-%m-%d}",
        }

    def write(self, folder: Path) -> None:
        """Write the kept rows as Parquet with pseudonyms, and the values that cannot be used."""
        self.connection.execute("SET TimeZone = 'UTC'")
        db.write_parquet(
            self.connection,
            """SELECT pseudonym AS customer_id, event_time, kind, value
            FROM gated JOIN names USING (customer_id) WHERE reason IS NULL ORDER BY ALL""",
            folder / f"{PREFIX}{self.name}.parquet",
        )
        self.write_values(folder)

    def write_values(self, folder: Path) -> None:
        """Write the values that cannot be used, each alone and with its reason."""
        values = unusable.values(self.connection)
        unusable.write_values(values, folder, f"set_aside_{self.name}.csv")
