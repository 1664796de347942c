"""The whole flow as people run it: three ways to the same bytes, sealed, killed and resumed, pushed and pulled."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import yaml

import warm_churn
from sealing import sealed
from small_project import (
    LIBRARY,
    PROGRAMS,
    TEST_PROGRAMS,
    churn,
    commit,
    configure,
    environment,
    make_clone,
    on_a_terminal,
)
from sovereign_ml.config.settings import ENVIRONMENT
from sovereign_ml.project import STANDARD_STEPS as STEPS
from sovereign_ml.project import Step

pytestmark = pytest.mark.flow
BY_VERB = {step.verb: step for step in STEPS}
SAME = ("4_model/model.json", "5_metrics/metrics.json")
SERVED = """
import subprocess, sys, time, urllib.request
server = subprocess.Popen([sys.argv[1], "serve", "--port", "3917"])
try:
    for _ in range(600):
        try:
            urllib.request.urlopen("http://127.0.0.1:3917/readyz"); break
        except OSError:
            time.sleep(0.1)
    for page in ("/", "/openapi.json", "/reviews", "/v1/card"):
        print(page, urllib.request.urlopen("http://127.0.0.1:3917" + page).status)
finally:
    server.terminate(); server.wait()
"""


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rendered project after `churn run` where nothing can leave, committed."""
    root = make_clone(tmp_path_factory.mktemp("flow") / "acme-churn")
    done, asked = sealed(root, "churn", "run")
    assert (done.returncode, asked) == (0, {}), done.stdout + done.stderr
    commit(root, "After the first run")
    return root


@pytest.fixture(scope="module")
def reference(clone: Path) -> dict[str, bytes]:
    return {name: (clone / "data" / name).read_bytes() for name in SAME}


@pytest.fixture(scope="module")
def changed_root(tmp_path_factory: pytest.TempPathFactory, clone: Path) -> Path:
    """A second clone with all data, for tests that break things."""
    root = tmp_path_factory.mktemp("changed") / "acme-churn"
    subprocess.run(["cp", "-r", str(clone), str(root)], check=True)
    return root


def ran(root: Path) -> list[str]:
    """The verbs that `churn run` had to run."""
    done = churn(root, "run")
    assert done.returncode == 0, done.stdout + done.stderr
    return [
        line.split()[1]
        for line in done.stdout.splitlines()
        if line[:1].isdigit() and " s  " in line
    ]


def test_the_first_run_ends_with_a_table_of_every_step(clone: Path) -> None:
    done = churn(clone, "run")
    for step in STEPS:
        assert f"{step.number} {step.verb}" in done.stdout
    assert "Model card: data/6_card/card.html" in done.stdout
    assert "make serve" in done.stdout.splitlines()[-1]
    assert done.stderr == ""


def test_a_terminal_gets_a_framed_table_that_fits(clone: Path) -> None:
    code, shown = on_a_terminal(clone, "run", columns=100)
    assert code == 0, shown
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).splitlines()
    assert max(map(len, lines)) <= 100
    framed = [line for line in lines if line.startswith("│")]
    assert [line.split()[2] for line in framed if line.split()[1].isdigit()] == [
        step.verb for step in STEPS
    ]


def test_a_terminal_sees_the_step_that_runs_and_then_one_line(clone: Path) -> None:
    code, shown = on_a_terminal(clone, "score", columns=120)
    assert code == 0, shown
    assert re.search(r"[⠀-⣿]\S* 8 score", shown), "the spinner"
    assert re.search(
        r"8 score .* s  [\d,]+ high", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).splitlines()[-1]
    )


def test_a_run_takes_away_the_report_of_a_refusal_that_is_over(clone: Path) -> None:
    (clone / "data" / "2_valid_refused").mkdir()
    assert ran(clone) == []
    assert not (clone / "data" / "2_valid_refused").exists()


def test_a_second_run_runs_nothing_again(clone: Path) -> None:
    assert ran(clone) == []


def test_git_has_no_data_and_dvc_has_all_of_it(clone: Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "data"], cwd=clone, capture_output=True, text=True, check=True
    ).stdout
    assert tracked.split() == ["data/library.json", "data/source.json"]
    lock = (clone / "dvc.lock").read_text()
    assert all(f"data/{step.number}_{step.writes}" in lock for step in STEPS)


def test_step_by_step_gives_the_same_bytes(tmp_path: Path, reference: dict[str, bytes]) -> None:
    root = make_clone(tmp_path / "acme-churn")
    for step in STEPS:
        done = churn(root, step.verb)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"{step.number} {step.verb}")
    assert {name: (root / "data" / name).read_bytes() for name in SAME} == reference


def test_the_pipeline_of_kubeflow_gives_the_same_bytes(
    clone: Path, reference: dict[str, bytes]
) -> None:
    done, asked = sealed(clone, "churn", "kubeflow", "run")
    assert (done.returncode, asked) == (0, {}), done.stdout + done.stderr
    assert [line.split()[1] for line in done.stdout.splitlines()[: len(STEPS)]] == [
        step.verb for step in STEPS
    ]
    runs = clone / ".churn/pipeline"
    for name, verb in zip(SAME, ("train", "evaluate"), strict=True):
        (found,) = runs.glob(f"*/{verb}/*/{Path(name).name}")
        assert found.read_bytes() == reference[name]


def test_the_service_answers_sealed_and_asks_for_nothing_outside(clone: Path) -> None:
    done, asked = sealed(clone, sys.executable, "-c", SERVED, str(TEST_PROGRAMS / "churn"))
    assert (done.returncode, asked) == (0, {}), done.stdout + done.stderr
    assert done.stdout.split() == [
        "/",
        "200",
        "/openapi.json",
        "200",
        "/reviews",
        "200",
        "/v1/card",
        "200",
    ]


def test_a_changed_knob_runs_its_step_and_what_follows_only(changed_root: Path) -> None:
    configure(changed_root, {"register.min_roc_auc": 0.51})
    assert ran(changed_root)[0] in ("card", "register")


def stale(root: Path, **environ: str) -> set[str]:
    """The verbs that DVC would run, once `data/library.json` says which library is here."""
    program = "import sys; from sovereign_ml.pipeline.source import note_library as note\n"
    program += "from pathlib import Path; note(Path(sys.argv[1]))"
    env = environment(root, **environ)
    subprocess.run([sys.executable, "-c", program, str(root)], env=env, check=True)
    command = [str(PROGRAMS / "dvc"), "status", "--json"]
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_a_changed_file_of_the_library_makes_every_stage_run_again(
    clone: Path, tmp_path: Path
) -> None:
    copied = shutil.copytree(
        LIBRARY / "sovereign_ml",
        tmp_path / "sovereign_ml",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    path = os.pathsep.join((str(clone / "src"), str(tmp_path)))
    noted = (clone / "data/library.json").read_text()
    assert stale(clone, PYTHONPATH=path) == set(), "a copy of the same files"
    rule = copied / "card/rules/lawful_basis.py"
    rule.write_text(rule.read_text() + "\n# One line more.\n")
    try:
        assert stale(clone, PYTHONPATH=path) == {step.verb for step in STEPS}
        assert (clone / "data/library.json").read_text() != noted
    finally:
        assert stale(clone) == set(), "back with the library as it was"


@pytest.mark.parametrize("package", ["scikit-learn", "sovereign-ml", "duckdb"])
def test_another_version_in_the_lock_makes_every_stage_run_again(clone: Path, package: str) -> None:
    lock = clone / "requirements/train.lock"
    before = lock.read_text()
    after = re.sub(rf"(?m)^{package}==\S+", f"{package}==99.0", before)
    assert after != before
    lock.write_text(after)
    try:
        assert stale(clone) == {step.verb for step in STEPS}
    finally:
        lock.write_text(before)
    assert stale(clone) == set()


def test_a_changed_file_of_the_project_runs_the_steps_that_import_it(clone: Path) -> None:
    """Steps 6 and 7 take the groups of the monitor's reference from there."""
    path = clone / "src/churn/evaluation.py"
    before = path.read_text()
    path.write_text(before + "\n# One line more.\n")
    try:
        assert stale(clone) == {"evaluate", "card", "register"}
    finally:
        path.write_text(before)


# Killed, interrupted, and gone on from there.


def start(root: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [str(PROGRAMS / "churn"), *arguments]
    return subprocess.Popen(
        command,
        cwd=root,
        env=environment(root),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell starts background jobs with Ctrl-C ignored, and children inherit that: give it back.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )


def resume(root: Path) -> warm_churn.Running:
    """`churn run` in a process group of its own, which has imported its packages before."""
    return warm_churn.Running(PROGRAMS / "python", root, ["run"], environment(root))


Process = subprocess.Popen[str] | warm_churn.Running


def processes(root: Path, verb: str) -> list[int]:
    """The processes of this project that were started with the command ``churn <verb>``."""
    started = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            here = (entry / "cwd").readlink() == root.resolve()
        except OSError:
            continue
        if here and words[-2:] == [verb.encode(), b""]:
            started.append(int(entry.name))
    return started


def running(root: Path, step: Step, run: int) -> bool:
    """Whether the step runs as a command, or as a stage whose output DVC has locked for a ``run``."""
    try:
        locks = json.loads((root / ".dvc/tmp/rwlock").read_text())
    except (FileNotFoundError, ValueError):
        locks = {}
    noted = locks.get("write", {}).get(str(root / f"data/{step.number}_{step.writes}"), {})
    return bool(processes(root, step.verb)) or noted.get("pid") == run


def writing(root: Path, step: Step, _: int = 0) -> bool:
    return (root / f"data/.{step.number}_{step.writes}.part").exists()


def wait_for(happened: Callable[[], bool], process: Process) -> None:
    until = time.monotonic() + 240
    while not happened():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.002)


MOMENTS = ((running, 0.7), (writing, 0.0), (writing, 0.05))
"""When a step is killed, and the seconds after that."""


def moments(step: Step) -> Sequence[tuple[Callable[[Path, Step, int], bool], float]]:
    """Return one moment of each step, so that three steps meet all; ``KILLS`` takes all of each."""
    # In a warm process the last step is over before it is seen: it is a command of its own.
    last = ((running, 0.7), (writing, 0.0), (writing, 0.005))
    of_step = last if step is STEPS[-1] else MOMENTS
    return of_step if "KILLS" in ENVIRONMENT else of_step[step.number % 3 :][:1]


def kill(process: Process, number: int = signal.SIGKILL) -> tuple[int, str]:
    os.killpg(process.pid, number)
    _, said = process.communicate(timeout=60)
    return process.returncode, said


def test_killed_in_every_step_the_next_run_goes_on_and_takes_nothing_half(
    tmp_path: Path, reference: dict[str, bytes]
) -> None:
    root = make_clone(tmp_path / "acme-churn")
    for step in STEPS:
        output = root / f"data/{step.number}_{step.writes}"
        alone = step is STEPS[-1]
        assert not alone or churn(root, "register").returncode == 0
        for moment, delay in moments(step):
            process: Process = start(root, step.verb) if alone else resume(root)
            wait_for(lambda seen=moment, at=step, run=process.pid: seen(root, at, run), process)
            assert alone or not processes(root, step.verb), "the steps of a run share its process"
            time.sleep(delay)
            assert kill(process)[0] == -signal.SIGKILL
            assert not output.exists() or (output / "summary.json").is_file(), (step.verb, moment)
    assert ran(root)
    assert {name: (root / "data" / name).read_bytes() for name in SAME} == reference
    assert [path.name for path in (root / "data").iterdir() if path.name.startswith(".")] == []
    assert ran(root) == []


# Register comes before train: after another training run the card is another one.
@pytest.mark.parametrize(
    "step", [BY_VERB["data"], BY_VERB["register"], BY_VERB["train"]], ids=lambda step: step.verb
)
def test_a_step_that_is_killed_keeps_its_old_artifact(changed_root: Path, step: Step) -> None:
    output = changed_root / f"data/{step.number}_{step.writes}"
    before = {path.name: path.read_bytes() for path in output.iterdir() if path.is_file()}
    process = start(changed_root, step.verb)
    wait_for(lambda: writing(changed_root, step), process)
    kill(process)
    assert {path.name: path.read_bytes() for path in output.iterdir() if path.is_file()} == before
    assert churn(changed_root, step.verb).returncode == 0
    assert not writing(changed_root, step)


# After the steps above, whose artifacts belong together: this trains once more.
def test_each_step_is_an_entry_point_of_mlflow_projects(
    changed_root: Path, reference: dict[str, bytes]
) -> None:
    entries = yaml.safe_load((changed_root / "MLproject").read_text())["entry_points"]
    assert {name: entry["command"] for name, entry in entries.items()} == {"main": "churn run"} | {
        step.verb: f"churn {step.verb}" for step in STEPS
    }
    page = (changed_root / "docs/tools.md").read_text()
    blocks = re.findall(r"```sh\n(.+?)```", page, re.DOTALL)
    [commands] = [block for block in blocks if "mlflow run " in block]
    model = changed_root / "data" / SAME[0]
    model.unlink()
    done, asked = sealed(changed_root, "sh", "-ec", commands)
    assert (done.returncode, asked) == (0, {}), done.stdout + done.stderr
    assert "4 train" in done.stdout
    assert model.read_bytes() == reference[SAME[0]]
    new = ["git", "ls-files", "--others", "--exclude-standard"]
    left = subprocess.run(new, cwd=changed_root, capture_output=True, text=True, check=True)
    assert left.stdout == ""


@pytest.mark.parametrize("arguments", [("train",), ("run",)], ids=["one step", "all steps"])
def test_ctrl_c_ends_with_130_and_one_line(changed_root: Path, arguments: tuple[str, ...]) -> None:
    configure(changed_root, {"train.seed": 8})
    train = BY_VERB["train"]
    process = start(changed_root, *arguments)
    wait_for(lambda: running(changed_root, train, process.pid), process)
    time.sleep(1.5)
    code, said = kill(process, signal.SIGINT)
    assert code == 130
    assert (
        said
        == "Error: Interrupted. Nothing half-written remains. The same command continues from here.\n"
    )
    assert not writing(changed_root, train)


# Bad input through the whole flow.


def test_a_wrong_input_stops_the_run_with_the_steps_own_line_and_code(changed_root: Path) -> None:
    raw = changed_root / "data/1_raw"
    before = {path.name: path.read_bytes() for path in raw.iterdir()}
    bad = changed_root / "lines.csv"
    bad.write_text("customer,when\nA,2026-01-01\n")
    done = churn(changed_root, "run", "--data", "lines.csv")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("Error: No customers table with a consent column")
    assert {path.name: path.read_bytes() for path in raw.iterdir()} == before


def test_a_refusal_in_the_middle_of_the_run_is_exit_code_1(changed_root: Path) -> None:
    configure(changed_root, {"validate.max_rejected_share": 0.0, "train.seed": 7})
    done = churn(changed_root, "run")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert "break the contract" in done.stderr
    assert (changed_root / "data/2_valid_refused/report.html").exists()
    configure(changed_root, {"validate.max_rejected_share": 0.02})
    assert churn(changed_root, "run").returncode == 0


# Versions of the data travel through DVC.


def test_a_second_clone_pulls_the_data_and_runs_nothing(
    clone: Path, reference: dict[str, bytes]
) -> None:
    pushed = churn(clone, "push")
    assert pushed.returncode == 0, pushed.stderr
    second = clone.parent / "second"
    subprocess.run(
        ["git", "clone", "--quiet", str(clone), str(second)], check=True, capture_output=True
    )
    pulled = churn(second, "pull")
    assert pulled.returncode == 0, pulled.stderr
    assert {name: (second / "data" / name).read_bytes() for name in SAME} == reference
    assert ran(second) == []


def test_a_second_clone_without_the_remote_is_told_in_one_line(tmp_path: Path, clone: Path) -> None:
    second = tmp_path / "elsewhere" / "acme-churn"
    subprocess.run(
        ["git", "clone", "--quiet", str(clone), str(second)], check=True, capture_output=True
    )
    done = churn(second, "pull")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("Error: dvc pull with remote 'local': ")
