"""The validation report as one offline HTML page, and the folder of a refused validation."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sovereign_ml.pipeline.file_validation import JudgedFile
    from sovereign_ml.pipeline.great_expectations import Check

__all__ = ["forget_refusal", "refused_folder", "report"]

SAMPLE = 20
"""Rejected rows that the page shows of each expectation.

They are enough to see the pattern, and no copy of the data.
"""


def report(
    title: str,
    checks: Mapping[str, Sequence[Check]],
    judged: Mapping[str, JudgedFile],
    *,
    limit: float,
    refused: bool,
) -> str:
    """Return the page with the checks of each table and the rows that broke them.

    ``limit`` is the allowed share of such rows.
    """
    from jinja2 import Environment

    folder = files("sovereign_ml.pipeline").joinpath("templates")
    template = folder.joinpath("validation.html.j2").read_text(encoding="utf-8")
    by_table = {
        name: [
            {"check": check, "values": _values(judged[name], check) if check.failed else []}
            for check in sorted(table_checks, key=_failed_first)
        ]
        for name, table_checks in checks.items()
    }
    # The values come from the input file, so they are escaped.
    page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(template)
    return page.render(title=title, tables=by_table, judged=judged, limit=limit, refused=refused)


def refused_folder(output: Path) -> Path:
    """Return the folder in which a refused validation leaves its report and its rows."""
    return output.with_name(f"{output.name}_refused")


def forget_refusal(output: Path) -> None:
    """Remove the report of an earlier, refused run.

    It would read like the report of the rows that are valid now.
    """
    # DVC may bring the valid rows back from its cache without running the step, so a whole run
    # calls this too.
    shutil.rmtree(refused_folder(output), ignore_errors=True)


def _failed_first(check: Check) -> tuple[bool, str]:
    return (check.failed == 0, check.column)


def _values(judged: JudgedFile, check: Check) -> list[str]:
    """Return distinct values that broke the check, never the customer they belong to."""
    return [] if check.column == "customer_id" else judged.values(check, SAMPLE)
