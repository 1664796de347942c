"""Valid tables of step 2 that are hard on an SQL engine, made from a seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

INSTANT = pa.timestamp("us", tz="UTC")
SCHEMAS = {
    "transactions": {
        "customer_id": pa.string(),
        "event_time": INSTANT,
        "amount_eur": pa.decimal128(18, 2),
        "category": pa.string(),
        "order_number": pa.int32(),
    },
    "customers": {"customer_id": pa.string(), "started_at": INSTANT, "ended_at": INSTANT},
    "tickets": {
        "customer_id": pa.string(),
        "event_time": INSTANT,
        "kind": pa.string(),
        "value": pa.float64(),
    },
}
# UTF-8 sorts the last two otherwise than UTF-16, in which Java keeps text.
CATEGORIES = (None, "", "tea", "Tea", "Käse", "日本", "\U0001f600", "\uffee")
CLOCKS_CHANGE = (datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2025, 10, 26, 1, tzinfo=UTC))


def write(folder: Path, seed: int, customers: int, cuts: Sequence[datetime], lookback: int) -> int:
    """Write the Parquet files of step 2 into ``folder`` and return the number of transactions.

    Times are at the edges of windows and a microsecond beside them, on days when clocks change, and
    the same for several rows. There are equal rows, customers without purchases, and nulls.
    """
    draw = random.Random(seed)
    edges = [
        cut.replace(tzinfo=UTC) - timedelta(days=days) + timedelta(microseconds=beside)
        for cut in cuts
        for days in (-30, 0, 7, 30, 90, 180, lookback)
        for beside in (-1, 0, 1)
    ]
    start = min(edges)
    span = int((max(edges) - start) / timedelta(microseconds=1))

    def moment() -> datetime:
        anywhere = start + timedelta(microseconds=draw.randrange(span))
        return draw.choice([anywhere, anywhere, anywhere, draw.choice([*edges, *CLOCKS_CHANGE])])

    names = ("plain", "Zoë", "日本", "\U0001f600")
    ids = [f"{n:03d} {draw.choice(names)}" for n in range(customers)]
    tables: dict[str, list[list[object]]] = {name: [] for name in SCHEMAS}
    for customer in ids:
        used = [moment()]
        for _ in range(draw.choice([0, 1, 2, 5, 20])):
            used.append(draw.choice([moment(), draw.choice(used)]))
            cents = draw.choice([-1, 0, 1, 1, 1]) * draw.choice([1, 99, 12_345, 9_999_999])
            order = draw.choice([None, None, draw.randrange(1, 5)])
            row = [customer, used[-1], Decimal(cents).scaleb(-2), draw.choice(CATEGORIES), order]
            tables["transactions"] += [row] * draw.choice([1, 1, 1, 2])
            ticket = [draw.choice(CATEGORIES), draw.choice([None, 0.1, -2.5, draw.random() * 1e6])]
            tables["tickets"].append([customer, moment(), *ticket])
        if draw.random() < 0.9:
            ends = [draw.choice([None, moment()]) for _ in range(2)]
            tables["customers"].append([customer, *ends])
    for name, schema in SCHEMAS.items():
        columns = [list(column) for column in zip(*tables[name], strict=True)]
        arrays = [pa.array(c, t) for c, t in zip(columns, schema.values(), strict=True)]
        pq.write_table(pa.table(arrays, names=list(schema)), folder / f"{name}.parquet")
    return len(tables["transactions"])
