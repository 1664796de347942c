"""State of one project, read from its files and its git history, without the network."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from sovereign_ml import git
from sovereign_ml.config.tables import UpkeepSettings
from sovereign_ml.errors import Refused
from sovereign_ml.git import GitError
from sovereign_ml.supply_chain.lockfile import library_pin, parse_lock
from sovereign_ml.supply_chain.upgrade import has_wheel, library_locks, vendored
from sovereign_ml.supply_chain.wheel import Wheel, read_wheel

CRUFT = ".cruft.json"
Table = TypeVar("Table", bound=BaseModel)
Findings = Iterator[tuple[str, str, str]]
"""For each finding of a check the actual state, the allowed one, and the next step."""
_RELEASE = re.compile(r"(\d{4})\.(\d{1,2})\.\d+")


@dataclass(frozen=True)
class ProjectState:
    """A project's folder on one day.

    ``template`` is a clone of the template, which can tell more than dates. ``is_own`` says that
    the running environment is this project's.
    """

    root: Path
    today: date
    template: Path | None = None
    is_own: bool = False

    def toml(self, name: str) -> dict[str, Any]:
        """Return a TOML file of the project as a table."""
        return tomllib.loads((self.root / name).read_text(encoding="utf-8"))

    def table(self, model: type[Table], *where: str) -> Table:
        """Return one table of ``config.toml``, or its defaults if the file lacks it."""
        table: Any = self.toml("config.toml")
        for name in where:
            table = table.get(name, {})
        return model.model_validate(table)

    @cached_property
    def policy(self) -> UpkeepSettings:
        """Return ``[upkeep]``."""
        return self.table(UpkeepSettings, "upkeep")

    @cached_property
    def wheel(self) -> Wheel | None:
        """Return the wheel in ``vendor/``, None where a team has an index of its own."""
        # Wheels of other packages may lie there too.
        return read_wheel(vendored(self.root)) if has_wheel(self.root) else None

    @cached_property
    def library_version(self) -> str:
        """Return the release of the library that the project installs."""
        if self.wheel:
            return self.wheel.version
        pins = [library_pin(path.read_text(encoding="utf-8")) for path in library_locks(self.root)]
        versions = sorted({pin.version for pin in pins if pin})
        if len(versions) != 1:
            raise Refused(f"the locks name {', '.join(versions) or 'no'} release of sovereign-ml")
        return versions[0]

    @cached_property
    def cruft(self) -> dict[str, Any]:
        """Return cruft's record of the project's template."""
        state: dict[str, Any] = json.loads((self.root / CRUFT).read_text(encoding="utf-8"))
        if not re.fullmatch(r"[0-9a-f]{40}", str(state["commit"])):
            raise Refused(f"commit is {state['commit']!r}, which is no commit of git")
        return state

    @cached_property
    def locks(self) -> list[Path]:
        """Return the locks. Raises Refused where there is none."""
        locks = sorted((self.root / "requirements").glob("*.lock"))
        if not locks:
            raise Refused("there is no lock in requirements/")
        return locks

    def lock_day(self, lock: Path) -> date:
        """Return the day since which a lock has its packages.

        A change of the library's pin and of one package in twenty does not make a lock younger:
        `churn library upgrade` changes only that pin, and a new package brings a few others. A lock
        from the template is as old as that release.
        """
        present = _others(lock.read_text(encoding="utf-8"), lock.name)
        if not present:
            raise Refused("it names no package besides the library")

        def same(text: str) -> bool:
            names = {name for name, _ in present ^ _others(text, lock.name)}
            # In a lock of two packages one change is half of it, and no longer a small one.
            return len(names) <= max(1, len(present) // 20) and 2 * len(names) < len(present)

        day, oldest = self.unchanged_since(lock.relative_to(self.root), same)
        if oldest and (pin := library_pin(oldest)) and (released := release_day(pin.version)):
            day = min(day, released)
        return day

    @cached_property
    def template_day(self) -> date:
        """Return the day of the template's commit, or without a clone that of the last update."""
        commit = self.cruft["commit"]
        if self.template:
            return date.fromisoformat(git.ask(self.template, "log", "-1", "--format=%cs", commit))

        def same(text: str) -> bool:
            return bool(json.loads(text)["commit"] == commit)

        return self.unchanged_since(Path(CRUFT), same)[0]

    def unchanged_since(self, path: Path, same: Callable[[str], bool]) -> tuple[date, str]:
        """Return the day of the oldest commit in which ``same`` holds for the text of ``path``.

        Who takes an update back has the old state again, so other commits may lie between. The
        text is empty unless that commit is the first one of the file. A change that is not
        committed counts from today. Raises GitError or Refused where git cannot tell.
        """
        git.refuse_shallow(self.root)
        # A rebase gives a commit a new date, and leaves that of its author.
        lines = git.ask(self.root, "log", "--format=%H %cs %as", "--", str(path)).splitlines()
        if not lines:
            raise Refused("it is not committed, so nobody knows its age")
        # Git lists the newest commit first, so the day moves back.
        day, oldest = self.today, ""
        for line in lines:
            commit, *days = line.split()
            oldest = ""
            # The file may have been deleted or damaged in this commit.
            with suppress(GitError, ValueError, KeyError, TypeError):
                text = git.ask(self.root, "show", f"{commit}:./{path}")
                if same(text):
                    day, oldest = date.fromisoformat(min(days)), text
        return day, oldest

    def last_commit(self, *arguments: str) -> date | None:
        """Return the day of the newest commit that ``git log`` finds with these arguments."""
        git.refuse_shallow(self.root)
        day = git.ask(self.root, "log", "-1", "--format=%cs", *arguments)
        return date.fromisoformat(day) if day else None

    @cached_property
    def first_commit(self) -> date:
        """Return the day of the first commit."""
        git.refuse_shallow(self.root)
        roots = git.ask(self.root, "log", "--max-parents=0", "--format=%cs").split()
        # A history has several roots where another repository was merged into it.
        return date.fromisoformat(min(roots))

    def age(self, day: date) -> int:
        """Return the days since ``day``. Raises Refused for a day in the future."""
        days = (self.today - day).days
        # One day is no error: a commit may come from a time zone further east.
        if days < -1:
            raise Refused(f"its day is {day}, which lies in the future")
        return max(days, 0)


def release_day(version: str) -> date | None:
    """Return the first day of the month that a version names, such as 2026.11.0."""
    match = _RELEASE.fullmatch(version)
    return date(int(match[1]), int(match[2]), 1) if match else None


def _others(text: str, name: str) -> set[tuple[str, str]]:
    pins = parse_lock(text, name)
    return {(pin.name, pin.version) for pin in pins if pin.name != "sovereign-ml"}
