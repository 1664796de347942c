"""Who keeps each class of data in this project: what is past its period there, and how it is deleted."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sovereign_ml.config.retention import Rule
from sovereign_ml.config.settings import Settings
from sovereign_ml.data_subjects.stores import dvc_versions, mlflow_runs
from sovereign_ml.data_subjects.stores.parquet import ParquetRows, older
from sovereign_ml.privacy import objections, suppression
from sovereign_ml.privacy.retention_plan import Due
from sovereign_ml.privacy.tombstones import write_durably


@dataclass(frozen=True)
class Keeping:
    """A class of data with its rule; ``settings`` tell where it lies."""

    data_class: str
    rule: Rule
    settings: Settings

    def _due(self, place: Path | str, count: int, unit: str, before: datetime) -> Due:
        if isinstance(place, Path) and place.is_relative_to(self.settings.root):
            place = place.relative_to(self.settings.root)
        return Due(
            data_class=self.data_class, place=str(place), count=count, unit=unit, before=before
        )

    def _path(self, due: Due) -> Path:
        return self.settings.root / due.place


@dataclass(frozen=True)
class Rows(Keeping):
    """Rows of Parquet files by a column of times; without a column, all rows once the file is old enough."""

    files: Sequence[Path]
    column: str = ""

    def due(self, now: datetime) -> list[Due]:
        """One entry a file."""
        before, rows = self.rule.before(now), ParquetRows()
        there = [
            path
            for path in self.files
            if path.is_file() and (self.column or _written(path) < before)
        ]
        counts = ((path, rows.count_where(path, self._condition(before))) for path in there)
        return [self._due(path, count, "rows", before) for path, count in counts if count]

    def expire(self, due: Sequence[Due]) -> None:
        """Write each file anew without the rows."""
        for one in (one for one in due if self._path(one) in self.files):
            if self.data_class == "raw":
                suppression.expire_before(self.settings.suppression, one.before)
            ParquetRows().remove_where(self._path(one), self._condition(one.before))

    def _condition(self, before: datetime) -> str:
        return older(self.column, before) if self.column else "true"


@dataclass(frozen=True)
class OldFiles(Keeping):
    """Whole files by the time they were written."""

    folders: Sequence[Path]

    def due(self, now: datetime) -> list[Due]:
        """One entry a file."""
        before = self.rule.before(now)
        found = (path for folder in self.folders for path in sorted(folder.rglob("*")))
        return [
            self._due(path, 1, "file", before)
            for path in found
            if path.is_file() and _written(path) < before
        ]

    def expire(self, due: Sequence[Due]) -> None:
        """Delete the files."""
        for one in due:
            self._path(one).unlink(missing_ok=True)


@dataclass(frozen=True)
class NotebookOutputs(Keeping):
    """Outputs of notebooks by the time the notebook was written; the code stays."""

    folder: Path

    def due(self, now: datetime) -> list[Due]:
        """One entry a notebook."""
        before = self.rule.before(now)
        old = [path for path in sorted(self.folder.rglob("*.ipynb")) if _written(path) < before]
        counts = ((path, sum(1 for cell in _cells(path) if cell.get("outputs"))) for path in old)
        return [self._due(path, count, "outputs", before) for path, count in counts if count]

    def expire(self, due: Sequence[Due]) -> None:
        """Empty the outputs and the counters of execution."""
        for one in due:
            notebook = json.loads(self._path(one).read_text(encoding="utf-8"))
            for cell in notebook["cells"]:
                if "outputs" in cell:
                    cell.update(outputs=[], execution_count=None)
            write_durably(
                self._path(one), json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
            )


@dataclass(frozen=True)
class OldVersions(Keeping):
    """Objects of data versions that were replaced, in the cache and in the folder remote."""

    def due(self, now: datetime) -> list[Due]:
        """One entry an object."""
        before, root = self.rule.before(now), self.settings.root
        folders = dvc_versions.places(root, self.settings.profile.dvc_remote)
        return [
            self._due(path, 1, "object", before)
            for path in dvc_versions.unneeded(root, folders, before)
        ]

    def expire(self, due: Sequence[Due]) -> None:
        """Delete the objects."""
        for one in (one for one in due if one.unit == "object"):
            self._path(one).unlink(missing_ok=True)


@dataclass(frozen=True)
class OldModels(Keeping):
    """Registry versions that no alias points to."""

    def due(self, now: datetime) -> list[Due]:
        """One entry a version."""
        before = self.rule.before(now)
        found = mlflow_runs.old_versions(self.settings, before)
        return [self._due(f"version {version.version}", 1, "version", before) for version in found]

    def expire(self, due: Sequence[Due]) -> None:
        """Delete the versions; a run goes by its own period."""
        for one in due:
            mlflow_runs.delete_version(self.settings, one.place.removeprefix("version "))


@dataclass(frozen=True)
class OldRuns(Keeping):
    """Runs that no registry version stands on, with their artifacts."""

    models: OldModels

    def due(self, now: datetime) -> list[Due]:
        """One entry a run; a version that is due itself holds no run back."""
        before = self.rule.before(now)
        leaving = mlflow_runs.old_versions(self.settings, self.models.rule.before(now))
        found = mlflow_runs.old_runs(self.settings, before, leaving)
        return [self._due(f"run {run_id}", 1, "run", before) for run_id in found]

    def expire(self, due: Sequence[Due]) -> None:
        """Delete runs, logged models and artifacts for good."""
        mlflow_runs.delete(self.settings, [one.place.removeprefix("run ") for one in due])


@dataclass(frozen=True)
class LogEntries(Keeping):
    """Entries of the decision log of some kinds, by the time they were written."""

    kinds: Sequence[str]

    def due(self, now: datetime) -> list[Due]:
        """One entry for all of them."""
        before = self.rule.before(now)
        with objections.decision_log(self.settings.log_location) as log:
            count = log.older(_stamp(before), self.kinds) if log else 0
        return [self._due("decision log", count, "entries", before)] if count else []

    def expire(self, due: Sequence[Due]) -> None:
        """Blank them; the chain keeps holding."""
        for one in due:
            with objections.decision_log(self.settings.log_location) as log:
                if log:
                    log.expire(_stamp(one.before), self.kinds)


def _written(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _cells(path: Path) -> Iterator[dict[str, Any]]:
    try:
        yield from json.loads(path.read_text(encoding="utf-8"))["cells"]
    except (ValueError, KeyError):
        return
