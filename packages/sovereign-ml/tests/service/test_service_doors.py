"""The project's BentoML class is reached by two programs, and both are the same door."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

import servers
from sealing import sealed
from servers import free_port, until
from service_desk import CUSTOMER, FEATURES, KEYS, write_bundle
from shipped import environment
from small_project import LIBRARY, PROJECT
from sovereign_ml.decision_log import open_log, verify

SERVE = PROJECT / "serve"
PROGRAMS = {
    "python -m": [sys.executable, "-m", "sovereign_ml.service"],
    "bentoml serve": [
        str(Path(sys.executable).with_name("bentoml")),
        "serve",
        "service:ChurnService",
    ],
}


@contextmanager
def opened(program: str, environ: dict[str, str]) -> Iterator[str]:
    """The address of the service, started by ``program`` in the project's folder ``serve``."""
    port = free_port()
    command = [*PROGRAMS[program], "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(command, cwd=SERVE, env=environ, stderr=subprocess.DEVNULL)
    try:
        until(lambda: httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200, 60)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def in_folder(folder: Path, **more: str) -> dict[str, str]:
    """The environment of a person in the folder ``serve``: it is not on PYTHONPATH."""
    bundle, log = write_bundle(folder / "bundle"), str(folder / "decisions.db")
    home = {"HOME": str(folder), "BENTOML_HOME": str(folder / "bentoml")}
    return {**environment(bundle, log), "PYTHONPATH": str(LIBRARY), **home, **more}


@pytest.mark.servers
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_decision_is_logged_strangers_stay_out_and_bentoml_shows_no_pages(
    program: str, tmp_path: Path
) -> None:
    body = {"customer_id": CUSTOMER, "features": FEATURES}
    headers = {"authorization": f"Bearer {KEYS['score'][0]}"}
    with opened(program, in_folder(tmp_path)) as url:
        assert httpx.get(f"{url}/readyz").json() == {"status": "ok"}
        answer = httpx.post(f"{url}/v1/score", json=body, headers=headers)
        assert httpx.post(f"{url}/v1/score", json=body).status_code == 401
        assert httpx.get(f"{url}/metrics").status_code == 401
        assert httpx.get(f"{url}/schema.json").status_code == 404
    log = open_log(str(tmp_path / "decisions.db"))
    assert [entry.case_id for entry in log.of_kind("decision")] == [answer.json()["decision_id"]]
    assert verify(log).holds
    log.close()


@pytest.mark.servers
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"CHURN_KEYS": ""}, "CHURN_KEYS is empty"),
        ({"CHURN_PROFILE": "eu"}, "sets no limits on connections"),
    ],
)
def test_bentoml_s_own_server_does_not_start_where_the_program_would_not(
    tmp_path: Path, change: dict[str, str], reason: str
) -> None:
    port = free_port()
    command = [*PROGRAMS["bentoml serve"], "--port", str(port)]
    with (tmp_path / "output").open("w") as output:
        process = subprocess.Popen(
            command, cwd=SERVE, env=in_folder(tmp_path, **change), stdout=output, stderr=output
        )
        try:
            until(lambda: reason in (tmp_path / "output").read_text(), 60)
            with pytest.raises(httpx.HTTPError):
                httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=1)
        finally:
            process.terminate()
            process.wait(30)


STARTED_AND_ENDED = """
import subprocess, sys, urllib.request
from servers import until
process = subprocess.Popen(sys.argv[2:])
until(lambda: urllib.request.urlopen(sys.argv[1]).status == 200, 60)
process.terminate()
process.wait(30)
"""


@pytest.mark.servers
@pytest.mark.parametrize("program", PROGRAMS)
def test_neither_program_phones_home(program: str, tmp_path: Path) -> None:
    port = str(free_port())
    driver = [sys.executable, "-c", STARTED_AND_ENDED, f"http://127.0.0.1:{port}/readyz"]
    command = [*driver, *PROGRAMS[program], "--host", "127.0.0.1", "--port", port]
    environ = in_folder(tmp_path)
    environ["PYTHONPATH"] += f":{Path(servers.__file__).parent}"
    done, asked = sealed(SERVE, *command, environ=environ)
    assert (done.returncode, asked) == (0, {}), done.stderr


@pytest.mark.parametrize(
    ("code", "target", "reason"),
    [
        (None, "service:ChurnService", "No module named 'service'"),
        ("x = 1", "service:ChurnService", "has no attribute 'ChurnService'"),
        ("x = 1", "service", "service cannot be imported"),
        ("1 / 0", "service:ChurnService", "ZeroDivisionError"),
        ("class ChurnService: pass", "service:ChurnService", "is no BentoML service"),
        (
            "import bentoml\n@bentoml.service\nclass ChurnService: pass",
            "service:ChurnService",
            "needs @bentoml.service and @bentoml.asgi_app",
        ),
    ],
    ids=["no file", "no class", "no name", "a fault in it", "no service", "no application"],
)
def test_a_target_that_is_no_service_is_wrong_use_in_one_line(
    tmp_path: Path, code: str | None, target: str, reason: str
) -> None:
    if code:
        (tmp_path / "service.py").write_text(code)
    environ = in_folder(tmp_path)
    ended = subprocess.run(
        [*PROGRAMS["python -m"], target],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert reason in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr
