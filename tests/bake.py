"""Render the template from the files that git knows, with a fresh wheel of packages/ in vendor/.

Caches and environments on this disk stay out of projects, and so does the committed wheel, which
may be older than the sources.
"""

from __future__ import annotations

import atexit
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROJECT = ROOT / "{{cookiecutter.project_slug}}"
LIBRARY = ROOT / "packages/sovereign-ml"
sys.path.insert(0, str(ROOT / "packages"))

# The path above comes first, and release.py adds that of the library to it.
import release  # noqa: E402
from sovereign_ml.supply_chain.lockfile import with_library_pin  # noqa: E402
from sovereign_ml.supply_chain.wheel import read_wheel  # noqa: E402


def tracked(root: Path = ROOT) -> list[str]:
    """Return the template's files, tracked or new and not ignored, as paths below ``root``."""
    options = ("--cached", "--others", "--exclude-standard", "-z")
    command = ["git", "-C", str(root), "ls-files", *options]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return [name for name in result.stdout.split("\0") if name and (root / name).is_file()]


@cache
def fresh_wheel() -> Path:
    """Return a wheel of packages/ as it is now, built once per process."""
    folder = Path(tempfile.mkdtemp(prefix="sovereign-ml-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return release.build(folder, release.current_version())


def lock_with(wheel: Path, lock: str) -> str:
    """Return the text of a lock that names ``wheel`` by its version and hash."""
    content = read_wheel(wheel)
    return with_library_pin(lock, content.version, content.sha256)


def refresh(template: Path) -> None:
    """Put a fresh wheel into the vendor/ of a copy of the template, and its hash into the locks."""
    project = template / PROJECT.name
    shutil.rmtree(project / "vendor", ignore_errors=True)
    (project / "vendor").mkdir()
    shutil.copyfile(fresh_wheel(), project / "vendor" / fresh_wheel().name)
    for path in (project / "requirements").glob("*.lock"):
        text = lock_with(fresh_wheel(), path.read_text(encoding="utf-8"))
        path.write_text(text, encoding="utf-8")


def snapshot(target: Path) -> Path:
    """Copy the template's files into ``target``, as a clone has them once the wheel is renewed."""
    for name in tracked():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target / name)
    refresh(target)
    return target


def bake(output: Path, over: bool = False, /, **answers: str) -> Path:
    """Render with the defaults and ``answers`` into ``output``; return the project's folder.

    ``over`` tells cookiecutter to render over a folder that exists and to keep its files.
    """
    return render(template_copy(), output, over, **answers)


@cache
def template_copy() -> Path:
    """Return a snapshot that all renders of this process share. Change nothing in it."""
    folder = Path(tempfile.mkdtemp(prefix="template-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return snapshot(folder / "template")


def render(template: Path, output: Path, over: bool = False, /, **answers: str) -> Path:
    """Render ``template`` as `bake` does."""
    from cookiecutter.main import cookiecutter

    project = cookiecutter(
        str(template),
        no_input=True,
        output_dir=str(output),
        extra_context=answers,
        overwrite_if_exists=over,
        skip_if_file_exists=over,
    )
    return Path(project)


if __name__ == "__main__":
    where = Path(sys.argv[1])
    where.mkdir(parents=True, exist_ok=True)
    print(bake(where))
