"""`churn serve` on a real bundle: a customer id is enough, because the real feature server runs beside it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from servers import free_port, until
from small_project import PROJECT, environment

pytestmark = [pytest.mark.servers, pytest.mark.flow]


PRINTED = "localhost:3000"


@pytest.fixture(scope="module")
def url(project: Path, scores: Path) -> Iterator[str]:
    """The address of `churn serve`, ended as a person would."""
    address = f"http://localhost:{free_port()}"
    command = [
        str(Path(sys.executable).with_name("churn")),
        "serve",
        "--port",
        address.rpartition(":")[2],
    ]
    running = subprocess.Popen(
        command, cwd=project, env=environment(project), stderr=subprocess.DEVNULL
    )
    try:
        until(lambda: httpx.get(f"{address}/readyz").status_code == 200, 120)
        # Who waits for /readyz, as the README says, gets a score at the first call.
        asked = {"customer_id": _first(scores)["customer_id"]}
        assert httpx.post(f"{address}/v1/score", json=asked, timeout=15).status_code == 200
        yield address
    finally:
        running.terminate()
    assert running.wait(20) == 0
    for log in (project / ".churn").glob("decisions.db*"):
        log.unlink()  # decisions on record are facts of the card, and other tests use this project
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{address}/readyz")


def _first(scores: Path) -> Any:
    import pandas as pd

    return pd.read_parquet(scores / "scores.parquet").iloc[0]


def test_a_customer_id_is_looked_up_and_scored_as_in_the_file(url: str, scores: Path) -> None:
    first = _first(scores)
    answer = httpx.post(f"{url}/v1/score", json={"customer_id": first["customer_id"]}).json()
    assert answer["score"] == pytest.approx(first["score"], abs=1e-6)
    assert answer["band"] == first["band"]
    assert httpx.post(f"{url}/v1/score", json={"customer_id": "0" * 32}).status_code in (404, 422)


def test_the_lines_of_the_readme_work_as_printed(url: str, project: Path, tmp_path: Path) -> None:
    section = (PROJECT / "README.md").read_text(encoding="utf-8").partition("## The service")[2]
    start, lines = section.split("```")[1].removeprefix("sh\n").split("\n", 1)
    assert start.startswith("make serve ")
    assert lines.count(PRINTED) == lines.count("curl ") == 2
    (tmp_path / ".venv").symlink_to(sys.prefix)
    script = lines.replace(PRINTED, url.removeprefix("http://"))
    environ = {**environment(project), "CHURN_ROOT": str(project)}
    done = subprocess.run(
        ["sh", "-ec", script], cwd=tmp_path, env=environ, capture_output=True, text=True, check=True
    )
    alive, _, decision = done.stdout.partition("}")
    assert json.loads(alive + "}") == {"status": "ok"}
    answer = json.loads(decision)
    assert answer["band"] in ("low", "medium", "high")
    assert answer["decision_id"]
    assert len(answer["reasons"]) == 3
