"""Import of a feature group's offline store as one Parquet file under pseudonyms.

A deletion marker of SageMaker removes a person, unless a later record added the person again. An
erasure in this project removes a person for good (GDPR Art. 17).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sovereign_ml.audit.pii_scan import identifiers
from sovereign_ml.config.data_tables import NOBODY
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.leaving.minimise import is_person_key
from sovereign_ml.pipeline.input_checks.customer_ids import named_id
from sovereign_ml.pseudonyms import names_of, pseudonyms
from sovereign_ml.storage import duckdb as db
from sovereign_ml.storage.artifacts import writing

if TYPE_CHECKING:
    import duckdb

WRITTEN_WITHIN = timedelta(minutes=15)
"""Time within which SageMaker writes to the offline store. Younger rows may be incomplete."""
_OWN = {"write_time", "api_invocation_time", "is_deleted"}
_TAKEN = {
    *("key_", "moment", "api", "written", "deleted", "young", "nth", "tomb", "name"),
    *("customer_id", "event_timestamp", "created_timestamp"),
}
_TYPES = {"Integral": "BIGINT", "Fractional": "DOUBLE", "String": "VARCHAR"}
_FEAST = {"Integral": "Int64", "Fractional": "Float64", "String": "String"}
_USABLE = "NOT young AND moment IS NOT NULL AND key_ IS NOT NULL"
ICEBERG = (
    "an Iceberg table: its data files hold deleted rows too. Export it through Athena, put the "
    "result in place of all files of offline/<group>, and call this again: "
    "UNLOAD (SELECT * FROM \"<table>\") TO 's3://…' WITH (format = 'PARQUET')"
)


@dataclass(frozen=True)
class OfflineGroup:
    """A feature group and the folder of its Parquet files. ``person`` marks a person's key."""

    name: str
    key: str
    event_time: str
    types: Mapping[str, str]
    """Features with their type: Integral, Fractional or String, empty for a collection."""
    folder: Path
    person: bool
    iceberg: bool
    table: str = ""
    """Name of the table in Glue, if the description has one."""


@dataclass
class BroughtGroup:
    """Counts of imported rows, and of skipped ones by reason.

    ``read`` is the sum of ``rows`` and ``skipped``: no row is lost without a reason.
    """

    name: str
    read: int = 0
    rows: int = 0
    people: int = 0
    deleted_people: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    identifiers: tuple[str, ...] = ()
    undescribed: tuple[str, ...] = ()
    """Skipped columns: named like identifiers, or missing in the group's description."""


def group_of(description: Mapping[str, Any], folder: Path, key_is: str = "") -> OfflineGroup:
    """Return the group of a description. Raises Misuse if its key may or may not be a person's."""
    key = description["RecordIdentifierFeatureName"]
    person = key_is == "person" or (not key_is and is_person_key(key))
    name = description["FeatureGroupName"]
    if not person and key_is != "thing":
        raise Misuse(
            f"Feature group {name}: is its key '{key}' a person's? Call with --group {name} and "
            "--key-is person (it becomes a pseudonym) or --key-is thing (it stays as it is), or "
            "add it to [leave] person_keys in config.toml."
        )
    definitions = description.get("FeatureDefinitions", ())
    config = description.get("OfflineStoreConfig", {})
    return OfflineGroup(
        name=name,
        key=key,
        event_time=description["EventTimeFeatureName"],
        types={
            d["FeatureName"]: "" if d.get("CollectionType") else _known(d.get("FeatureType", ""))
            for d in definitions
            if d["FeatureName"] not in (key, description["EventTimeFeatureName"])
        },
        folder=folder,
        person=person,
        iceberg=config.get("TableFormat") == "Iceberg",
        table=str(config.get("DataCatalogConfig", {}).get("TableName", "")),
    )


def _known(kind: str) -> str:
    """Return a type of SageMaker, "" for one that is new: its values stay as they are stored."""
    return kind if kind in _TYPES else ""


def bring_group(
    group: OfflineGroup,
    output: Path,
    *,
    dump_time: datetime,
    keys: tuple[bytes, ...],
    barred: Callable[[Iterable[str]], set[str]],
) -> BroughtGroup:
    """Write ``<output>/<group>/rows.parquet`` and ``feature_view.toml``, and return the counts.

    ``keys`` are those of the pseudonyms, and ``barred`` returns the pseudonyms of people who were
    erased here or objected. Raises Refused for the files of an Iceberg table.
    """
    connection = db.connect()
    try:
        connection.execute("SET TimeZone = 'UTC'")
        load(connection, group)
        result = export(connection, group, dump_time=dump_time, keys=keys, barred=barred)
        with writing(output / folder_name(group.name)) as folder:
            db.write_parquet(connection, "FROM brought ORDER BY ALL", folder / "rows.parquet")
            (folder / "feature_view.toml").write_text(_view(group, result), encoding="utf-8")
        return result
    finally:
        connection.close()


def folder_name(group: str) -> str:
    """Return the name of the folder below data/leaving for a feature group."""
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in group)


def _is_parquet(path: Path) -> bool:
    """Return whether a file is Parquet by name or, as Athena names none, by its first bytes."""
    if not path.is_file() or path.name.startswith((".", "_")):
        return False
    if path.suffix == ".parquet":
        return True
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def load(connection: duckdb.DuckDBPyConnection, group: OfflineGroup) -> None:
    """Create the view ``stored`` over the Parquet files of the group."""
    files = sorted(path for path in group.folder.rglob("*") if _is_parquet(path))
    if any(group.folder.rglob("*.metadata.json")) or (
        # An export by Athena has no folders of partitions, and its rows are the current ones.
        group.iceberg and any("_trunc=" in str(path) for path in files)
    ):
        text = ICEBERG.replace("<group>", group.name).replace("<table>", group.table or "<table>")
        raise Refused(f"{group.folder} is {text}.")
    if not files:
        raise Misuse(
            f"{group.folder} holds no Parquet file: copy the group's ResolvedOutputS3Uri there "
            "(`churn leave script --data` does it)."
        )
    names = ", ".join(db.literal(str(path)) for path in files)
    with db.refusing(f"Cannot read {group.folder}"):
        # Names of folders must not become features, and groups get new columns over time.
        source = f"read_parquet([{names}], hive_partitioning = false, union_by_name = true)"
        in_files = list(db.types_of(connection, f"SELECT * FROM {source}"))  # noqa: S608
        # Glue writes every name in lower case, and so does an export by Athena.
        described = {name.lower(): name for name in (group.key, group.event_time, *group.types)}
        renamed = {name: described.get(name.lower(), name) for name in in_files}
        columns = set(renamed.values())
        chosen = ", ".join(f"{db.quoted(n)} AS {db.quoted(new)}" for n, new in renamed.items())
        connection.execute(f"CREATE VIEW stored AS SELECT {chosen} FROM {source}")  # noqa: S608
    needed = {group.key, group.event_time, *_OWN}
    if lacking := sorted(needed - columns):
        raise Misuse(
            f"{group.folder} lacks {', '.join(lacking)}: this is no offline store of {group.name}. "
            "Without its deletion markers, deleted people would come back."
        )


def export(
    connection: duckdb.DuckDBPyConnection,
    group: OfflineGroup,
    *,
    dump_time: datetime,
    keys: tuple[bytes, ...],
    barred: Callable[[Iterable[str]], set[str]],
) -> BroughtGroup:
    """Create the table ``brought`` from ``stored``: key, time in UTC, time of writing, features."""
    columns = set(db.columns_of(connection, "stored"))
    doubtful = set(identifiers(group.types)) if group.person else set()
    features = {n: t for n, t in group.types.items() if n in columns and n not in doubtful}
    others = columns - {group.key, group.event_time, *_OWN, *group.types}
    result = BroughtGroup(
        group.name,
        read=db.count(connection, "stored"),
        identifiers=tuple(sorted(doubtful & columns)),
        undescribed=tuple(sorted(others)),
    )
    read_times(connection, group, features, dump_time)
    reasons = {
        "written less than 15 minutes before the dump": "young",
        "event time that cannot be read": "NOT young AND moment IS NULL",
        "no key": "NOT young AND moment IS NOT NULL AND key_ IS NULL",
        "deletion markers": f"{_USABLE} AND deleted",
    }
    result.skipped |= {why: db.count(connection, "timed", rows) for why, rows in reasons.items()}
    # A marker without a readable time must still delete: it counts as later than everything.
    connection.execute(
        "CREATE TABLE tombs AS SELECT key_, max({'a': coalesce(moment, TIMESTAMP '9999-01-01'), "
        "'b': api, 'c': written}) AS tomb FROM timed WHERE deleted AND key_ IS NOT NULL "
        "GROUP BY key_"
    )
    # The features last: of two rows that differ in nothing else, every call must take the same.
    ties = "".join(f", {db.quoted(name)} DESC" for name in features)
    connection.execute(
        "CREATE TABLE kept AS SELECT timed.* FROM (SELECT *, row_number() OVER "  # noqa: S608
        f"(PARTITION BY key_, moment ORDER BY api DESC, written DESC, deleted DESC{ties}) AS nth "
        f"FROM timed WHERE {_USABLE}) timed LEFT JOIN tombs USING (key_) "
        "WHERE nth = 1 AND NOT deleted "
        "AND (tomb IS NULL OR {'a': moment, 'b': api, 'c': written} > tomb)"
    )
    chosen = db.count(connection, "kept")
    result.skipped["deleted in SageMaker, or written again later"] = (
        db.count(connection, "timed", f"{_USABLE} AND NOT deleted") - chosen
    )
    result.deleted_people = db.count(connection, "tombs", "key_ NOT IN (SELECT key_ FROM kept)")
    _name_keys(connection, group, keys, barred)
    names = ", ".join(db.quoted(name) for name in features)
    connection.execute(
        "CREATE TABLE brought AS SELECT name AS customer_id, moment AS event_timestamp, "  # noqa: S608
        f"written AS created_timestamp{', ' + names if names else ''} "
        "FROM kept JOIN names USING (key_)"
    )
    result.rows = db.count(connection, "brought")
    result.skipped["erased, objected, restricted or withdrawn here"] = chosen - result.rows
    result.people = db.count(connection, "(SELECT DISTINCT customer_id FROM brought)")
    return result


def read_times(
    connection: duckdb.DuckDBPyConnection,
    group: OfflineGroup,
    features: Mapping[str, str],
    dump_time: datetime,
) -> None:
    """Create the table ``timed``: rows with their times, marked ``young`` if maybe incomplete."""
    event = db.quoted(group.event_time)
    kind = db.types_of(connection, f"SELECT {event} FROM stored")[group.event_time]  # noqa: S608
    number = f"try_cast({event} AS DOUBLE)"
    seconds = (
        f"CASE WHEN isfinite({number}) AND abs({number}) < 2e11 "
        f"THEN make_timestamp(CAST(round({number} * 1e6) AS BIGINT)) END"
    )
    if kind in ("DOUBLE", "FLOAT", "BIGINT", "INTEGER", "HUGEINT") or kind.startswith("DECIMAL"):
        at = seconds
    else:
        # The online store gives seconds as text. Fewer digits are a date such as 20260131.
        at = (
            f"CASE WHEN abs({number}) >= 1e8 THEN {seconds} "
            f"ELSE CAST(try_cast({event} AS TIMESTAMPTZ) AS TIMESTAMP) END"
            if kind == "VARCHAR"
            else f"CAST(try_cast({event} AS TIMESTAMPTZ) AS TIMESTAMP)"
        )
    # SQL does not tell Young from young.
    clash = {name for name in features if name.lower() in _TAKEN}
    if clash:
        raise Misuse(
            f"Feature group {group.name} has a feature named {', '.join(sorted(clash))}, which is a name of the export: rename it in "
            "Athena (UNLOAD … AS) and copy the result."
        )
    casts = "".join(
        f", {value} AS {db.quoted(name)}"
        for name, value in _values(connection, group, features).items()
    )
    frozen = dump_time - WRITTEN_WITHIN
    key = f"CAST({db.quoted(group.key)} AS VARCHAR)"
    if group.person:
        # As step 1 reads an id, or an erasure under one spelling would not hold for another one.
        key = named_id(db.quoted(group.key), NOBODY)
    with db.refusing(f"Feature group {group.name}"):
        connection.execute(
            f"CREATE TABLE timed AS SELECT {key} AS key_, {at} AS moment, "  # noqa: S608
            "coalesce(CAST(CAST(api_invocation_time AS TIMESTAMPTZ) AS TIMESTAMP), "
            "TIMESTAMP '1970-01-01') AS api, "
            "CAST(CAST(write_time AS TIMESTAMPTZ) AS TIMESTAMP) AS written, "
            "coalesce(CAST(is_deleted AS BOOLEAN), false) AS deleted, "
            # A row without a time of writing may be young too.
            f"coalesce(written > TIMESTAMP '{frozen:%Y-%m-%d %H:%M:%S}', true) AS young{casts} "
            "FROM stored"
        )


def _values(
    connection: duckdb.DuckDBPyConnection, group: OfflineGroup, features: Mapping[str, str]
) -> dict[str, str]:
    """Return SQL for each feature in its described type. Raises Misuse where a value has another.

    An empty text and NaN are no number, as producers write a missing one.
    """
    values, strays = {}, []
    stored = db.types_of(connection, "SELECT * FROM stored")
    for name, kind in features.items():
        column = db.quoted(name)
        values[name] = f"CAST({column} AS {_TYPES[kind]})" if kind else column
        needs_check = {
            "Integral": ("VARCHAR", "DOUBLE", "FLOAT", "UBIGINT", "HUGEINT", "DECIMAL"),
            "Fractional": ("VARCHAR",),
        }
        if stored[name].partition("(")[0] not in needs_check.get(kind, ()):
            continue
        text = f"nullif(nullif(lower(trim(CAST({column} AS VARCHAR))), ''), 'nan')"
        number = f"CASE WHEN {text} IS NOT NULL THEN try_cast({column} AS {_TYPES[kind]}) END"
        strays.append((name, f"count(*) FILTER ({text} IS NOT NULL AND {number} IS NULL)"))
        values[name] = number
    if strays:
        counts = connection.execute(
            f"SELECT {', '.join(sql for _, sql in strays)} FROM stored"  # noqa: S608
        ).fetchall()[0]
        for (name, _), count in zip(strays, counts, strict=True):
            if count:
                raise Misuse(
                    f"Feature group {group.name}: {count:,} values of {name} are no "
                    f"{features[name]} number, as its description says: correct them in an export "
                    "by Athena, and put that in place of the files."
                )
    return values


def _name_keys(
    connection: duckdb.DuckDBPyConnection,
    group: OfflineGroup,
    keys: tuple[bytes, ...],
    barred: Callable[[Iterable[str]], set[str]],
) -> None:
    """Create the table ``names``: the pseudonym of each key, without barred people."""
    import pyarrow as pa

    values = [
        str(row[0]) for row in connection.execute("SELECT DISTINCT key_ FROM kept").fetchall()
    ]
    names = values
    if group.person:
        names = pseudonyms(values, keys[0])
        # An erasure or objection under a former key counts too.
        former = names_of(values, keys)
        out = {former[name] for name in barred(former)}
        rows = [pair for pair in zip(values, names, strict=True) if pair[0] not in out]
        values, names = [row[0] for row in rows], [row[1] for row in rows]
    table = pa.table({"key_": pa.array(values, pa.string()), "name": pa.array(names, pa.string())})
    connection.register("names_", table)
    connection.execute("CREATE TABLE names AS FROM names_")


def _view(group: OfflineGroup, result: BroughtGroup) -> str:
    """Return the definition of a Feast view, without a ttl, as SageMaker's offline reads."""
    fields = [
        f"{json.dumps(name)} = {json.dumps(_FEAST.get(kind, 'Array'))}"
        for name, kind in group.types.items()
        if name not in result.identifiers
    ]
    return "\n".join(
        [
            f"name = {json.dumps('sagemaker_' + folder_name(group.name).replace('-', '_'))}",
            'source = "rows.parquet"',
            'timestamp_field = "event_timestamp"',
            'created_timestamp_column = "created_timestamp"',
            f'entity = "{"customer" if group.person else folder_name(group.key)}"',
            "ttl_days = 0",
            "",
            "[fields]",
            *fields,
            "",
        ]
    )
