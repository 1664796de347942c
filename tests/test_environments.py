"""Each shipped environment holds what its code imports: built from its lock alone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bake import PROJECT
from environments import CLIENTS, SHIPPED, build, usable_clients
from resolving import unresolved

PLANTED = """
from __future__ import annotations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import cookiecutter.main
else:
    import in_the_else_branch


def deep() -> None:
    import moto.server
    from sovereign_ml import errors, no_such_part

    class Inner:
        def method(self) -> None:
            try:
                from pytest import fixture
            except ImportError:
                import numpy.no_such_module as other


async def later() -> None:
    from json import no_such_name
"""
NAMED = (
    "8: no module in_the_else_branch",
    "12: no module moto.server",
    "13: no no_such_part in sovereign_ml",
    "18: no module pytest",
    "20: no module numpy.no_such_module",
    "24: no no_such_name in json",
)
"""Modules of the test environment, of none, and names that a module has not, by line of PLANTED."""
CODE = {"train": "src", "serve": "serve"}
PROJECT_HALF = {
    *("audit", "cli", "config", "data_subjects", "deploy", "evaluation", "features", "kubeflow"),
    *("estimators", "leaving", "monitoring", "notebook", "pipeline", "privacy", "registry"),
    *("servers", "storage", "supply_chain"),
}
PROGRAMS = {
    "clearml": "registry/clearml_client.py",
    "hopsworks": "features/hopsworks_client.py",
    "spark": "features/spark_client.py",
}
"""The program that runs in the environment of each client."""
HALVES: dict[str, Callable[[Path], bool]] = {
    # BentoML is the server's; the rest of the service is what `churn serve` and tests import.
    "train": lambda path: path.parts[0] != "service" and path.as_posix() not in PROGRAMS.values(),
    # Reading a card of another kind (`churn card import`) is work on a project.
    "serve": lambda path: (
        path.parts[0].removesuffix(".py") not in PROJECT_HALF
        and path.parts[:2] != ("card", "importers")
    ),
}
"""The modules of the library that each environment runs, by their path below the package."""


@pytest.fixture(scope="session")
def environments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The Python of each shipped environment."""
    folder = os.environ.get("SHIPPED_ENVIRONMENTS") or tmp_path_factory.getbasetemp() / "shipped"
    return {name: build(name, Path(folder) / name) for name in SHIPPED}


@pytest.mark.parametrize("name", SHIPPED)
def test_the_code_of_the_project_resolves_in_the_environment_of_the_lock_alone(
    environments: dict[str, Path], name: str, tmp_path: Path
) -> None:
    folder = PROJECT / CODE[name]
    files = list(folder.rglob("*.py"))
    assert files
    assert unresolved(environments[name], folder, files, [folder], tmp_path) == []


@pytest.mark.parametrize("name", SHIPPED)
def test_the_installed_half_of_the_library_resolves_there_too(
    environments: dict[str, Path], name: str, tmp_path: Path
) -> None:
    folder = library(environments[name])
    files = [path for path in folder.rglob("*.py") if HALVES[name](path.relative_to(folder))]
    assert len(files) > 50
    assert unresolved(environments[name], folder, files, [], tmp_path) == []


@pytest.mark.parametrize("name", CLIENTS)
def test_the_program_of_a_client_resolves_in_an_environment_of_its_own(
    environments: dict[str, Path], name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    strict = ["--no-skips"] if request.config.getoption("--no-skips") else []
    if name not in usable_clients(strict):
        pytest.skip(
            f"the client of {name} needs Java: "
            "apt-get install --no-install-recommends openjdk-17-jre-headless"
        )
    folder = library(environments["train"])
    python = build(name, environments["train"].parents[2] / name)
    assert unresolved(python, folder, [folder / PROGRAMS[name]], [], tmp_path) == []
    assert unresolved(environments["train"], folder, [folder / PROGRAMS[name]], [], tmp_path)


@pytest.mark.parametrize(
    ("java", "options", "spark"),
    [
        *((True, [], True), (False, [], False), (False, ["-k", "spark"], False)),
        *((False, ["--no-skips"], True), (False, ["-x", "--no-skips", "-q"], True)),
    ],
)
def test_spark_is_installed_only_where_its_tests_can_run(
    java: bool, options: list[str], spark: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if java:
        (tmp_path / "java").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ("spark" in usable_clients(options)) == spark
    assert {"clearml", "hopsworks"} <= set(usable_clients(options))


def library(python: Path) -> Path:
    """Return the folder of the library that is installed in an environment."""
    return next((python.parents[1] / "lib").glob("python*/site-packages/sovereign_ml"))


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("place", ["project", "library"])
def test_an_import_that_the_lock_does_not_serve_is_named_with_its_line(
    environments: dict[str, Path], name: str, place: str, tmp_path: Path
) -> None:
    folder = {"project": PROJECT / CODE[name], "library": library(environments[name])}[place]
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("__pycache__"))
    inside = "egress/planted.py" if place == "library" else "planted.py"
    (copy / inside).write_text(PLANTED)
    problems = unresolved(environments[name], copy, [copy / inside], [], tmp_path)
    assert problems == [f"{inside}:{line}" for line in NAMED]
