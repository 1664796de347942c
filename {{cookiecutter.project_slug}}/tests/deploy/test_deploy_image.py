"""What is staged, installed into an empty environment exactly as its Dockerfile says, serves."""

import hashlib
import json
import socket
import sys
import time
import urllib.request

import pytest
from desks import BASE_IMAGE, PROJECT, write_bundle
from image import build

from sovereign.deploy.check import check_staged
from sovereign.deploy.smoke import smoke_test
from sovereign.deploy.stage import stage

pytestmark = pytest.mark.servers
KEY = "churn_" + "k" * 43
KEYS = f"crm:score:{hashlib.sha256(KEY.encode()).hexdigest()}"


@pytest.fixture(scope="module")
def staged(tmp_path_factory):
    """The project's own service with a tiny bundle."""
    folder = tmp_path_factory.mktemp("staged")
    return stage(
        bundle=write_bundle(folder / "bundle"),
        serve_dir=PROJECT / "serve",
        sovereign_dir=PROJECT / "src" / "sovereign",
        serve_lock=PROJECT / "requirements" / "serve.lock",
        templates=PROJECT / "deploy",
        base_image=BASE_IMAGE,
        out=folder / "out",
    )


@pytest.fixture(scope="module")
def image(staged, tmp_path_factory):
    return build(staged.folder, tmp_path_factory.mktemp("image"))


@pytest.fixture
def serving(image, tmp_path):
    """The running service and its address; the bundle's card is empty, so it runs in profile local, with keys."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variables = {"PORT": str(port), "CHURN_PROFILE": "local", "CHURN_KEYS": KEYS, "HOME": str(tmp_path)}
    with (tmp_path / "log").open("wb") as log:
        process = image.start(log, **variables, CHURN_LOG=str(tmp_path / "decisions.db"))
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(10)


def snapshot(image):
    return {path: path.stat().st_mtime_ns for path in (image.root / "app").rglob("*")}


def test_the_projects_own_service_passes_the_check_and_its_files_and_size_are_shown(staged):
    assert check_staged(staged.folder) == []
    sys.stdout.write("\n".join(staged.listing()) + "\n")
    assert staged.packed_bytes < 5_000_000
    assert not [name for name, _ in staged.files if "test" in name]


def test_it_is_ready_keeps_strangers_out_scores_and_writes_nothing_below_app(image, serving):
    before = snapshot(image)
    assert smoke_test(serving, timeout_s=30, sleep=time.sleep) == ""
    body = json.dumps({"customer_id": "0b6f1c3e9a7d4e52", "features": {"recency_days": 45}}).encode()
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(f"{serving}/v1/score", body, headers)) as answer:
        assert json.load(answer)["score"] == pytest.approx(1 / (1 + 2.718281828**-0.2), abs=1e-6)
    assert snapshot(image) == before


def test_in_its_own_profile_it_does_not_start_without_keys_or_with_an_empty_card(image, tmp_path):
    def refusal(**variables):
        with (tmp_path / "log").open("wb") as log:
            code = image.start(log, HOME=str(tmp_path), CHURN_LOG=str(tmp_path / "decisions.db"), **variables).wait(60)
        return code, (tmp_path / "log").read_text()

    code, words = refusal()
    assert (code, "does not start without keys" in words) == (2, True)
    code, words = refusal(CHURN_KEYS=KEYS)
    assert (code, "may not be served in profile eu" in words) == (1, True)
