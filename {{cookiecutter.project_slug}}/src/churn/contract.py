"""The data contract: every column's type, range and role, and every feature's meaning and reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["key", "time", "feature", "protected", "consent"]
Unit = Literal["days", "EUR", "count", "share", "ratio", "category"]

WINDOWS = (7, 30, 90, 180)
"""Days before the cut-off over which purchases are counted and summed."""


@dataclass(frozen=True)
class Column:
    """One column of an input table."""

    name: str
    dtype: Literal["string", "timestamp", "float", "integer", "boolean"]
    role: Role
    minimum: float | str | None = None
    maximum: float | str | None = None
    nullable: bool = False
    pattern: str | None = None


TRANSACTIONS = (
    Column("customer_id", "string", "key", pattern=r"^[0-9a-f]{32}\Z"),
    Column("event_time", "timestamp", "time", minimum="1995-01-01", maximum="2100-01-01"),
    Column("amount_eur", "float", "feature", minimum=-100_000, maximum=100_000),
    Column("category", "string", "feature", nullable=True, pattern=r"^[^\r\n]{1,64}\Z"),
)

CUSTOMERS = (
    Column("customer_id", "string", "key", pattern=r"^[0-9a-f]{32}\Z"),
    Column("consent", "boolean", "consent", nullable=True),
    Column("objected_at", "timestamp", "consent", nullable=True),
)

GROUPS = (
    Column("customer_id", "string", "key", pattern=r"^[0-9a-f]{32}\Z"),
    Column("birth_year", "integer", "protected", minimum=1900, maximum=2100, nullable=True),
    Column("country", "string", "protected", nullable=True, pattern=r"^.{1,64}\Z"),
)
"""Kept apart from the features and joined in memory for the fairness test only."""


@dataclass(frozen=True)
class Feature:
    """One input of the model, in words that a customer understands."""

    name: str
    unit: Unit
    label: str
    necessity_reason: str
    minimum: float | None = 0
    maximum: float | None = None
    missing_allowed: bool = False
    changeable: bool = True

    @property
    def dtype(self) -> Literal["float", "string"]:
        """``string`` for a category, ``float`` for everything else."""
        return "string" if self.unit == "category" else "float"


def _windowed() -> tuple[Feature, ...]:
    why = "How much somebody buys now against earlier is what a lapse looks like"
    counts = tuple(
        Feature(
            f"purchase_count_{d}d",
            "count",
            f"purchases in the last {d} days",
            f"{why}: {d} days of visits",
        )
        for d in WINDOWS
    )
    sums = tuple(
        Feature(
            f"revenue_eur_{d}d",
            "EUR",
            f"net amount in the last {d} days",
            f"{why}: {d} days of value",
            minimum=None,
        )
        for d in WINDOWS
    )
    return counts + sums


FEATURES: tuple[Feature, ...] = (
    Feature(
        "recency_days",
        "days",
        "days since the last purchase",
        "The time since the last visit is the core signal",
    ),
    Feature(
        "tenure_days",
        "days",
        "days since the first purchase",
        "New and old customers lapse differently",
        changeable=False,
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
        "The own rhythm: a long pause means little to someone who buys rarely",
        missing_allowed=True,
        changeable=False,
    ),
    Feature(
        "last_gap_days",
        "days",
        "days between the last two purchases",
        "Shows whether the own rhythm slows down",
        missing_allowed=True,
        changeable=False,
    ),
    Feature(
        "recency_over_gap",
        "ratio",
        "current pause against the own average pause",
        "Compares the pause with the own rhythm instead of with other people",
        missing_allowed=True,
    ),
    Feature(
        "category_share",
        "share",
        "share of the preferred category",
        "Focused and broad buyers lapse differently",
        maximum=1,
    ),
    Feature(
        "returns_share",
        "share",
        "share of lines returned",
        "Disappointment shows in returns",
        maximum=1,
    ),
    Feature(
        "preferred_category",
        "category",
        "preferred category",
        "Some ranges are bought once, others again and again",
        minimum=None,
        missing_allowed=True,
    ),
)

NUMERIC = tuple(f.name for f in FEATURES if f.dtype == "float")
CATEGORICAL = tuple(f.name for f in FEATURES if f.dtype == "string")
TARGET = "churn_30d"
