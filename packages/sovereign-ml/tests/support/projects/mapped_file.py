"""Step 1 over one file, without a project around it: what it reads, keeps and sets aside."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from small_project import KEY
from sovereign_ml.config.connections import (
    DataVersions,
    LogLocation,
    ObjectStorage,
    SuppressionFiles,
)
from sovereign_ml.config.data_tables import DataSettings
from sovereign_ml.pipeline.input_checks.row_reasons import Counts
from sovereign_ml.pipeline.input_tables import Gates
from sovereign_ml.pipeline.intake import Intake
from sovereign_ml.pipeline.source import InputFiles

COLUMNS = {"customer_id": "customer_id", "event_time": "event_time", "amount_eur": "amount"}
STORAGE = ObjectStorage("http://127.0.0.1:9", "none", "none", "path", Path("none"))


@dataclass
class Mapped:
    """The rows after the mapping, and how many were kept and set aside."""

    counts: Counts
    rows: list[dict[str, Any]]

    def column(self, name: str) -> list[Any]:
        return [row[name] for row in self.rows]

    @property
    def aside(self) -> dict[str, int]:
        return {reason: n for reason, n in self.counts.set_aside.items() if n}


def data_settings(**changes: Any) -> DataSettings:
    given = {
        "transactions": "lines.csv",
        "customers": "",
        "lawful_basis": "contract",
        "timezone": "UTC",
        "as_of": "2099-12-31",
        "rates": {"EUR": 1.0, "SEK": 0.1},
        "customer_columns": {"customer_id": "customer_id"},
        "synthetic": {"customers": 100, "days": 400, "seed": 7},
    }
    columns = COLUMNS | changes.pop("columns", {})
    return DataSettings.model_validate({**given, **changes, "columns": columns})


def input_files(root: Path, **changes: Any) -> InputFiles:
    return InputFiles(data_settings(**changes), root, STORAGE)


def gates(root: Path, files: InputFiles) -> Gates:
    """Nobody erased, nobody who objected through the service."""
    keys = SuppressionFiles(root, root / "copy", lambda: (bytes.fromhex(KEY),))
    versions = DataVersions(root, "local", "local", STORAGE)
    return Gates(root, versions, keys, LogLocation("", ""), files.config.asks_consent)


def read(root: Path, content: str | bytes | None = None, **changes: Any) -> Mapped:
    """Write ``content`` to lines.csv (None: the files are there) and read what ``changes`` of [data] name."""
    if content is not None:
        raw = content if isinstance(content, bytes) else content.encode()
        (root / "lines.csv").write_bytes(raw)
    return read_files(input_files(root, **changes), root)


def read_files(files: InputFiles, root: Path) -> Mapped:
    """Run step 1 on ``files`` up to the decision about every row."""
    pin = root / "source.json"
    pin.write_text(json.dumps(files.describe(None)))
    tables = Intake(files, gates(root, files)).read(pin)
    connection: duckdb.DuckDBPyConnection = tables._connection
    tables.mark_erased_and_expired()
    counts = tables.set_aside()
    connection.execute("SET TimeZone = 'UTC'")
    found = connection.execute("FROM gated WHERE reason IS NULL ORDER BY ALL")
    names = [column[0] for column in found.description or ()]
    return Mapped(counts, [dict(zip(names, row, strict=True)) for row in found.fetchall()])
