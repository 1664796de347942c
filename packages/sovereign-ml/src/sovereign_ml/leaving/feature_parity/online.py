"""Answers of the old online store, and values of ours, as rows that can be compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sovereign_ml.errors import Misuse
from sovereign_ml.leaving import offline_rows
from sovereign_ml.leaving.offline_rows import BroughtGroup, OfflineGroup
from sovereign_ml.storage import duckdb as db
from sovereign_ml.storage.artifacts import need, read_json

if TYPE_CHECKING:
    import duckdb

    from sovereign_ml.config.connections import FeatureStores

_LARGEST = 64_000_000
"""Largest size of one answer in bytes."""
_RECORD = "STRUCT(FeatureName VARCHAR, ValueAsString VARCHAR)[]"


def answers_of(folder: Path, group: str) -> list[Path]:
    """Return the files with answers of GetRecord or BatchGetRecord about ``group``.

    They are ``online/GROUP.jsonl`` or ``.json``, or any below ``online/GROUP``. Raises Misuse if
    there is none.
    """
    base = folder / "online"
    files = [base / f"{group}.{ending}" for ending in ("jsonl", "json")]
    files += sorted(path for path in (base / group).rglob("*.json*") if path.is_file())
    files = [path for path in files if path.is_file()]
    if not files:
        raise Misuse(
            f"{base / group}.jsonl does not exist: fetch the records with `churn leave fetch "
            f"--online {group}`, or put answers of GetRecord there, one a line."
        )
    return files


def write_online(
    group: OfflineGroup,
    files: Sequence[Path],
    output: Path,
    *,
    dump_time: datetime,
    keys: tuple[bytes, ...],
    barred: Callable[[Iterable[str]], set[str]],
) -> BroughtGroup:
    """Write the records to the Parquet file ``output`` under pseudonyms, and return the counts.

    A feature without a value is not in an answer, and is missing in its row. Raises Misuse where
    the answers hold no record.
    """
    connection = db.connect()
    try:
        connection.execute("SET TimeZone = 'UTC'")
        names = ", ".join(db.literal(str(path)) for path in files)
        answer = f"STRUCT(RecordIdentifierValueAsString VARCHAR, Record {_RECORD})"
        with db.refusing(f"Cannot read the answers in {files[0].parent}"):
            connection.execute(
                "CREATE TABLE answers AS FROM read_json("
                f"[{names}], maximum_object_size = {_LARGEST}, columns = {{"
                f"Records: '{answer}[]', RecordIdentifierValueAsString: 'VARCHAR', "
                f"Record: '{_RECORD}'}})"
            )
        connection.execute(
            "CREATE TABLE records AS SELECT RecordIdentifierValueAsString AS id, Record AS r "
            "FROM answers WHERE Record IS NOT NULL UNION ALL SELECT "
            "answer.RecordIdentifierValueAsString, answer.Record FROM "
            "(SELECT unnest(Records) AS answer FROM answers)"
        )
        # `churn leave fetch` writes an empty file for a group without records.
        if not db.count(connection, "records"):
            raise Misuse(
                f"{files[0]} holds no record: the online store was empty when it was fetched, so "
                f"there is nothing to compare. Fetch it again with `churn leave fetch --online "
                f"{group.name}` if it should hold records, else leave this group out (--group)."
            )
        wanted = [group.event_time, *group.types]
        columns = ", ".join(f"{_value(name)} AS {db.quoted(name)}" for name in wanted)
        # The online store has one record of a person, and none of a deleted one.
        connection.execute(
            f"CREATE TABLE stored AS SELECT coalesce({_value(group.key)}, id) AS "  # noqa: S608
            f"{db.quoted(group.key)}, {columns}, TIMESTAMP '1970-01-01' AS write_time, "
            "TIMESTAMP '1970-01-01' AS api_invocation_time, false AS is_deleted FROM records"
        )
        result = offline_rows.export(
            connection, group, dump_time=dump_time, keys=keys, barred=barred
        )
        db.write_parquet(connection, "FROM brought ORDER BY ALL", output)
        return result
    finally:
        connection.close()


def _value(name: str) -> str:
    feature = db.literal(name)
    # SQL counts from 1. For a feature without a value the list is empty, and its [1] is NULL.
    return f"list_filter(r, lambda x: x.FeatureName = {feature})[1].ValueAsString"


def our_online_values(
    connection: duckdb.DuckDBPyConnection,
    features: Path,
    stores: FeatureStores,
    names: Sequence[str],
) -> Callable[[Sequence[datetime]], None]:
    """Return a function that puts the values of our online store into ``snapshots``.

    It does so at the moment of the newest snapshot in the artifact ``features``, which the online
    store has, for the features ``names``. Rows of other moments stay as they were computed.
    """
    from sovereign_ml.features import feast, feast_stores

    current = datetime.fromisoformat(
        read_json(need(features, "features") / "summary.json")["current"]
    )

    def replace(moments: Sequence[datetime]) -> None:
        if current not in moments:
            return
        rows = connection.execute(
            "SELECT DISTINCT customer_id FROM read_parquet(?) WHERE event_timestamp = ?",
            [str(features / feast.SNAPSHOTS), current],
        ).fetchall()
        customers = [str(row[0]) for row in rows]
        with feast_stores.reached(stores):
            frame = feast.online(feast.open_store(features, stores), customers)
        connection.register("online_", frame[["customer_id", *names]])
        values = ", ".join(f"{db.quoted(name)} = online_.{db.quoted(name)}" for name in names)
        connection.execute(
            f"UPDATE snapshots SET {values} FROM online_ "  # noqa: S608
            "WHERE snapshots.customer_id = online_.customer_id AND event_timestamp = ?",
            [current],
        )
        connection.unregister("online_")

    return replace
