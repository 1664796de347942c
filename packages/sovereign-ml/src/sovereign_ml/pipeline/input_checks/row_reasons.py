"""Reasons for setting rows of the input aside, one for each row.

Rows read are rows kept plus rows set aside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sovereign_ml.decision_log.entries import BARS
from sovereign_ml.privacy import subjects

if TYPE_CHECKING:
    import duckdb

__all__ = ["EVENT_REASONS", "REASONS", "Counts", "count_reasons"]

_BARRED = {"erased": "erased", **{str(bar): str(bar) for bar in BARS.values()}}
REASONS: dict[str, str] = {
    "filtered": "unusable = 'filtered'",
    "unreadable_filter": "unusable = 'unreadable_filter'",
    "unreadable_customer_id": "unusable = 'unreadable_customer_id'",
    "unreadable_category": "unusable = 'unreadable_category'",
    "unreadable_order_id": "unusable = 'unreadable_order_id'",
    "no_customer_id": "customer_id IS NULL",
    "unreadable_time": "event_time IS NULL",
    # Before the unreadable amount, whose condition holds for these rows too.
    "no_rate": "amount_eur IS NULL AND rate_seen IS NOT NULL",
    "unreadable_amount": "amount_eur IS NULL",
    "in_future": "in_future",
    "expired": "expired",
    **_BARRED,
    "no_consent": "NOT consented",
}
"""SQL condition of each reason, in this order. The first one that holds counts.

Duplicates come before all others.
"""
EVENT_REASONS: dict[str, str] = {
    **{
        reason: f"unusable = '{reason}'"
        for reason in ("filtered", "unreadable_filter", "unreadable_customer_id", "unreadable_kind")
    },
    "no_customer_id": "customer_id IS NULL",
    "unreadable_time": "event_time IS NULL",
    "unreadable_value": "unusable = 'unreadable_value'",
    "in_future": "in_future",
    "expired": "expired",
    # Before the missing purchase, so that the counts show whose events were left out for their
    # sake.
    **_BARRED,
    "no_consent": "NOT consented",
    "no_purchase": "customer_id NOT IN (SELECT customer_id FROM names)",
}
"""The same for an event table.

Events of people without a kept purchase are not kept, because nobody would use them (GDPR 5(1)(c)).
"""


@dataclass(frozen=True)
class Counts:
    """Rows read, and rows set aside by reason. Rows read are rows kept plus rows set aside."""

    read: int
    set_aside: dict[str, int]
    notes: tuple[str, ...] = ()
    """Notes on rows that the reader left out on purpose, such as blank lines."""

    @property
    def kept(self) -> int:
        """Return how many rows go on."""
        return self.read - sum(self.set_aside.values())

    @property
    def headline(self) -> str:
        """Return the counts in one line."""
        words = ", ".join(
            f"{n:,} {reason.replace('_', ' ')}" for reason, n in self.set_aside.items() if n
        )
        aside = self.read - self.kept
        counted = (
            f"{self.read:,} read = {self.kept:,} kept + {aside:,} set aside ({words or 'none'})"
        )
        return "; ".join([counted, *self.notes])


def count_reasons(
    connection: duckdb.DuckDBPyConnection,
    after_the_end: str,
    *,
    consent_needed: bool,
    reasons: Mapping[str, str] = REASONS,
) -> Counts:
    """Make the table ``gated`` with the reason of each row, and return the counts by reason.

    The counts are over all rows that were read.
    """
    reason = " ".join(f"WHEN {condition} THEN '{name}'" for name, condition in reasons.items())
    connection.execute(
        # A left join: buyers whom the customers table does not name have no marks and no consent.
        f"""CREATE TABLE gated AS SELECT *, CASE {reason} END AS reason FROM (
            SELECT mapped.*,
            {", ".join(f"coalesce({mark}, false) AS {mark}" for mark in subjects.MARKS)},
            {"coalesce(consent, false)" if consent_needed else "true"} AS consented,
            {after_the_end} AS in_future
            FROM mapped LEFT JOIN people USING (customer_id))"""  # noqa: S608
    )
    rows = connection.execute(
        "SELECT coalesce(reason, 'kept'), count(*), sum(copies_ - 1) FROM gated GROUP BY 1"
    ).fetchall()
    totals = {str(name): int(n) for name, n, _ in rows}
    # A row and its exact copies are one row here, which knows their number.
    duplicates = sum(int(extra) for _, _, extra in rows)
    by_reason = {name: totals.get(name, 0) for name in reasons}
    return Counts(
        read=sum(totals.values()) + duplicates, set_aside={"duplicate": duplicates, **by_reason}
    )
