"""Build the documentation as a site that needs no server and no other host: `make docs`.

    python docs/make_site.py ZENSICAL FOLDER     ZENSICAL is the generator's command

The pages stay where people edit them. They are copied into ``FOLDER/pages`` under the paths that
they have in the repository, so that links between them keep working. ``project/`` is a project
rendered with all defaults. The site is in ``FOLDER/site``.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from bake import bake  # noqa: E402  the path above comes first

CONFIG = ROOT / "docs" / "zensical.toml"
PROJECT = "project"
"""Pages below this folder come from a rendered project."""
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
LINK_INTO_TEMPLATE = re.compile(r"(\]\([^)\s]*)\{\{cookiecutter\.project_slug\}\}/")
FILES = ("LICENSE", "docs/assets", "docs/pictures", "packages/sovereign-ml/docs/card.schema.json")
"""What pages show or link to besides other pages."""


def pages() -> list[str]:
    """Return the pages of the site in the order of its navigation."""
    return list(_leaves(tomllib.loads(CONFIG.read_text(encoding="utf-8"))["project"]["nav"]))


def _leaves(entry: object) -> Iterator[str]:
    """Yield the paths of a navigation, which nests lists and tables with one key."""
    if isinstance(entry, str):
        yield entry
    elif isinstance(entry, list):
        for part in entry:
            yield from _leaves(part)
    elif isinstance(entry, dict):
        yield from _leaves(list(entry.values()))


def collect(folder: Path, project: Path) -> None:
    """Copy configuration, pages and files into ``folder``, with the pages of ``project``."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy2(CONFIG, folder)
    for part in ("pages", "site"):
        shutil.rmtree(folder / part, ignore_errors=True)
    for name in (*pages(), *FILES):
        inside = Path(name)
        origin = ROOT / inside
        if inside.parts[0] == PROJECT:
            origin = project / inside.relative_to(PROJECT)
        target = folder / "pages" / inside
        target.parent.mkdir(parents=True, exist_ok=True)
        if origin.is_dir():
            shutil.copytree(origin, target)
        elif target.suffix == ".md":
            text = origin.read_text(encoding="utf-8")
            target.write_text(LINK_INTO_TEMPLATE.sub(rf"\1{PROJECT}/", text), encoding="utf-8")
        else:
            shutil.copy2(origin, target)


def command(zensical: Path) -> tuple[str, ...]:
    """Return the command that builds the site of the current folder, and fails on a dead link."""
    return (str(zensical.absolute()), "build", "--strict", "--clean")


def build(zensical: Path, folder: Path, project: Path) -> Path:
    """Build the site into ``folder``; return its first page. Stop where a link leads nowhere."""
    collect(folder, project)
    result = subprocess.run(
        command(zensical), cwd=folder, capture_output=True, text=True, check=False
    )
    if result.returncode:
        output = COLOUR.sub("", result.stdout + result.stderr).partition("Traceback")[0]
        raise SystemExit(f"{output}The site was not built.")
    return folder / "site" / "index.html"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        rendered = bake(Path(temporary))
        print(build(Path(sys.argv[1]), Path(sys.argv[2]).resolve(), rendered))
