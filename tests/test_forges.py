"""The CI files of each forge: judged by checkers, and their steps tried without a container."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bake import ROOT, bake
from conftest import Project

FILES = {
    "gitlab": (".gitlab-ci.yml",),
    "forgejo": (".forgejo/workflows/canary.yml", ".forgejo/workflows/ci.yml"),
    "github": (".github/workflows/canary.yml", ".github/workflows/ci.yml"),
}
SCHEMAS = {"gitlab": "gitlab-ci", "forgejo": "github-workflows", "github": "github-workflows"}
"""Forgejo publishes no schema of its own; its files are written in the language of GitHub's."""
OF_A_FORGE = (".gitlab-ci.yml", ".gitlab", ".forgejo", ".github")


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Project]:
    """A project for each forge."""
    folder = tmp_path_factory.mktemp("forges")
    roots = {forge: bake(folder / forge, forge=forge) for forge in FILES}
    return {forge: Project(root, folder / "home") for forge, root in roots.items()}


def steps(root: Path, forge: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the commands of each step with its own variables, in order."""
    for name in FILES[forge]:
        document: dict[str, Any] = yaml.safe_load((root / name).read_text(encoding="utf-8"))
        if forge == "gitlab":
            for job in document.values():
                if isinstance(job, dict):
                    yield from ((line, {}) for line in job.get("script", []))
            continue
        for job in document["jobs"].values():
            yield from ((step["run"], step.get("env", {})) for step in job["steps"])


@pytest.mark.parametrize("forge", FILES)
def test_each_forge_gets_its_own_files_and_no_other(
    forge: str, projects: dict[str, Project]
) -> None:
    root = projects[forge].root
    there = {name for name in OF_A_FORGE if (root / name).exists()}
    [issue_template] = root.glob(".*/*/fault.md")
    assert there == {Path(FILES[forge][0]).parts[0], issue_template.relative_to(root).parts[0]}
    written = list(root.glob(".*/workflows/*")) or [root / ".gitlab-ci.yml"]
    assert sorted(str(path.relative_to(root)) for path in written) == list(FILES[forge])


@pytest.mark.parametrize("forge", FILES)
def test_checkers_find_nothing_in_the_files_of_a_forge(
    forge: str, projects: dict[str, Project]
) -> None:
    """zizmor knows the languages of GitHub and Forgejo; no checker for GitLab works offline."""
    project = projects[forge]
    schema = f"vendor.{SCHEMAS[forge]}"
    project.run("check-jsonschema", "--builtin-schema", schema, *FILES[forge])
    if forge != "gitlab":
        project.run("zizmor", "--offline", "--no-progress", *FILES[forge])
        for name in FILES[forge]:
            document = yaml.safe_load((project.root / name).read_text(encoding="utf-8"))
            assert document["permissions"] == {"contents": "read"}


def test_workflows_of_this_repository_would_be_checked_too() -> None:
    """There are none: `.ci/run` is the CI on every forge. Whoever adds one extends this test."""
    assert list(ROOT.glob(".*/workflows/*")) == []
    assert not (ROOT / ".gitlab-ci.yml").exists()


FAULTS = {
    "zizmor": ("permissions:\n  contents: read\n", ""),
    "an action by tag": ("      - run: make lint", "      - uses: a/b@v1\n      - run: make lint"),
    "check-jsonschema": ("    runs-on:", "    runs-in:"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_checkers_refuse_a_planted_fault(
    fault: str, projects: dict[str, Project], tmp_path: Path
) -> None:
    text = (projects["github"].root / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    before, after = FAULTS[fault]
    assert before in text
    planted = tmp_path / ".github/workflows/ci.yml"
    planted.parent.mkdir(parents=True)
    planted.write_text(text.replace(before, after), encoding="utf-8")
    schema = ("check-jsonschema", "--builtin-schema", "vendor.github-workflows", str(planted))
    zizmor = ("zizmor", "--offline", "--no-progress", str(planted))
    command = schema if fault == "check-jsonschema" else zizmor
    assert projects["github"].run(*command, check=False).returncode != 0


@pytest.mark.parametrize("forge", FILES)
def test_the_steps_of_a_forge_work_without_its_containers(
    forge: str, projects: dict[str, Project], tmp_path: Path
) -> None:
    """The check-out is done for real from a folder; of make, each target has to exist.

    Other tests run the targets themselves.
    """
    project = projects[forge]
    commit = project.run("git", "rev-parse", "HEAD").stdout.strip()
    variables = {
        "GITHUB_SERVER_URL": f"file://{project.root.parent}",
        "GITHUB_REPOSITORY": project.root.name,
        "GITHUB_SHA": commit,
    }
    targets = []
    for number, (commands, own) in enumerate(steps(project.root, forge)):
        subprocess.run(["bash", "-n"], input=commands, text=True, check=True)
        assert set(own) <= {"TOKEN"}
        if commands.startswith("make "):
            assert commands.count("\n") == 0
            targets += shlex.split(commands)[1:]
            continue
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "left.txt").write_text("of a run before")
        environment = os.environ | variables | {"TOKEN": "none", "HOME": str(tmp_path)}
        shell = ["bash", "-euo", "pipefail", "-c", commands]
        subprocess.run(shell, cwd=folder, env=environment, check=True, capture_output=True)
        assert (folder / "Makefile").read_bytes() == (project.root / "Makefile").read_bytes()
        assert not (folder / "left.txt").exists()
    assert sorted(targets) == ["audit", "canary", "lint", "test", "types"]
    project.make("--dry-run", *targets)


UPGRADES = """#!/bin/sh
# Stands for make in the copy of the canary: mlflow has a release that breaks the tests.
case "$*" in
  *PACKAGE=mlflow*|*upgrade-locks) echo "# a newer mlflow" >> requirements/train.lock ;;
  *PACKAGE=duckdb*) echo "# a newer duckdb" >> requirements/train.lock ;;
  *test*) ! grep -q "newer mlflow" requirements/train.lock ;;
esac
"""


OWN_WAYS = """#!/bin/sh
# Stands for make in the copy of the canary: these two releases break the tests.
case "$*" in
  *PACKAGE=Uvicorn*|*PACKAGE=ruamel.yaml*|*upgrade-locks)
    echo "# newer" >> requirements/train.lock ;;
  *PACKAGE=*) ;;
  *test*) ! grep -q newer requirements/train.lock ;;
esac
"""
NO_INDEX = """#!/bin/sh
echo "no index answers" >&2
exit 2
"""


def test_the_canary_of_a_project_in_a_larger_repository_knows_every_way_to_name_a_package(
    tmp_path: Path,
) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    project = Project(bake(tmp_path, parts="none"), tmp_path / "home")
    lines = "Uvicorn[standard]~=0.30\nruamel.yaml==0.18 # ours\n  # not>=1\n"
    with (project.root / "requirements/train.in").open("a", encoding="utf-8") as file:
        file.write(lines)
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@acme.example")
    git = ("git", "-C", str(project.root), *who)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "--quiet", "--message", "All"], check=True)
    make = tmp_path / "fake-make"
    make.write_text(OWN_WAYS)
    make.chmod(0o755)
    result = project.make("canary", f"MAKE={make}", check=False)
    broken = re.findall(r"The newest (\S+) breaks it: (\S+)", result.stdout)
    assert [name for name, _ in broken] == ["Uvicorn", "ruamel.yaml"], result.stderr
    assert all((project.root / log).exists() for _, log in broken)
    make.write_text(NO_INDEX)
    result = project.make("canary", f"MAKE={make}", check=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert "no index answers" in result.stderr


def test_the_canary_names_the_package_that_breaks_the_tests(
    projects: dict[str, Project], tmp_path: Path
) -> None:
    make = tmp_path / "make"
    for program, code in ((UPGRADES, 2), ("#!/bin/sh\n", 0)):
        make.write_text(program)
        make.chmod(0o755)
        result = projects["gitlab"].make("canary", f"MAKE={make}", check=False)
        assert result.returncode == code, result.stderr
        broken = re.findall(r"The newest (\S+) breaks", result.stdout)
        assert broken == (["mlflow"] if code else [])
