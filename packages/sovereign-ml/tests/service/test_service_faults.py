import os
import resource
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import NamedTuple

import httpx
import psycopg
import pytest

from servers import filled_up, pooled, postgres, small_disk, until
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


class Load:
    """What clients were answered while they scored one person after the other."""

    def __init__(self) -> None:
        self.stop = Event()
        self.answered: list[str] = []
        self.refused: set[tuple[int, str]] = set()
        """Status and Retry-After of each other answer."""

    def score(self, target: Service, first: int) -> None:
        """Score until told to stop."""
        headers, number = {"authorization": f"Bearer {KEYS['score'][0]}"}, first
        with httpx.Client(headers=headers, timeout=10) as client:
            while not self.stop.is_set():
                number += 1
                try:
                    response = client.post(f"{target.url}/v1/score", json=_customer(number))
                except httpx.HTTPError:
                    self.stop.wait(0.02)
                    continue
                if response.status_code == 200:
                    self.answered.append(response.json()["decision_id"])
                else:
                    wait = response.headers.get("retry-after", "")
                    self.refused.add((response.status_code, wait))
                    # Refusals are quick: without a wait the clients take the cores.
                    self.stop.wait(0.02)

    def reach(self, number: int) -> None:
        """Wait for so many answers."""
        until(lambda: len(self.answered) >= number)


@contextmanager
def _under_load(*targets: Service) -> Iterator[Load]:
    """Four clients for each target score, until the context ends."""
    load = Load()
    with ThreadPoolExecutor() as pool:
        clients = [
            pool.submit(load.score, target, 10**6 * n) for n, target in enumerate(targets * 4)
        ]
        try:
            yield load
        finally:
            load.stop.set()
        for client in clients:
            client.result()


def _all_are_in(log: str, answered: list[str]) -> None:
    with closing(open_log(log)) as opened:
        assert verify(opened).problems == ()
        assert answered
        assert set(answered) <= {entry.case_id for entry in opened.entries()}


@contextmanager
def frozen(url: str) -> Iterator[None]:
    """Every backend of the server stands still, as on a stalled disk."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' "
            "AND pid <> pg_backend_pid()"
        ).fetchall()
    for (pid,) in rows:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for (pid,) in rows:
            os.kill(pid, signal.SIGCONT)


class Scene(NamedTuple):
    """A service, where its log is read without it, and what goes wrong while the context lasts."""

    running: Service
    log: str
    trouble: Callable[[], AbstractContextManager[None]]


Stage = Callable[[Path, Path], AbstractContextManager[Scene]]


@contextmanager
def _kill_9(bundle: Path, folder: Path) -> Iterator[Scene]:
    log = str(folder / "decisions.db")
    with service(bundle, log) as running:

        @contextmanager
        def killed() -> Iterator[None]:
            running.kill()
            running.start()
            yield

        yield Scene(running, log, killed)


@contextmanager
def _file_limit(bundle: Path, folder: Path) -> Iterator[Scene]:
    log, endless = str(folder / "decisions.db"), resource.RLIM_INFINITY
    with service(bundle, log) as running:

        @contextmanager
        def limited() -> Iterator[None]:
            assert running.process
            process = running.process.pid
            resource.prlimit(process, resource.RLIMIT_FSIZE, (50_000, endless))
            yield
            with suppress(ProcessLookupError):
                resource.prlimit(process, resource.RLIMIT_FSIZE, (endless, endless))

        yield Scene(running, log, limited)


@contextmanager
def _full_disk(bundle: Path, folder: Path) -> Iterator[Scene]:
    with small_disk(16) as disk, service(bundle, str(disk / "decisions.db")) as running:
        yield Scene(running, str(disk / "decisions.db"), lambda: filled_up(disk))


@contextmanager
def _full_disk_of_postgresql(bundle: Path, folder: Path) -> Iterator[Scene]:
    with small_disk(32) as disk, postgres() as server:
        with psycopg.connect(server.url(), autocommit=True) as owner:
            owner.execute(f"CREATE TABLESPACE small LOCATION '{disk}'".encode())
            owner.execute("ALTER DATABASE postgres SET default_tablespace = small")
        with service(bundle, server.url()) as running:
            yield Scene(running, server.url(), lambda: filled_up(disk))


@contextmanager
def _frozen_postgresql(bundle: Path, folder: Path) -> Iterator[Scene]:
    with postgres() as server, service(bundle, server.url()) as running:
        yield Scene(running, server.url(), lambda: frozen(server.url()))


@contextmanager
def _killed_postgresql(bundle: Path, folder: Path) -> Iterator[Scene]:
    with postgres() as server, service(bundle, server.url()) as running:

        @contextmanager
        def killed() -> Iterator[None]:
            server.kill()
            yield
            server.start()

        yield Scene(running, server.url(), killed)


@contextmanager
def _taken_pool(bundle: Path, folder: Path) -> Iterator[Scene]:
    with postgres() as server, pooled(server, size=1) as url, service(bundle, url) as running:

        @contextmanager
        def taken() -> Iterator[None]:
            with psycopg.connect(url, prepare_threshold=None) as another_client:
                another_client.execute("SELECT 1")
                yield

        yield Scene(running, server.url(), taken)


TROUBLES: dict[str, tuple[Stage, int | None]] = {
    "kill -9": (_kill_9, None),
    "a limit on the size of files": (_file_limit, 200),
    "a full disk": (_full_disk, 200),
    "a full disk of PostgreSQL": (_full_disk_of_postgresql, 200),
    "a frozen PostgreSQL": (_frozen_postgresql, 503),
    "a killed PostgreSQL": (_killed_postgresql, 503),
    "a pool of one that another client holds": (_taken_pool, 503),
}
"""What happens, and what readiness says meanwhile: a full disk can be read. None: nothing is refused."""
GRACE_S = 25
"""Platforms give 30 s from SIGTERM to SIGKILL."""


@pytest.mark.parametrize("name", TROUBLES)
def test_under_load_each_answered_decision_is_on_record_and_the_service_ends_in_time(
    name: str, bundle: Path, tmp_path: Path
) -> None:
    stage, ready = TROUBLES[name]
    with stage(bundle, tmp_path) as (running, log, trouble):
        with _under_load(running) as load:
            load.reach(50)
            with trouble():
                if ready:
                    # Not all are: a frozen connection is given up, and the next group gets a new one.
                    until(lambda: bool(load.refused), 20)
                    assert httpx.get(f"{running.url}/readyz", timeout=5).status_code == ready
                    assert httpx.get(f"{running.url}/livez", timeout=5).status_code == 200
            until(lambda: running.post("/v1/score", ONE).status_code == 200, 30)
            load.reach(len(load.answered) + 20)
            with trouble():
                assert running.process
                running.process.terminate()
                assert running.process.wait(GRACE_S) in (0, -signal.SIGTERM)
        assert load.refused == ({(503, "5")} if ready else set())
        _all_are_in(log, load.answered)


def test_two_instances_on_one_postgresql_write_one_chain_and_share_objections(
    bundle: Path, tmp_path: Path
) -> None:
    with (
        postgres() as server,
        service(bundle, server.url()) as one,
        service(bundle, server.url()) as two,
    ):
        with _under_load(one, two) as load:
            load.reach(100)
        assert load.refused == set()
        _all_are_in(server.url(), load.answered)
        assert one.post("/v1/objections", {"customer_id": CUSTOMER}, "subject").status_code == 200
        assert two.post("/v1/score", ONE).json()["outcome"] == "objected"


def test_postgresql_itself_refuses_to_forget_or_change(bundle: Path, tmp_path: Path) -> None:
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
