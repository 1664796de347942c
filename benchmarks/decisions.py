"""Time every route of the service on a decision log of a million decisions, beside a short one.

Needs a rendered project with a finished `make run`, its environment, about 10 GB of disk, and a
PostgreSQL server where it may make databases. Writes docs/benchmarks/decisions.json and decisions.md:
python benchmarks/decisions.py PROJECT postgresql://user@host/postgres
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from contestants import ROOT, example_row
from decisions_history import REVIEWED, WAITING, copied, fill
from decisions_table import PROMISED_MB, PROMISED_MS, table
from harness import peak_kb

from sovereign_ml.config.connections import LogLocation
from sovereign_ml.decision_log import open_log, verify
from sovereign_ml.privacy.objections import facts

SHORT = 4_000
"""Decisions of the log that the long one is compared with."""


class Place(NamedTuple):
    """A log, and what of it is asked."""

    name: str
    address: str
    waiting: list[tuple[str, str]]
    """Case and version of each that waits for a person."""
    decided: list[tuple[str, str]]
    """Case and person of some decisions, old and new."""
    contestable: list[tuple[str, str]]
    """The same of decisions that nobody has contested."""


@dataclass
class Server:
    """The service on one log, with what was measured."""

    place: Place
    client: httpx.Client
    pid: int
    ready_s: float
    times: dict[str, list[float]] = field(default_factory=dict)

    def ask(self, what: str, method: str, path: str, **more: Any) -> httpx.Response:
        """One request, timed; whatever is not answered as meant ends the run."""
        start = time.perf_counter()
        answer = self.client.request(method, path, **more)
        self.times.setdefault(what, []).append((time.perf_counter() - start) * 1000)
        if answer.status_code not in (200, 202, 303):
            raise SystemExit(f"{self.place.name}: {what}: {answer.status_code} {answer.text[:200]}")
        return answer

    def memory_mb(self) -> float:
        """The most memory that the process has needed so far."""
        return peak_kb(self.pid) / 1024


def opened(name: str, address: str) -> Place:
    """Look up what is asked of a log."""
    with closing(open_log(address)) as log:
        entries = log.open_reviews(WAITING)
        cases = [one.case_id for one in entries if one.kind == "decision"]
        versions = log.newest_seals(cases)
        oldest = [one for one in (log.first("decision"),) if one]
        new = [one for one in log.newest("decision", 3 * WAITING) if one.case_id not in versions]
        some = [(one.case_id, one.subject or "") for one in [*oldest, *new]]
    waiting = [(case, versions[case]) for case in cases]
    return Place(name, address, waiting, some[:WAITING], some[WAITING:])


@contextmanager
def running(project: Path, place: Place, folder: Path) -> Iterator[Server]:
    """The shipped program on one log."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(
            [str(project / "serve"), *filter(None, [os.environ.get("PYTHONPATH")])]
        ),
        "CHURN_PROFILE": "local",
        "BUNDLE_DIR": str(project / "data" / "7_bundle"),
        "CHURN_LOG": place.address,
        "CHURN_SEED_SHARE": "0",
    }
    command = [sys.executable, "-m", "sovereign_ml.service", "--port", str(port)]
    start = time.monotonic()
    with (folder / f"{port}.txt").open("wb") as told:
        process = subprocess.Popen(command, env=environment, stdout=told, stderr=told)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            until_ready(client, process, folder / f"{port}.txt")
            yield Server(place, client, process.pid, time.monotonic() - start)
    finally:
        process.terminate()
        process.wait(timeout=40)


def until_ready(client: httpx.Client, process: subprocess.Popen[bytes], told: Path) -> None:
    """Wait until the service answers that it is ready."""
    while process.poll() is None:
        try:
            if client.get("/readyz").status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.05)
    raise SystemExit(told.read_text()[-2000:])


def ask_all(server: Server, number: int, row: dict[str, Any]) -> None:
    """Ask every route once; what changes something is about another person or case each time."""
    person = f"{10**9 + number:016x}"
    case, version = server.place.waiting[number]
    mine, whose = server.place.decided[number % len(server.place.decided)]
    about = {"customer_id": person}
    ask, theirs = server.ask, {"customer-id": whose}
    ask("readiness, GET /readyz", "GET", "/readyz")
    ask("POST /v1/score", "POST", "/v1/score", json={**row, **about})
    batch = {"customers": [{**row, "customer_id": f"{number:08x}{n:08x}"} for n in range(100)]}
    ask("POST /v1/score/batch of 100", "POST", "/v1/score/batch", json=batch)
    ask("GET /v1/decisions/{id}", "GET", f"/v1/decisions/{mine}", headers=theirs)
    ask("the desk, GET /reviews", "GET", "/reviews")
    ask("one case, GET /reviews/{id}", "GET", f"/reviews/{case}")
    page = ask("GET /v1/reviews", "GET", "/v1/reviews").json()
    after = {"after": page["next"]} if page["next"] else {}
    ask("GET /v1/reviews, next page", "GET", "/v1/reviews", params=after)
    verdict = {"outcome": "no_offer", "reason": "Nothing unusual.", "version": version}
    ask("POST /v1/reviews/{id}", "POST", f"/v1/reviews/{case}", json=verdict)
    view = {"view": "I was abroad."}
    contest = f"/v1/decisions/{server.place.contestable[number][0]}/contest"
    whose = server.place.contestable[number][1]
    ask(
        "POST /v1/decisions/{id}/contest",
        "POST",
        contest,
        json=view,
        headers={"customer-id": whose},
    )
    told = {"reason": "Corrected.", "informed_on": f"{datetime.now(UTC):%Y-%m-%d}"}
    consent = {"reference": "Form 48213", "given_on": told["informed_on"]}
    ask("POST /v1/restrictions", "POST", "/v1/restrictions", json={**about, "ground": "unlawful"})
    ask("POST /v1/restrictions/lift", "POST", "/v1/restrictions/lift", json={**about, **told})
    ask("POST /v1/withdrawals", "POST", "/v1/withdrawals", json=about)
    ask("POST /v1/consents", "POST", "/v1/consents", json={**about, **consent})
    ask("POST /v1/objections", "POST", "/v1/objections", json=about)
    ask("GET /v1/card", "GET", "/v1/card")
    ask("GET /metrics", "GET", "/metrics")
    ask("GET /openapi.json", "GET", "/openapi.json")
    start = time.perf_counter()
    facts(LogLocation("", server.place.address))
    server.times.setdefault("facts for the card", []).append((time.perf_counter() - start) * 1000)


def real_bodies(project: Path, folder: Path, row: dict[str, Any]) -> list[dict[str, Any]]:
    """What the service writes about a hundred people."""
    address = str(folder / "bodies.db")
    with running(project, Place("", address, [], [], []), folder) as server:
        for number in range(100):
            features = {**row["features"], "recency_days": 5.0 + number / 2}
            about = {"customer_id": f"{number:016x}", "features": features}
            server.ask("", "POST", "/v1/score", json=about)
    with closing(open_log(address)) as log:
        return [json.loads(one.body or "{}") for one in log.of_kind("decision")]


def proved(place: Place) -> tuple[int, float]:
    """Number of entries and seconds of a whole proof; ends the run if the log does not hold."""
    start = time.monotonic()
    with closing(open_log(place.address)) as log:
        verdict = verify(log)
    if verdict.problems:
        raise SystemExit(f"{place.name}: {verdict.problems[:3]}")
    return verdict.entries, time.monotonic() - start


def measure(project: Path, places: list[Place], folder: Path, rounds: int) -> list[Server]:
    """Ask all services in turns."""
    row = example_row(project / "data" / "7_bundle")
    with ExitStack() as stack:
        servers = [stack.enter_context(running(project, one, folder)) for one in places]
        for number in range(rounds):
            for server in servers:
                ask_all(server, number, row)
        for server in servers:
            server.times["memory"] = [server.memory_mb()]
    return servers


def main() -> int:
    """Fill, prove, measure, write JSON and table; exit 1 above the promise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("project", type=Path, help="a rendered project where `make run` has been")
    parser.add_argument("postgres", help="address of a server where databases may be made")
    parser.add_argument("--decisions", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=30, help="requests of each kind")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks")
    given = parser.parse_args()
    project = given.project.resolve()
    with tempfile.TemporaryDirectory(prefix="churn-decisions-") as name:
        folder = Path(name)
        bodies = real_bodies(project, folder, example_row(project / "data" / "7_bundle"))
        places = []
        for length in (SHORT, given.decisions):
            path = folder / f"{length}.db"
            fill(path, bodies, length)
            places.append(opened(f"SQLite, {length:,}", str(path)))
            places.append(opened(f"PostgreSQL, {length:,}", copied(path, given.postgres)))
        size = Path(places[2].address).stat().st_size
        servers = measure(project, places, folder, given.rounds)
        result = report(servers, size, given.decisions, given.rounds)
        written(result, given.out)
        result["proofs"] = [proved(place) for place in places[2:]]
    sys.stdout.write(written(result, given.out))
    long = [one for one in result["logs"] if one["decisions"] == given.decisions]
    slow = max(fastest for one in long for fastest in one["fastest_ms"].values())
    return 0 if slow < PROMISED_MS and all(one["memory_mb"] < PROMISED_MB for one in long) else 1


def written(result: dict[str, Any], out: Path) -> str:
    """Write JSON and page; returns the page."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "decisions.json").write_text(json.dumps(result, indent=1) + "\n")
    text = table(result)
    (out / "decisions.md").write_text(text)
    return text


def report(servers: list[Server], size: int, decisions: int, rounds: int) -> dict[str, Any]:
    """What was measured, by log."""
    logs = []
    for number, server in enumerate(servers):
        (memory,) = server.times.pop("memory")
        times = server.times
        logs.append(
            {
                "database": server.place.name.split(",")[0],
                "decisions": decisions if number >= 2 else SHORT,
                "median_ms": {what: round(statistics.median(ms), 1) for what, ms in times.items()},
                "fastest_ms": {what: round(min(ms), 1) for what, ms in times.items()},
                "memory_mb": round(memory),
                "ready_s": round(server.ready_s, 1),
            }
        )
    return {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "decisions": decisions,
        "reviews": decisions // REVIEWED - WAITING,
        "rounds": rounds,
        "load": os.getloadavg()[1],
        "proofs": [],
        "size_gb": round(size / 1e9, 1),
        "logs": logs,
    }


if __name__ == "__main__":
    sys.exit(main())
