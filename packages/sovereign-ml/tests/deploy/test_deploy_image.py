"""What is staged, installed into an empty environment exactly as its Dockerfile says, serves in profile eu."""

import hashlib
import json
import sys
import time
import urllib.request

import pytest

from built_wheel import naming
from cards import card, signed
from desks import BASE_IMAGE, UNSIGNED, write_bundle
from image import build
from servers import free_port, postgres
from small_project import PROJECT
from sovereign_ml.decision_log import open_log, verify
from sovereign_ml.deploy.check import check_staged
from sovereign_ml.deploy.smoke import smoke_test
from sovereign_ml.deploy.stage import stage

pytestmark = pytest.mark.servers
KEY = "churn_" + "k" * 43
KEYS = f"crm:score:{hashlib.sha256(KEY.encode()).hexdigest()}"


@pytest.fixture(scope="module")
def staged(tmp_path_factory, wheel):
    """The project's own service with a tiny bundle."""
    folder = tmp_path_factory.mktemp("staged")
    lock = (PROJECT / "requirements" / "serve.lock").read_text()
    (folder / "serve.lock").write_text(naming(lock, wheel))
    return stage(
        bundle=write_bundle(folder / "bundle"),
        serve_dir=PROJECT / "serve",
        vendor=wheel.parent,
        serve_lock=folder / "serve.lock",
        templates=PROJECT / "deploy",
        base_image=BASE_IMAGE,
        out=folder / "out",
    )


@pytest.fixture(scope="module")
def image(staged, tmp_path_factory):
    return build(staged.folder, tmp_path_factory.mktemp("image"))


@pytest.fixture
def database():
    """The decision log's PostgreSQL."""
    with postgres() as server:
        yield server.url()


@pytest.fixture
def serving(image, database, tmp_path):
    """The address of the service as the platform runs it: its own profile, keys and database from the environment."""
    port = free_port()
    with (tmp_path / "log").open("wb") as log:
        process = image.start(
            log,
            PORT=str(port),
            CHURN_KEYS=KEYS,
            DATABASE_URL=database,
            CHURN_DATABASE_OWNER="allow",  # as [deploy.variables] says: the platform gives one role
            HOME=str(tmp_path),
        )
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


def test_it_is_ready_keeps_strangers_out_scores_into_postgresql_and_writes_nothing_below_app(
    image, serving, database
):
    before = snapshot(image)
    assert smoke_test(serving, timeout_s=30, sleep=time.sleep) == ""
    body = json.dumps(
        {"customer_id": "0b6f1c3e9a7d4e52", "features": {"recency_days": 45}}
    ).encode()
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    with urllib.request.urlopen(
        urllib.request.Request(f"{serving}/v1/score", body, headers)
    ) as answer:
        decision = json.load(answer)
    assert decision["score"] == pytest.approx(1 / (1 + 2.718281828**-0.2), abs=1e-6)
    log = open_log(database)
    assert [entry.case_id for entry in log.of_kind("decision")] == [decision["decision_id"]]
    assert verify(log).holds
    log.close()
    assert snapshot(image) == before


def _refusal(image, folder, **variables):
    with (folder / "log").open("wb") as log:
        code = image.start(
            log, HOME=str(folder), CHURN_LOG=str(folder / "decisions.db"), **variables
        ).wait(60)
    return code, (folder / "log").read_text().splitlines()[-1]


def test_it_does_not_start_without_keys(image, tmp_path):
    code, words = _refusal(image, tmp_path)
    assert (code, "does not start without keys" in words) == (2, True)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"card": {"schema_version": "1"}}, "card.json is no model card"),
        ({"card": UNSIGNED}, "R48"),
        (
            {
                "card": signed(card(answers={"decision.not_selected_outcome": "?"})).model_dump(
                    mode="json"
                )
            },
            "R21",
        ),
        (
            {
                "card": signed(
                    card(answers={"purpose.relation_to_collection": "incompatible"})
                ).model_dump(mode="json")
            },
            "R26",
        ),
        ({"profile": "local"}, "made with profile local"),
    ],
    ids=["no card", "not approved", "placeholder", "blocked rule", "registered with warnings only"],
)
def test_it_does_not_start_on_a_bundle_that_may_not_be_served_and_says_why(
    image, tmp_path, wrong, reason
):
    other = write_bundle(tmp_path / "bundle", **wrong)
    code, words = _refusal(image, tmp_path, CHURN_KEYS=KEYS, BUNDLE_DIR=str(other))
    assert (code, "may not be served in profile eu" in words, reason in words) == (1, True, True)
