"""Compare the values of an old feature group with ours, value by value, in SQL.

The project's SQL is replayed at the old store's own event times, so that both sides tell of the
same moment. No row passes through Python.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from sovereign_ml.config.leaving import FeatureTolerance
from sovereign_ml.errors import Misuse
from sovereign_ml.leaving.feature_parity import causes
from sovereign_ml.leaving.feature_parity.bands import ServedModel
from sovereign_ml.leaving.feature_parity.equality import number_differs
from sovereign_ml.leaving.feature_parity.past_moments import FeatureReplay
from sovereign_ml.leaving.feature_parity.result import ComparedFeature, FeatureParity
from sovereign_ml.storage import duckdb as db

MOMENTS = 60
"""Default number of moments at which the features are replayed."""
SHOWN = 20
"""Number of differences that are listed."""
_ROWS_AT_ONCE = 500_000
_WHOLE_BATCH = 0.1
"""Share of our people from which on the old rows of a moment are a batch of everybody."""
_OWN = {"customer_id", "event_timestamp", "created_timestamp"}
_WHOLE_NUMBERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"}
_WHOLE_NUMBERS |= {f"U{name}" for name in _WHOLE_NUMBERS}
_FILLERS = "(0, -1, 999, -999, 9999, -9999)"
Newest = Callable[[Sequence[datetime]], None]


def compare_group(
    replay: FeatureReplay,
    rows: Path,
    group: str,
    mapping: Mapping[str, str],
    tolerance: FeatureTolerance,
    *,
    source: str = "offline",
    moments: int = MOMENTS,
    served: ServedModel | None = None,
    values: bool = False,
    newest: Newest | None = None,
) -> FeatureParity:
    """Return the comparison of the old ``rows`` (Parquet, as `churn leave features` writes them).

    ``mapping`` gives for an old feature an SQL expression over ours; features of one name need
    none. At most ``moments`` event times are replayed (0 for all): those with the most rows.
    ``served`` scores the rows with a difference. ``values`` lists the values of differences too.
    ``newest`` may replace values in ``snapshots`` after a replay by those of the online store.
    Raises Misuse for an expression that cannot be computed, and if no feature has a counterpart.
    """
    connection = replay.connection
    with db.refusing(f"Cannot read {rows}"):
        connection.execute(
            f"CREATE OR REPLACE VIEW old_rows AS FROM read_parquet({db.literal(str(rows))})"
        )
        columns = db.types_of(connection, "SELECT * FROM old_rows")
    # Without moments this makes an empty table, which tells the names and types of our features.
    replay.compute([])
    result = FeatureParity(group, source)
    result.features = _features(replay, group, columns, mapping)
    compared = {feature.name for feature in result.features}
    result.without_counterpart = tuple(sorted(columns.keys() - compared - _OWN))
    _prepare(replay)
    for batch in _batches(replay, result, moments):
        replay.compute(batch)
        if newest is not None:
            newest(batch)
        _pair(replay, result, columns)
        _differences(replay, result, tolerance)
        if served is not None:
            served.score(connection, result.features)
        _only_here(replay, result, batch)
    causes.find(replay, result, tolerance)
    result.sample = _sample(replay, result, values=values)
    if served is not None:
        result.effect = served.effect(result.features)
    return result


def _features(
    replay: FeatureReplay, group: str, columns: Mapping[str, str], mapping: Mapping[str, str]
) -> list[ComparedFeature]:
    """Return the features that have a counterpart, in the order of the old store."""
    connection = replay.connection
    ours = [name for name in db.columns_of(connection, "snapshots") if name not in _OWN]
    theirs = [name for name in columns if name not in _OWN]
    place = f'config.toml [leave.parity."{group}"]'
    if unknown := sorted(mapping.keys() - set(theirs)):
        raise Misuse(
            f"{place} names {', '.join(unknown)}, which the group does not have. It has "
            f"{', '.join(theirs)}."
        )
    same_name = {name.lower(): db.quoted(name) for name in ours}
    features = []
    for name in theirs:
        expression = mapping.get(name) or same_name.get(name.lower())
        if expression is None:
            continue
        if problem := db.problem_with(connection, "snapshots", f"({expression})"):
            raise Misuse(f"{place} {name}: {problem}")
        query = f"SELECT ({expression}) AS value FROM snapshots"  # noqa: S608
        kind = db.types_of(connection, query)["value"].partition("(")[0]
        is_number = kind in {*_WHOLE_NUMBERS, "DOUBLE", "FLOAT", "DECIMAL", "BOOLEAN"}
        features.append(ComparedFeature(name, expression, "number" if is_number else "text"))
    if not features:
        raise Misuse(
            f"No feature of {group} has the name of one of ours: say which it is in {place}, such "
            f'as old_name = "{ours[0]}". The group has {", ".join(theirs) or "none"}; ours are '
            f"{', '.join(ours)}."
        )
    return features


def _prepare(replay: FeatureReplay) -> None:
    """Create the empty table of differences, and what is known about the old rows as a whole."""
    for statement in (
        "CREATE OR REPLACE TABLE differences (customer_id VARCHAR, moment TIMESTAMP, "
        "written TIMESTAMP, feature INTEGER, old DOUBLE, new DOUBLE, old_text VARCHAR, "
        "new_text VARCHAR, cause VARCHAR)",
        "CREATE OR REPLACE TABLE first_rows AS SELECT customer_id, "
        "min(event_timestamp) AS first_at FROM old_rows GROUP BY ALL",
        # Two keys of the old store may be one person here, such as 7 and 7.0.
        "CREATE OR REPLACE TABLE twice AS SELECT customer_id, event_timestamp, count(*) AS n "
        "FROM old_rows GROUP BY ALL HAVING count(*) > 1",
        "CREATE OR REPLACE TABLE people AS SELECT DISTINCT CAST(customer_id AS VARCHAR) AS "
        "customer_id FROM lines",
    ):
        replay.connection.execute(statement)


def _batches(
    replay: FeatureReplay, result: FeatureParity, moments: int
) -> Iterator[list[datetime]]:
    """Yield the moments to replay, in order, together as many as fit into memory."""
    connection = replay.connection
    connection.execute(
        "CREATE OR REPLACE TABLE moments AS SELECT event_timestamp AS moment, count(*) AS n "
        "FROM old_rows GROUP BY ALL"
    )
    inside = f"moment > TIMESTAMP '{replay.first}' AND moment <= TIMESTAMP '{replay.end}'"
    result.all_moments = db.count(connection, "moments")
    result.all_rows = db.count(connection, "old_rows")
    result.outside = result.all_rows - int(
        connection.execute(
            f"SELECT coalesce(sum(n), 0) FROM moments WHERE {inside}"  # noqa: S608
        ).fetchall()[0][0]
    )
    limit = f"LIMIT {moments}" if moments else ""
    chosen = connection.execute(
        # Among moments with as many rows a hash chooses, since the first days would be no sample.
        f"FROM (FROM moments WHERE {inside} ORDER BY n DESC, hash(moment) {limit}) ORDER BY moment"
    ).fetchall()
    result.moments = len(chosen)
    result.rows = sum(int(n) for _, n in chosen)
    people = db.count(connection, "people")
    batch: list[datetime] = []
    size = 0
    for moment, n in chosen:
        if batch and size + n + people > _ROWS_AT_ONCE:
            yield batch
            batch, size = [], 0
        batch.append(moment)
        size += n + people
    if batch:
        yield batch


def _pair(replay: FeatureReplay, result: FeatureParity, columns: Mapping[str, str]) -> None:
    """Create the table ``pairs``: the rows of both sides at the moments of ``snapshots``."""
    connection = replay.connection
    old, new = [], []
    for number, feature in enumerate(result.features):
        name = db.quoted(feature.name)
        if feature.kind == "text":
            old.append(f"CAST({name} AS VARCHAR) AS o{number}, false AS b{number}")
            new.append(f"CAST(({feature.expression}) AS VARCHAR) AS n{number}")
            continue
        value, bad = _number(name, columns[feature.name])
        old.append(f"{value} AS o{number}, {bad} AS b{number}")
        new.append(f"{_without_nan(f'({feature.expression})')} AS n{number}")
    batch = "(SELECT DISTINCT event_timestamp FROM snapshots)"
    connection.execute(
        "CREATE OR REPLACE TABLE pairs AS SELECT customer_id, event_timestamp AS moment, written, "  # noqa: S608
        "there IS NOT NULL AS there, here IS NOT NULL AS here, "
        f"{', '.join(f'o{i}, b{i}, n{i}' for i in range(len(result.features)))} FROM ("
        "SELECT customer_id, event_timestamp, created_timestamp AS written, true AS there, "
        f"{', '.join(old)} FROM old_rows WHERE event_timestamp IN {batch} AND (customer_id, "
        "event_timestamp) NOT IN (SELECT (customer_id, event_timestamp) FROM twice)) "
        "FULL JOIN (SELECT customer_id, event_timestamp, true AS here, "
        f"{', '.join(new)} FROM snapshots) USING (customer_id, event_timestamp)"
    )


def _number(name: str, kind: str) -> tuple[str, str]:
    """Return SQL for an old value as a number, and for whether it is none although it is there."""
    if kind == "BOOLEAN":
        return f"CAST({name} AS DOUBLE)", "false"
    if kind != "VARCHAR":
        return _without_nan(name), "false"
    # Some producers write every feature as text.
    text = f"nullif(trim({name}), '')"
    value = (
        f"CASE lower({text}) WHEN 'true' THEN 1.0 WHEN 'false' THEN 0.0 "
        f"ELSE try_cast({text} AS DOUBLE) END"
    )
    return _without_nan(value), f"{text} IS NOT NULL AND ({value}) IS NULL"


def _without_nan(value: str) -> str:
    # pandas writes a missing number as NaN.
    return f"nullif(CAST({value} AS DOUBLE), 'nan'::DOUBLE)"


def _differences(replay: FeatureReplay, result: FeatureParity, tolerance: FeatureTolerance) -> None:
    """Add the differing values of ``pairs`` to ``differences``, and count the rows."""
    connection = replay.connection
    parts = [
        f"count(*) FILTER (o{i} IS NULL AND n{i} IS NULL AND NOT b{i})"
        for i in range(len(result.features))
    ]
    both = connection.execute(
        f"SELECT count(*), {', '.join(parts)} FROM pairs WHERE there AND here"  # noqa: S608
    ).fetchall()[0]
    result.compared += both[0]
    for number, feature in enumerate(result.features):
        feature.compared += both[0]
        feature.both_missing += both[1 + number]
        old, new, bad = f"o{number}", f"n{number}", f"b{number}"
        if feature.kind == "number":
            differs = number_differs(old, new, tolerance)
            shown = f"{old}, {new}, NULL, NULL"
            filled = f"({old} IS NULL AND {new} = 0) OR ({new} IS NULL AND {old} IN {_FILLERS})"
            spelling = "false"
        else:
            differs = f"{old} IS DISTINCT FROM {new}"
            shown = f"NULL, NULL, {old}, {new}"
            filled = f"coalesce({old}, {new}) = '' AND ({old} IS NULL OR {new} IS NULL)"
            spelling = f"lower(trim({old})) = lower(trim({new}))"
        connection.execute(
            f"INSERT INTO differences SELECT customer_id, moment, written, {number}, {shown}, "  # noqa: S608
            f"CASE WHEN {bad} THEN 'no number' WHEN {filled} THEN 'missing filled' "
            f"WHEN {old} IS NULL THEN 'missing there' WHEN {new} IS NULL THEN 'missing here' "
            f"WHEN {spelling} THEN 'spelling' END "
            f"FROM pairs WHERE there AND here AND ({bad} OR {differs})"
        )
    _count_skipped(replay, result)


def _count_skipped(replay: FeatureReplay, result: FeatureParity) -> None:
    connection = replay.connection
    known = "customer_id IN (SELECT customer_id FROM people)"
    for reason, rows in {
        "no valid transaction of the person here": f"NOT {known}",
        "no event of the person in the look-back here": known,
    }.items():
        if count := db.count(connection, "pairs", f"there AND NOT here AND {rows}"):
            result.skipped[reason] += count
    ((twice,),) = connection.execute(
        "SELECT coalesce(sum(n), 0) FROM twice WHERE event_timestamp IN "
        "(SELECT DISTINCT event_timestamp FROM snapshots)"
    ).fetchall()
    if twice:
        result.skipped["several rows of one person at one moment"] += int(twice)


def _only_here(replay: FeatureReplay, result: FeatureParity, batch: Sequence[datetime]) -> None:
    """Count the rows that only our side has, at moments when the old store wrote everybody."""
    connection = replay.connection
    connection.execute(
        "CREATE OR REPLACE TABLE only_here AS SELECT customer_id, moment, "  # noqa: S608
        "coalesce(first_at < moment, false) AS carried "
        "FROM pairs LEFT JOIN first_rows USING (customer_id) WHERE here AND NOT there "
        "AND moment IN (SELECT moment FROM pairs GROUP BY moment "
        f"HAVING count(*) FILTER (there) >= {_WHOLE_BATCH} * count(*) FILTER (here)) "
        "AND (customer_id, moment) NOT IN (SELECT (customer_id, event_timestamp) FROM twice)"
    )
    result.carried += db.count(connection, "only_here", "carried")
    if db.count(connection, "only_here", "NOT carried"):
        # Only people whom the flow scores are expected in the old store too.
        replay.compute(batch, everybody=False)
        result.extra += db.count(
            connection,
            "only_here SEMI JOIN snapshots ON only_here.customer_id = snapshots.customer_id "
            "AND moment = event_timestamp",
            "NOT carried",
        )


def _sample(replay: FeatureReplay, result: FeatureParity, *, values: bool) -> list[dict[str, Any]]:
    rows = replay.connection.execute(
        "SELECT customer_id, moment, feature, coalesce(CAST(old AS VARCHAR), old_text), "  # noqa: S608
        "coalesce(CAST(new AS VARCHAR), new_text), cause FROM differences "
        f"ORDER BY feature, moment, customer_id LIMIT {SHOWN}"
    ).fetchall()
    sample = []
    for customer, moment, number, old, new, cause in rows:
        row = {"customer_id": customer, "moment": moment.isoformat()}
        row |= {"feature": result.features[number].name, "cause": cause}
        # The values are personal data, and a report is often passed on.
        sample.append(row | {"old": old, "new": new} if values else row)
    return sample
