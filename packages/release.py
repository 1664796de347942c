"""Build the wheel of sovereign-ml, release it into the project template, and check both.

    python packages/release.py build FOLDER     write the wheel into FOLDER
    python packages/release.py check            compare vendor/ and the locks with packages/
    python packages/release.py refresh          build again into vendor/, hashes into the locks
    python packages/release.py lock             write all locks anew
    python packages/release.py release VERSION  new version: wheel, locks and changelogs
    python packages/release.py verify WHEEL     compare a wheel with a build of packages/
    python packages/release.py requirements     print the build tools, hash-locked, for pip

The same source gives the same bytes on every path, for every user, umask, locale and time zone.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "packages" / "sovereign-ml"
PROJECT = ROOT / "{{cookiecutter.project_slug}}"
sys.path.insert(0, str(PACKAGE / "src"))

from sovereign_ml.bundle.installed_files import sha256_of  # noqa: E402  the path above comes first
from sovereign_ml.errors import Misuse, Refused  # noqa: E402
from sovereign_ml.supply_chain import lockfile  # noqa: E402
from sovereign_ml.supply_chain.wheel import difference, read_wheel  # noqa: E402

VERSION_FILE = Path("src/sovereign_ml/__init__.py")
CHANGELOGS = (ROOT / "CHANGELOG.md", PACKAGE / "CHANGELOG.md")
BUILD_TOOLS = ("hatchling", "packaging", "pathspec", "pluggy", "tomlkit", "trove-classifiers")
# dev first: train and serve are constrained by it. The last three are environments of their own.
PROJECT_LOCKS = ("dev", "train", "serve", "uv", "clearml", "hopsworks", "spark")
TEMPLATE_LOCKS = ("test", "demo", "docs")
# 2020-02-02, hatchling's own default: an archive cannot hold dates before 1980.
EPOCH = "1580601600"
_VERSION = re.compile(r'^__version__ = "(?P<version>[^"]+)"$', re.MULTILINE)
_STRAY = re.compile(r"(^|/)(\.|#|__pycache__/)|(~|\.pyc|\.swp|\.orig|\.rej|\.tmp|\.bak)$")


def source_files() -> list[str]:
    """Return the files of the package that go into a build: what git tracks.

    Outside a repository, and where git refuses to answer, these are all files but caches, hidden
    files and the copies that editors leave.
    """
    names = _git_files("--cached")
    if names:
        for name in _git_files("--others", "--exclude-standard", "--", "src/*.py"):
            print(f"{name} is not in the wheel: git does not track it.", file=sys.stderr)
    else:
        every = (path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*"))
        names = [name for name in every if not _STRAY.search(name)]
    return sorted(n for n in names if not n.startswith("tests/") and (PACKAGE / n).is_file())


def _git_files(*options: str) -> list[str]:
    """Return files of the package as git lists them, none where git refuses to answer."""
    command = ["git", "-C", str(PACKAGE), "ls-files", "-z", *options]
    try:
        result = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        return []  # no git on this machine
    return [name for name in result.stdout.decode("utf-8").split("\0") if name]


def current_version() -> str:
    """Return the version in the source of the package."""
    match = _VERSION.search((PACKAGE / VERSION_FILE).read_text(encoding="utf-8"))
    if not match:
        raise Refused(f'{VERSION_FILE} should hold the line `__version__ = "<version>"`.')
    return match["version"]


def versioned(version: str) -> bytes:
    """Return the content of the version file with another version."""
    text = (PACKAGE / VERSION_FILE).read_text(encoding="utf-8")
    return _VERSION.sub(f'__version__ = "{version}"', text).encode()


def build(folder: Path, version: str) -> Path:
    """Build the wheel of ``version`` into ``folder`` and return its path.

    hatchling sorts the entries and fixes their dates. The rest is fixed here: which files there
    are, their modes, the environment, and the version of hatchling, which stands in the wheel.
    """
    _check_hatchling()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        stage = Path(temporary) / "sovereign-ml"
        for name in source_files():
            target = stage / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(PACKAGE / name, target)
            target.chmod(0o644)
        (stage / VERSION_FILE).write_bytes(versioned(version))
        output = Path(temporary) / "wheel"
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("HATCH", "PYTHON"))}
        run(
            [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(output)],
            cwd=stage,
            env={**kept, "SOURCE_DATE_EPOCH": EPOCH, "TZ": "UTC", "PYTHONUTF8": "1"},
        )
        wheel = next(output.glob("*.whl"))
        read_wheel(wheel)
        return Path(shutil.copyfile(wheel, folder / wheel.name))


def _check_hatchling() -> None:
    """Refuse to build with another hatchling than the locked one: the wheel names its version."""
    locked = {pin.name: pin.version for pin in lockfile.pins(build_tools())}.get("hatchling")
    present = [d.version for d in importlib.metadata.distributions(name="hatchling")]
    if present[:1] != [locked]:
        raise Refused(
            f"This Python has hatchling {present or 'not at all'}, the locks name {locked}: call "
            "`make wheel`, or install what `python packages/release.py requirements` prints."
        )


def build_tools() -> str:
    """Return the locked build tools with their hashes, as requirements for pip."""
    lock = (PROJECT / "requirements" / "dev.lock").read_text(encoding="utf-8")
    return lockfile.hashed_lines(lock, BUILD_TOOLS)


def run(command: list[str], cwd: Path, env: Mapping[str, str] | None = None) -> None:
    """Run a command; refuse with the end of its output where it fails."""
    result = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if result.returncode:
        output = (result.stderr + result.stdout).strip()[-2000:]
        raise Refused(f"`{Path(command[0]).name} {command[1]} …` failed: {output}")


def locks() -> list[Path]:
    """Return the locks of the template and of the project that should name sovereign-ml."""
    folders = (PROJECT / "requirements", ROOT / "requirements")
    sources = [path for folder in folders for path in sorted(folder.glob("*.in"))]
    return [p.with_suffix(".lock") for p in sources if lockfile.library_extras(p) is not None]


def repinned_locks(wheel: Path) -> dict[Path, bytes]:
    """Return the locks with the version and hash of ``wheel``, all else unchanged."""
    new = read_wheel(wheel)
    changes = {}
    for path in locks():
        text = path.read_bytes().decode("utf-8")
        changes[path] = lockfile.with_library_pin(text, new.version, new.sha256).encode()
    return changes


def resolved_locks(wheel: Path) -> dict[Path, bytes]:
    """Return all locks, resolved anew with ``wheel`` in vendor/. Nothing is written here.

    ``-P sovereign-ml==<version>`` keeps uv from a newer package of this name on an index; a
    constraint file would do so too, but its path would stand in the lock.
    """
    pin = f"sovereign-ml=={read_wheel(wheel).version}"
    options = ["-P", pin, "--find-links", str(wheel.parent)]
    paths = {}
    with tempfile.TemporaryDirectory() as temporary:
        project = Path(temporary) / PROJECT.name
        for folder in (PROJECT / "requirements", ROOT / "requirements"):
            shutil.copytree(folder, Path(temporary) / folder.relative_to(ROOT))
        for name in PROJECT_LOCKS:
            constraint = ["-c", "dev.lock"] if name in ("train", "serve") else []
            _compile(project / "requirements", name, [*constraint, *options])
            paths[PROJECT / "requirements" / f"{name}.lock"] = project / "requirements"
        for name in TEMPLATE_LOCKS:
            constraint = ["-c", f"../{PROJECT.name}/requirements/dev.lock"]
            _compile(Path(temporary) / "requirements", name, [*constraint, *options])
            paths[ROOT / "requirements" / f"{name}.lock"] = Path(temporary) / "requirements"
        return {path: (folder / path.name).read_bytes() for path, folder in paths.items()}


def _compile(folder: Path, name: str, options: list[str]) -> None:
    """Resolve ``<name>.in`` into ``<name>.lock``, called from ``folder`` as the Makefiles do."""
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if uv is None:
        raise Misuse("uv is not installed: call `make release`, which installs it.")
    flags = ["--quiet", "--universal", "--python-version", "3.11", "--generate-hashes"]
    files = ["--no-header", f"{name}.in", "-o", f"{name}.lock"]
    run([uv, "pip", "compile", *flags, *options, *files], cwd=folder)


def with_wheel(wheel: Path) -> dict[Path, bytes | None]:
    """Return the changes that put ``wheel`` into vendor/ in place of another one."""
    vendor = PROJECT / "vendor"
    return {**dict.fromkeys(vendor.glob("*.whl")), vendor / wheel.name: wheel.read_bytes()}


def replace_wheel(
    version: str, changes: Mapping[Path, bytes | None] | None = None, *, resolve: bool
) -> None:
    """Build ``version`` into vendor/ and name it in the locks: all or nothing.

    With ``resolve`` all locks are resolved anew. Without, only the library's pin changes.
    """
    with tempfile.TemporaryDirectory(prefix="sovereign-ml-") as temporary:
        wheel = build(Path(temporary), version)
        new = resolved_locks(wheel) if resolve else repinned_locks(wheel)
        lockfile.write_all({**(changes or {}), **with_wheel(wheel), **new})
    check()


def release(version: str) -> None:
    """Set the version, stamp the changelogs, build the wheel and write the locks.

    Raises Misuse for a version that is none, or that is older than the present one.
    """
    # A zero in front would be in the changelogs and not in the name of the wheel. By its month
    # `churn check --project` knows the age of a release.
    if not re.fullmatch(r"[1-9][0-9]{3}\.(?:[1-9]|1[0-2])\.(?:0|[1-9][0-9]*)", version):
        raise Misuse(
            f"{version!r} is no version: write year, month and number without zeros in front, as "
            "in 2026.11.0."
        )
    new, present = (tuple(map(int, v.split("."))) for v in (version, current_version()))
    if new < present:
        raise Misuse(f"{version} is older than {current_version()}, the version of the source.")
    changes: dict[Path, bytes | None] = {path: stamped(path, version) for path in CHANGELOGS}
    changes[PACKAGE / VERSION_FILE] = versioned(version)
    replace_wheel(version, changes, resolve=True)
    print(
        f"Commit this, then tag the commit v{version}: `churn library verify` builds from the tag."
    )


def stamped(path: Path, version: str) -> bytes:
    """Return a changelog whose unreleased part belongs to ``version``, as of today in UTC."""
    text = path.read_text(encoding="utf-8")
    if f"\n## {version} " in text:
        raise Refused(f"{path.relative_to(ROOT)} names {version} already: choose the next version.")
    heading = "\n## Unreleased\n"
    if text.count(heading) != 1:
        raise Refused(f"{path.relative_to(ROOT)} should hold the line `## Unreleased` once.")
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return text.replace(heading, f"{heading}\n## {version} - {today}\n").encode()


def verify(wheel: Path) -> None:
    """Refuse a wheel that is not, byte for byte, a build of packages/."""
    with tempfile.TemporaryDirectory(prefix="sovereign-ml-") as temporary:
        built = build(Path(temporary), current_version())
        if sha256_of(built) == read_wheel(wheel).sha256:
            return
        changes = difference(wheel, built)
    names = (*changes.changed, *changes.added, *changes.removed) or ("only the compression",)
    raise Refused(f"{wheel.name} is no build of packages/ ({names[0]}, …): run `make wheel`.")


def check() -> None:
    """Refuse where vendor/ does not hold a build of packages/ or a lock does not name it."""
    wheels = list((PROJECT / "vendor").glob("*"))
    expected = f"sovereign_ml-{current_version()}-py3-none-any.whl"
    if [path.name for path in wheels] != [expected]:
        names = ", ".join(sorted(path.name for path in wheels)) or "nothing"
        raise Refused(f"vendor/ should hold {expected} alone, it holds {names}: run `make wheel`.")
    verify(wheels[0])
    digest = sha256_of(wheels[0])
    if not locks():
        raise Refused("No requirements/*.in names sovereign-ml: add `sovereign-ml[train]>=…`.")
    for path in locks():
        pin = lockfile.library_pin(path.read_text(encoding="utf-8"))
        if pin is None or (pin.version, pin.hashes) != (current_version(), (digest,)):
            action = "make wheel" if pin else "python packages/release.py lock"
            raise Refused(f"{path.name} does not name {expected} by its one hash: run `{action}`.")


def main(arguments: list[str]) -> int:
    """Run one command; return the exit code."""
    parser = argparse.ArgumentParser(description="Build, release and check the wheel.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build").add_argument("folder", type=Path)
    commands.add_parser("release").add_argument("version")
    commands.add_parser("verify").add_argument("wheel", type=Path)
    for name in ("check", "refresh", "lock", "requirements"):
        commands.add_parser(name)
    options = parser.parse_args(arguments)
    try:
        match options.command:
            case "build":
                print(build(options.folder, current_version()))
            case "release":
                release(options.version)
            case "verify":
                verify(options.wheel)
            case "check":
                check()
            case "requirements":
                print(build_tools(), end="")
            case command:  # lock or refresh
                replace_wheel(current_version(), resolve=command == "lock")
    except (Refused, Misuse) as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
