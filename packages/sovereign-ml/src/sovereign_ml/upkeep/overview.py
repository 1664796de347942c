"""Overview of many projects in one table."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from sovereign_ml import git
from sovereign_ml.config.tables import ProjectSettings
from sovereign_ml.errors import Misuse
from sovereign_ml.upkeep.checks import UNREADABLE, UpkeepFinding, examine
from sovereign_ml.upkeep.state import ProjectState


@dataclass(frozen=True)
class ProjectRow:
    """One project with its versions and findings, or the ``error`` why nothing is known of it."""

    folder: Path
    project: str = "?"
    template: str = "?"
    library: str = "?"
    lock_days: int | None = None
    findings: tuple[UpkeepFinding, ...] = field(default=())
    error: str = ""

    def cells(self) -> tuple[str, ...]:
        """Return the row of the table."""
        locks = "?" if self.lock_days is None else f"{self.lock_days} days"
        result = self.error or str(len(self.findings))
        return (str(self.folder), self.project, self.template, self.library, locks, result)

    def to_json(self) -> dict[str, Any]:
        """Return everything, for another program."""
        return {**asdict(self), "folder": str(self.folder)}


def overview(folder: Path, today: date, template: Path | None = None) -> ProjectRow:
    """Return the row of the project in ``folder``, with an error if that is no project."""
    try:
        findings = tuple(examine(folder, today, template=template))
    # One broken project must not end the table of all others.
    except (Misuse, OSError) as error:
        return ProjectRow(folder, error=str(error).rstrip("."))
    state = ProjectState(folder.resolve(), today, template)
    return ProjectRow(
        folder,
        project=_known(lambda: state.table(ProjectSettings, "project").name),
        template=_known(lambda: _template(state)),
        library=_known(lambda: state.library_version),
        lock_days=_oldest(state),
        findings=findings,
    )


def _known(read: Any) -> str:
    try:
        return str(read())
    except UNREADABLE:
        return "?"


def _template(state: ProjectState) -> str:
    commit = str(state.cruft["commit"])
    if not state.template:
        return f"{state.cruft.get('checkout') or commit[:12]} of {state.template_day}"
    behind = git.ask(state.template, "rev-list", "--count", f"{commit}..HEAD")
    name = git.ask(state.template, "describe", "--tags", "--always", commit)
    return f"{name}, {behind} behind"


def _oldest(state: ProjectState) -> int | None:
    """Return the age in days of the oldest lock, None if the age of any lock is unknown."""
    try:
        return max(state.age(state.lock_day(lock)) for lock in state.locks)
    except UNREADABLE:
        return None


def listed(folders: Iterable[Path], file: Path | None) -> list[Path]:
    """Return ``folders`` and those in ``file``, which has one path per line, without repetitions.

    Paths in the file are relative to its folder. Raises Misuse for a file that cannot be read.
    """
    paths = list(folders)
    if file:
        try:
            # Some editors put a byte order mark in front.
            lines = file.read_text(encoding="utf-8-sig").splitlines()
            # A remark begins a line or follows a space: a folder may be called C#.
            rows = (re.split(r"(?:^|\s)#", line)[0].strip() for line in lines)
            paths += [file.parent / Path(row).expanduser() for row in rows if row]
        except (OSError, UnicodeError, RuntimeError) as error:
            raise Misuse(f"{file} cannot be read: {error}.") from None
    return list(dict.fromkeys(paths))
