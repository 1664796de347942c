"""The rendered project keeps its promises: its own commands, tests and lint, on the real libraries."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bake import ROOT, bake, snapshot
from conftest import Project

FOLDER = ROOT / "{{cookiecutter.project_slug}}"
FROM_AN_INDEX = "tests/deploy/test_deploy_image.py"
"""It builds the image as the platform does, from the package index: the one file that cannot run sealed."""
VERBS = ["data", "validate", "features", "train", "evaluate", "card", "register", "score"]


@pytest.mark.flow
def test_make_run_ends_with_the_table_of_all_steps(finished: Project) -> None:
    lines = finished.first.splitlines()  # type: ignore[attr-defined]
    table = [re.match(r"(\d) (\w+) +\d+\.\d +[\d,]+ +[\d,]+  \S", line) for line in lines]
    assert [found[2] for found in table if found] == VERBS
    assert any(line.startswith("Done in") and "card.html" in line for line in lines)
    assert (finished.root / "data/6_card/card.html").is_file()


@pytest.mark.flow
def test_a_second_make_run_runs_nothing(finished: Project) -> None:
    table = [
        line
        for line in finished.make("run").stdout.splitlines()
        if re.match(r"\d \w+ +unchanged", line)
    ]
    assert [line.split()[1] for line in table] == VERBS


@pytest.mark.flow
def test_rows_read_are_rows_kept_plus_rows_set_aside(finished: Project) -> None:
    found = json.loads((finished.root / "data/1_raw/summary.json").read_text())
    assert found["rows_in"] == found["rows_out"] + sum(found["set_aside"].values())
    assert all(
        found["set_aside"][reason] > 0
        for reason in ("duplicate", "no_consent", "objected", "erased")
    )


@pytest.mark.flow
def test_the_render_stays_clean_but_for_what_belongs_into_git(finished: Project) -> None:
    changed = finished.run("git", "status", "--porcelain", "--untracked-files=all").stdout.split(
        "\n"
    )
    assert {line[3:] for line in changed if line} == {
        ".dvc/.gitignore",
        "data/source.json",
        "dvc.lock",
    }


def test_a_render_passes_its_own_lint_and_types(project: Project) -> None:
    project.make("lint", "types")


@pytest.mark.flow
def test_a_render_passes_its_own_tests_where_nothing_can_leave(
    project: Project, request: pytest.FixtureRequest
) -> None:
    strict = "--no-skips" if request.config.getoption("--no-skips") else ""
    done = project.make_sealed("test", f"PYTEST_ARGS={strict} --ignore={FROM_AN_INDEX}")
    assert re.search(r"\d+ passed", done.stdout)
    done = project.make("test", f"PYTEST_ARGS={strict} {FROM_AN_INDEX}")
    assert re.search(r"\d+ passed", done.stdout)


def test_make_help_lists_every_target_with_its_meaning(project: Project) -> None:
    listed = dict(re.findall(r"make ([\w-]+) +(.+)", project.make("help").stdout))
    makefile = (project.root / "Makefile").read_text()
    phony = set(re.search(r"\.PHONY: (.+)", makefile)[1].split())  # type: ignore[index]
    assert set(listed) == phony


def test_every_direct_dependency_has_a_floor() -> None:
    for path in (*(ROOT / "requirements").glob("*.in"), *(FOLDER / "requirements").glob("*.in")):
        for line in path.read_text().splitlines():
            if name := re.sub(r"#.*", "", line).strip():
                assert name.startswith("-r ") or ">=" in name, f"{path.name}: {name}"


def test_locks_hold_hashes_and_no_address() -> None:
    for path in (
        *(ROOT / "requirements").glob("*.lock"),
        *(FOLDER / "requirements").glob("*.lock"),
    ):
        text = path.read_text()
        assert "://" not in text, path.name
        pins = re.findall(r"^[a-z0-9][^\n]*==[^\n]*\\$", text, re.MULTILINE)
        assert pins, path.name
        assert len(re.findall(r"^[a-z0-9]", text, re.MULTILINE)) == len(pins), (
            f"{path.name}: a pin without a hash"
        )


def test_each_environment_is_a_part_of_the_one_that_is_tested() -> None:
    def pins(path: Path) -> set[str]:
        return set(re.findall(r"^([a-z0-9][^\s;]*==[^\s;]*)", path.read_text(), re.MULTILINE))

    tested = pins(FOLDER / "requirements/dev.lock")
    for name in ("train", "serve"):
        assert pins(FOLDER / f"requirements/{name}.lock") <= tested, name


def test_installed_packages_agree_with_each_other() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--python", sys.executable, "check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "No broken requirements" in done.stdout


@pytest.fixture
def crufted(tmp_path: Path) -> Project:
    """A project as the README says to make it: by cruft, from a repository of the template."""
    import cruft

    template, output = snapshot(tmp_path / "template"), tmp_path / "crufted"
    output.mkdir()
    who = ("-c", "user.name=A Team", "-c", "user.email=team@example.eu")
    for step in (["init", "-q", "-b", "main"], ["add", "-A"], [*who, "commit", "-qm", "one"]):
        subprocess.run(["git", "-C", str(template), *step], check=True, capture_output=True)
    chosen = {"s3_provider": "ovhcloud"}
    root = cruft.create(str(template), output_dir=output, no_input=True, extra_context=chosen)
    return Project(root, tmp_path / "home")


HOSTING = """
import json
from churn import card_facts, settings
print(json.dumps(card_facts._hosting(settings.load("local"))))
"""


def test_a_project_made_by_cruft_has_the_one_storage_host_that_was_chosen(crufted: Project) -> None:
    assert "s3.example.internal" in (crufted.root / ".cruft.json").read_text()
    told = crufted.run(sys.executable, "-c", HOSTING).stdout
    outside = [row for row in json.loads(told) if row["jurisdiction_class"] != "LOCAL"]
    assert [row["hostname"] for row in outside if row["component"] == "storage"] == [
        "s3.gra.io.cloud.ovh.net"
    ]
    assert not [row for row in json.loads(told) if row["config"].startswith(".cruft.json")]


def test_the_audit_of_a_project_made_by_cruft_is_the_audit_of_a_rendered_one(
    crufted: Project, project: Project
) -> None:
    crufted.run("churn", "audit")
    (project.root / ".cruft.json").write_text((crufted.root / ".cruft.json").read_text())
    with_file = project.run("churn", "audit").stdout
    (project.root / ".cruft.json").unlink()
    assert project.run("churn", "audit").stdout == with_file


def test_cruft_brings_a_change_of_the_template_and_keeps_the_team_s_own(tmp_path: Path) -> None:
    import cruft

    def git(folder: Path, *arguments: str) -> None:
        who = ["-c", "user.name=A Team", "-c", "user.email=team@example.eu"]
        subprocess.run(
            ["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True
        )

    template = snapshot(tmp_path / "template")
    for step in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "one"]):
        git(template, *step)
    project = cruft.create(str(template), output_dir=tmp_path, no_input=True)
    model = project / "src/churn/model.py"
    model.write_text(model.read_text() + "\n# ours\n")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "ours")
    scans = template / "{{cookiecutter.project_slug}}/src/sovereign/scans.py"
    scans.write_text(scans.read_text() + "\n# newer\n")
    git(template, "commit", "-qam", "two")
    assert not cruft.check(project)
    assert cruft.update(project, skip_apply_ask=True)
    assert (project / "src/sovereign/scans.py").read_text().endswith("# newer\n")
    assert model.read_text().endswith("# ours\n")


def test_the_template_folder_holds_no_caches() -> None:
    caches = [
        p
        for p in FOLDER.rglob("*")
        if p.name in {".pytest_cache", ".mypy_cache", ".ruff_cache", ".venv"}
    ]
    assert caches == []


def test_a_bake_leaves_out_what_git_does_not_know(tmp_path: Path) -> None:
    stray = FOLDER / "src/churn/__pycache__/stray.pyc"
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"stray")
    try:
        assert not list(bake(tmp_path).rglob("stray.pyc"))
    finally:
        stray.unlink()
