"""What DVC says when it cannot run the flow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sovereign_ml.errors import Misuse
from sovereign_ml.storage import dvc

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
    program = str(Path(sys.executable).with_name("dvc"))
    subprocess.run([program, "init", "--no-scm", "--quiet"], check=True)
    first = subprocess.Popen([program, "repro", "--quiet"])
    try:
        while not (tmp_path / "started").exists():
            assert first.poll() is None
        with pytest.raises(Misuse, match=f"DVC cannot run the flow: .*{first.pid}"):
            dvc.reproduce(tmp_path)
    finally:
        first.kill()
        first.wait()
