"""A project with the parts hopsworks and clearml works end to end; nobody else pays for them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from bake import LIBRARY, PROJECT, bake
from conftest import Project
from sealed import sealed

PROGRAM = LIBRARY / "tests/support/platforms/two_platforms.py"
CLIENTS = ("clearml", "hopsworks")


@pytest.mark.flow
def test_a_team_with_both_platforms_works_end_to_end_and_asks_for_no_host_outside(
    tmp_path: Path,
) -> None:
    project = Project(bake(tmp_path, parts="hopsworks clearml"), tmp_path / "home")
    # The environment of this test stands for that of `make setup`; the clients are installed anew.
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / ".place").write_text(f"{project.root.resolve()}\n")
    for name in ("python", "uv"):
        (venv / "bin" / name).symlink_to(Path(sys.prefix, "bin", name))
    there = ("-o", f"{venv}/bin/uv")
    project.run("make", f"VENV={venv}", *there, *(f"setup-{client}" for client in CLIENTS))
    project.env["CHURN_CLIENTS"] = str(venv / "clients")
    done = sealed(project, sys.executable, "-B", str(PROGRAM))
    assert "kafka-delete-records" in done.stdout
    print(done.stderr.splitlines()[-1])


def test_the_locks_of_everybody_else_are_those_of_a_project_without_the_clients(
    tmp_path: Path,
) -> None:
    clients = {
        "clearml": ["clearml"],
        "hopsworks": ["hopsworks", "avro"],
        "spark": ["pyspark", "py4j"],
    }
    chosen = bake(tmp_path / "with", parts=" ".join(clients)) / "requirements"
    plain = bake(tmp_path / "without", parts="none") / "requirements"
    assert {path.name for path in chosen.iterdir()} - {path.name for path in plain.iterdir()} == {
        f"{client}.{end}" for client in clients for end in ("in", "lock")
    }
    for path in plain.iterdir():
        assert path.read_bytes() == (chosen / path.name).read_bytes(), path.name
    for client, packages in clients.items():
        own = (chosen / f"{client}.lock").read_text()
        for package in packages:
            pin = re.compile(rf"^{package}==", re.MULTILINE)
            assert pin.search(own), package
            assert [
                path.name for path in plain.glob("*.lock") if pin.search(path.read_text())
            ] == []


def test_the_page_says_how_many_packages_the_client_of_hopsworks_is() -> None:
    lock = (PROJECT / "requirements/hopsworks.lock").read_text(encoding="utf-8")
    pins = re.findall(r"^[a-z0-9][^\s]*==", lock, re.MULTILINE)
    page = (PROJECT / "docs/tools.md").read_text(encoding="utf-8")
    assert f"installs the client ({len(pins)} packages," in page


NAMES = (
    *("mlflow", "feast", "dvc", "great-expectations", "kfp", "bentoml", "sota.io"),
    *("Hopsworks", "ClearML", "KServe", "Katib", "RonDB", "JupyterHub", "Notebook of Kubeflow"),
    *("MLflow's or MLServer's own serving", "churn monitor"),
)
"""What the page "which tool for what" has to judge, by a word of its row."""


@pytest.mark.parametrize("name", NAMES)
def test_the_page_of_the_tools_has_a_row_with_licence_and_maker_for(name: str) -> None:
    page = (PROJECT / "docs/tools.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("|")]
    about = [row for row in rows if name in " ".join(row[:2])]
    assert about
    assert [row for row in about if len(row) != 5 or not all(map(str.strip, row))] == []


def test_nothing_but_its_own_target_installs_a_client(project: Project) -> None:
    printed = project.run("make", "--dry-run", "setup", "serve", "run", "test", "lint").stdout
    assert "requirements/train.lock" in printed
    assert "clients" not in printed


@pytest.mark.parametrize("line", ["from clearml import Task", "import clearml.task"])
def test_the_lint_of_a_project_refuses_what_phones_home(line: str, project: Project) -> None:
    (project.root / "src/churn/copied.py").write_text(f'"""Runs."""\n\n{line}\n')
    done = project.run("ruff", "check", "src", check=False)
    assert done.returncode == 1
    assert "TID251" in done.stdout and "churn clearml push" in done.stdout
