"""Each shipped environment holds what its code imports: built from its lock alone, import by import."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from sovereign_ml.deploy.stage import copy_code

from environments import PROJECT, SHIPPED, build, unresolved

PLANTED = """
from __future__ import annotations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import cookiecutter.main
else:
    import in_the_else_branch


def deep() -> None:
    import moto.server
    from sovereign import silence, no_such_part

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
    "13: no no_such_part in sovereign",
    "18: no module pytest",
    "20: no module numpy.no_such_module",
    "24: no no_such_name in json",
)
"""Modules of the test environment, of neither, and names that a module has not; by line of ``PLANTED``."""


@pytest.fixture(scope="session")
def environments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The Python of each shipped environment."""
    folder = os.environ.get("SHIPPED_ENVIRONMENTS") or tmp_path_factory.getbasetemp() / "shipped"
    return {name: build(name, Path(folder)) for name in SHIPPED}


def code(name: str, project: Path, out: Path) -> list[Path]:
    """Return the folders of code that the environment ``name`` runs; the service's are made in ``out``."""
    if name == "train":
        return [project / "src"]
    copy_code(project / "serve", project / "src/sovereign", out)
    return [out / "serve", out / "lib"]


@pytest.mark.parametrize("name", SHIPPED)
def test_every_import_resolves_in_the_environment_of_the_lock_alone(
    environments: dict[str, Path], name: str, tmp_path: Path
) -> None:
    assert unresolved(environments[name], code(name, PROJECT, tmp_path / "code"), tmp_path) == []


@pytest.mark.parametrize(
    ("name", "file"),
    [("train", "src/churn/planted.py"), ("serve", "serve/churn_service/planted.py")],
)
def test_an_import_that_the_lock_does_not_serve_is_named_with_its_line(
    environments: dict[str, Path], name: str, file: str, tmp_path: Path
) -> None:
    copy = tmp_path / "project"
    for folder in ("src", "serve"):
        shutil.copytree(
            PROJECT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    (copy / file).write_text(PLANTED)
    place = file.partition("/")[2]
    expected = [f"{place}:{line}" for line in NAMED]
    assert unresolved(environments[name], code(name, copy, tmp_path / "code"), tmp_path) == expected
