"""The data contract: each input column's type, range and role, and each feature's meaning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sovereign_ml.errors import Misuse
from sovereign_ml.project import Column, Feature

if TYPE_CHECKING:
    from sovereign_ml.decisions.feature_contract import Link

TARGET = "churned"
"""The label. Over how many days it looks is ``[features] horizon_days``, and in no name."""
WINDOWS = (7, 30, 90, 180)
"""Days before the cut-off over which purchases are counted and summed, shortest first.

The one place: columns, features, SQL and slices follow. ``[features] lookback_days`` has to reach
as far as the longest.
"""
PSEUDONYM = r"^[0-9a-f]{32}\Z"  # not $, which also fits before a line end

TRANSACTIONS = (
    Column("customer_id", "string", "key", pattern=PSEUDONYM),
    Column("event_time", "timestamp", "time", minimum="1995-01-01", maximum="2100-01-01"),
    Column("amount_eur", "float", "feature", minimum=-100_000, maximum=100_000),
    Column("category", "string", "feature", nullable=True, pattern=r"^[^\r\n]{1,64}\Z"),
    Column("order_number", "integer", "key", minimum=1, nullable=True),
)

CUSTOMERS = (
    Column("customer_id", "string", "key", pattern=PSEUDONYM),
    Column("consent", "boolean", "consent", nullable=True),
    Column("objected_at", "timestamp", "consent", nullable=True),
    Column("restricted_at", "timestamp", "consent", nullable=True),
    Column("withdrawn_at", "timestamp", "consent", nullable=True),
    Column("started_at", "timestamp", "time", nullable=True),
    Column("ended_at", "timestamp", "time", nullable=True),
)

GROUPS = (
    Column("customer_id", "string", "key", pattern=PSEUDONYM),
    Column("birth_year", "integer", "protected", minimum=1900, maximum=2100, nullable=True),
    Column("country", "string", "protected", nullable=True, pattern=r"^.{1,64}\Z"),
)
"""Never a feature: joined in memory for the fairness test only."""

TABLES = {"transactions": TRANSACTIONS, "customers": CUSTOMERS, "groups": GROUPS}


def _windowed() -> tuple[Feature, ...]:
    """Return a count of purchases and a sum of money for each window.

    Raises Misuse for windows that are not whole days, each longer than the one before.
    """
    whole = all(type(days) is int and days > 0 for days in WINDOWS)  # isinstance would take True
    if not WINDOWS or not whole or list(WINDOWS) != sorted(set(WINDOWS)):
        raise Misuse(
            f"WINDOWS in contract.py is {WINDOWS}: give whole days, shortest first, such as "
            "(7, 30, 90, 180)."
        )
    why = "A customer who lapses buys less now than before"
    counts = tuple(
        Feature(
            f"purchase_count_{days}d",
            "count",
            f"purchases in the last {days} days",
            f"{why}: {days} days of visits",
            expected="lowers",
        )
        for days in WINDOWS
    )
    sums = tuple(
        Feature(
            f"revenue_eur_{days}d",
            "EUR",
            f"net amount in the last {days} days",
            f"{why}: {days} days of value",
            minimum=None,  # more may come back than was bought
            expected="lowers",
        )
        for days in WINDOWS
    )
    return counts + sums


FEATURES: tuple[Feature, ...] = (
    Feature(
        "recency_days",
        "days",
        "days since the last purchase",
        "The time since the last visit is the core signal",
        expected="raises",
    ),
    Feature(
        "tenure_days",
        "days",
        "days since the first purchase",
        "New and old customers lapse at different rates",
        changeable=False,  # nobody can move their first purchase
    ),
    *_windowed(),
    Feature(
        "avg_order_value_eur",
        "EUR",
        "average order value",
        "Separates many small from few large purchases",
        missing_allowed=True,
    ),
    Feature(
        "mean_gap_days",
        "days",
        "average days between purchases",
        "A long pause means little for a customer who buys rarely",
        missing_allowed=True,  # a single purchase has no gap
        changeable=False,
        expected="raises",
    ),
    Feature(
        "last_gap_days",
        "days",
        "days between the last two purchases",
        "Shows whether a customer buys more rarely than before",
        missing_allowed=True,
        changeable=False,
        expected="raises",
    ),
    Feature(
        "recency_over_gap",
        "ratio",
        "current pause against the own average pause",
        "Compares a customer with their own habits instead of with other people",
        missing_allowed=True,
        expected="raises",
    ),
    Feature(
        "category_share",
        "share",
        "share of the preferred category",
        "Customers of one category and of many lapse at different rates",
        maximum=1,
    ),
    Feature(
        "returns_share",
        "share",
        "share of lines returned",
        "Returns show that a customer was disappointed",
        maximum=1,
        expected="raises",
    ),
    Feature(
        "preferred_category",
        "category",
        "preferred category",
        "Some categories are bought once, others regularly",
        minimum=None,
        missing_allowed=True,  # lines may have no category
    ),
)

NUMERIC = tuple(feature.name for feature in FEATURES if feature.dtype == "float")
CATEGORICAL = tuple(feature.name for feature in FEATURES if feature.dtype == "string")
EXPECTED = {feature.name: feature.expected for feature in FEATURES if feature.expected}


def links() -> tuple[Link, ...]:
    """Return the relations between features that a changed input must respect.

    They keep the answer to "what would have to be different?" possible: who bought in the last 7
    days has also bought in the last 30.
    """
    from sovereign_ml.decisions.feature_contract import Nested, Ratio, Since, Window

    counts = tuple(f"purchase_count_{days}d" for days in WINDOWS)
    sums = tuple(f"revenue_eur_{days}d" for days in WINDOWS)
    windows = (
        *(Window(feature=name, days=days) for name, days in zip(counts, WINDOWS, strict=True)),
        *(
            Window(feature=name, days=days, one_event="avg_order_value_eur")
            for name, days in zip(sums, WINDOWS, strict=True)
        ),
    )
    # One window alone holds no other.
    nested = (Nested(features=counts), Nested(features=sums)) if len(WINDOWS) > 1 else ()
    return (
        *nested,
        Since(feature="recency_days", windows=windows),
        Ratio(feature="recency_over_gap", over="recency_days", under="mean_gap_days"),
    )
