"""Upgrade of a project to another release of the library.

It changes one wheel in ``vendor/`` and one pin per lock.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.version import Version

from sovereign_ml import git
from sovereign_ml.errors import Refused
from sovereign_ml.supply_chain.lockfile import (
    library_extras,
    library_pin,
    normalise,
    pins,
    with_library_pin,
    write_all,
)
from sovereign_ml.supply_chain.wheel import Wheel, difference, read_wheel

_PATTERN = "sovereign_ml-*.whl"
PLACES: Final = tuple(
    {
        "python_version": f"3.{minor}",
        "python_full_version": f"3.{minor}.9",
        "sys_platform": system,
        "platform_system": name,
        "os_name": kind,
    }
    for minor in (11, 12, 13, 14)
    for system, name, kind in (
        ("linux", "Linux", "posix"),
        ("darwin", "Darwin", "posix"),
        ("win32", "Windows", "nt"),
    )
)
"""Where a lock is for: the image may have another Python than who upgrades."""


def vendored(project: Path) -> Path:
    """Return the wheel of the library in the project's ``vendor/``.

    Raises Refused unless there is exactly one.
    """
    wheels = sorted((project / "vendor").glob(_PATTERN))
    if len(wheels) != 1:
        names = ", ".join(path.name for path in wheels) or "none"
        raise Refused(f"vendor/ should hold one wheel of sovereign-ml, it holds: {names}.")
    return wheels[0]


def has_wheel(project: Path) -> bool:
    """Return whether the project's ``vendor/`` holds a wheel of the library, good or not."""
    return any((project / "vendor").glob(_PATTERN))


def library_locks(project: Path) -> list[Path]:
    """Return the locks of a project that name sovereign-ml."""
    locks = sorted((project / "requirements").glob("*.lock"))
    return [lock for lock in locks if library_pin(lock.read_text(encoding="utf-8"))]


def upgrade(
    project: Path, wheel: Path, *, allow_older: bool = False, relock: bool = False
) -> list[Path]:
    """Put ``wheel`` into the project's ``vendor/`` and its version and hash into the locks.

    Return the files that changed. A failure changes none. With ``relock`` the locks are left to
    `make lock`, which resolves them anew.

    Raises Misuse for a file that is no wheel of the library. Raises Refused for a wheel that is
    damaged, older than the present one (unless ``allow_older``), or needs packages that the locks
    do not hold.
    """
    new = read_wheel(wheel)
    paths = sorted((project / "vendor").glob(_PATTERN))
    present = [old for path in paths if (old := _readable(path))]
    locks = library_locks(project)
    if not locks:
        raise Refused("No file in requirements/*.lock names sovereign-ml: is this a project?")
    if not allow_older:
        _refuse_older(new, present, locks)
    changes: dict[Path, bytes | None] = {project / "vendor" / wheel.name: wheel.read_bytes()}
    if not relock:
        _refuse_unmet(new, present, locks)
        for lock in locks:
            # Bytes, because read_text would change the line ends of every other pin.
            text = lock.read_bytes().decode("utf-8")
            changes[lock] = with_library_pin(text, new.version, new.sha256).encode()
    changes |= {path: None for path in paths if path.name != wheel.name}
    changed = {
        path: content
        for path, content in changes.items()
        if content is None or not path.is_file() or path.read_bytes() != content
    }
    write_all(changed)
    return list(changed)


def _readable(path: Path) -> Wheel | None:
    """Return a wheel, None for a damaged one: only another wheel can mend that."""
    try:
        return read_wheel(path)
    except Refused:
        return None


def _refuse_older(new: Wheel, present: Iterable[Wheel], locks: Iterable[Path]) -> None:
    """Raise Refused for an older release, and for a present one with other contents."""
    hashes = {wheel.version: {wheel.sha256} for wheel in present}
    for lock in locks:
        if pin := library_pin(lock.read_text(encoding="utf-8")):
            hashes.setdefault(pin.version, set()).update(pin.hashes)
    newest = max(hashes, key=Version)
    if Version(new.version) < Version(newest):
        raise Refused(
            f"sovereign-ml {new.version} is older than {newest} in this project: "
            "call `churn library upgrade --allow-older` if that is wanted."
        )
    if hashes.get(new.version, {new.sha256}) != {new.sha256}:
        raise Refused(
            f"sovereign-ml {new.version} is in this project with another hash than {new.path}: "
            "a release does not change under its version. Ask who built it, or --allow-older."
        )


def _refuse_unmet(new: Wheel, present: Iterable[Wheel], locks: Iterable[Path]) -> None:
    """Raise Refused for a wheel whose requirements the pins of a lock do not meet."""
    old = [line for wheel in present for line in wheel.requires]
    for lock in locks:
        text = lock.read_text(encoding="utf-8")
        pin = library_pin(text)
        # A lock that names this very wheel was resolved with it.
        if pin and pin.hashes == (new.sha256,):
            continue
        source = lock.with_suffix(".in")
        # Without the .in file the extras of the lock are unknown. Then all are needed.
        extras = library_extras(source) if source.is_file() else None
        unmet = unmet_requirements(new.requires, old, text, extras)
        if unmet:
            raise Refused(
                f"sovereign-ml {new.version} needs {', '.join(unmet)}, which {lock.name} does not "
                "hold: call `make upgrade` with LOCK=1, which resolves the locks anew (make lock)."
            )


def unmet_requirements(
    lines: Iterable[str], before: Iterable[str], lock: str, extras: frozenset[str] | None
) -> list[str]:
    """Return the Requires-Dist lines that a lock's pins do not satisfy.

    ``extras`` are those of sovereign-ml that the lock is for, None for all. An extra of a
    required package (``feast[redis]``) shows in no pin, so one that the release ``before`` did
    not ask for counts as unmet.
    """
    versions: dict[str, list[tuple[Version, Marker | None]]] = {}
    for pin in pins(lock):
        marker = Marker(pin.marker) if pin.marker else None
        versions.setdefault(pin.name, []).append((Version(pin.version), marker))
    asked_before: dict[str, set[str]] = {}
    for requirement in map(Requirement, before):
        asked_before.setdefault(normalise(requirement.name), set()).update(requirement.extras)
    unmet = []
    for requirement in map(Requirement, lines):
        places = [place for place in PLACES if _applies(requirement, extras, place)]
        if not places:
            continue
        name = normalise(requirement.name)
        met = all(_is_met(requirement, versions.get(name, ()), place) for place in places)
        if not met or not requirement.extras <= asked_before.get(name, set()):
            unmet.append(str(requirement).split(";")[0].strip())
    return sorted(set(unmet))


def _applies(
    requirement: Requirement, extras: frozenset[str] | None, place: Mapping[str, str]
) -> bool:
    """Return whether a requirement is needed in a place with these extras (None for all)."""
    marker = requirement.marker
    if marker is None or extras is None:
        return True
    return any(marker.evaluate({**place, "extra": extra}) for extra in extras | {""})


def _is_met(
    requirement: Requirement,
    pinned: Iterable[tuple[Version, Marker | None]],
    place: Mapping[str, str],
) -> bool:
    """Return whether the versions that a lock has for a place satisfy a requirement."""
    here = [version for version, marker in pinned if not marker or marker.evaluate(dict(place))]
    return bool(here) and all(version in requirement.specifier for version in here)


@dataclass(frozen=True)
class Rebuild:
    """Result of a release that was built again from its source."""

    version: str
    expected_sha256: str
    rebuilt_sha256: str
    differing: tuple[str, ...]  # empty where only the compression differs

    @property
    def matches(self) -> bool:
        """Return whether both wheels are the same bytes."""
        return self.expected_sha256 == self.rebuilt_sha256


def rebuild_matches(wheel: Path, source: str) -> Rebuild:
    """Build the release of ``wheel`` again from the tag ``v<version>`` of ``source`` and compare.

    ``source`` is a path or a git address of the template's repository. The caller must trust it:
    its ``packages/release.py`` runs here, with the build tools that it locks by hash.
    """
    released = read_wheel(wheel)
    with tempfile.TemporaryDirectory(prefix="sovereign-ml-") as folder:
        clone, output = Path(folder) / "source", Path(folder) / "wheel"
        tag = f"v{released.version}"
        # `--` keeps a source that starts with a hyphen from being read as an option of git.
        _run("git", "clone", "--quiet", "--depth", "1", "--branch", tag, "--", source, str(clone))
        release = str(clone / "packages" / "release.py")
        python = _with_build_tools(Path(folder), _run(sys.executable, release, "requirements"))
        _run(python, release, "build", str(output))
        rebuilt = read_wheel(next(output.glob(_PATTERN)))
        changes = difference(wheel, rebuilt.path)
        return Rebuild(
            version=released.version,
            expected_sha256=released.sha256,
            rebuilt_sha256=rebuilt.sha256,
            differing=(*changes.added, *changes.removed, *changes.changed),
        )


def _with_build_tools(folder: Path, requirements: str) -> str:
    """Return a Python that has exactly the locked build tools: this one, or a new environment."""
    if all(_installed_version(pin.name) == pin.version for pin in pins(requirements)):
        return sys.executable
    lock, tools = folder / "requirements.txt", folder / "tools"
    lock.write_text(requirements, encoding="utf-8")
    _run(sys.executable, "-m", "venv", str(tools))
    python = str(tools / ("Scripts" if os.name == "nt" else "bin") / "python")
    _run(python, "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(lock))
    return python


def _installed_version(name: str) -> str | None:
    """Return the version of a package in this environment, None where it has none."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _run(*command: str) -> str:
    """Run a command and return its output. Raises Refused with the line of its error."""
    # A hook of git sets variables that would lead these commands to its own repository.
    git.forget_other_repositories()
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        lines = (result.stderr or result.stdout).strip().splitlines() or ["no message"]
        errors = [line for line in lines if line.lower().startswith(("error", "fatal"))]
        name = Path(command[0]).name
        raise Refused(f"`{name} {command[1]} …` failed: {(errors or lines[-1:])[0]}")
    return result.stdout
