"""The validation report: one HTML page that opens offline."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import TYPE_CHECKING

from sovereign_ml.config.settings import Settings
from sovereign_ml.pipeline.great_expectations import Check

if TYPE_CHECKING:
    import pandas as pd

SAMPLE = 20
"""Rejected rows that the page shows of each expectation: enough to see the pattern, no copy of the data."""


def validation_page(
    settings: Settings,
    checks: Mapping[str, list[Check]],
    rows: Mapping[str, int],
    rejected: Mapping[str, pd.DataFrame],
    limit: float,
    refused: bool,
) -> str:
    """The page for the checks of each table, its number of rows and its rejected rows."""
    from jinja2 import Environment

    template = files("churn").joinpath("templates/validation.html.j2").read_text(encoding="utf-8")
    values = {
        name: [
            {"check": c, "values": _values(rejected[name], c) if c.failed else []}
            for c in sorted(found, key=_failed_first)
        ]
        for name, found in checks.items()
    }
    return (
        Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
        .from_string(template)
        .render(
            title=settings.project.title,
            tables=values,
            rows=rows,
            rejected={n: len(t) for n, t in rejected.items()},
            limit=limit,
            refused=refused,
        )
    )


def _failed_first(check: Check) -> tuple[bool, str]:
    return (check.failed == 0, check.column)


def _values(rejected: pd.DataFrame, check: Check) -> list[str]:
    """Distinct values that broke the check, never the customer they belong to."""
    if check.column == "customer_id":
        return []
    broke = rejected[rejected["expectation"] == f"{check.expectation}({check.column})"]
    return [str(v) for v in broke[check.column].drop_duplicates().head(SAMPLE)]
