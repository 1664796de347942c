"""Replay of the project's feature SQL at the moments at which the old store has values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sovereign_ml.config.tables import FeatureSettings, LabelKind
from sovereign_ml.errors import Misuse
from sovereign_ml.project import Project
from sovereign_ml.storage import duckdb as db
from sovereign_ml.storage.artifacts import need

if TYPE_CHECKING:
    import duckdb

MEMORY = "1GB"
"""Memory of DuckDB. What does not fit is written to a temporary folder."""
_NEEDED = ("load", "compute", "history")


class FeatureReplay:
    """The project's valid transactions, and its features as of any moment (UTC, without a zone).

    ``spill`` is a folder for tables that do not fit into memory.
    """

    def __init__(
        self, project: Project, valid: Path, config: FeatureSettings, kind: LabelKind, spill: Path
    ) -> None:
        self._sql: Any = project.module("features")
        if lacking := [name for name in _NEEDED if not hasattr(self._sql, name)]:
            raise Misuse(
                f"src/{project.package}/features.py lacks {', '.join(lacking)}(): parity computes "
                "the features of past moments with it."
            )
        self._config, self._kind = config, kind
        self.connection: duckdb.DuckDBPyConnection = self._sql.load(need(valid, "validate"), kind)
        self.connection.execute(f"SET memory_limit = '{MEMORY}'")
        self.connection.execute(f"SET temp_directory = {db.literal(str(spill))}")
        self.lookback_days = config.lookback_days
        self.first, last = self._sql.history(self.connection)
        # Of the newest day all events are known, of the day after it none.
        self.end: datetime = last.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(
            days=1
        )

    def compute(self, moments: Sequence[datetime], *, everybody: bool = True) -> None:
        """Make the table ``snapshots`` with the features as of each of ``moments``.

        It has the people whom the flow would score. With ``everybody`` it has all who have an event
        in the look-back, since an old store keeps rows of inactive people too.
        """
        config = self._config
        if everybody:
            config = config.model_copy(update={"active_within_days": config.lookback_days})
        self._sql.compute(self.connection, list(moments), config, self._kind)

    @contextmanager
    def only(self, people: str) -> Iterator[None]:
        """Restrict the transactions to the customer_id of the table ``people`` for a while."""
        # The project's SQL reads `lines` by its name, so another table takes the name for a while.
        self.connection.execute("ALTER TABLE lines RENAME TO all_lines")
        try:
            self.connection.execute(
                "CREATE TABLE lines AS FROM all_lines WHERE CAST(customer_id AS VARCHAR) IN "  # noqa: S608
                f"(SELECT customer_id FROM {people})"
            )
            yield
        finally:
            self.connection.execute("DROP TABLE IF EXISTS lines")
            self.connection.execute("ALTER TABLE all_lines RENAME TO lines")

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()
