"""Step 1, data: the team's transactions and customers, pseudonymised, in EUR and UTC, gates applied."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sovereign_ml.config.settings import Settings
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.pipeline.source import SYNTHETIC, here
from sovereign_ml.privacy import corrections, objections, suppression
from sovereign_ml.pseudonyms import pseudonyms
from sovereign_ml.storage import duckdb as db
from sovereign_ml.storage.artifacts import read_json, summarise, writing

if TYPE_CHECKING:
    import duckdb

REASONS = {
    "no_customer_id": "customer_id IS NULL OR trim(customer_id) = ''",
    "unreadable_time": "event_time IS NULL",
    "unreadable_amount": "amount_eur IS NULL",
    "expired": "expired",
    "erased": "erased",
    "objected": "objected",
    "no_consent": "NOT consented",
}
"""Why a row is set aside, in this order; the first that holds counts. Duplicates come before all."""


def data(source: Path, output: Path, *, settings: Settings) -> None:
    """Read the input named in ``source`` and write transactions, customers and groups as Parquet.

    Erased people, objectors (GDPR Art. 21(3)) and people without the consent that the processing stands on are
    set aside here, before anything else sees them. Rows read equal rows kept plus rows set aside, by reason.
    Raises Misuse for input that cannot be read or mapped, Refused if no row is left.
    """
    suppression.check_key(settings)
    connection = db.connect()
    connection.execute("SET TimeZone = 'UTC'")
    pinned = read_json(source)
    _load(connection, pinned, settings)
    _customers(connection, settings)
    _transactions(connection, settings)
    with writing(output) as folder:
        corrections.apply(connection, settings, pinned, folder)
        suppression.leave_out(connection, settings)
        objections.leave_out_objectors(connection, settings, pinned)
        counts = _set_aside(connection, consent_needed=_has_consent(settings))
        _names(connection, settings.pseudonym_key())
        _write(connection, folder)
        kept = counts["read"] - sum(counts["set_aside"].values())
        aside = counts["read"] - kept
        words = ", ".join(
            f"{n:,} {reason.replace('_', ' ')}" for reason, n in counts["set_aside"].items() if n
        )
        summarise(
            folder,
            rows_in=counts["read"],
            rows_out=kept,
            headline=f"{counts['read']:,} read = {kept:,} kept + {aside:,} set aside ({words or 'none'})",
            set_aside=counts["set_aside"],
            source=pinned["kind"],
            erased_found=_erased_found(connection, folder, settings.pseudonym_key()),
            lawful_basis="consent" if _has_consent(settings) else settings.data.lawful_basis,
        )


def _has_consent(settings: Settings) -> bool:
    return bool(settings.data.customers and settings.data.customer_columns.consent)


def _load(
    connection: duckdb.DuckDBPyConnection, pinned: dict[str, Any], settings: Settings
) -> None:
    if not _has_consent(settings) and not settings.data.lawful_basis:
        raise Misuse(
            "No customers table with a consent column: config.toml must name lawful_basis under [data] "
            "(contract, legal_obligation, legitimate_interests, public_task), and the card will say so."
        )
    if pinned["kind"] == SYNTHETIC:
        from sovereign_ml.pipeline.demo_shop import make

        shop = make(settings.data.synthetic)
        connection.register("shop_transactions", shop.transactions)
        connection.register("shop_customers", shop.customers)
        connection.execute("CREATE TABLE source_transactions AS FROM shop_transactions")
        connection.execute("CREATE TABLE source_customers AS FROM shop_customers")
        return
    for table in ("transactions", "customers"):
        if table in pinned:
            mapping = (
                settings.data.columns if table == "transactions" else settings.data.customer_columns
            )
            with here(settings, pinned[table]["path"]) as path:
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


def _customers(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Table ``people``: one row a customer with gates and groups; empty when there is no customers table."""
    mapping = {k: v for k, v in settings.data.customer_columns.model_dump().items() if v}
    if not settings.data.customers:
        connection.execute(
            "CREATE TABLE people (customer_id VARCHAR, consent BOOLEAN, objected_at TIMESTAMPTZ, "
            "birth_year INTEGER, country VARCHAR, objected BOOLEAN, erased BOOLEAN)"
        )
        return
    _check_mapping(connection, "source_customers", "data.customer_columns", mapping)
    db.set_zone(connection, settings.data.timezone)
    e = {k: mapping.get(k, "NULL") for k in ("objected_at", "erased_at", "birth_year", "country")}
    # An unreadable consent is none; without a consent column nobody is said to have refused.
    consent = (
        f"coalesce(TRY_CAST(({mapping['consent']}) AS BOOLEAN), false)"
        if "consent" in mapping
        else "NULL::BOOLEAN"
    )
    db.run_mapped(
        connection,
        f"""CREATE TABLE people AS SELECT trim(CAST(({mapping["customer_id"]}) AS VARCHAR)) AS customer_id,
            bool_and({consent}) AS consent,
            min(TRY_CAST(({e["objected_at"]}) AS TIMESTAMPTZ)) AS objected_at,
            min(TRY_CAST(({e["birth_year"]}) AS INTEGER)) AS birth_year,
            min(CAST(({e["country"]}) AS VARCHAR)) AS country,
            bool_or(({e["objected_at"]}) IS NOT NULL) AS objected, bool_or(({e["erased_at"]}) IS NOT NULL) AS erased
        FROM source_customers GROUP BY ALL""",  # noqa: S608  expressions are the team's own configuration
        "data.customer_columns",
    )


def _transactions(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Table ``mapped``: the contract's columns and, per distinct source row, how many copies it had."""
    mapping = {k: v for k, v in settings.data.columns.model_dump().items() if v}
    _check_mapping(connection, "source_transactions", "data.columns", mapping)
    connection.execute(
        "CREATE TABLE once AS SELECT *, count(*) AS copies_ FROM source_transactions GROUP BY ALL"
    )
    db.set_zone(connection, settings.data.timezone)
    currency = mapping.get("currency", "'EUR'")
    _check_rates(connection, currency, settings)
    rates = " ".join(f"WHEN '{code}' THEN {rate!r}" for code, rate in settings.data.rates.items())
    rate = f"CASE CAST(({currency}) AS VARCHAR) {rates} END" if mapping.get("currency") else "1"
    db.run_mapped(
        connection,
        f"""CREATE TABLE mapped AS SELECT copies_, trim(CAST(({mapping["customer_id"]}) AS VARCHAR)) AS customer_id,
            TRY_CAST(TRY({mapping["event_time"]}) AS TIMESTAMPTZ) AS event_time,
            TRY_CAST(TRY_CAST(TRY({mapping["amount_eur"]}) AS DOUBLE) * {rate} AS DECIMAL(18, 2)) AS amount_eur,
            CAST(({mapping.get("category", "NULL")}) AS VARCHAR) AS category
        FROM once""",  # noqa: S608
        "data.columns",
    )
    _check_times(connection, mapping["event_time"])


def _check_rates(connection: duckdb.DuckDBPyConnection, currency: str, settings: Settings) -> None:
    """A currency without a rate stops the flow: leaving its rows out would bias the model by country."""
    known = list(settings.data.rates)
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


def _set_aside(connection: duckdb.DuckDBPyConnection, *, consent_needed: bool) -> dict[str, Any]:
    """Table ``gated`` with the reason of each row; counts by reason over all rows that were read."""
    reason = " ".join(f"WHEN {condition} THEN '{name}'" for name, condition in REASONS.items())
    connection.execute(
        f"""CREATE TABLE gated AS SELECT *, CASE {reason} END AS reason FROM (
            SELECT mapped.*, coalesce(objected, false) AS objected, coalesce(erased, false) AS erased,
            {"coalesce(consent, false)" if consent_needed else "true"} AS consented
            FROM mapped LEFT JOIN people USING (customer_id))"""  # noqa: S608
    )
    rows = connection.execute(
        "SELECT coalesce(reason, 'kept'), count(*), sum(copies_ - 1) FROM gated GROUP BY 1"
    ).fetchall()
    found = {str(name): int(n) for name, n, _ in rows}
    duplicates = sum(int(extra) for _, _, extra in rows)
    if not found.get("kept"):
        raise Refused(
            f"No transaction is left: all {sum(found.values()) + duplicates:,} rows were set aside ({found})."
        )
    return {
        "read": sum(found.values()) + duplicates,
        "set_aside": {"duplicate": duplicates, **{name: found.get(name, 0) for name in REASONS}},
    }


def _names(connection: duckdb.DuckDBPyConnection, key: bytes) -> None:
    """Table ``names``: the pseudonym of everyone who stays. Erased people get none: nothing of them goes on."""
    import pyarrow as pa

    rows = connection.execute(
        """SELECT customer_id FROM gated WHERE reason IS NULL
        UNION SELECT customer_id FROM people WHERE NOT erased AND customer_id IS NOT NULL ORDER BY 1"""
    ).fetchall()
    ids = [str(row[0]) for row in rows]
    connection.register("names_", pa.table({"customer_id": ids, "pseudonym": pseudonyms(ids, key)}))
    connection.execute("CREATE TABLE names AS FROM names_")


def _write(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    connection.execute("SET TimeZone = 'UTC'")
    db.write_parquet(
        connection,
        """SELECT pseudonym AS customer_id, event_time, amount_eur, category
        FROM gated JOIN names USING (customer_id) WHERE reason IS NULL ORDER BY ALL""",
        folder / "transactions.parquet",
    )
    db.write_parquet(
        connection,
        """SELECT pseudonym AS customer_id, consent, objected_at
        FROM people JOIN names USING (customer_id) ORDER BY ALL""",
        folder / "customers.parquet",
    )
    db.write_parquet(
        connection,
        """SELECT pseudonym AS customer_id, birth_year, country
        FROM people JOIN names USING (customer_id) WHERE coalesce(consent, true) AND NOT objected ORDER BY ALL""",
        folder / "groups.parquet",
    )


def _erased_found(connection: duckdb.DuckDBPyConnection, folder: Path, key: bytes) -> int:
    """Erased people found in what was written, by their pseudonyms: counted from the output, not from the intent."""
    rows = connection.execute(
        "SELECT customer_id FROM people WHERE erased AND customer_id IS NOT NULL"
    ).fetchall()
    gone = pseudonyms([str(row[0]) for row in rows], key)
    files = [str(folder / f"{name}.parquet") for name in ("transactions", "customers", "groups")]
    found = connection.execute(
        "SELECT count(DISTINCT customer_id) FROM read_parquet(?, union_by_name = true) "
        "WHERE list_contains(?, customer_id)",
        [files, gone],
    ).fetchone()
    return int(found[0]) if found else 0
