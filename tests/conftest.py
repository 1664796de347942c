"""Fixtures of the template's tests: one render, one environment, and skips that CI does not forgive."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from bake import bake
from sealed import sealed


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--no-skips`: CI installs what every test needs, so a skip there is a failure."""
    parser.addoption("--no-skips", action="store_true", help="a skipped test is a failure")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure under `--no-skips`."""
    report = yield
    if report.skipped and item.config.getoption("--no-skips"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which --no-skips does not allow: {report.longrepr}"
    return report


class Project:
    """A rendered project and how its commands are run: with this environment's tools and the project's own code."""

    def __init__(self, root: Path, home: Path) -> None:
        self.root = root
        self.env = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("CHURN_", "PYTEST_"))},
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / ".config"),
            "PYTHONPATH": os.pathsep.join(str(root / name) for name in ("src", "serve")),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "GIT_CONFIG_GLOBAL": os.devnull,
        }
        if shipped := os.environ.get("CHURN_SHIPPED"):
            self.env["CHURN_SHIPPED"] = shipped  # the project's tests run `churn` from there

    def run(
        self, *command: str, check: bool = True, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the project; with ``check`` a failure shows what it printed."""
        done = subprocess.run(
            command,
            cwd=self.root,
            env={**self.env, **env},
            capture_output=True,
            text=True,
            check=False,
        )
        if check:
            assert done.returncode == 0, (
                f"{command}: exit {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
            )
        return done

    def make(
        self, *targets: str, check: bool = True, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Run make with the environment that runs this test, instead of installing another one."""
        return self.run(*self._make(targets), check=check, **env)

    def make_sealed(self, *targets: str) -> subprocess.CompletedProcess[str]:
        """The same where nothing can leave; asking for a host outside is a failure too."""
        return sealed(self, *self._make(targets))

    def _make(self, targets: tuple[str, ...]) -> tuple[str, ...]:
        venv = Path(sys.prefix)
        known = [
            part
            for stamp in (".train", ".serve", ".dev", "bin/uv")
            for part in ("-o", str(venv / stamp))
        ]
        return ("make", "--no-print-directory", f"VENV={venv}", *known, *targets)


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with all defaults, untouched: for tests that only look."""
    return bake(tmp_path_factory.mktemp("rendered"))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A fresh project with all defaults."""
    return Project(bake(tmp_path), tmp_path / "home")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project in which a sealed `make run` has ended well; tests may read it, and run what changes nothing."""
    where = tmp_path_factory.mktemp("finished")
    done = Project(bake(where), where / "home")
    done.first = done.make_sealed("run").stdout  # type: ignore[attr-defined]
    return done
