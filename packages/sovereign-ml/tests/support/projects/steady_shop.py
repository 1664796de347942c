"""A shop in which nothing changes: customers come and go at the same rate, and buy alike in every season."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from small_project import make_project, run

OPENED = datetime(2024, 6, 1)
REGISTERED = datetime(2026, 3, 1)
"""The model knows what happened before this day."""
CLOSED = datetime(2026, 7, 1)
KNOWN = ("features", "train", "evaluate", "card", "register")


class SteadyShop:
    """A small project on the purchases of such a shop, registered on those before `REGISTERED`."""

    def __init__(self, root: Path) -> None:
        self.root = make_project(
            root, **{"data.synthetic.customers": 2000, "data.synthetic.days": 400}
        )
        self.valid = run(self.root, "data", "validate").path("valid") / "transactions.parquet"
        schema = pq.read_schema(self.valid)
        # The small shop has no amount that needs more digits; a fault may have.
        money = pa.field("amount_eur", pa.decimal128(18, 2))
        self.schema = schema.set(schema.get_field_index("amount_eur"), money)
        people = pd.read_parquet(self.valid.with_name("customers.parquet"))
        people = people[people["consent"] & people["objected_at"].isna()]
        self.lines = _lines(people["customer_id"].to_numpy())
        self.show(self.lines[self.lines["event_time"] < pd.Timestamp(REGISTERED, tz="UTC")])
        run(self.root, *KNOWN)
        self.show()

    def show(self, lines: pd.DataFrame | None = None) -> None:
        """Let the valid transactions be ``lines``; all purchases by default."""
        lines = self.lines if lines is None else lines
        # Arrow reads decimals from text; from floats it would keep binary fractions.
        lines = lines.assign(amount_eur=lines["amount_eur"].map("{:.2f}".format))
        columns = [
            pa.array(lines[field.name]).cast(field.type)
            if field.name == "amount_eur"
            else pa.array(lines[field.name], type=field.type, from_pandas=True)
            for field in self.schema
        ]
        pq.write_table(pa.Table.from_arrays(columns, schema=self.schema), self.valid)

    def since(self, day: str) -> pd.Series[bool]:
        """Which lines are of ``day`` or later."""
        return self.lines["event_time"] >= pd.Timestamp(day, tz="UTC")


def _lines(people: Any) -> pd.DataFrame:
    rng, n = np.random.default_rng(11), len(people)
    length = (CLOSED - OPENED) / timedelta(days=1)
    birth = rng.uniform(-500, length, n)
    life = rng.exponential(400, n)
    orders = 1 + rng.poisson(rng.gamma(1.1, 1 / 22, n) * life)
    who = np.repeat(np.arange(n), orders)
    day = birth[who] + rng.random(len(who)) * life[who]
    day[np.r_[0, np.cumsum(orders)[:-1]]] = birth
    who, day = who[(day >= 0) & (day < length)], day[(day >= 0) & (day < length)]
    times = pd.Timestamp(OPENED, tz="UTC") + pd.to_timedelta(day, unit="D")
    taste = rng.integers(0, 4, n)
    usual = np.exp(rng.normal(3, 0.5, n))
    amounts = np.round(usual[who] * np.exp(rng.normal(0, 0.6, len(who))), 2)
    table = pd.DataFrame(
        {
            "customer_id": people[who],
            "event_time": times.floor("us").as_unit("us"),
            "amount_eur": amounts,
            "category": np.array(["books", "garden", "music", "wine"])[taste[who]],
            "order_number": None,
        }
    )
    return table.sort_values(["event_time", "customer_id"], ignore_index=True)
