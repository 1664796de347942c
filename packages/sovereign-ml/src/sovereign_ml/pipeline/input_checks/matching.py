"""Comparison of the people in the two tables: ids must be spelled the same way.

A person who is barred in one table must be found in the other (GDPR Art. 17, 21).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from sovereign_ml.config.data_tables import CheckSettings
from sovereign_ml.pipeline.input_checks.customer_ids import (
    exponent,
    folded,
    is_number,
    shape,
    without_prefix,
)
from sovereign_ml.privacy.subjects import MARKS

if TYPE_CHECKING:
    import duckdb

__all__ = ["CustomerMatch", "cut_off_ids", "match_customers", "match_events"]


@dataclass(frozen=True)
class CustomerMatch:
    """Counts of people in the customers table and in the transactions, and of those in both."""

    customers: int
    customers_met: int
    buyers: int
    objected: int
    objected_met: int
    restricted: int
    restricted_met: int
    refused_consent: int
    refused_consent_met: int
    erased: int
    erased_met: int
    similar: int
    cut_off_digits: int
    shape_of_customer: str
    shape_of_buyer: str
    section: str = "data.customer_columns"
    """The table of config.toml that maps the customers."""

    @property
    def share(self) -> float:
        """Return the share of the customers or of the buyers that is in both tables.

        It is the larger of the two. Many customers may not have bought, or many buyers may be no
        customers, but rarely both.
        """
        return self.customers_met / max(1, min(self.customers, self.buyers))

    @property
    def headline(self) -> str:
        """Return the counts in one line."""
        barred = (
            ("objected", self.objected_met, self.objected),
            ("restricted", self.restricted_met, self.restricted),
            ("without consent", self.refused_consent_met, self.refused_consent),
            ("erased", self.erased_met, self.erased),
        )
        words = ", ".join(f"{name} {met:,} of {n:,}" for name, met, n in barred if n)
        return (
            f"{self.customers_met:,} of {self.customers:,} customers met among "
            f"{self.buyers:,} buyers" + (f" ({words})" if words else "")
        )

    def facts(self) -> dict[str, Any]:
        """Return the counts for the summary, without shapes."""
        return {k: v for k, v in asdict(self).items() if isinstance(v, int)}

    def problems(self, config: CheckSettings) -> list[str]:
        """Return the evidence against the same spelling of ids in both tables."""
        return [*self._too_few(config), *self._similar(config), *self._no_objector(config)]

    def _too_few(self, config: CheckSettings) -> list[str]:
        if not self.customers or not self.buyers:
            return []
        if self.customers_met and self.share >= config.min_matched_customers:
            return []
        limit = (
            f"[data.checks] min_matched_customers asks for {config.min_matched_customers:.0%}"
            if self.customers_met
            else "without a match no objection, consent or erasure would hold"
        )
        return [
            f"{self.customers_met:,} of {self.customers:,} customers are among the {self.buyers:,} "
            f"buyers ({self.share:.1%}; {limit}): ids of the customers look like "
            f"'{self.shape_of_customer}', of the buyers like '{self.shape_of_buyer}' (a is a "
            f"letter, 9 a digit). Let customer_id in [data.columns] and [{self.section}] "
            'give the same id, such as "lower(email)" or "lpad(id, 6, \'0\')"'
        ]

    def _similar(self, config: CheckSettings) -> list[str]:
        problems = []
        if self.similar > config.max_similar_ids:
            problems.append(
                f"{self.similar:,} customers whom no purchase names differ from buyers whom this "
                "table does not name only in case, spaces, signs, leading zeros or a "
                f"prefix (such as '{self.shape_of_customer}' and '{self.shape_of_buyer}'; "
                f"[data.checks] max_similar_ids allows {config.max_similar_ids:,}): write both "
                'customer_id alike, such as "lower(customer_id)", or raise the limit if they are '
                "different people"
            )
        return problems + _cut_off(self.cut_off_digits, config)

    def _no_objector(self, config: CheckSettings) -> list[str]:
        barred = self.objected + self.restricted + self.refused_consent
        others = self.customers - barred - self.erased
        others_met = self.customers_met - self.erased_met
        missing = self.objected_met + self.restricted_met + self.refused_consent_met == 0
        if missing and barred > config.max_unmet_objectors and others_met * 2 > others:
            return [
                f"none of {barred:,} customers who objected, are restricted or gave no consent is "
                f"among the buyers, but {others_met:,} of {max(others, 0):,} others are: are their "
                "ids those of another system? If they really bought nothing, raise [data.checks] "
                f"max_unmet_objectors (now {config.max_unmet_objectors:,})"
            ]
        return []


def cut_off_ids(connection: duckdb.DuckDBPyConnection, config: CheckSettings) -> list[str]:
    """Return a problem where buyers in ``mapped`` have ids that lack digits.

    It is for input without a customers table, since the comparison with one looks for them too.
    """
    query = f"""SELECT count(DISTINCT customer_id) FROM mapped WHERE {exponent("customer_id")}"""  # noqa: S608
    return _cut_off(_number(connection, query), config)


def _cut_off(ids: int, config: CheckSettings) -> list[str]:
    if ids <= config.max_similar_ids:
        return []
    return [
        f"{ids:,} ids stand in exponent notation such as 1.23E+11, as a spreadsheet writes them and "
        "a float of more than 15 digits is read: their digits are lost, so several people become "
        "one. Export the file again with the ids as text"
    ]


def match_events(
    connection: duckdb.DuckDBPyConnection, buyers: Sequence[str], section: str
) -> CustomerMatch:
    """Compare the people of the event table in ``mapped`` with all ``buyers``.

    ``section`` is the table of config.toml with its mapping.
    """
    import pyarrow as pa

    connection.register("buyers_", pa.table({"customer_id": pa.array(buyers, pa.string())}))
    # Marks that bar people are left out: events of people whom the transactions do not name under
    # the same id are not kept anyway.
    nothing = ", ".join(f"false AS {mark}" for mark in (*MARKS, "refused"))
    connection.execute("CREATE OR REPLACE TABLE buyers AS FROM buyers_")
    connection.execute(
        f"""CREATE OR REPLACE TABLE known AS SELECT *, {nothing},
            customer_id IN (SELECT customer_id FROM buyers) AS met
        FROM (SELECT DISTINCT customer_id FROM mapped WHERE customer_id IS NOT NULL AND unusable IS NULL)"""  # noqa: S608
    )
    return replace(_compared(connection), section=section)


def match_customers(connection: duckdb.DuckDBPyConnection) -> CustomerMatch:
    """Compare ``people`` with the buyers in ``mapped``.

    Call it before marks from outside the customers table are set.
    """
    connection.execute(
        """CREATE OR REPLACE TABLE buyers AS SELECT DISTINCT customer_id FROM mapped
        WHERE customer_id IS NOT NULL"""
    )
    connection.execute(
        """CREATE OR REPLACE TABLE known AS SELECT customer_id, objected, erased,
            restricted AND NOT objected AND NOT erased AS restricted,
            (withdrawn OR NOT coalesce(consent, true)) AND NOT (objected OR people.restricted OR erased) AS refused,
            customer_id IN (SELECT customer_id FROM buyers) AS met
        FROM people WHERE customer_id IS NOT NULL"""
    )
    return _compared(connection)


def _compared(connection: duckdb.DuckDBPyConnection) -> CustomerMatch:
    """Return the counts over the tables ``buyers`` and ``known``."""
    connection.execute(
        """CREATE OR REPLACE TABLE strangers AS SELECT customer_id FROM buyers
        WHERE customer_id NOT IN (SELECT customer_id FROM known)"""
    )
    counts = connection.execute(
        """SELECT count(*) AS customers, count(*) FILTER (met) AS customers_met,
            (SELECT count(*) FROM buyers) AS buyers,
            count(*) FILTER (objected) AS objected,
            count(*) FILTER (objected AND met) AS objected_met,
            count(*) FILTER (restricted) AS restricted,
            count(*) FILTER (restricted AND met) AS restricted_met,
            count(*) FILTER (refused) AS refused_consent,
            count(*) FILTER (refused AND met) AS refused_consent_met,
            count(*) FILTER (erased) AS erased, count(*) FILTER (erased AND met) AS erased_met
        FROM known"""
    )
    names = [column[0] for column in counts.description or ()]
    totals = dict(zip(names, counts.fetchall()[0], strict=True))
    details: dict[str, Any] = {
        "similar": _number(connection, _SIMILAR),
        "cut_off_digits": _number(connection, _CUT_OFF),
        "shape_of_customer": _shape(connection, "SELECT * FROM known WHERE NOT met"),
        "shape_of_buyer": _shape(connection, "FROM strangers"),
    }
    return CustomerMatch(**totals, **details)


_SIMILAR = f"""SELECT count(*) FROM known WHERE NOT met AND (
    {folded("customer_id")} IN (
        SELECT {folded("customer_id")} AS id FROM strangers WHERE id <> '')
    OR (objected OR restricted OR erased OR refused) AND coalesce({without_prefix("customer_id")} IN (
        SELECT {without_prefix("strangers.customer_id")} AS id FROM strangers WHERE id IS NOT NULL
        AND {is_number("strangers.customer_id")} <> {is_number("known.customer_id")}), false))"""  # noqa: S608
# A prefix is looked at for barred people only, and only against plain numbers: number ranges of two
# systems overlap by chance.
_CUT_OFF = f"""SELECT count(*) FROM (
    SELECT customer_id FROM buyers UNION SELECT customer_id FROM known
) WHERE {exponent("customer_id")}"""  # noqa: S608


def _number(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0


def _shape(connection: duckdb.DuckDBPyConnection, people: str) -> str:
    """Return the most frequent shape of ids among ``people``, empty without any."""
    row = connection.execute(
        f"""SELECT {shape("customer_id")} AS shape, count(*) AS n FROM ({people}) GROUP BY 1
        ORDER BY n DESC, shape LIMIT 1"""  # noqa: S608
    ).fetchone()
    return str(row[0]) if row else ""
