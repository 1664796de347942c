"""The rendered project keeps its promises: its commands, tests and lint, on real libraries."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from chromium import chromium
from PIL import Image

import documented
import pictures
from bake import PROJECT, ROOT, render, snapshot
from conftest import Project
from test_docs import PAGES, commands, unknown

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
def test_a_fresh_card_warns_of_no_needless_input_and_says_what_the_others_would_add(
    finished: Project,
) -> None:
    facts = json.loads((finished.root / "data/6_card/card.json").read_text())["facts"]["data"]
    left_out = facts["left_out"]
    assert left_out["names"]
    assert left_out["loss_high"] <= 0.005, "[card.policy] tolerated_loss"
    found = finished.run("churn", "check", check=False).stdout
    assert "R01" in found, "the card is a fresh one"
    assert not re.search(r"\b(R33|F02)\b", found), found


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
        "data/library.json",
        "data/source.json",
        "dvc.lock",
    }


@pytest.mark.flow
def test_the_pictures_of_the_readme_show_what_a_run_shows(finished: Project) -> None:
    with chromium() as browser:
        taken = dict(pictures.take(finished.root, browser))
    committed = {path.name: path.read_bytes() for path in pictures.PICTURES.iterdir()}
    assert taken.keys() == committed.keys()
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name, content in {**taken, **committed}.items():
        assert len(content) <= pictures.MOST_BYTES
        assert Image.open(io.BytesIO(content)).size == (pictures.WIDTH, pictures.HEIGHT)
        assert f"docs/pictures/{name}" in readme


REFERENCE = "packages/sovereign-ml/docs/"
"""Its pages list every command; the others tell people to call one."""


def test_every_command_of_the_pages_is_run_or_has_a_reason() -> None:
    pages = [page for page in PAGES if not page.startswith(REFERENCE)]
    called = documented.calls(line for page in pages for line in commands(page))
    entries = {command: documented.entry(command) for command in called}
    assert [command for command, entry in entries.items() if not entry] == []
    assert documented.listed() - set(entries.values()) == set(), "no page names these any more"
    assert documented.unproved() == []
    here = {command for command in called if command in documented.RUN.keys() | documented.STEPS}
    reasons = [command for command in called if entries[command] in documented.NOT_RUN]
    print(
        f"{len(called)} commands of the pages: {len(here)} run in a finished project, "
        f"{len(called) - len(here) - len(reasons)} by tests of the library, {len(reasons)} listed"
    )


@pytest.mark.flow
def test_commands_of_the_pages_do_in_a_finished_project_what_the_pages_say(
    finished: Project, tmp_path: Path
) -> None:
    shutil.copytree(finished.root, tmp_path / "copy", symlinks=True)
    project = Project(tmp_path / "copy", finished.root.parent / "home")
    wrong = []
    for command, code in documented.RUN.items():
        words = " ".join(documented.INSTEAD.get(word, word) for word in command.split())
        result = project.run("churn", *words.split(), check=False)
        if result.returncode != code or "Traceback" in result.stderr:
            wrong.append(f"{words}: exit {result.returncode}\n{result.stderr[-800:]}")
    assert wrong == []


@pytest.mark.parametrize("target", ["serve", "ui", "check", "audit", "deploy", "retain", "stages"])
def test_a_target_that_stands_for_a_command_calls_one_that_exists(
    target: str, project: Project
) -> None:
    printed = project.make("--dry-run", target).stdout
    assert "bin/churn " in printed
    assert [name for line in printed.splitlines() for name in unknown(line, "bin/")] == []


def test_a_render_passes_its_own_lint_and_types(project: Project) -> None:
    project.make("lint", "types")


@pytest.mark.flow
def test_a_render_passes_its_own_tests_where_nothing_can_leave(project: Project) -> None:
    result = project.make_sealed("test")
    assert re.search(r"\d+ passed", result.stdout)


def test_make_help_lists_every_target_with_its_meaning(project: Project) -> None:
    listed = dict(re.findall(r"make ([\w-]+) +(.+)", project.make("help").stdout))
    makefile = (project.root / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert set(listed) == targets
    assert len(targets) <= 20, "what only calls one command is that command"


SWITCHES = {"DATA": "x.csv", "PROFILE": "eu", "VENV": "/elsewhere"}


@pytest.mark.parametrize("target", ["run", "clean"])
def test_make_reads_its_switches_from_the_command_line_alone(project: Project, target: str) -> None:
    command = ("make", "--dry-run", "--no-print-directory", target)
    plain = project.run(*command).stdout
    project.env |= SWITCHES
    assert project.run(*command).stdout == plain
    given = [f"{name}={value}" for name, value in SWITCHES.items()]
    assert project.run(*command, *given).stdout != plain


def test_every_direct_dependency_has_a_floor() -> None:
    for path in (*(ROOT / "requirements").glob("*.in"), *(PROJECT / "requirements").glob("*.in")):
        for line in path.read_text().splitlines():
            if name := re.sub(r"#.*", "", line).strip():
                assert name.startswith("-r ") or ">=" in name, f"{path.name}: {name}"


def test_locks_hold_hashes_and_no_address() -> None:
    for path in (
        *(ROOT / "requirements").glob("*.lock"),
        *(PROJECT / "requirements").glob("*.lock"),
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

    tested = pins(PROJECT / "requirements/dev.lock")
    for name in ("train", "serve"):
        assert pins(PROJECT / f"requirements/{name}.lock") <= tested, name


def test_nobody_else_pays_for_a_client_in_a_lock_of_its_own() -> None:
    clients = {
        "clearml": ["clearml"],
        "hopsworks": ["hopsworks", "avro"],
        "spark": ["pyspark", "py4j"],
    }
    for client, packages in clients.items():
        own = (PROJECT / f"requirements/{client}.lock").read_text()
        for name in ("dev", "train", "serve", "uv"):
            lock = (PROJECT / f"requirements/{name}.lock").read_text()
            for package in packages:
                assert re.search(rf"^{package}==", own, re.MULTILINE)
                assert not re.search(rf"^{package}==", lock, re.MULTILINE), name


def test_installed_packages_agree_with_each_other() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--python", sys.executable, "check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "No broken requirements" in done.stdout


def test_the_template_folder_holds_no_caches() -> None:
    caches = [
        p
        for p in PROJECT.rglob("*")
        if p.name in {".pytest_cache", ".mypy_cache", ".ruff_cache", ".venv"}
    ]
    assert caches == []


def test_a_bake_leaves_out_what_git_does_not_know(tmp_path: Path) -> None:
    stray = PROJECT / "src/churn/__pycache__/stray.pyc"
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"stray")
    try:
        template = snapshot(tmp_path / "template")
        assert not list(render(template, tmp_path).rglob("stray.pyc"))
    finally:
        stray.unlink()
