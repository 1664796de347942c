"""Fixtures of the template's tests: a render, and a project after its first run."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bake import bake
from sealed import sealed

pytest_plugins = ["no_skips"]


class Project:
    """A rendered project. Its commands run with this environment's tools and its own code."""

    def __init__(self, root: Path, home: Path) -> None:
        self.root = root
        own = ("CHURN_", "PYTEST_", "MAKE", "MFLAGS")  # make hands its options down in these
        self.env = {
            **{k: v for k, v in os.environ.items() if not k.startswith(own)},
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / ".config"),
            "PYTHONPATH": os.pathsep.join(str(root / name) for name in ("src", "serve")),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "GIT_CONFIG_GLOBAL": os.devnull,
        }

    def run(
        self, *command: str, check: bool = True, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the project; with ``check`` a failure shows what it printed."""
        environ = {**self.env, **env}
        result = subprocess.run(
            command, cwd=self.root, env=environ, capture_output=True, text=True, check=False
        )
        if check:
            output = f"{result.stdout[-4000:]}\n{result.stderr[-4000:]}"
            assert result.returncode == 0, f"{command}: exit {result.returncode}\n{output}"
        return result

    def make(
        self, *targets: str, check: bool = True, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Run make with the environment that runs this test, instead of installing another one."""
        return self.run(*self._make(targets), check=check, **env)

    def make_sealed(self, *targets: str) -> subprocess.CompletedProcess[str]:
        """Run make where nothing can leave. Asking for a host outside is a failure too."""
        return sealed(self, *self._make(targets))

    def _make(self, targets: tuple[str, ...]) -> tuple[str, ...]:
        venv = Path(sys.prefix)
        present = []
        for stamp in (".train", ".serve", ".dev", "bin/uv"):
            present += ["-o", str(venv / stamp)]
        return ("make", "--no-print-directory", f"VENV={venv}", *present, *targets)


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with all defaults, untouched: for tests that only look."""
    return bake(tmp_path_factory.mktemp("rendered"))


@pytest.fixture
def project(rendered: Path, tmp_path: Path) -> Project:
    """A fresh project with all defaults."""
    root = shutil.copytree(rendered, tmp_path / rendered.name, symlinks=True)
    return Project(root, tmp_path / "home")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project after a sealed `make run`. Tests may read it, and run what changes nothing.

    The flow runs once for all workers of a session. Each has a copy, which no other one uses.
    """
    where = tmp_path_factory.mktemp("finished")
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    original, output = shared / "original-of-finished", shared / "output-of-make-run.txt"
    with (shared / "finished.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not output.exists():
            shutil.rmtree(original, ignore_errors=True)
            project = Project(bake(original), original / "home")
            output.write_text(project.make_sealed("run").stdout, encoding="utf-8")
    shutil.copytree(original, where, symlinks=True, dirs_exist_ok=True)
    project = Project(where / "acme-churn", where / "home")
    project.first = output.read_text(encoding="utf-8")  # type: ignore[attr-defined]
    return project
