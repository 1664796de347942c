"""Environments with the library's wheel, built from this checkout, to look at or to tamper with."""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
from pathlib import Path

from small_project import REPOSITORY
from sovereign_ml.bundle.installed_files import sha256_of
from wheels import record_line


def build_wheel(vendor: Path, requirements: Path) -> Path:
    """Build the wheel of `packages/` into ``vendor``, and write a lock that names it."""
    for folder in (vendor, requirements):
        folder.mkdir(parents=True, exist_ok=True)
    release = [sys.executable, str(REPOSITORY / "packages" / "release.py")]
    subprocess.run([*release, "build", str(vendor)], check=True, capture_output=True)
    wheel = next(vendor.glob("*.whl"))
    (requirements / "train.lock").write_text(
        f"sovereign-ml=={wheel.name.split('-')[1]} \\\n    --hash=sha256:{sha256_of(wheel)}\n"
    )
    return wheel


class LibraryEnvironment:
    """A virtual environment with the library's wheel; it sees the other packages of the tests."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.python = root / "bin" / "python"
        self.site = next((root / "lib").glob("python*")) / "site-packages"

    @classmethod
    def create(cls, root: Path, wheel: Path) -> LibraryEnvironment:
        """Create the environment in ``root`` and install ``wheel``, and nothing else, into it."""
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(root)], check=True)
        environment = cls(root)
        pip = [sys.executable, "-m", "pip", "--python", str(environment.python), "install"]
        options = ["--quiet", "--no-compile", "--no-index", "--no-deps"]
        subprocess.run([*pip, *options, f"--find-links={wheel.parent}", "sovereign-ml"], check=True)
        folders = [path for path in site.getsitepackages() if Path(path).is_dir()]
        (environment.site / "tests.pth").write_text("\n".join(folders) + "\n")
        return environment

    def copy(self, root: Path) -> LibraryEnvironment:
        """Return a copy in ``root``: much faster than another installation."""
        return LibraryEnvironment(Path(shutil.copytree(self.root, root, symlinks=True)))

    @property
    def record(self) -> Path:
        """The installed RECORD."""
        return next(self.site.glob("sovereign_ml-*.dist-info")) / "RECORD"

    def edit(self, name: str, old: str, new: str) -> None:
        """Change one installed file, ``sovereign_ml/…``."""
        path = self.site / name
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{name} does not hold {old!r} once"
        path.write_text(text.replace(old, new), encoding="utf-8")

    def fit_record(self, name: str) -> None:
        """Rewrite the line of RECORD so that it describes the file as it is now."""
        line = record_line(name, (self.site / name).read_bytes())
        rows = self.record.read_text(encoding="utf-8").splitlines()
        fitted = [line if row.startswith(f"{name},") else row for row in rows]
        self.record.write_text("\n".join(fitted) + "\n", encoding="utf-8")

    def make_editable(self) -> None:
        """Let the installation say that it is one for development."""
        url = '{"url": "file:///somewhere", "dir_info": {"editable": true}}'
        self.record.with_name("direct_url.json").write_text(url, encoding="utf-8")

    def run(
        self, *arguments: str, folder: Path, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        """Run Python with ``arguments`` in ``folder``, with nothing of the tests on its path."""
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "CHURN", "SOVEREIGN"))
        }
        return subprocess.run(
            [str(self.python), *arguments],
            cwd=folder,
            env={**clean, **environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
