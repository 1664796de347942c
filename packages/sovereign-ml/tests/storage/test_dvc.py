"""What DVC says when it cannot run the flow."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from dvc.repo import Repo
from dvc.stage import run as stage_run

from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.storage import dvc

DVC = str(Path(sys.executable).with_name("dvc"))
STAGE = (
    "stages:\n  slow:\n    cmd: touch started && sleep 60\n    deps: [input]\n    outs: [output]\n"
)


@pytest.mark.servers
def test_a_second_run_at_the_same_time_names_the_process_that_holds_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.yaml").write_text(STAGE)
    (tmp_path / "input").write_text("1")
    subprocess.run([DVC, "init", "--no-scm", "--quiet"], check=True)
    first = subprocess.Popen([DVC, "repro", "--quiet"])
    try:
        while not (tmp_path / "started").exists():
            assert first.poll() is None
        with pytest.raises(Misuse, match=f"DVC cannot run the flow: .*{first.pid}"):
            dvc.reproduce(tmp_path, {})
    finally:
        first.kill()
        first.wait()


STAGES = """stages:
  first:
    cmd: churn first
    outs: [one]
  second:
    cmd: cp one two
    deps: [one]
    outs: [two]
"""


@pytest.mark.parametrize(
    "error",
    [Refused("Too few rows."), Misuse("No such file."), ValueError("a bug"), OSError(28, "full")],
)
def test_what_a_step_in_this_process_raises_comes_out_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.yaml").write_text(STAGES)
    subprocess.run([DVC, "init", "--no-scm", "-q"], check=True)
    starts_processes = stage_run._run

    def refused() -> None:
        raise error

    with pytest.raises(type(error)) as raised:
        dvc.reproduce(tmp_path, {"churn first": refused})
    assert raised.value is error
    assert stage_run._run is starts_processes
    assert not (tmp_path / "dvc.lock").exists()
    dvc.reproduce(tmp_path, {"churn first": lambda: Path("one").write_text("1") and None})
    assert (tmp_path / "two").read_text() == "1"


def test_ctrl_c_is_an_interrupt_also_while_dvc_holds_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.yaml").write_text(STAGES)
    subprocess.run([DVC, "init", "--no-scm", "-q"], check=True)

    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Repo, "_reset", interrupted)
    with pytest.raises(KeyboardInterrupt):
        dvc.reproduce(tmp_path, {"churn first": lambda: None})


@pytest.mark.parametrize("stages", [("first", "second"), ("first",)], ids=["in the middle", "last"])
def test_ctrl_c_that_a_library_swallows_stops_the_flow_after_the_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stages: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    stage = "  {0}:\n    cmd: churn {0}\n    outs: [{0}.out]\n    deps: [{1}]\n"
    inputs = ["input", "first.out"]
    (tmp_path / "input").write_text("1")
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n" + "".join(map(stage.format, stages, inputs[: len(stages)]))
    )
    subprocess.run([DVC, "init", "--no-scm", "-q"], check=True)

    def swallows() -> None:
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        Path("first.out").write_text("1")

    steps = {"churn first": swallows, "churn second": lambda: pytest.fail("went on")}
    # A shell may have started the tests with Ctrl-C ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            dvc.reproduce(tmp_path, steps)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert (tmp_path / "first.out").read_text() == "1"
    dvc.reproduce(tmp_path, {"churn second": lambda: Path("second.out").write_text("1") and None})
