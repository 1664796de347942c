"""Reading the input: the team's files mapped to the contract, people marked who may not be processed, pseudonyms.

The tables live in an in-memory DuckDB: ``mapped`` (purchases) and ``people`` (customers), ids still in clear.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sovereign_ml.config.tables import DataSettings
from sovereign_ml.errors import Misuse
from sovereign_ml.pipeline.input_checks.customer_ids import id_text
from sovereign_ml.pipeline.input_checks.unusable import seen_columns
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
    """Reads the input that ``data/source.json`` names, by the mapping of ``[data]``."""

    files: InputFiles
    gates: Gates

    @property
    def lawful_basis(self) -> str:
        """Return ``consent`` where the customers table has such a column, else the basis that config.toml names."""
        config = self.files.config
        return "consent" if config.asks_consent else config.lawful_basis

    def read(self, source: Path) -> InputTables:
        """Load and map the input named in the file ``source``.

        Raises Misuse for input that cannot be read or mapped, and where the pseudonym key is not the one in use.
        """
        suppression.check_key(self.gates.suppression)
        connection = db.connect()
        connection.execute("SET TimeZone = 'UTC'")
        pinned = read_json(source)
        _load(connection, pinned, self.files)
        _customers(connection, self.files.config)
        _transactions(connection, self.files.config)
        return InputTables(connection, pinned, self.gates, self.files.config)


def _load(connection: duckdb.DuckDBPyConnection, pinned: dict[str, Any], files: InputFiles) -> None:
    config = files.config
    if not config.asks_consent and not config.lawful_basis:
        raise Misuse(
            "No customers table with a consent column: config.toml must name lawful_basis under [data] "
            "(contract, legal_obligation, legitimate_interests, public_task), and the card will say so."
        )
    if pinned["kind"] == SYNTHETIC:
        from sovereign_ml.pipeline.demo_shop import make

        shop = make(config.synthetic)
        connection.register("shop_transactions", shop.transactions)
        connection.register("shop_customers", shop.customers)
        connection.execute("CREATE TABLE source_transactions AS FROM shop_transactions")
        connection.execute("CREATE TABLE source_customers AS FROM shop_customers")
        return
    for table in ("transactions", "customers"):
        if table in pinned:
            mapping = config.columns if table == "transactions" else config.customer_columns
            with files.local_copy(pinned[table]["path"]) as path:
                db.load_file(connection, f"source_{table}", path, text=[mapping.customer_id])


def _check_mapping(
    connection: duckdb.DuckDBPyConnection, table: str, section: str, mapping: dict[str, str]
) -> None:
    """Try each expression alone, so that the message names the key of config.toml that is wrong."""
    for key, expression in mapping.items():
        if problem := db.problem_with(connection, table, expression):
            raise Misuse(
                f"config.toml [{section}] {key} = {expression!r}: {problem} "
                f"The file has the columns {', '.join(db.columns_of(connection, table))}."
            )


def _customers(connection: duckdb.DuckDBPyConnection, config: DataSettings) -> None:
    """Table ``people``: one row a customer with gates and groups; empty when there is no customers table."""
    mapping = {k: v for k, v in config.customer_columns.model_dump().items() if v}
    if not config.customers:
        connection.execute(
            "CREATE TABLE people (customer_id VARCHAR, consent BOOLEAN, objected_at TIMESTAMPTZ, "
            "birth_year INTEGER, country VARCHAR, objected BOOLEAN, erased BOOLEAN)"
        )
        return
    _check_mapping(connection, "source_customers", "data.customer_columns", mapping)
    db.set_zone(connection, config.timezone)
    e = {k: mapping.get(k, "NULL") for k in ("objected_at", "erased_at", "birth_year", "country")}
    # An unreadable consent is none; without a consent column nobody is said to have refused.
    consent = (
        f"coalesce(TRY_CAST(({mapping['consent']}) AS BOOLEAN), false)"
        if "consent" in mapping
        else "NULL::BOOLEAN"
    )
    db.run_mapped(
        connection,
        f"""CREATE TABLE people AS SELECT {id_text(mapping["customer_id"])} AS customer_id,
            bool_and({consent}) AS consent,
            min(TRY_CAST(({e["objected_at"]}) AS TIMESTAMPTZ)) AS objected_at,
            min(TRY_CAST(({e["birth_year"]}) AS INTEGER)) AS birth_year,
            min(CAST(({e["country"]}) AS VARCHAR)) AS country,
            bool_or(({e["objected_at"]}) IS NOT NULL) AS objected, bool_or(({e["erased_at"]}) IS NOT NULL) AS erased
        FROM source_customers GROUP BY ALL""",  # noqa: S608  expressions are the team's own configuration
        "data.customer_columns",
    )


def _transactions(connection: duckdb.DuckDBPyConnection, config: DataSettings) -> None:
    """Table ``mapped``: the contract's columns and, per distinct source row, how many copies it had."""
    mapping = {k: v for k, v in config.columns.model_dump().items() if v}
    _check_mapping(connection, "source_transactions", "data.columns", mapping)
    connection.execute(
        "CREATE TABLE once AS SELECT *, count(*) AS copies_ FROM source_transactions GROUP BY ALL"
    )
    db.set_zone(connection, config.timezone)
    currency = mapping.get("currency", "'EUR'")
    _check_rates(connection, currency, config.rates)
    rates = " ".join(f"WHEN '{code}' THEN {rate!r}" for code, rate in config.rates.items())
    rate = f"CASE CAST(({currency}) AS VARCHAR) {rates} END" if mapping.get("currency") else "1"
    seen = seen_columns(
        db.columns_of(connection, "once"), mapping["event_time"], mapping["amount_eur"]
    )
    db.run_mapped(
        connection,
        f"""CREATE TABLE mapped AS SELECT copies_, {id_text(mapping["customer_id"])} AS customer_id,
            TRY_CAST(TRY({mapping["event_time"]}) AS TIMESTAMPTZ) AS event_time,
            TRY_CAST(TRY_CAST(TRY({mapping["amount_eur"]}) AS DOUBLE) * {rate} AS DECIMAL(18, 2)) AS amount_eur,
            CAST(({mapping.get("category", "NULL")}) AS VARCHAR) AS category, {seen}
        FROM once""",  # noqa: S608
        "data.columns",
    )
    _check_times(connection, mapping["event_time"])


def _check_rates(
    connection: duckdb.DuckDBPyConnection, currency: str, rates: Mapping[str, float]
) -> None:
    """A currency without a rate stops the flow: leaving its rows out would bias the model by country."""
    known = list(rates)
    found = connection.execute(
        f"SELECT DISTINCT CAST(({currency}) AS VARCHAR) AS c FROM once "  # noqa: S608
        "WHERE c IS NULL OR NOT list_contains(?, c) ORDER BY ALL",
        [known],
    ).fetchall()
    if found:
        names = ", ".join("(empty)" if row[0] is None else str(row[0]) for row in found[:5])
        raise Misuse(
            f"No rate to EUR for the currency {names}: [data.rates] in config.toml knows {', '.join(known)}."
        )


def _check_times(connection: duckdb.DuckDBPyConnection, expression: str) -> None:
    total, bad = (
        db.count(connection, "mapped"),
        db.count(connection, "mapped", "event_time IS NULL"),
    )
    if bad * 2 > total:
        named = db.mentioned(db.columns_of(connection, "once"), expression)
        shown = f'"{named[0]}"' if named else "NULL"
        sample = connection.execute(
            f"""SELECT CAST({shown} AS VARCHAR) FROM once WHERE TRY_CAST(TRY({expression}) AS TIMESTAMPTZ) IS NULL
            ORDER BY ALL LIMIT 1"""  # noqa: S608
        ).fetchone()
        raise Misuse(
            f"{bad:,} of {total:,} times cannot be read, for example {sample[0] if sample else None!r}: give the "
            "format in [data.columns], such as event_time = \"strptime(col, '%d/%m/%Y %H:%M')\"."
        )
