"""Keepers of each class of data in a project: they find and delete what is past its period."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from sovereign_ml.config.connections import DataVersions, LogLocation, SuppressionFiles, Tracking
from sovereign_ml.config.retention_periods import RetentionPeriod
from sovereign_ml.data_subjects.stores import dvc_versions, mlflow_runs
from sovereign_ml.data_subjects.stores.parquet import ParquetRows, older
from sovereign_ml.privacy import objections, suppression
from sovereign_ml.privacy.retention_plan import Due
from sovereign_ml.privacy.tombstones import write_durably


@dataclass(frozen=True)
class Keeping:
    """A class of data with its rule, in the project's folder ``root`` or on a server."""

    data_class: str
    rule: RetentionPeriod
    root: Path

    def _due(self, place: Path | str, count: int, unit: str, before: datetime) -> Due:
        if isinstance(place, Path) and place.is_relative_to(self.root):
            place = place.relative_to(self.root)
        return Due(
            data_class=self.data_class, place=str(place), count=count, unit=unit, before=before
        )

    def _path(self, due: Due) -> Path:
        return self.root / due.place


@dataclass(frozen=True)
class Rows(Keeping):
    """Rows of Parquet files by a column of times. Without a column, all rows of an old file.

    The suppression list, if there is one, records the cut-off. Step 1 then leaves such rows
    out.
    """

    files: Sequence[Path]
    column: str = ""
    suppression: SuppressionFiles | None = None

    def due(self, now: datetime) -> list[Due]:
        """Return one entry for each file."""
        before, rows = self.rule.before(now), ParquetRows()
        present = [
            path
            for path in self.files
            if path.is_file() and (self.column or _written(path) < before)
        ]
        counts = ((path, rows.count_where(path, self._condition(before))) for path in present)
        return [self._due(path, count, "rows", before) for path, count in counts if count]

    def expire(self, due: Sequence[Due]) -> None:
        """Replace each file by one without the rows."""
        # Two classes can share one data class name: each keeper only touches its own files.
        for item in (item for item in due if self._path(item) in self.files):
            # The cut-off is noted first: if the removal fails, step 1 still leaves the rows out.
            if self.suppression:
                suppression.expire_before(self.suppression, item.before)
            ParquetRows().remove_where(self._path(item), self._condition(item.before))

    def _condition(self, before: datetime) -> str:
        return older(self.column, before) if self.column else "true"


@dataclass(frozen=True)
class OldFiles(Keeping):
    """Whole files by the time they were written."""

    folders: Sequence[Path]

    def due(self, now: datetime) -> list[Due]:
        """Return one entry for each file."""
        before = self.rule.before(now)
        paths = (path for folder in self.folders for path in sorted(folder.rglob("*")))
        return [
            self._due(path, 1, "file", before)
            for path in paths
            if path.is_file() and _written(path) < before
        ]

    def expire(self, due: Sequence[Due]) -> None:
        """Delete the files."""
        for item in due:
            # A run that was killed may have deleted it.
            self._path(item).unlink(missing_ok=True)


@dataclass(frozen=True)
class OldReports(Keeping):
    """Reports of the monitor, one folder for each day.

    They count from the day that they are named after: a report that was fetched from the bucket has
    a younger file. Answers to alarms are kept in git and have no period.
    """

    folder: Path

    def due(self, now: datetime) -> list[Due]:
        """Return one entry for each report."""
        before = self.rule.before(now)
        days = ((path, _named_day(path)) for path in sorted(self.folder.glob("*-*-*")))
        return [
            self._due(path, 1, "report", before)
            for path, day in days
            if day and day < before.date()
        ]

    def expire(self, due: Sequence[Due]) -> None:
        """Delete the folders."""
        # Reports in the bucket have a keeper of the same class.
        for item in (item for item in due if item.unit == "report"):
            shutil.rmtree(self._path(item), ignore_errors=True)


@dataclass(frozen=True)
class NotebookOutputs(Keeping):
    """Outputs of notebooks by the time the notebook was written. The code stays."""

    folder: Path

    def due(self, now: datetime) -> list[Due]:
        """Return one entry for each notebook."""
        before = self.rule.before(now)
        old = [path for path in sorted(self.folder.rglob("*.ipynb")) if _written(path) < before]
        counts = ((path, sum(1 for cell in _cells(path) if cell.get("outputs"))) for path in old)
        return [self._due(path, count, "outputs", before) for path, count in counts if count]

    def expire(self, due: Sequence[Due]) -> None:
        """Empty the outputs and the counters of execution."""
        for item in due:
            notebook = json.loads(self._path(item).read_text(encoding="utf-8"))
            for cell in notebook["cells"]:
                if isinstance(cell, dict) and "outputs" in cell:
                    cell.update(outputs=[], execution_count=None)
            # Jupyter writes this indent too, so git shows the outputs as the only change.
            write_durably(
                self._path(item), json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
            )


@dataclass(frozen=True)
class OldVersions(Keeping):
    """Objects of data versions that were replaced, in the cache and in the folder remote."""

    versions: DataVersions

    def due(self, now: datetime) -> list[Due]:
        """Return one entry for each object."""
        before, root = self.rule.before(now), self.versions.root
        folders = dvc_versions.places(root, self.versions.remote)
        return [
            self._due(path, 1, "object", before)
            for path in dvc_versions.unneeded(root, folders, before)
        ]

    def expire(self, due: Sequence[Due]) -> None:
        """Delete the objects."""
        # The keeper of the bucket has entries of the same class, in versions.
        for item in (item for item in due if item.unit == "object"):
            self._path(item).unlink(missing_ok=True)


@dataclass(frozen=True)
class OldModels(Keeping):
    """Registry versions that no alias points to."""

    tracking: Tracking

    def due(self, now: datetime) -> list[Due]:
        """Return one entry for each version."""
        before = self.rule.before(now)
        versions = mlflow_runs.old_versions(self.tracking, before)
        own = self.tracking.project
        places = [f"version {v.version}" + f" of {v.name}" * (v.name != own) for v in versions]
        return [self._due(place, 1, "version", before) for place in places]

    def expire(self, due: Sequence[Due]) -> None:
        """Delete the versions. Their runs have a period of their own."""
        for item in due:
            version, _, model = item.place.removeprefix("version ").partition(" of ")
            mlflow_runs.delete_version(self.tracking, version, model)


@dataclass(frozen=True)
class OldRuns(Keeping):
    """Runs that no registry version needs, with their artifacts."""

    models: OldModels

    def due(self, now: datetime) -> list[Due]:
        """Return one entry for each run. A version that is due itself does not protect its run."""
        before = self.rule.before(now)
        tracking = self.models.tracking
        leaving = mlflow_runs.old_versions(tracking, self.models.rule.before(now))
        run_ids = mlflow_runs.old_runs(tracking, before, leaving)
        return [self._due(f"run {run_id}", 1, "run", before) for run_id in run_ids]

    def expire(self, due: Sequence[Due]) -> None:
        """Delete runs, logged models and artifacts for good."""
        # Copies of runs at ClearML have a keeper of their own.
        run_ids = [item.place.removeprefix("run ") for item in due if item.unit == "run"]
        mlflow_runs.delete(self.models.tracking, run_ids)


@dataclass(frozen=True)
class LogEntries(Keeping):
    """Entries of the decision log of some kinds, by the time they were written."""

    location: LogLocation
    kinds: Sequence[str]

    def due(self, now: datetime) -> list[Due]:
        """Return one entry for all of them."""
        before = self.rule.before(now)
        with objections.decision_log(self.location) as log:
            count = log.older(_stamp(before), self.kinds) if log else 0
        return [self._due("decision log", count, "entries", before)] if count else []

    def expire(self, due: Sequence[Due]) -> None:
        """Blank the entries. The hash chain stays valid."""
        for item in due:
            with objections.decision_log(self.location) as log:
                if log:
                    log.expire(_stamp(item.before), self.kinds)


def _written(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _named_day(folder: Path) -> date | None:
    try:
        return date.fromisoformat(folder.name)
    except ValueError:
        return None


def _stamp(moment: datetime) -> str:
    # The log compares its times as text, so this must have their form.
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _cells(path: Path) -> Iterator[dict[str, Any]]:
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        yield from (cell for cell in cells if isinstance(cell, dict))
    except (ValueError, KeyError, TypeError):
        return
