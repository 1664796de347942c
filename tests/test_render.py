"""Rendering: every answer gives a clean project, and a bad one is refused in one sentence."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import tomllib
import zipfile
from pathlib import Path

import pytest
from cookiecutter.environment import StrictEnvironment
from cookiecutter.exceptions import FailedHookException
from cookiecutter.main import cookiecutter
from hypothesis import example, given
from hypothesis import strategies as st

from bake import LIBRARY, ROOT, bake, template_copy, tracked
from conftest import Project
from sovereign_ml.git import ELSEWHERE

PROJECT = "{{cookiecutter.project_slug}}"
ANSWERS = json.loads((ROOT / "cookiecutter.json").read_text())
TEXT = {
    ".py",
    ".toml",
    ".md",
    ".yml",
    ".yaml",
    ".json",
    ".lock",
    ".in",
    ".cfg",
    ".txt",
    ".html",
    ".j2",
    ".ipynb",
    "",
}


def texts(root: Path) -> dict[str, str]:
    found = {}
    for path in sorted(root.rglob("*")):
        if path.is_file() and ".git" not in path.relative_to(root).parts and path.suffix in TEXT:
            found[str(path.relative_to(root))] = path.read_text(encoding="utf-8")
    return found


def test_a_render_has_the_files_of_the_template_and_only_those(rendered: Path) -> None:
    template = {
        name.removeprefix(f"{PROJECT}/") for name in tracked() if name.startswith(f"{PROJECT}/")
    }
    expected = {n for n in template if not n.startswith((".licences/", ".forgejo/", ".github/"))}
    expected |= {"LICENSES/Apache-2.0.txt", "LICENSES/LicenseRef-Proprietary.txt"}
    there = {str(p.relative_to(rendered)) for p in rendered.rglob("*") if p.is_file()}
    assert {name for name in there if not name.startswith(".git/")} == expected


def test_no_jinja_of_the_template_is_left_in_a_render(rendered: Path) -> None:
    for name, text in texts(rendered).items():
        assert not re.search(r"\{\{-? *cookiecutter\.", text) or name.startswith("tests/"), name


def test_code_is_copied_and_never_rendered(rendered: Path) -> None:
    for name in tracked():
        inside = name.removeprefix(f"{PROJECT}/")
        if name.startswith(f"{PROJECT}/src/") or name.startswith(f"{PROJECT}/serve/"):
            assert (rendered / inside).read_bytes() == (ROOT / name).read_bytes(), inside


def test_only_files_of_the_first_level_are_rendered() -> None:
    copied = set(ANSWERS["_copy_without_render"])
    folders = {
        Path(name).parts[1]
        for name in tracked()
        if name.startswith(PROJECT) and len(Path(name).parts) > 2
    }
    assert folders - copied == {".dvc"}, "a new folder must stand in _copy_without_render"


def test_a_team_has_at_most_1500_lines_of_code_to_read(rendered: Path) -> None:
    files = [path for name in ("src", "serve") for path in (rendered / name).rglob("*.py")]
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files)
    assert len(files) > 20
    assert lines <= 1500, f"{lines:,} lines in src and serve: what every project shares is library"


def test_a_render_is_one_clean_commit(rendered: Path) -> None:
    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(rendered), *arguments], capture_output=True, text=True, check=False
        ).stdout.strip()

    assert git("status", "--porcelain") == ""
    assert git("log", "--format=%s") == "Start from sovereign-ml-template"


def test_no_package_index_and_no_path_of_this_machine_is_written_anywhere() -> None:
    hosts = re.compile(
        r"py" + r"pi\.org|pythonhost" + r"ed\.org|npm" + r"js|deb\.deb" + r"ian", re.IGNORECASE
    )
    for name in tracked():
        if Path(name).suffix in TEXT:
            text = (ROOT / name).read_text(encoding="utf-8")
            assert not hosts.search(text), name
            assert str(ROOT) not in text, name


def test_the_answers_are_the_only_names_in_a_render(tmp_path: Path) -> None:
    answers = {
        "project_name": "Zephyr Lapse",
        "project_slug": "zephyr-lapse",
        "organisation": "Zephyr SE",
        "contact": "zephyr@zephyr.eu",
        "dpo_contact": "privacy@zephyr.eu",
        "s3_bucket": "zephyr-bucket",
    }
    root = bake(tmp_path, **answers)
    config = tomllib.loads((root / "config.toml").read_text())
    assert config["project"]["name"] == "zephyr-lapse"
    assert config["project"]["dpo_contact"] == "privacy@zephyr.eu"
    top = "\n".join(p.read_text() for p in root.iterdir() if p.is_file())
    assert "acme" not in top.lower()


@pytest.mark.parametrize("provider", ANSWERS["s3_provider"])
def test_each_provider_gives_the_endpoint_of_its_preset(provider: str, tmp_path: Path) -> None:
    path = LIBRARY / "src/sovereign_ml/jurisdictions/s3_presets.toml"
    presets = tomllib.loads(path.read_text())["preset"]
    preset = next(p for p in presets if p["name"] == provider)
    dvc = (bake(tmp_path, s3_provider=provider) / ".dvc/config").read_text()
    endpoint = re.search(r"endpointurl = (\S+)", dvc)
    region = re.search(r"region = (\S+)", dvc)
    assert endpoint and region
    if "endpoint" in preset:
        places = {
            preset["endpoint"].replace("{region}", place): place for place in preset["regions"]
        }
        place = places[endpoint[1]]
        assert region[1] == preset.get("signing", {}).get(place, place)
    else:
        assert endpoint[1].split(".", 1)[1] == preset["own_endpoint"].split(".", 1)[1]


OF_A_FORGE = (".gitlab-ci.yml", ".gitlab", ".forgejo", ".github")


def test_from_a_zip_programs_can_start_and_no_forge_means_no_ci_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Some tools write archives that do not say which files are programs."""
    template, archive = template_copy(), tmp_path / "template.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in (template, *sorted(template.rglob("*"))):
            name = f"{path.relative_to(template.parent)}{'/' * path.is_dir()}"
            packed.writestr(name, _content(path))
    root = Path(
        cookiecutter(
            str(archive),
            no_input=True,
            output_dir=str(tmp_path / "from zip"),
            extra_context={"forge": "none"},
        )
    )
    assert not [name for name in OF_A_FORGE if (root / name).exists()]
    programs = {
        path.name
        for path in (root / "infra").iterdir()
        if path.is_file() and path.stat().st_mode & 0o100
    }
    assert programs == {"check-images", "make-secrets", "up"}
    assert not (root / ".cruft.json").exists(), "a zip does not know its commit"
    assert "there is no .cruft.json" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("https://ada:p@ss@forge.example/t.git", "https://forge.example/t.git"),
        ("https://token@forge.example/t.git", "https://forge.example/t.git"),
        ("https://forge.example/t@v1.git", "https://forge.example/t@v1.git"),
        ("ssh://git@forge.example/t.git", "ssh://git@forge.example/t.git"),
        ("ssh://git:p@ss@forge.example:22/t.git", "ssh://git@forge.example:22/t.git"),
        ("git+https://token@forge.example/t.git", "git+https://forge.example/t.git"),
        ("git@forge.example:t.git", "git@forge.example:t.git"),
    ],
)
def test_no_part_of_a_password_stays_in_the_address_of_the_template(
    address: str, kept: str
) -> None:
    """The pattern is read from the hook, which only cookiecutter can run as a whole."""
    hook = (ROOT / "hooks/post_gen_project.py").read_text(encoding="utf-8")
    ((pattern, replacement),) = re.findall(r're\.sub\(r"([^"]+)", r"([^"]+)", address\)', hook)
    assert re.sub(pattern, replacement, address) == kept


def _content(path: Path) -> bytes:
    return b"" if path.is_dir() else path.read_bytes()


@pytest.mark.parametrize(
    ("licence", "words"),
    [
        ("proprietary", "Acme GmbH. All rights reserved"),
        ("Apache-2.0", "Apache License"),
        ("EUPL-1.2", "European Union Public Licence"),
        ("GPL-3.0-only", "GNU GENERAL"),
    ],
)
def test_each_licence_is_a_whole_text(licence: str, words: str, tmp_path: Path) -> None:
    root = bake(tmp_path, licence=licence)
    text = (root / "LICENSE").read_text()
    assert words in text
    assert not (root / ".licences").exists()
    stated = tomllib.loads((root / "REUSE.toml").read_text())["annotations"]
    named = {entry["SPDX-License-Identifier"] for entry in stated}
    assert {path.stem for path in (root / "LICENSES").iterdir()} == named
    assert (root / "LICENSES" / f"{stated[0]['SPDX-License-Identifier']}.txt").read_text() == text


BAD = [
    ("project_slug", "Acme"),
    ("project_slug", "acme_churn"),
    ("project_slug", "acme--churn"),
    ("project_slug", "1acme"),
    ("project_slug", "../acme"),
    ("project_slug", "a" * 51),
    ("project_name", 'Acme "Churn"'),
    ("project_name", ""),
    ("organisation", "Acme\\GmbH"),
    ("organisation", "{{ 7 }}{"),
    ("organisation", "   "),
    ("organisation", "Acme GmbH "),
    ("organisation", "Acme\x7fGmbH"),
    ("organisation", "Acme\u2028GmbH"),
    ("project_name", "\u00a0"),
    ("project_name", "Acme \u202echurn"),
    ("contact", "nobody"),
    ("contact", "a@b..eu"),
    ("contact", "two@example.eu, three@example.eu"),
    ("dpo_contact", "dpo at example.eu"),
    ("contact", "#team@example.eu"),
    ("dpo_contact", "data#protection@example.eu"),
    ("s3_bucket", "My_Bucket"),
    ("s3_bucket", "ab"),
    ("s3_bucket", "acme..churn"),
    ("s3_bucket", "acme.-churn"),
    ("s3_bucket", "192.168.5.4"),
    ("parts", ""),
    ("parts", "infra helm"),
    ("parts", "none infra"),
    ("parts", "Infra"),
]


@pytest.mark.parametrize(("key", "value"), BAD)
def test_a_bad_answer_is_refused_in_one_sentence_and_nothing_is_left(
    key: str, value: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(FailedHookException):
        bake(tmp_path, **({"project_slug": "fine", "s3_bucket": "fine"} | {key: value}))
    said = [line for line in capfd.readouterr().err.splitlines() if line]
    assert said[0].startswith(f"{key} is ")
    assert "it must be" in said[0]
    assert list(tmp_path.iterdir()) == []


def test_all_bad_answers_are_in_one_refusal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(FailedHookException):
        bake(tmp_path, contact="nobody", dpo_contact="nobody", s3_bucket="..")
    said = capfd.readouterr().err
    assert all(f"{key} is " in said for key in ("contact", "dpo_contact", "s3_bucket"))


NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters='"\\{}'),
    min_size=1,
    max_size=80,
)


@example("Kündigungs-Prognose")
@example("R&D Churn")
@example("Dan's Churn")
@example("Churn / Retention 2.0")
@example("2nd attempt")
@example("♥")
@example("a")
@example("A very long name " * 4)
@given(NAMES)
def test_every_accepted_name_has_an_accepted_slug_and_bucket(name: str) -> None:
    environment = StrictEnvironment(context={"cookiecutter": {}})
    answers = {"project_name": name}
    for key, pattern in (
        ("project_slug", r"(?=.{1,50}$)[a-z][a-z0-9]*(-[a-z0-9]+)*"),
        ("s3_bucket", r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]"),
    ):
        answers[key] = environment.from_string(ANSWERS[key]).render(cookiecutter=answers)
        assert re.fullmatch(pattern, answers[key]), answers


def test_a_folder_with_files_in_it_is_refused_and_left_alone(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "acme-churn/src/churn/crm.py"
    own.parent.mkdir(parents=True)
    own.write_text("ours")
    with pytest.raises(FailedHookException):
        bake(tmp_path, True)
    assert "has files in it" in capfd.readouterr().err
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files == [own]
    assert own.read_text() == "ours"


def test_what_a_user_ignores_everywhere_is_in_the_first_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ignored = tmp_path / "ignored"
    ignored.write_text("*.lock\n*.whl\nvendor/\ndocs/\n.dvc*\n.env*\n*.toml\n")
    config = tmp_path / "gitconfig"
    config.write_text(f"[core]\nexcludesFile = {ignored}\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    root = bake(tmp_path / "out")
    command = ["git", "-C", str(root), "ls-files"]
    committed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    files = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    assert set(committed.splitlines()) == {name for name in files if not name.startswith(".git/")}


@pytest.mark.parametrize("name", ["Churn in C# with spark", "Deals # with infra and more"])
def test_a_name_that_reads_like_a_mark_of_a_part_stays(name: str, tmp_path: Path) -> None:
    root = bake(tmp_path, project_name=name, parts="none")
    assert (root / "README.md").read_text().startswith(f"# {name}\n")


REFUSING_GIT = {
    "a signature without a key": "[commit]\ngpgsign = true\n[gpg]\nprogram = /bin/false\n",
    "a hook that says no": "[core]\nhooksPath = {folder}\n",
}


@pytest.mark.parametrize("setting", REFUSING_GIT.values(), ids=REFUSING_GIT)
def test_where_git_refuses_the_commit_the_project_stays(
    setting: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    hook = tmp_path / "hooks/prepare-commit-msg"
    hook.parent.mkdir()
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    config = tmp_path / "gitconfig"
    config.write_text(setting.format(folder=hook.parent))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    root = bake(tmp_path / "out")
    said = capfd.readouterr()
    assert "git commit refused" in said.err
    assert "is ready. Next:" in said.out
    assert (root / "src/churn/contract.py").is_file()


def test_the_notebooks_of_a_render_pass_its_hook_unchanged(project: Project) -> None:
    notebooks = list((project.root / "notebooks").glob("*.ipynb"))
    assert notebooks
    project.run("nbstripout", *map(str, notebooks))
    assert project.run("git", "status", "--porcelain").stdout == ""


@pytest.mark.parametrize("lock", ["train", "serve", "dev"])
def test_what_builds_a_package_from_source_is_held_to_hashes_too(
    lock: str, project: Project
) -> None:
    said = project.run("make", "--dry-run", "VENV=new", f"new/.{lock}").stdout
    assert f"--build-constraints requirements/{lock}.lock" in said


def test_newer_locks_are_asked_of_uv_for_all_packages_or_for_one(project: Project) -> None:
    stays, newer, one = (
        project.make("--dry-run", *words).stdout
        for words in (["lock"], ["upgrade-locks"], ["upgrade-locks", "PACKAGE=urllib3"])
    )
    assert "--upgrade" not in stays
    assert "--upgrade " in newer
    assert "--upgrade-package 'urllib3'" in one


def test_inside_a_repository_no_second_one_is_made(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    root = bake(tmp_path)
    assert not (root / ".git").exists()
    assert "no commit was made" in capfd.readouterr().err


@pytest.mark.parametrize("fault", ["broken", "of another owner"])
def test_in_a_repository_that_git_does_not_read_no_second_one_is_made(
    fault: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    if fault == "broken":
        (tmp_path / ".git/HEAD").write_text("nonsense")
    elif os.getuid():
        pytest.skip("only root can give files to somebody else")
    else:
        os.chown(tmp_path, 1234, 1234)
        os.chown(tmp_path / ".git", 1234, 1234)
    root = bake(tmp_path)
    assert not (root / ".git").exists()
    assert "lies in a repository that git does not read" in capfd.readouterr().err


def test_a_render_leaves_another_repository_of_the_environment_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Render as a hook of git does, or a shell that was set up for another repository."""
    other = tmp_path / "other"
    subprocess.run(["git", "init", "--quiet", str(other)], check=True)
    before = {path: path.stat().st_size for path in sorted(other.rglob("*"))}
    template = template_copy()
    for name in ELSEWHERE:
        monkeypatch.setenv(name, str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git/index"))
    root = Path(cookiecutter(str(template), no_input=True, output_dir=str(tmp_path / "out")))
    assert {path: path.stat().st_size for path in sorted(other.rglob("*"))} == before
    for name in ELSEWHERE:
        monkeypatch.delenv(name)
    command = ["git", "-C", str(root), "log", "--format=%s"]
    log = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert log.splitlines() == ["Start from sovereign-ml-template"]


def test_rendering_asks_the_network_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError(f"rendering asked for {arguments}")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert bake(tmp_path).is_dir()
    for hook in (ROOT / "hooks").iterdir():
        assert not re.search(r"urllib|requests|http|socket|curl|wget|\bpip\b", hook.read_text()), (
            hook.name
        )


def test_every_question_has_a_sentence() -> None:
    asked = [key for key in ANSWERS if not key.startswith("_")]
    for key in asked:
        prompt = ANSWERS["__prompts__"][key]
        sentence = prompt["__prompt__"] if isinstance(prompt, dict) else prompt
        assert len(sentence.split()) > 4, key
        if isinstance(ANSWERS[key], list):
            assert set(prompt) - {"__prompt__"} == set(ANSWERS[key]), key
