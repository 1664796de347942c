"""The whole flow, the pipeline and the service where nothing can leave: they work, and ask for no name outside."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from small_project import environment, make_clone

HARNESS = Path(__file__).with_name("harness.py")
SERVED = """
import subprocess, sys, time, urllib.request
server = subprocess.Popen(["churn", "serve", "--port", "3917"])
try:
    for _ in range(200):
        try:
            urllib.request.urlopen("http://127.0.0.1:3917/readyz"); break
        except OSError:
            time.sleep(0.1)
    for page in ("/", "/openapi.json", "/reviews", "/v1/card"):
        print(page, urllib.request.urlopen("http://127.0.0.1:3917" + page).status)
finally:
    server.terminate(); server.wait()
"""


@pytest.mark.flow
def test_run_pipeline_and_service_work_sealed_and_ask_for_nothing_outside(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    root = make_clone(tmp_path_factory.mktemp("sealed") / "acme-churn")
    result = root.parent / "seen.json"
    script = f"set -e; churn run; churn pipeline; {sys.executable} -c '{SERVED}'"
    done = subprocess.run(
        [sys.executable, "-B", HARNESS, "--clean-env", "--json", result, "--", "bash", "-c", script],
        cwd=root,
        env={**environment(root), "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin:/usr/sbin:/sbin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert json.loads(result.read_text())["hosts"] == {}
    assert "/reviews 200" in done.stdout
