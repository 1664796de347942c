"""Render the template from the files that git knows: caches and environments on this disk stay out of projects."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def tracked(root: Path = ROOT) -> list[str]:
    """Files of the template, tracked or new and not ignored, as paths relative to ``root``."""
    command = ["git", "-C", str(root), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")
    return [name for name in names if name and (root / name).is_file()]


def snapshot(target: Path) -> Path:
    """Copy the template's files into ``target``, as a clone would have them."""
    for name in tracked():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target / name)
    return target


def bake(output: Path, **answers: str) -> Path:
    """Render with the defaults and ``answers`` into ``output``; return the project's folder."""
    from cookiecutter.main import cookiecutter

    with tempfile.TemporaryDirectory() as folder:
        template = snapshot(Path(folder) / "template")
        return Path(cookiecutter(str(template), no_input=True, output_dir=str(output), extra_context=answers))


if __name__ == "__main__":
    where = Path(sys.argv[1])
    where.mkdir(parents=True, exist_ok=True)
    print(bake(where))
