"""A hostile morning: what stands in people's environments and paths must not reach `make setup`.

Python, pip, uv and `churn` are doubles here. Each notes its arguments and its environment, so that
the Makefile alone is tested, in a second instead of minutes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from bake import PROJECT, ROOT

DOUBLE = """#!/bin/sh
# Stands for python3, the python of an environment, uv and churn; one starts what the next needs.
[ "$1" != -ISc ] || exit 0  # whether it is still the Python of its packages
{ printf '\\001%s\\002%s\\002%s\\002' "${0##*/}" "$*" "$(pwd -P)"; env -0; } >> "@NOTES@"
for last; do :; done
case "$*" in
  *"-m venv"*) mkdir -p "$last/bin"; cp "$0" "$last/bin/python" ;;
  *"-m pip install"*) cp "$0" "${0%/*}/uv" ;;
  *"pip install"*-e*) cp "$0" "${0%/*}/churn" ;;
esac
"""
PLACES = ["acme churn", "Größe & Łódź", "it's ours", 'our "shop"', "$HOME `id` ;#1", "a\\b*[c]"]
ELSEWHERE = {
    **{
        "UV_SYSTEM_PYTHON": "1",
        "UV_PYTHON": "3.9",
        "UV_PROJECT_ENVIRONMENT": "/x",
        "UV_TARGET": "/x",
    },
    **{
        "UV_REQUIRE_HASHES": "0",
        "UV_NO_VERIFY_HASHES": "1",
        "UV_CONSTRAINT": "/x",
        "UV_OVERRIDE": "/x",
    },
    **{"UV_EXCLUDE_NEWER": "2001-01-01", "UV_PRERELEASE": "allow", "UV_RESOLUTION": "lowest"},
    **{
        "PIP_TARGET": "/x",
        "PIP_USER": "1",
        "PIP_PREFIX": "/x",
        "PIP_ROOT": "/x",
        "PIP_DRY_RUN": "1",
    },
    **{
        "PIP_REQUIRE_VIRTUALENV": "1",
        "PIP_CONSTRAINT": "/x",
        "PIP_NO_BINARY": ":all:",
        "PIP_PYTHON": "/x",
    },
    **{"PYTHONHOME": "/x", "PYTHONUSERBASE": "/x", "PYTHONSTARTUP": "/x", "PYTHONOPTIMIZE": "2"},
    **{
        "PYTHONWARNINGS": "error",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONINSPECT": "1",
        "PYTHONSAFEPATH": "1",
    },
    **{"PYTHONIOENCODING": "ascii", "PYTHONPLATLIBDIR": "x", "PYTHONEXECUTABLE": "/x"},
    **{
        "GIT_DIR": "/x",
        "GIT_WORK_TREE": "/x",
        "GIT_INDEX_FILE": "/x",
        "GIT_OBJECT_DIRECTORY": "/x",
    },
    "CDPATH": "/tmp:/",
}
"""Variables that would install something else, somewhere else, or start something else."""
SOURCES = {
    **{
        "UV_DEFAULT_INDEX": "https://index.acme.example",
        "UV_OFFLINE": "1",
        "UV_CACHE_DIR": "/cache",
    },
    **{
        "UV_INDEX_ACME_USERNAME": "u",
        "UV_HTTP_TIMEOUT": "9",
        "UV_INSECURE_HOST": "index.acme.example",
    },
    **{"PIP_INDEX_URL": "https://index.acme.example", "PIP_CERT": "/ca", "PIP_NO_INDEX": "1"},
    **{
        "PIP_EXTRA_INDEX_URL": "https://other.acme.example",
        "PIP_CONFIG_FILE": "/c",
        "PIP_PROXY": "p",
    },
    **{"SSL_CERT_FILE": "/ca", "HTTPS_PROXY": "http://proxy.acme.example", "PYTHONUTF8": "1"},
}
"""Variables that say where packages come from and how they get here: companies need them."""
SWITCHES = {"VENV": "/x", "DATA": "/x", "BIN": "/x", "PYTHON": "/x", "INSTALL": "false"}


@dataclass(frozen=True)
class Call:
    """What a double noted of one call."""

    program: str
    arguments: str
    folder: str
    environment: dict[str, str] = field(repr=False)


class Morning:
    """A project with doubles on its PATH."""

    def __init__(self, root: Path, tools: Path) -> None:
        self.root, self.notes = root, tools / "notes"
        double = tools / "bin/python3"
        double.parent.mkdir(parents=True, exist_ok=True)
        double.write_text(DOUBLE.replace("@NOTES@", str(self.notes)))
        double.chmod(0o755)
        path = f"{double.parent}{os.pathsep}/usr/bin{os.pathsep}/bin"
        self.environment = {"PATH": path, "HOME": str(tools)}

    def make(self, *words: str, umask: int = 0o022) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["make", "--no-print-directory", *words],
            cwd=self.root,
            env=self.environment,
            umask=umask,
            capture_output=True,
            text=True,
            check=False,
        )

    def calls(self) -> list[Call]:
        """Return what was called since the last time."""
        text = self.notes.read_text(encoding="utf-8") if self.notes.exists() else ""
        self.notes.unlink(missing_ok=True)
        calls = []
        for part in text.split("\1")[1:]:
            program, arguments, folder, environment = part.split("\2", 3)
            pairs = (line.partition("=") for line in environment.split("\0") if line)
            calls.append(Call(program, arguments, folder, {k: v for k, _, v in pairs}))
        return calls


def programs(calls: list[Call]) -> list[str]:
    return [call.program for call in calls]


@pytest.fixture
def morning(rendered: Path, tmp_path: Path) -> Morning:
    root = tmp_path / "work/acme-churn"
    shutil.copytree(rendered, root, ignore=shutil.ignore_patterns(".git"))
    return Morning(root, tmp_path / "tools")


ALL = ["python3", "python3", "python", "uv", "uv", "churn"]
"""Version, venv, pip for uv, uv for the locked packages, uv for the project, and the flow."""


def test_no_variable_of_the_morning_reaches_what_installs_and_runs(morning: Morning) -> None:
    morning.environment |= ELSEWHERE | SOURCES | SWITCHES
    done = morning.make("run")
    assert done.returncode == 0, done.stderr
    calls = morning.calls()
    assert programs(calls) == ALL
    for call in calls:
        assert not set(call.environment) & set(ELSEWHERE), call
        assert {k: call.environment.get(k) for k in SOURCES} == SOURCES, call
        assert call.folder == str(morning.root)
        assert "/x" not in call.arguments
    assert all(call.arguments.startswith("-I ") for call in calls[:3]), "PYTHONPATH counts for none"


@pytest.mark.parametrize("place", PLACES)
def test_a_project_under_any_path_is_set_up_in_its_own_folder_once(
    morning: Morning, place: str, tmp_path: Path
) -> None:
    parent = tmp_path / place
    parent.mkdir()
    morning.root = morning.root.rename(parent / "acme-churn")
    for expected in (ALL, ["churn"]):
        done = morning.make("run")
        assert done.returncode == 0, done.stderr
        calls = morning.calls()
        assert programs(calls) == expected
        assert {call.folder for call in calls} == {str(morning.root)}
    assert (morning.root / ".venv/.place").read_text() == f"{morning.root}\n"
    assert {path.name for path in tmp_path.iterdir()} == {"work", "tools", place}


@pytest.mark.parametrize("place", ["50% off", "a:b", "why?"])
def test_a_path_in_which_nothing_can_work_is_refused_before_anything_is_made(
    morning: Morning, place: str, tmp_path: Path
) -> None:
    morning.root = morning.root.rename(tmp_path / place)
    done = morning.make("run")
    assert done.returncode == 2
    assert "This folder has %, : or ? in its path" in done.stderr
    assert morning.calls() == []
    assert not (morning.root / ".venv").exists()


@pytest.mark.parametrize("words", [["-j8", "-k"], ["-B"], ["-r", "-R", "-s"]], ids=str)
def test_make_from_another_folder_and_in_parallel_does_the_same(
    morning: Morning, words: list[str]
) -> None:
    root, morning.root = morning.root, morning.root.parents[1]
    morning.environment |= {"LC_ALL": "tr_TR.UTF-8", "TMPDIR": "/no such/dir", "VIRTUAL_ENV": "/x"}
    done = morning.make(*words, "-C", str(root), "run")
    assert done.returncode == 0, done.stderr
    calls = morning.calls()
    assert programs(calls) == ALL
    assert {call.folder for call in calls} == {str(root)}


OTHER_PYTHON = """#!/bin/sh
# A Python of another version, as far as it says itself.
echo called >> "@NOTES@"
shift 2
code=$1; shift
own="import sys; sys.version_info = (@VERSION@); exec(sys.argv.pop(1))"
exec "@PYTHON@" -I -c "$own" "$code" "$@"
"""


@pytest.mark.parametrize("folder", [PROJECT, ROOT], ids=["project", "template"])
@pytest.mark.parametrize("version", ["2, 7, 18", "3, 1, 5", "3, 10, 14", "3, 15, 0", "4, 0, 0"])
def test_a_python_that_the_locks_do_not_cover_is_refused_before_anything_is_installed(
    version: str, folder: Path, tmp_path: Path
) -> None:
    shutil.copy(folder / "Makefile", tmp_path)
    shutil.copytree(PROJECT / "requirements", tmp_path / "requirements")
    for name in ("requirements/demo.lock", "pyproject.toml"):
        (tmp_path / name).touch()
    shutil.copytree(PROJECT / "requirements", tmp_path / PROJECT.name / "requirements")
    morning = Morning(tmp_path, tmp_path / "tools")
    text = OTHER_PYTHON.replace("@VERSION@", f"{version}, 'final', 0").replace(
        "@PYTHON@", sys.executable
    )
    (tmp_path / "tools/bin/python3").write_text(text.replace("@NOTES@", str(morning.notes)))
    before = set(tmp_path.iterdir())
    done = morning.make("setup" if folder == PROJECT else "environment")
    assert done.returncode == 2
    seen = ".".join(version.split(", ")[:2])
    first, *others = done.stderr.splitlines()
    assert first == (
        f"Python {seen} is not covered by the locks, which are for 3.11, 3.12, 3.13, 3.14: "
        "call make with PYTHON=python3.12"
    )
    assert [line.split(":")[0] for line in others] == ["make"]
    assert morning.notes.read_text() == "called\n", "once, and no installation"
    assert set(tmp_path.iterdir()) == before


def test_pyproject_and_makefiles_name_the_same_pythons(rendered: Path) -> None:
    limits = tomllib.loads((rendered / "pyproject.toml").read_text())["project"]["requires-python"]
    every = [f"3.{minor}" for minor in range(8, 30)]
    covered = [version for version in every if Version(f"{version}.1") in SpecifierSet(limits)]
    for makefile in (rendered / "Makefile", ROOT / "Makefile"):
        assert f"PYTHONS := {' '.join(covered)}\n" in makefile.read_text()


@pytest.mark.parametrize("how", ["copied", "moved", "through a link"])
def test_a_copied_or_moved_project_is_set_up_anew_and_a_link_is_the_same_place(
    morning: Morning, how: str, tmp_path: Path
) -> None:
    assert morning.make("setup").returncode == 0
    before, again = morning.calls(), tmp_path / "again"
    if how == "copied":
        shutil.copytree(morning.root, again)
    elif how == "moved":
        morning.root.rename(again)
    else:
        again.symlink_to(morning.root)
    morning.root = again
    assert morning.make("setup").returncode == 0
    calls = morning.calls()
    if how == "through a link":
        assert calls == []
    else:
        assert programs(calls) == programs(before)
        assert "--clear" in calls[1].arguments


@pytest.mark.parametrize("after", ["removed", "of another version"])
def test_an_environment_whose_python_went_with_an_update_of_the_system_is_made_anew(
    morning: Morning, after: str
) -> None:
    assert morning.make("setup").returncode == 0
    before, python = morning.calls(), morning.root / ".venv/bin/python"
    python.unlink()
    if after == "removed":
        python.symlink_to("/no such folder/python3.11")
    else:  # /usr/bin/python3 is 3.13 now, and the packages are in lib/python3.9
        (morning.root / ".venv/lib/python3.9/site-packages").mkdir(parents=True)
        python.symlink_to(sys.executable)
    # venv takes the link away, which its double does not.
    tool = morning.root.parents[1] / "tools/bin/python3"
    tool.write_text(tool.read_text().replace("mkdir -p", 'rm -f "$last/bin/python"; mkdir -p'))
    assert morning.make("setup").returncode == 0
    calls = morning.calls()
    assert programs(calls) == programs(before)
    assert "--clear" in calls[1].arguments
    assert morning.make("setup").returncode == 0
    assert morning.calls() == []


def test_what_no_lock_in_use_names_any_more_is_removed(morning: Morning) -> None:
    """uv pip sync removes what its files do not name; the project itself is in none of them."""

    def installed(target: str, changed: str = "") -> list[str]:
        if changed:
            (morning.root / "requirements" / changed).touch()
        assert morning.make(target).returncode == 0
        calls = [call.arguments for call in morning.calls() if call.program == "uv"]
        assert all(call.startswith("pip sync") for call in calls[::2])
        assert all(call.startswith("pip install") and "-e ." in call for call in calls[1::2])
        return [
            " ".join(word for word in call.split("sovereign-ml ")[1].split() if word[0] != "-")
            for call in calls[::2]
        ]

    locks = {name: f"requirements/{name}.lock" for name in ("dev", "serve", "train", "uv")}
    assert installed("setup") == ["{train} {uv} {train}".format(**locks)]
    both = "{dev} {train} {uv} {dev} {train}".format(**locks)
    assert installed(".venv/.dev") == [both]
    # The packages of the tests stay, and the stamp of the tests is older than that of training.
    assert installed("setup", "train.lock") == [both]
    every = "{dev} {serve} {train} {uv} {dev} {serve} {train}".format(**locks)
    assert installed(".venv/.serve") == [every]


NAMES = ["a b.csv", 'Müller & "Söhne".csv', "it's.csv", "$HOME.csv", "a$(id)`id`.csv", "#;\\*.csv"]


@pytest.mark.parametrize("name", NAMES)
def test_the_value_of_a_switch_reaches_the_command_as_it_was_given(
    morning: Morning, name: str
) -> None:
    done = morning.make("run", f"DATA={name}", f"CUSTOMERS={name}")
    assert done.returncode == 0, done.stderr
    assert morning.calls()[-1].arguments == f"run --data {name} --customers-file {name}"
    done = morning.make("upgrade", f"WHEEL={name}")
    assert morning.calls()[-1].arguments.strip() == f"library upgrade {name}"


@pytest.mark.parametrize("umask", [0o077, 0o027, 0o000], ids=oct)
@pytest.mark.parametrize("home", [None, "", "/no such folder"])
def test_neither_home_nor_umask_stops_it(morning: Morning, umask: int, home: str | None) -> None:
    del morning.environment["HOME"]
    if home is not None:
        morning.environment["HOME"] = home
    done = morning.make("run", umask=umask)
    assert done.returncode == 0, done.stderr
    assert programs(morning.calls()) == ALL
    assert oct((morning.root / ".venv").stat().st_mode & 0o777) == oct(0o777 & ~umask)


@pytest.mark.parametrize("step", range(1, 5))
def test_a_setup_that_was_cut_off_is_finished_and_never_taken_for_done(
    morning: Morning, step: int
) -> None:
    """A full disk or Ctrl-C at each call: the next `make run` does what is missing."""
    double = morning.root.parents[1] / "tools/bin/python3"
    whole = double.read_text()
    stop = f'[ "$(tr -cd "\\001" < "{morning.notes}" | wc -c)" -ne {step + 1} ] || exit 9\n'
    double.write_text(whole.replace("for last;", f"{stop}for last;"))
    assert morning.make("run").returncode != 0
    stopped = morning.calls()
    assert programs(stopped) == ALL[: step + 1]
    double.write_text(whole)
    for name in ("python", "uv"):
        if (path := morning.root / ".venv/bin" / name).exists():
            path.write_text(whole)
    assert morning.make("run").returncode == 0
    calls = morning.calls()
    assert calls[-1].program == "churn"
    assert any("--require-hashes -r" in call.arguments for call in [*stopped[:-1], *calls])
    assert [call.program for call in calls if "-e ." in call.arguments] == ["uv"]
