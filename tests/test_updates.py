"""A project made by cruft, and how it reaches the next release of the library."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cruft
import pytest
from cookiecutter.main import cookiecutter

from bake import PROJECT, fresh_wheel, snapshot
from conftest import Project

NEXT = "2999.1.0"
"""Newer than any version of the source: the second of two releases."""
IDENTITY = ("-c", "user.name=A Team", "-c", "user.email=team@example.eu")
OWN_LINES = {
    "src/churn/model.py": "\n# A line of the team.\n",
    "src/churn/features.py": "\n# A line of the team.\n",
    "config.toml": "\n# A line of the team.\n",
    "README.md": "\nA line of the team.\n",
}
HOSTING = """
import json
from sovereign_ml.audit import hosting
from sovereign_ml.config import settings
from sovereign_ml.pipeline.project_audit import judged
print(json.dumps(hosting(judged(settings.load("local"), {}).findings)))
"""


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *IDENTITY, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def commit(folder: Path, message: str) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", message)


class Template(NamedTuple):
    """A repository of the template with a tag for each of two releases of the library."""

    root: Path
    first: str
    second: str

    def wheel(self, tag: str, folder: Path) -> Path:
        """Write the wheel of a release into ``folder``."""
        name = f"sovereign_ml-{tag.removeprefix('v')}-py3-none-any.whl"
        path = f"{tag}:{PROJECT.name}/vendor/{name}"
        command = ["git", "-C", str(self.root), "show", path]
        content = subprocess.run(command, check=True, capture_output=True).stdout
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
        return folder / name


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """Two releases: the second one has another line in a rule of the library."""
    root = snapshot(tmp_path_factory.mktemp("releases") / "template")
    git(root, "init", "--quiet", "--initial-branch=main")
    commit(root, "First release")
    first, second = f"v{fresh_wheel().name.split('-')[1]}", f"v{NEXT}"
    git(root, "tag", first)
    library = root / "packages/sovereign-ml/src/sovereign_ml"
    version = library / "__init__.py"
    version.write_text(re.sub(r'"\d+\.\d+\.\d+"', f'"{NEXT}"', version.read_text()))
    rules = library / "card/rules/article22.py"
    rules.write_text(rules.read_text() + "\n# A newer rule.\n")
    git(root, "add", "--all")
    command = [sys.executable, str(root / "packages/release.py"), "refresh"]
    subprocess.run(command, check=True, capture_output=True, text=True)
    commit(root, "Second release")
    git(root, "tag", second)
    return Template(root, first, second)


@pytest.fixture
def crufted(template: Template, tmp_path: Path) -> Project:
    """A project of the first release as the README says to make it, with a team's own lines."""
    output = tmp_path / "crufted"
    output.mkdir()
    root = cruft.create(
        str(template.root),
        output_dir=output,
        no_input=True,
        checkout=template.first,
        extra_context={"s3_provider": "ovhcloud"},
    )
    for name, text in OWN_LINES.items():
        with (root / name).open("a", encoding="utf-8") as file:
            file.write(text)
    commit(root, "Lines of the team")
    return Project(root, tmp_path / "home")


def changed(project: Project) -> set[str]:
    """Return the files that differ from the last commit, old and new names of renamed ones too."""
    lines = git(project.root, "status", "--porcelain", "--untracked-files=all", "--no-renames")
    return {line[3:] for line in lines.splitlines()}


def release_files(template: Template) -> set[str]:
    """Return what a release changes in a project: one wheel for another, and three locks."""
    versions = (template.first.removeprefix("v"), NEXT)
    wheels = {f"vendor/sovereign_ml-{version}-py3-none-any.whl" for version in versions}
    return wheels | {f"requirements/{name}.lock" for name in ("dev", "serve", "train")}


def test_cruft_brings_the_next_release_in_six_files_and_keeps_the_lines_of_the_team(
    crufted: Project, template: Template
) -> None:
    assert not cruft.check(crufted.root, checkout=template.second)
    assert cruft.update(crufted.root, skip_apply_ask=True, checkout=template.second)
    assert changed(crufted) == release_files(template) | {".cruft.json"}
    assert list(crufted.root.rglob("*.rej")) == []
    for name, text in OWN_LINES.items():
        assert (crufted.root / name).read_text().endswith(text), name
    assert cruft.check(crufted.root, checkout=template.second)


def test_a_render_of_plain_cookiecutter_takes_the_next_release_too(
    template: Template, tmp_path: Path
) -> None:
    """The hook writes what cruft needs, in the first commit and without private tables."""
    clone = tmp_path / "clone"
    options = ("--quiet", "--branch", template.first)
    git(tmp_path, "clone", *options, str(template.root), str(clone))
    root = Path(
        cookiecutter(
            str(clone),
            no_input=True,
            output_dir=str(tmp_path),
            extra_context={"s3_provider": "ovhcloud"},
        )
    )
    assert git(root, "status", "--porcelain") == ""
    state = json.loads((root / ".cruft.json").read_text())
    assert state["commit"] == git(template.root, "rev-parse", template.first).strip()
    answers = state["context"]["cookiecutter"]
    assert answers["s3_provider"] == "ovhcloud"
    assert not [key for key in answers if key.startswith("_")]
    assert cruft.update(root, skip_apply_ask=True, checkout=template.second)
    assert changed(Project(root, tmp_path / "home")) == release_files(template) | {".cruft.json"}
    assert list(root.rglob("*.rej")) == []


def test_parts_can_be_left_out_later_and_taken_back(crufted: Project, template: Template) -> None:
    """Files that the hook removes are in neither side of the merge, so nothing conflicts."""
    parts = (Path("infra"), Path("deploy/kserve"), Path("src/churn/pipeline.py"))
    before = contents(crufted, set(git(crufted.root, "ls-files").splitlines()) - {".cruft.json"})
    for wanted in ("none", "all"):
        assert cruft.update(
            crufted.root,
            checkout=template.first,
            extra_context={"parts": wanted},
            refresh_private_variables=True,
        )
        assert list(crufted.root.rglob("*.rej")) == []
        there = {part for part in parts if (crufted.root / part).exists()}
        assert there == (set(parts) if wanted == "all" else set())
        runner = "kubeflow" if wanted == "all" else "subprocess"
        assert f'runner = "{runner}"' in (crufted.root / "config.toml").read_text()
        commit(crufted.root, f"Parts: {wanted}")
    assert contents(crufted, set(before)) == before


def test_make_upgrade_does_the_same_for_wheel_and_locks(
    crufted: Project, template: Template, tmp_path: Path
) -> None:
    wheel = template.wheel(template.second, tmp_path / "wheels")
    crufted.make("upgrade", f"WHEEL={wheel}")
    assert changed(crufted) == release_files(template)
    upgraded = contents(crufted, release_files(template))
    git(crufted.root, "checkout", "--", ".")
    git(crufted.root, "clean", "--force", "--quiet")
    cruft.update(crufted.root, skip_apply_ask=True, checkout=template.second)
    assert contents(crufted, release_files(template)) == upgraded


def contents(project: Project, names: set[str]) -> dict[str, bytes]:
    paths = {name: project.root / name for name in names}
    return {name: path.read_bytes() for name, path in paths.items() if path.exists()}


def test_a_release_in_which_a_byte_was_changed_is_refused(
    crufted: Project, template: Template, tmp_path: Path
) -> None:
    wheel = template.wheel(template.second, tmp_path / "wheels")
    content = bytearray(wheel.read_bytes())
    content[len(content) // 2] ^= 1
    wheel.write_bytes(content)
    result = crufted.make("upgrade", f"WHEEL={wheel}", check=False)
    assert result.returncode != 0
    assert "Traceback" not in result.stderr
    assert changed(crufted) == set()


def test_the_diff_of_two_releases_names_the_rule_that_changed(
    crufted: Project, template: Template, tmp_path: Path
) -> None:
    wheel = template.wheel(template.second, tmp_path / "wheels")
    text = crufted.run("churn", "library", "diff", str(wheel)).stdout
    assert "+# A newer rule." in text
    assert "card/rules/article22.py" in text


@pytest.fixture
def copy(finished: Project, tmp_path: Path) -> Project:
    """A copy of the finished project, with a library of its own that a test may edit."""
    installed = Path(shutil.which("churn", path=finished.env["PATH"]) or "").parents[1]
    library = next((installed / "lib").glob("python*/site-packages/sovereign_ml"))
    shutil.copytree(library, tmp_path / "library/sovereign_ml")
    shutil.copytree(finished.root, tmp_path / "copy", symlinks=True)
    project = Project(tmp_path / "copy", tmp_path / "home")
    project.env["PYTHONPATH"] += f":{tmp_path / 'library'}"
    return project


def stages_to_run(project: Project) -> set[str]:
    """Return the stages that `dvc status` names as changed."""
    return set(json.loads(project.run("dvc", "status", "--json").stdout))


def edit_library(project: Project, _: Template, folder: Path) -> None:
    path = folder / "library/sovereign_ml/errors.py"
    path.write_text(path.read_text() + "\n# Edited in place.\n")
    project.run("churn", "data")  # `churn run` begins with this: it looks at the library


def edit_lock(project: Project, _: Template, __: Path) -> None:
    path = project.root / "requirements/train.lock"
    text, count = re.subn(r"(?m)^scikit-learn==\S+", "scikit-learn==1.0", path.read_text())
    assert count == 1
    path.write_text(text)


def upgrade(project: Project, template: Template, folder: Path) -> None:
    project.make("upgrade", f"WHEEL={template.wheel(template.second, folder / 'wheels')}")


@pytest.mark.flow
@pytest.mark.parametrize("change", [edit_library, edit_lock, upgrade])
def test_dvc_runs_every_step_again_when_the_library_or_the_lock_changes(
    copy: Project,
    template: Template,
    tmp_path: Path,
    change: Callable[[Project, Template, Path], None],
) -> None:
    assert stages_to_run(copy) == set()
    change(copy, template, tmp_path)
    verbs = {"data", "validate", "features", "train", "evaluate", "card", "register", "score"}
    assert stages_to_run(copy) == verbs


def test_a_project_made_by_cruft_has_the_one_storage_host_that_was_chosen(
    crufted: Project,
) -> None:
    assert "s3.example.internal" in (crufted.root / ".cruft.json").read_text()
    rows = json.loads(crufted.run(sys.executable, "-c", HOSTING).stdout)
    outside = [row for row in rows if row["jurisdiction_class"] != "LOCAL"]
    storage = [row["hostname"] for row in outside if row["component"] == "storage"]
    assert storage == ["s3.gra.io.cloud.ovh.net"]
    assert not [row for row in rows if row["config"].startswith(".cruft.json")]


def test_the_audit_of_a_project_made_by_cruft_is_the_audit_of_a_rendered_one(
    crufted: Project, project: Project
) -> None:
    crufted.run("churn", "audit")
    (project.root / ".cruft.json").write_text((crufted.root / ".cruft.json").read_text())
    with_file = project.run("churn", "audit").stdout
    (project.root / ".cruft.json").unlink()
    assert project.run("churn", "audit").stdout == with_file
