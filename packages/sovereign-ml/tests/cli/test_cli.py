"""`churn`: fast help, one line and the right exit code for what goes wrong."""

import re
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from small_project import churn, configure, environment
from sovereign_ml.cli import main
from sovereign_ml.errors import Misuse
from sovereign_ml.project import STANDARD_STEPS

New = Callable[..., Path]
HEAVY = "numpy pandas mlflow feast sklearn great_expectations kfp dvc duckdb matplotlib fairlearn skops bentoml scipy"


@pytest.mark.parametrize(("arguments", "code"), [(["--help"], 0), (["no-such-command"], 2)])
def test_native_clean_up_cannot_abort_a_command_that_is_done(
    arguments: list[str], code: int
) -> None:
    script = (
        "import ctypes, sys; c = ctypes.CDLL(None); c.on_exit(c.abort, None)\n"
        "from sovereign_ml.cli import main as cli\n"
        f"sys.argv = ['churn', *{arguments!r}]; cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert done.returncode == code, done.stderr
    assert done.stdout or done.stderr


@pytest.mark.parametrize(
    ("arguments", "code"), [(["--help"], 0), (["no-such-command"], 2), (["check"], 2)]
)
def test_a_command_that_tests_fork_answers_like_one_from_scratch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int
) -> None:
    forked = churn(tmp_path, *arguments)
    monkeypatch.setenv("COLD", "1")
    started = churn(tmp_path, *arguments)
    assert forked.returncode == started.returncode == code
    assert (forked.stdout, forked.stderr) == (started.stdout, started.stderr)


def test_steps_that_fit_nothing_load_none_of_the_heavy_libraries(tmp_path: Path) -> None:
    """Each step is a process of its own and pays for its imports again."""
    script = (
        "import sys; from churn.project import PROJECT as p; import sovereign_ml.cli.main\n"
        "from sovereign_ml.cli import console; from sovereign_ml.pipeline import flow\n"
        "for verb in ('data', 'card', 'register', 'score'): p.function(p.step(verb))\n"
        f"print(*(n for n in {HEAVY.split()!r} if n in sys.modules and n != 'numpy'))"
    )
    env = environment(tmp_path / "none")
    done = subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_help_loads_none_of_the_heavy_libraries(tmp_path: Path) -> None:
    script = (
        "import sys; from sovereign_ml.cli import main as cli; sys.argv = ['churn', '--help']\n"
        "try: cli.main()\n"
        f"finally: print(*(n for n in {HEAVY.split()!r} if n in sys.modules), file=sys.stderr)"
    )
    env = environment(tmp_path / "none")
    done = subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.strip()) == (0, "")
    for verb in (
        "data",
        "validate",
        "features",
        "train",
        "evaluate",
        "card",
        "register",
        "score",
        "run",
    ):
        assert f" {verb} " in done.stdout
    lines = done.stdout.splitlines()
    assert len(lines) <= 48, "the list of commands has to fit on one screen"
    cells = [line for line in lines if line.startswith("│")]
    assert not [line for line in cells if line.startswith("│    ")], "one line each"


def test_a_misuse_is_one_line_and_exit_code_2(new_project: New) -> None:
    root = new_project({"train.knotts": 1})
    done = churn(root, "train")
    assert done.returncode == 2
    assert done.stderr == "Error: config.toml has no key 'train.knotts'. Did you mean 'knots'?\n"
    assert done.stdout == ""


def test_a_step_without_its_input_names_the_command_to_run(new_project: New) -> None:
    done = churn(new_project(), "validate")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "run `churn data` first" in done.stderr


def test_a_command_outside_a_project_says_where_to_go(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    done = churn(tmp_path / "elsewhere", "data")
    assert done.returncode == 2
    assert done.stderr.startswith("Error: No config.toml in ")


@pytest.mark.parametrize(
    "arguments", [("nonsense",), ("data", "--customers", "0"), ("data", "--nonsense")]
)
def test_a_wrong_call_is_exit_code_2(new_project: New, arguments: tuple[str, ...]) -> None:
    done = churn(new_project(), *arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_the_profile_eu_refuses_example_values_from_the_command_line(new_project: New) -> None:
    done = churn(new_project(), "data", "--profile", "eu")
    assert done.returncode == 2
    assert "Profile 'eu' still holds example values" in done.stderr


def test_a_folder_that_cannot_be_written_is_one_line(new_project: New) -> None:
    root = new_project({"data.synthetic.customers": 50})
    configure(root, {"paths.raw": "config.toml/1_raw"})
    done = churn(root, "data")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "Cannot write" in done.stderr


def test_the_step_says_what_it_did_on_one_plain_line(new_project: New) -> None:
    root = new_project()
    done = churn(root, "data", "--customers", "60")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1 data ")
    assert done.stdout.count("\n") == 1
    assert "\x1b" not in done.stdout
    assert " read = " in done.stdout


def test_the_pseudonym_of_an_id_is_the_one_in_the_data(new_project: New) -> None:
    root = new_project()
    first, again = (
        churn(root, "data-subject", "pseudonym", " C0000001 "),
        churn(root, "data-subject", "pseudonym", "C0000001"),
    )
    assert first.stdout == again.stdout
    assert len(first.stdout.strip()) == 32


def test_help_is_little_more_work_than_loading_what_prints_it(tmp_path: Path) -> None:
    """Processor time against that of a bare import in the same minute: a slow or busy machine slows both."""
    helped = [str(Path(sys.executable).with_name("churn")), "--help"]
    bare = [sys.executable, "-c", "import pydantic, rich.console, rich.table, typer"]
    env = environment(tmp_path / "none")
    seconds = {
        name: min(_work(command, env) for _ in range(3))
        for name, command in (("help", helped), ("bare", bare))
    }
    assert seconds["help"] < 3 * seconds["bare"], seconds


def _work(command: list[str], env: dict[str, str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=env, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_no_help_text_loses_a_word_that_the_terminal_takes_for_markup() -> None:
    import typer

    from sovereign_ml.cli.main import application

    def texts(command: Any) -> Iterator[str]:
        yield command.help or ""
        yield from (getattr(parameter, "help", "") or "" for parameter in command.params)
        for child in getattr(command, "commands", {}).values():
            yield from texts(child)

    found = list(texts(typer.main.get_command(application())))
    assert len(found) > 100
    assert [text for text in found if re.search(r"\[[a-z]", text)] == []


def code(folder: Path, text: str = "") -> Path:
    """Write the smallest package of a project, ``shop``, into ``folder``; return that."""
    (folder / "shop").mkdir(parents=True)
    (folder / "shop/__init__.py").write_text(text)
    project = 'Project(package="shop", tables={}, features=(), target="left")'
    (folder / "shop/project.py").write_text(
        f"from sovereign_ml.project import Project\nPROJECT = {project}\n"
    )
    return folder


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project of the package ``shop``."""
    root = tmp_path / "it's ours"
    code(root / "src")
    (root / "pyproject.toml").write_text('[tool.sovereign-ml]\nproject = "shop.project:PROJECT"\n')
    (root / "config.toml").touch()
    yield root
    for name in [name for name in sys.modules if name.partition(".")[0] == "shop"]:
        del sys.modules[name]


def linked(root: Path) -> Path:
    place = root.parent / "link"
    place.symlink_to(root)
    return place / "src"


RIGHT: dict[str, Callable[[Path], Path]] = {
    "its own folder": lambda root: root / "src",
    "through a link": linked,
    "an installed copy": lambda root: code(root.parent / "lib/site-packages"),
}
WRONG: dict[str, Callable[[Path], Path]] = {
    "a project beside it": lambda root: code(root.parent / "other/src", "# Another shop.\n"),
    "a copy of the project": lambda root: code(root.parent / "copy/src"),
    "an installed copy that is old": lambda root: code(root.parent / "site-packages", "OLD = 1\n"),
    "a folder whose name starts the same": lambda root: code(root.parent / "it's ours/src2"),
}


@pytest.mark.parametrize("place", RIGHT)
def test_the_code_of_this_folder_is_run(
    shop: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.syspath_prepend(RIGHT[place](shop))
    assert main._steps(shop, ["run"]) == STANDARD_STEPS
    monkeypatch.chdir(shop)
    assert main._steps(Path(), ["run"]) == STANDARD_STEPS


@pytest.mark.parametrize("place", WRONG)
def test_the_code_of_another_folder_is_refused_in_one_line(
    shop: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Two projects side by side with one environment, as on every shared machine."""
    other = WRONG[place](shop)
    monkeypatch.syspath_prepend(other)
    monkeypatch.chdir(shop)
    with pytest.raises(Misuse) as refused:
        main._steps(Path(), ["run"])
    told = str(refused.value)
    assert f"{shop / 'src/shop'}, but `shop` was imported from {other / 'shop'}" in told
    assert "make setup" in told and "\n" not in told
    assert main._steps(Path(), ["run", "--help"]) == STANDARD_STEPS
