"""An upgrade replaces one wheel and one pin per lock, or changes nothing and says why."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sovereign_ml.cli.library import app
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.supply_chain.lockfile import library_extras, library_pin, pins, read_lock
from sovereign_ml.supply_chain.upgrade import rebuild_matches, upgrade, vendored
from sovereign_ml.supply_chain.wheel import read_wheel
from wheels import FILES, write_wheel

REPOSITORY = Path(__file__).resolve().parents[4]
REQUIRES = ("numpy>=2.2", 'feast[redis]>=0.67; extra == "train"', 'bentoml>=1; extra == "service"')
LOCK = """\
feast==0.67.0 ; python_full_version < '3.12' \\
    --hash=sha256:{zeros}
    # via sovereign-ml
feast==0.68.1 ; python_full_version >= '3.12' \\
    --hash=sha256:{zeros} \\
    --hash=sha256:{zeros}
    # via sovereign-ml
numpy==2.3.0 \\
    --hash=sha256:{zeros}
    # via
    #   feast
    #   sovereign-ml
sovereign-ml=={version} \\
    --hash=sha256:{digest}
    # via -r train.in
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with release 2026.11.0 in vendor/ and in two locks, and a lock without it."""
    root = tmp_path / "project"
    wheel = read_wheel(write_wheel(root / "vendor", requires=REQUIRES))
    text = LOCK.format(zeros="0" * 64, version=wheel.version, digest=wheel.sha256)
    requirements = root / "requirements"
    requirements.mkdir()
    (requirements / "train.in").write_text("# the flow\nsovereign-ml[train]>=2026.11\n")
    (requirements / "train.lock").write_text(text)
    (requirements / "dev.in").write_text("-r train.in\npytest\n")
    (requirements / "dev.lock").write_text(text)
    (requirements / "uv.lock").write_text("uv==0.9\n")
    return root


def state(project: Path) -> dict[str, bytes]:
    files = (path for path in project.rglob("*") if path.is_file())
    return {str(path.relative_to(project)): path.read_bytes() for path in files}


def test_an_upgrade_replaces_the_wheel_and_one_pin_in_each_lock(
    project: Path, tmp_path: Path
) -> None:
    new = read_wheel(write_wheel(tmp_path, "2026.12.0", requires=REQUIRES))
    before = state(project)
    changed = upgrade(project, new.path)
    after = state(project)
    names = {str(path.relative_to(project)) for path in changed}
    vendor = {f"vendor/sovereign_ml-2026.{n}.0-py3-none-any.whl" for n in (11, 12)}
    assert names == {*vendor, "requirements/dev.lock", "requirements/train.lock"}
    assert names == {name for name in before | after if before.get(name) != after.get(name)}
    assert vendored(project).read_bytes() == new.path.read_bytes()
    old_lines = before["requirements/train.lock"].splitlines()
    new_lines = after["requirements/train.lock"].splitlines()
    different = [line for old, line in zip(old_lines, new_lines, strict=True) if old != line]
    assert different == [b"sovereign-ml==2026.12.0 \\", f"    --hash=sha256:{new.sha256}".encode()]


def test_the_same_wheel_again_changes_nothing(project: Path) -> None:
    before = state(project)
    assert upgrade(project, vendored(project)) == []
    assert state(project) == before


@pytest.mark.parametrize(
    ("requires", "message"),
    [
        ("numpy>=3", "numpy>=3"),
        ("scipy>=1", "scipy>=1"),
        ('scipy>=1; extra == "train"', "scipy>=1"),
        ('feast[redis]>=0.68; extra == "train"', "feast"),
        ('feast[redis,spark]>=0.67; extra == "train"', "spark"),
    ],
)
def test_a_requirement_that_no_lock_meets_is_refused_and_named(
    project: Path, tmp_path: Path, requires: str, message: str
) -> None:
    new = write_wheel(tmp_path, "2026.12.0", requires=[requires])
    before = state(project)
    with pytest.raises(Refused, match="make lock") as error:
        upgrade(project, new)
    assert message in str(error.value) and "\n" not in str(error.value)
    assert state(project) == before
    assert [path.name for path in upgrade(project, new, relock=True)] == [
        "sovereign_ml-2026.12.0-py3-none-any.whl",
        "sovereign_ml-2026.11.0-py3-none-any.whl",
    ]


def test_a_requirement_of_an_extra_that_the_project_does_not_use_is_no_obstacle(
    project: Path, tmp_path: Path
) -> None:
    new = write_wheel(tmp_path, "2026.12.0", requires=[*REQUIRES, 'uvloop>=1; extra == "service"'])
    upgrade(project, new)
    assert vendored(project).name == new.name


@pytest.mark.parametrize(
    "line",
    [
        "backport>=1; python_version < '3.12'",
        "backport>=1; python_version >= '3.14' and extra == 'train'",
        "pywin32>=1; sys_platform == 'win32'",
        "feast>=0.68; python_version < '3.12'",
    ],
)
def test_what_another_python_or_system_needs_is_missed_too(
    project: Path, tmp_path: Path, line: str
) -> None:
    new = write_wheel(tmp_path, "2026.12.0", requires=[*REQUIRES, line])
    with pytest.raises(Refused, match=line.partition(">")[0]):
        upgrade(project, new)


def test_each_python_may_have_a_version_of_its_own(project: Path, tmp_path: Path) -> None:
    lines = ["feast>=0.68; python_version >= '3.12'", "feast<0.68; python_version < '3.12'"]
    lines += ["tomli>=1; python_version < '3.11'", "x>=1; sys_platform == 'cygwin'"]
    upgrade(project, write_wheel(tmp_path, "2026.12.0", requires=[*REQUIRES, *lines]))


def test_an_older_release_needs_a_flag(project: Path, tmp_path: Path) -> None:
    old = write_wheel(tmp_path, "2026.9.0", requires=REQUIRES)
    before = state(project)
    with pytest.raises(Refused, match=r"2026\.9\.0 is older than 2026\.11\.0"):
        upgrade(project, old)
    assert state(project) == before
    upgrade(project, old, allow_older=True)
    assert vendored(project).name == old.name


def test_a_release_does_not_change_under_its_version(project: Path, tmp_path: Path) -> None:
    other = write_wheel(tmp_path, files={**FILES, "sovereign_ml/rules.py": b"LIMIT = 9\n"})
    before = state(project)
    with pytest.raises(Refused, match="another hash"):
        upgrade(project, other)
    assert state(project) == before


def test_a_damaged_wheel_changes_nothing(project: Path, tmp_path: Path) -> None:
    new = write_wheel(tmp_path, "2026.12.0", requires=REQUIRES)
    new.write_bytes(new.read_bytes()[:-30])
    before = state(project)
    with pytest.raises(Refused):
        upgrade(project, new)
    with pytest.raises(Misuse):
        upgrade(project, tmp_path / "absent.whl")
    assert state(project) == before


@pytest.mark.parametrize("version", ["2026.11.0", "2026.12.0"])
def test_a_good_wheel_takes_the_place_of_a_damaged_one(
    project: Path, tmp_path: Path, version: str
) -> None:
    good = write_wheel(tmp_path, version, requires=["numpy>=2.2"])
    lock = project / "requirements/train.lock"
    if version == "2026.11.0":
        shutil.copy(vendored(project), good)
    vendored(project).write_bytes(b"PK\3\4 cut off")
    upgrade(project, good)
    assert vendored(project).read_bytes() == good.read_bytes()
    pin = library_pin(lock.read_text())
    assert pin is not None
    assert pin.hashes == (read_wheel(good).sha256,)


def test_the_pin_of_a_lock_with_the_line_ends_of_windows_is_replaced_as_a_whole(
    project: Path, tmp_path: Path
) -> None:
    lock = project / "requirements/train.lock"
    before = lock.read_bytes()
    new = read_wheel(write_wheel(tmp_path, "2026.12.0", requires=REQUIRES))
    lock.write_bytes(before.replace(b"\n", b"\r\n"))
    upgrade(project, new.path)
    windows = lock.read_bytes()
    assert windows.count(b"\n") == windows.count(b"\r\n") == before.count(b"\n")
    assert [pin.hashes for pin in read_lock(lock) if pin.name == "sovereign-ml"] == [(new.sha256,)]
    assert lock.read_text() == (project / "requirements/dev.lock").read_text()


def test_a_hash_in_a_remark_allows_no_file() -> None:
    text = f"one==1 --hash=sha256:{'0' * 64} # --hash=sha256:{'1' * 64}\n"
    assert [pin.hashes for pin in pins(text)] == [("0" * 64,)]


def test_a_folder_without_locks_of_the_library_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="is this a project"):
        upgrade(tmp_path, write_wheel(tmp_path, "2026.12.0"))


@pytest.mark.parametrize("call", [1, 2, 3])
def test_an_error_while_writing_leaves_everything_as_it_was(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    new = write_wheel(tmp_path, "2026.12.0", requires=REQUIRES)
    before = state(project)
    calls = []
    real = os.replace

    def replace(source: Path, target: Path) -> None:
        calls.append(target)
        if len(calls) == call:
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(OSError, match="No space left"):
        upgrade(project, new)
    assert len(calls) >= call
    assert state(project) == before


def test_the_commands_say_what_they_did(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    files = {**FILES, "sovereign_ml/rules.py": b"LIMIT = 2\n"}
    new = write_wheel(tmp_path, "2026.12.0", files, REQUIRES)
    shown = CliRunner().invoke(app, ["library", "diff", str(new)])
    assert "+LIMIT = 2" in shown.output
    result = CliRunner().invoke(app, ["library", "upgrade", str(new)])
    assert "wrote vendor/sovereign_ml-2026.12.0-py3-none-any.whl" in result.output
    assert "removed vendor/sovereign_ml-2026.11.0-py3-none-any.whl" in result.output
    assert "in place already" in CliRunner().invoke(app, ["library", "upgrade", str(new)]).output


def test_extras_are_read_through_included_files(project: Path) -> None:
    assert library_extras(project / "requirements" / "dev.in") == frozenset({"train"})
    (project / "requirements" / "other.in").write_text("sovereign-ml-tools\nsovereign\n")
    assert library_extras(project / "requirements" / "other.in") is None


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"a": "-r a.in\n"}, "a.in includes itself by -r"),
        ({"a": "-r ./a.in\n"}, "a.in includes itself by -r"),
        ({"a": "-r b.in\n", "b": "--requirement=a.in\n"}, "a.in includes itself by -r"),
        ({"a": "-r b.in\n", "b": "-r c.in\n", "c": "-r b.in\n"}, "b.in includes itself by -r"),
        ({"a": "-r gone.in\n"}, "gone.in is included by -r and not there"),
    ],
)
def test_files_that_include_each_other_are_refused(
    tmp_path: Path, files: dict[str, str], reason: str
) -> None:
    for name, text in files.items():
        (tmp_path / f"{name}.in").write_text(f"{text}sovereign-ml[train]\n")
    with pytest.raises(Refused, match=reason):
        library_extras(tmp_path / "a.in")


def test_a_file_may_be_included_twice(tmp_path: Path) -> None:
    (tmp_path / "base.in").write_text("sovereign-ml[serve]\n")
    for name in ("b", "c"):
        (tmp_path / f"{name}.in").write_text("-r base.in\n")
    (tmp_path / "a.in").write_text("-r b.in\n-r c.in\n-r base.in\n")
    assert library_extras(tmp_path / "a.in") == {"serve"}


def test_a_lock_that_names_the_library_twice_has_no_pin(project: Path) -> None:
    text = (project / "requirements" / "train.lock").read_text()
    assert library_pin(text) is not None
    assert library_pin(text + text) is None


@pytest.fixture
def tagged(tmp_path: Path) -> Path:
    """A repository with the tag v2026.11.0, as the template's own would be."""
    root = tmp_path / "template"
    names = subprocess.run(
        ["git", "ls-files", "-z", "packages"], cwd=REPOSITORY, capture_output=True, check=True
    ).stdout.decode()
    lock = "{{cookiecutter.project_slug}}/requirements/dev.lock"
    for name in [*filter(None, names.split("\0")), lock]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(REPOSITORY / name, root / name)
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.eu"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "x"], ["tag", "v2026.11.0"]):
        subprocess.run(["git", *identity, *command], cwd=root, check=True)
    return root


def test_a_rebuild_from_the_tag_has_the_hash_of_the_release(tagged: Path, tmp_path: Path) -> None:
    script = str(tagged / "packages" / "release.py")
    subprocess.run(
        [sys.executable, script, "build", str(tmp_path)], check=True, capture_output=True
    )
    wheel = next(tmp_path.glob("*.whl"))
    result = rebuild_matches(wheel, str(tagged))
    assert (result.matches, result.version) == (True, "2026.11.0")
    other = rebuild_matches(write_wheel(tmp_path / "other"), str(tagged))
    assert not other.matches
    assert "sovereign_ml/rules.py" in other.differing


def test_a_release_without_a_tag_is_refused_in_one_line(tagged: Path, tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"v2026\.12\.0") as error:
        rebuild_matches(write_wheel(tmp_path, "2026.12.0"), str(tagged))
    assert "\n" not in str(error.value)
