import http.client
import json
import resource
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import httpx
import pytest

from servers import postgres, until
from service_desk import CUSTOMER, FEATURES, KEYS, write_bundle
from shipped import Service, service
from sovereign_ml.decision_log import open_log, verify

pytestmark = pytest.mark.servers
ONE = {"customer_id": CUSTOMER, "features": FEATURES}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "bundle")


def _customer(number: int) -> dict[str, object]:
    return {"customer_id": f"{number:016x}", "features": FEATURES}


def _load(target: Service, stop: Event, first: int) -> tuple[list[str], list[int]]:
    """Score until ``stop``; the decisions that were answered, and every status that was no answer."""
    answered, refused, number = [], [], first
    with httpx.Client(
        headers={"authorization": f"Bearer {KEYS['score'][0]}"}, timeout=10
    ) as client:
        while not stop.is_set():
            number += 1
            try:
                response = client.post(f"{target.url}/v1/score", json=_customer(number))
            except httpx.HTTPError:
                continue
            if response.status_code == 200:
                answered.append(response.json()["decision_id"])
            else:
                refused.append(response.status_code)
    return answered, refused


def _under_load(targets: list[Service], happens: object) -> tuple[list[str], set[int]]:
    """Run ``happens`` while four clients per target score."""
    stop = Event()
    with ThreadPoolExecutor() as pool:
        loads = [
            pool.submit(_load, target, stop, 10**6 * n) for n, target in enumerate(targets * 4)
        ]
        try:
            happens()  # type: ignore[operator]
        finally:
            stop.set()
        results = [load.result() for load in loads]
    return [one for answered, _ in results for one in answered], {
        one for _, refused in results for one in refused
    }


def _all_are_in(log: str, answered: list[str], *, at_least: int) -> None:
    opened = open_log(log)
    verdict = verify(opened)
    assert verdict.problems == ()
    assert len(answered) >= at_least
    assert set(answered) <= {entry.case_id for entry in opened.entries()}
    opened.close()


def test_after_kill_9_under_load_every_answered_request_is_in_the_verified_chain(
    bundle: Path, tmp_path: Path
) -> None:
    log = str(tmp_path / "decisions.db")
    with service(bundle, log) as running:

        def crash() -> None:
            until(lambda: running.post("/v1/score", ONE).status_code == 200)
            for _ in range(2):
                Event().wait(1)
                running.kill()
                running.start()

        answered, _ = _under_load([running], crash)
        assert running.post("/v1/score", ONE).status_code == 200
        _all_are_in(log, answered, at_least=100)


def test_a_stopped_service_ends_cleanly_and_loses_nothing(bundle: Path, tmp_path: Path) -> None:
    log = str(tmp_path / "decisions.db")
    with service(bundle, log) as running:
        decision = running.post("/v1/score", ONE).json()["decision_id"]
        assert running.stop() in (0, -15)
    _all_are_in(log, [decision], at_least=1)


def test_on_a_full_disk_nothing_is_answered_and_nothing_breaks(
    bundle: Path, tmp_path: Path
) -> None:
    log = str(tmp_path / "decisions.db")
    with service(bundle, log) as running:
        assert running.process
        resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (300_000, 300_000))
        answered = []
        for number in range(200):
            batch = {"customers": [_customer(number * 10 + i) for i in range(10)]}
            response = running.post("/v1/score/batch", batch)
            if response.status_code != 200:
                break
            answered += [one["decision_id"] for one in response.json()["decisions"]]
        assert response.status_code == 503
        assert response.headers["retry-after"] == "5"
        assert httpx.get(f"{running.url}/healthz").status_code == 200
    with service(bundle, log) as roomier:
        answered.append(roomier.post("/v1/score", ONE).json()["decision_id"])
    _all_are_in(log, answered, at_least=20)


def test_postgresql_killed_and_back_means_503_in_between_and_no_gap(
    bundle: Path, tmp_path: Path
) -> None:
    with postgres() as server, service(bundle, server.url()) as running:

        def crash() -> None:
            Event().wait(1)
            server.kill()
            until(lambda: running.post("/v1/score", ONE).status_code == 503)
            until(lambda: httpx.get(f"{running.url}/readyz").status_code == 503)
            assert httpx.get(f"{running.url}/livez").status_code == 200
            server.start()
            until(lambda: running.post("/v1/score", ONE).status_code == 200)
            until(lambda: httpx.get(f"{running.url}/readyz").status_code == 200)

        answered, refused = _under_load([running], crash)
        assert refused == {503}
        _all_are_in(server.url(), answered, at_least=50)


def test_two_instances_on_one_postgresql_write_one_chain_and_share_objections(
    bundle: Path, tmp_path: Path
) -> None:
    with (
        postgres() as server,
        service(bundle, server.url()) as one,
        service(bundle, server.url()) as two,
    ):
        answered, refused = _under_load([one, two], lambda: Event().wait(2))
        assert refused == set()
        _all_are_in(server.url(), answered, at_least=100)
        assert one.post("/v1/objections", {"customer_id": CUSTOMER}, "subject").status_code == 200
        assert two.post("/v1/score", ONE).json()["outcome"] == "objected"


def test_postgresql_itself_refuses_to_forget_or_change(bundle: Path, tmp_path: Path) -> None:
    import psycopg

    with postgres() as server:
        log = open_log(server.url())
        with service(bundle, server.url()) as running:
            running.post("/v1/score", ONE)
        for sql in ("DELETE FROM decision_log", "UPDATE decision_log SET body = 'x'"):
            with (
                psycopg.connect(server.url()) as connection,
                pytest.raises(psycopg.Error, match="append-only"),
            ):
                connection.execute(sql)
        assert log.erase_subject(CUSTOMER) == 1
        assert verify(log).holds
        log.close()


def test_raw_path_tricks_lead_nowhere(bundle: Path, tmp_path: Path) -> None:
    with service(bundle, str(tmp_path / "decisions.db")) as running:
        for path in (
            "/healthz/../metrics",
            "//metrics",
            "/metrics%00",
            "/metrics;a=b",
            "/%6detrics/",
            "/metrics%0a",
        ):
            connection = http.client.HTTPConnection("127.0.0.1", running.port)
            connection.request("GET", path)
            answer = connection.getresponse()
            assert answer.status in (401, 404)
            assert answer.headers["content-type"] == "application/problem+json"
            connection.close()


def test_a_body_that_never_ends_is_cut_off(bundle: Path, tmp_path: Path) -> None:
    with service(bundle, str(tmp_path / "decisions.db")) as running:
        connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=20)
        headers = {
            "authorization": f"Bearer {KEYS['score'][0]}",
            "content-type": "application/json",
            "content-length": "5000",
        }
        connection.request("POST", "/v1/score", body=json.dumps(ONE)[:50], headers=headers)
        assert connection.getresponse().status == 408
        connection.close()
