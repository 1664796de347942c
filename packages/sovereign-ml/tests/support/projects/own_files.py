"""A project with a team's own files: its rows, the step over them, and what the step wrote."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from small_project import KEY, configure, load, make_project, step
from sovereign_ml.pipeline import source
from sovereign_ml.pseudonyms import pseudonyms
from sovereign_ml.storage.artifacts import read_json

Row = dict[str, Any]
TABLES = ("transactions", "customers", "groups")
FILES = {"data.transactions": "lines.csv", "data.customers": "people.csv"}
NO_PEOPLE = {
    "data.transactions": "lines.csv",
    "data.customers": "",
    "data.lawful_basis": "contract",
}
# A handful of rows is no plausible shop; the limits have tests of their own.
NO_LIMITS = {
    f"data.checks.{name}": value
    for name, value in {
        "max_unusable_share": 1.0,
        "min_matched_customers": 0.0,
        "max_negative_share": 1.0,
    }.items()
}


def line(customer: str | None = "A", **more: object) -> Row:
    given = {
        "order_line": 1,
        "customer_id": customer,
        "ordered_at": "2026-01-15 10:00:00",
        "amount": 10.0,
    }
    return {**given, "currency": "EUR", "category": "books", **more}


def person(customer: str = "A", **more: object) -> Row:
    given = {"customer_id": customer, "consent": True, "objected_at": None, "erased_at": None}
    return {**given, "birth_year": 1980, "country": "DE", **more}


def as_csv(rows: Iterable[Row]) -> str:
    rows, text = list(rows), io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


class Shop:
    """A project with the team's own files."""

    def __init__(self, root: Path, lines: Iterable[Row], people: Iterable[Row] = ()) -> None:
        self.root, people = root, list(people)
        if not (root / "config.toml").exists():
            make_project(root)
        configure(root, NO_LIMITS | (FILES if people else NO_PEOPLE))
        (root / "lines.csv").write_text(as_csv(lines))
        if people:
            (root / "people.csv").write_text(as_csv(people))

    def read(self) -> Shop:
        found = load(self.root)
        step("data", found, source.refresh(found), found.path("raw"))
        return self

    def table(self, name: str) -> pd.DataFrame:
        return pd.read_parquet(self.root / "data/1_raw" / f"{name}.parquet")

    @property
    def times(self) -> list[datetime]:
        return [
            time.to_pydatetime()
            for time in self.table("transactions")["event_time"].dt.tz_convert("UTC")
        ]

    @property
    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = read_json(self.root / "data/1_raw/summary.json")
        return found

    @property
    def everything_written(self) -> bytes:
        return b"".join(path.read_bytes() for path in sorted((self.root / "data/1_raw").iterdir()))

    def values_written(self) -> set[str]:
        return {str(value) for name in TABLES for value in self.table(name).to_numpy().ravel()}


def named(*ids: str) -> list[str]:
    return pseudonyms(ids, bytes.fromhex(KEY))


PEOPLE = [
    *(person(name) for name in ("A", "B", "007", "7")),
    person("erased", erased_at="2026-01-01"),
    person("objected", objected_at="2026-01-01"),
    person("silent", consent=False),
]
