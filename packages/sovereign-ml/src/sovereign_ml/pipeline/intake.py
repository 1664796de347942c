"""Intake of step 1: the team's files mapped to the contract, with marks on people.

The marks are of people who may not be processed. The tables live in an in-memory DuckDB: ``mapped``
(purchases) and ``people`` (customers). Ids are still in clear.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sovereign_ml.errors import Misuse
from sovereign_ml.pipeline.input_checks import exchange_rates
from sovereign_ml.pipeline.input_checks.event_rows import EventRows
from sovereign_ml.pipeline.input_mapping.mapped_rows import SOURCE, map_events, map_transactions
from sovereign_ml.pipeline.input_mapping.people_table import map_customers
from sovereign_ml.pipeline.input_tables import Gates, InputTables
from sovereign_ml.pipeline.source import SYNTHETIC, InputFiles
from sovereign_ml.privacy import suppression
from sovereign_ml.storage import duckdb as db
from sovereign_ml.storage.artifacts import read_json

if TYPE_CHECKING:
    import duckdb

__all__ = ["Intake"]


@dataclass(frozen=True)
class Intake:
    """Reader of the input that ``data/source.json`` names, by the mapping of ``[data]``."""

    files: InputFiles
    gates: Gates

    @property
    def lawful_basis(self) -> str:
        """Return ``consent`` if the customers table has that column, else config.toml's basis."""
        config = self.files.config
        return "consent" if config.asks_consent else config.lawful_basis

    def read(self, source: Path) -> InputTables:
        """Load and map the input named in the file ``source``.

        Raises Misuse for input that cannot be read or mapped, and where the pseudonym key is not
        the one in use.
        """
        # First of all: pseudonyms under another key would meet no tombstone of an erased person.
        suppression.check_key(self.gates.suppression)
        connection = db.connect()
        connection.execute("SET TimeZone = 'UTC'")
        pinned = read_json(source)
        notes = _load(connection, pinned, self.files)
        with self.files.local_copies(self.files.config.rates_file) as paths:
            exchange_rates.load(connection, self.files.config, paths)
        map_customers(connection, self.files.config)
        map_transactions(connection, self.files.config)
        events = tuple(self._events(name) for name in self.files.config.events)
        return InputTables(connection, pinned, self.gates, self.files.config, notes, events)

    def _events(self, name: str) -> EventRows:
        """Load and map one event table, in a database of its own."""
        # A database of its own, because its tables have the names of those of the purchases.
        connection, table = db.connect(), self.files.config.events[name]
        with self.files.local_copies(table.file) as paths:
            notes = db.load_files(connection, SOURCE, paths, table.reader).notes
        map_events(connection, table, f"data.events.{name}", self.files.config.timezone)
        return EventRows(name, table, connection, tuple(notes))


def _load(
    connection: duckdb.DuckDBPyConnection, pinned: dict[str, Any], files: InputFiles
) -> tuple[str, ...]:
    """Load the tables as they are and return notes on what was left out on purpose."""
    config = files.config
    if not config.asks_consent and not config.lawful_basis:
        raise Misuse(
            "No customers table with a consent column: config.toml must name lawful_basis under "
            "[data] (contract, legal_obligation, legitimate_interests, public_task), and the card "
            "will say so."
        )
    if not config.asks_consent and config.lawful_basis == "consent":
        raise Misuse(
            "config.toml [data] lawful_basis is 'consent', but nothing says who consented: name a "
            "customers "
            "table and its consent column under [data.customer_columns], or another lawful basis."
        )
    if pinned["kind"] == SYNTHETIC:
        from sovereign_ml.pipeline.demo_shop import make

        shop = make(config.synthetic)
        connection.register("shop_transactions", shop.transactions)
        connection.register("shop_customers", shop.customers)
        connection.execute("CREATE TABLE source_transactions AS FROM shop_transactions")
        connection.execute("CREATE TABLE source_customers AS FROM shop_customers")
        return ()
    notes: list[str] = []
    for table in ("transactions", "customers"):
        if table in pinned:
            with files.local_copies(pinned[table]["path"]) as paths:
                loaded = db.load_files(connection, f"source_{table}", paths, config.reader)
            notes += loaded.notes
    return tuple(notes)
