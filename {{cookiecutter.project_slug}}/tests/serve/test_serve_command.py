"""`churn serve` on a real bundle: a customer id is enough, because the real feature server runs beside it."""

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from servers import free_port, until
from small_project import environment

pytestmark = [pytest.mark.servers, pytest.mark.flow]


def test_a_customer_id_is_looked_up_and_scored_as_in_the_file(project: Path, scores: Path) -> None:
    import pandas as pd

    first = pd.read_parquet(scores / "scores.parquet").iloc[0]
    url = f"http://127.0.0.1:{free_port()}"
    command = [str(Path(sys.executable).with_name("churn")), "serve", "--port", url.rpartition(":")[2]]
    running = subprocess.Popen(command, cwd=project, env=environment(project), stderr=subprocess.DEVNULL)
    try:
        until(lambda: httpx.get(f"{url}/readyz").status_code == 200, 60)
        asked = {"customer_id": first["customer_id"]}
        until(lambda: httpx.post(f"{url}/v1/score", json=asked).status_code == 200, 60)
        answer = httpx.post(f"{url}/v1/score", json=asked).json()
        assert answer["score"] == pytest.approx(first["score"], abs=1e-6)
        assert answer["band"] == first["band"]
        assert httpx.post(f"{url}/v1/score", json={"customer_id": "0" * 32}).status_code in (404, 422)
    finally:
        running.terminate()
    assert running.wait(20) == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/readyz")
