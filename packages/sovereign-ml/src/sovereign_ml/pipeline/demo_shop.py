"""The built-in shop: a buy-till-you-die process with the faults of real data.

The same seed gives the same bytes. Purchases follow a Pareto/NBD process (Schmittlein, Morrison and
Colombo 1987): each customer buys at an own rate until an unseen drop-out. Seasons, returns,
duplicates, unreadable times and missing ids are added. Every customer has a contract too, which
ends some time after the drop-out, for ``[label] kind = "ended"``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from sovereign_ml.config.data_tables import ShopSettings

NOTICE_DAYS = 45
"""Days from the last day as a buyer to the end of the contract."""
LAST_DAY = np.datetime64("2026-06-30", "s")
CATEGORIES = (
    "books",
    "garden",
    "kitchen",
    "lighting",
    "music",
    "pets",
    "sports",
    "textiles",
    "toys",
    "wine",
)
COUNTRIES = ("DE", "FR", "NL", "AT", "PL", "SE")
# The inverse of the rates in the template's config.toml, so that amounts come back as EUR.
CURRENCY = {"PL": ("PLN", 1 / 0.235), "SE": ("SEK", 1 / 0.088)}


@dataclass(frozen=True)
class Shop:
    """Raw tables as a shop would export them, with customer ids in clear."""

    transactions: pd.DataFrame
    customers: pd.DataFrame


def make(config: ShopSettings) -> Shop:
    """Return the shop: about 12 order lines a customer over ``config.days`` days before 2026-07-01."""
    rng = np.random.default_rng(config.seed)
    customers = _customers(rng, config.customers)
    return Shop(_dirty(rng, _orders(rng, customers, config.days)), customers)


def _customers(rng: np.random.Generator, n: int) -> pd.DataFrame:
    import pandas as pd

    def flag_day(share: float) -> object:
        days = LAST_DAY - rng.integers(0, 200 * 86_400, n).astype("timedelta64[s]")
        return np.where(rng.random(n) < share, days, np.datetime64("NaT"))

    return pd.DataFrame(
        {
            "customer_id": [f"C{i:07d}" for i in range(1, n + 1)],
            "consent": rng.random(n) < 0.95,
            "objected_at": flag_day(0.03),
            "erased_at": flag_day(0.01),
            "birth_year": rng.integers(1945, 2007, n),
            "country": rng.choice(COUNTRIES, n, p=(0.4, 0.2, 0.15, 0.1, 0.1, 0.05)),
        }
    )


def _orders(rng: np.random.Generator, customers: pd.DataFrame, days: int) -> pd.DataFrame:
    """Return the order lines sorted by time, and add the dates of contracts to ``customers``."""
    import pandas as pd

    n = len(customers)
    rate = rng.gamma(1.1, 1 / 22, n)  # purchases a day while alive
    birth = rng.uniform(0, days * 0.8, n)
    # An exponential lifetime with a gamma distributed rate is the Pareto part of Pareto/NBD.
    alive = np.minimum(rng.exponential(1 / rng.gamma(1.2, 1 / 250, n)), days - birth)
    orders = rng.poisson(rate * alive) + 1
    who = np.repeat(np.arange(n), orders)
    first = np.r_[0, np.cumsum(orders)[:-1]]
    day = birth[who] + rng.random(len(who)) * alive[who]
    day[first] = birth  # the first purchase makes somebody a customer
    season = 0.8 + 0.2 * np.cos(2 * np.pi * (day - days + 190) / 365.25)
    # A first order stays in any season, or its customer would have no order at all.
    in_season = (rng.random(len(who)) < season) | np.isin(np.arange(len(who)), first)
    who, day = who[in_season], day[in_season]
    lines = rng.geometric(0.6, len(who))
    who, day = np.repeat(who, lines), np.repeat(day, lines)
    value = np.exp(rng.normal(3.1, 0.5, n))
    amount = np.round(value[who] * np.exp(rng.normal(0, 0.6, len(who))), 2)
    # Returns are 4% of the lines, the mean of this beta. Each customer has an own share of them.
    amount *= np.where(rng.random(len(who)) < rng.beta(1, 24, n)[who], -1, 1)
    taste = rng.integers(0, len(CATEGORIES), n)
    category = np.where(
        rng.random(len(who)) < 0.55, taste[who], rng.integers(0, len(CATEGORIES), len(who))
    )
    seconds = (day * 86_400).astype("int64")
    start = LAST_DAY + np.timedelta64(86_399, "s") - np.timedelta64(days * 86_400, "s")
    country = customers["country"].to_numpy()[who]
    dates = [start + (t * 86_400).astype("timedelta64[s]") for t in (birth, birth + alive)]
    ended = dates[1] + np.timedelta64(NOTICE_DAYS, "D")
    customers["started_at"] = dates[0].astype("datetime64[D]")
    customers["ended_at"] = np.where(ended <= LAST_DAY, ended, np.datetime64("NaT")).astype(
        "datetime64[D]"
    )
    table = pd.DataFrame(
        {
            "order_line": np.arange(len(who)),
            "customer_id": customers["customer_id"].to_numpy()[who],
            # Text as in an export, so that a run also tests how times are read.
            "ordered_at": np.datetime_as_string(start + seconds.astype("timedelta64[s]")),
            "amount": np.round(amount * [CURRENCY.get(c, ("EUR", 1))[1] for c in country], 2),
            "currency": [CURRENCY.get(c, ("EUR", 1))[0] for c in country],
            "category": np.asarray(CATEGORIES, dtype=object)[category],
        }
    )
    return table.sort_values(["ordered_at", "order_line"], kind="stable")


def _dirty(rng: np.random.Generator, clean: pd.DataFrame) -> pd.DataFrame:
    """Return the table with the faults of real exports.

    They are duplicates, missing ids, unreadable times and impossible amounts.
    """
    import pandas as pd

    twice = clean[rng.random(len(clean)) < 0.004]
    table = pd.concat([clean, twice], ignore_index=True)

    def spoil(column: str, share: float, value: str | float | None) -> None:
        table.loc[rng.random(len(table)) < share, column] = value

    spoil("customer_id", 0.003, None)
    spoil("ordered_at", 0.001, "31/02/2026")
    spoil("amount", 0.002, 9_999_999.0)
    spoil("category", 0.01, None)
    return table
