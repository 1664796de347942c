"""Every two calls that change something meet on one PostgreSQL, each on an instance that does not know of the other.

The test holds the lock that all writers wait for, sends the first call to one process and the second to
the other, and lets go once both wait. So each has read what was true before, and they write in this
order. All ordered pairs are tried in every situation of a person; the log is judged at the end.
"""

from __future__ import annotations

import json
import secrets
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from itertools import product
from typing import Any, NamedTuple

import httpx
import psycopg
import pytest

from servers import postgres_or_skip
from service_desk import CUSTOMER, FEATURES, KEYS, LOYAL, write_bundle
from shipped import Service, service
from sovereign_ml.decision_log import (
    DecisionLog,
    Draft,
    Entry,
    note_rectification,
    open_log,
    verify,
)
from sovereign_ml.decision_log.entries import BARS, LIFTS
from sovereign_ml.decision_log.postgres import LOCK
from sovereign_ml.service.access.api_keys import read_keys
from sovereign_ml.service.access.session import Sessions
from sovereign_ml.service.routes import ROUTES

SECRET = "s" * 32
REVIEWER = read_keys(KEYS["review"][1])[0]
TODAY = f"{datetime.now(UTC):%Y-%m-%d}"
TOLD = {"reason": "The purchases were corrected.", "informed_on": TODAY}
VERDICT = {"outcome": "offer", "reason": "A seasonal buyer, nothing unusual."}
SITUATIONS = {
    "a case waits": ("decision",),
    "a contest waits": ("decision", "contest"),
    "a contest of somebody barred waits": ("decision", "contest", "restriction", "withdrawal"),
}
"""What is on record about the person when the two calls come, oldest first."""


class Scene(NamedTuple):
    """One person with one case, and the version of it that a reviewer has read."""

    subject: str
    case: str
    version: str


class Call(NamedTuple):
    """One request that changes something, or an act of the command line on the log itself."""

    name: str
    send: Callable[[Side, Scene], Any]


class Side:
    """One of the two instances: a client of its process, and a connection for the command line beside it."""

    def __init__(self, running: Service, address: str) -> None:
        self.client = httpx.Client(base_url=running.url, timeout=15)
        self.log = open_log(address)
        self.thread = ThreadPoolExecutor(1)

    def post(self, path: str, scope: str, **content: Any) -> httpx.Response:
        """POST with the key of ``scope``, about whom or what ``content`` says."""
        headers = {"authorization": f"Bearer {KEYS[scope][0]}"}
        headers |= {"customer-id": content.pop("of")} if "of" in content else {}
        return self.client.post(path, json=content, headers=headers)

    def form(self, path: str, **fields: str) -> httpx.Response:
        """POST a form of the reviewer's desk, signed in."""
        cookie = f"reviewer={Sessions(SECRET).new(REVIEWER)}"
        headers = {"origin": str(self.client.base_url), "cookie": cookie}
        return self.client.post(path, data=fields, headers=headers)

    def close(self) -> None:
        """Let go of everything."""
        self.thread.shutdown()
        self.client.close()
        self.log.close()


def _about(path: str, scope: str, **more: Any) -> Callable[[Side, Scene], httpx.Response]:
    return lambda side, scene: side.post(path, scope, customer_id=scene.subject, **more)


def _judge(side: Side, scene: Scene) -> httpx.Response:
    """The second page of the desk, after the reviewer's own view on the first."""
    read = f"{scene.version}:no_offer"
    started = Sessions(SECRET).stamp(REVIEWER, scene.case, read)
    return side.form(f"/reviews/{scene.case}", started=started, **VERDICT)


ONE = {"features": FEATURES}
CALLS: dict[str, dict[str, Callable[[Side, Scene], httpx.Response]]] = {
    "/v1/score": {
        "score": _about("/v1/score", "score", **ONE),
        "correct": lambda side, scene: side.post(
            "/v1/score", "score", customer_id=scene.subject, features=LOYAL, corrects=scene.case
        ),
    },
    "/v1/score/batch": {
        "batch": lambda side, scene: side.post(
            "/v1/score/batch", "score", customers=[{"customer_id": scene.subject, **ONE}]
        )
    },
    "/v1/decisions/{id}/contest": {
        "contest": lambda side, scene: side.post(
            f"/v1/decisions/{scene.case}/contest", "subject", of=scene.subject, view="I was abroad."
        )
    },
    "/v1/objections": {"object": _about("/v1/objections", "subject")},
    "/v1/restrictions": {
        "restrict": _about("/v1/restrictions", "subject", ground="unlawful"),
        "restrict once more": _about("/v1/restrictions", "subject", ground="needed_for_claims"),
    },
    "/v1/restrictions/lift": {"lift": _about("/v1/restrictions/lift", "review", **TOLD)},
    "/v1/withdrawals": {"withdraw": _about("/v1/withdrawals", "subject")},
    "/v1/consents": {
        "consent": _about("/v1/consents", "subject", reference="Form 48213", given_on=TODAY)
    },
    "/v1/reviews/{id}": {
        "review": lambda side, scene: side.post(
            f"/v1/reviews/{scene.case}", "review", version=scene.version, **VERDICT
        )
    },
    "/reviews/{id}": {"judge": _judge},
    "/reviews/sign-in": {"sign in": lambda side, _: side.form("/reviews/sign-in", key="wrong")},
}
"""What each route of the table that changes something is asked, by its path."""
ACTS: dict[str, Callable[[Side, Scene], Any]] = {
    "churn data-subject erase": lambda side, scene: side.log.erase_subject(scene.subject),
    "churn data-subject rectify": lambda side, scene: note_rectification(
        side.log, scene.subject, "corrected"
    ),
}
PAIRS = list(
    product([Call(*one) for calls in (*CALLS.values(), ACTS) for one in calls.items()], repeat=2)
)


def test_every_route_that_changes_something_is_in_the_pairs() -> None:
    changing = {route.path for route in ROUTES if route.method != "GET"}
    assert set(CALLS) == changing, "say in CALLS what the new route is asked"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with postgres_or_skip() as server:
        yield server.url()


@pytest.fixture(scope="module")
def sides(address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Side, Side]]:
    folder = tmp_path_factory.mktemp("interleavings")
    bundle = write_bundle(folder / "bundle", significant_effect=True)
    given = {"CHURN_SEED_SHARE": "0", "CHURN_SESSION_SECRET": SECRET}
    with ExitStack() as stack:
        running = [stack.enter_context(service(bundle, address, **given)) for _ in "ab"]
        opened = [Side(one, address) for one in running]
        for one in opened:
            stack.callback(one.close)
        yield opened[0], opened[1]


class Gate:
    """The lock of all writers, in the test's hand: opened once the calls that it stops have come."""

    def __init__(self, address: str) -> None:
        self._connection = psycopg.connect(address, autocommit=True)
        self.met = 0
        """How often both calls of a pair waited."""

    def race(
        self, sides: tuple[Side, Side], pair: tuple[Call, Call], scene: Scene
    ) -> tuple[Any, Any]:
        """Let both calls come, in this order; return what they were answered."""
        self._connection.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        try:
            sent = []
            for side, call in zip(sides, pair, strict=True):
                sent.append(side.thread.submit(call.send, side, scene))
                self._come(sent)
            self.met += self._waiting() == len(pair)
        finally:
            self._connection.execute("SELECT pg_advisory_unlock(%s)", (LOCK,))
        return sent[0].result(), sent[1].result()

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()

    def _come(self, sent: list[Future[Any]]) -> None:
        """Wait until each call stands before the lock, or was answered without it."""
        deadline = time.monotonic() + 4
        while self._waiting() + sum(one.done() for one in sent) < len(sent):
            assert time.monotonic() < deadline, "a call neither answers nor waits for the lock"
            time.sleep(0.001)

    def _waiting(self) -> int:
        sql = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        rows = self._connection.execute(sql).fetchall()
        return int(rows[0][0])


def _scenes(log: DecisionLog, body: str, number: int) -> Iterator[tuple[str, Scene]]:
    """Bring ``number`` people into each situation, all at once."""
    people = [
        (name, secrets.token_hex(8), secrets.token_hex(16))
        for name in SITUATIONS
        for _ in range(number)
    ]
    drafts = []
    for name, subject, case in people:
        bodies = {"decision": body, "contest": '{"view": "I was abroad."}'}
        for kind in SITUATIONS[name]:
            own = case if kind in bodies else f"{kind}-{case}"
            text = bodies.get(kind, '{"ground": "unlawful"}')
            drafts.append(Draft(kind, own, subject, text, opens_review=kind in bodies))  # type: ignore[arg-type]
    assert all(isinstance(one, Entry) for one in log.append(drafts))
    versions = log.newest_seals([case for _, _, case in people])
    for name, subject, case in people:
        yield name, Scene(subject, case, versions[case])


def _faults(entries: Iterable[Entry], before: int) -> list[str]:
    """Walk the chain as a person would read it: what follows what, and may not."""
    faults, bars = [], defaultdict[str, dict[str, str]](dict)
    opened: dict[str, str] = {}
    corrected: Counter[str] = Counter()
    added = defaultdict[str, list[str]](list)
    """Kinds of entries of each case since the calls began."""
    for entry in entries:
        body = json.loads(entry.body or "{}")
        where = f"entry {entry.seq}, a {entry.kind}: "
        barred = bars[entry.subject or ""]
        offered = entry.kind == "decision" and body.get("outcome") in ("offer", "pending_review")
        if barred and (offered or (entry.kind == "review" and body.get("outcome") == "offer")):
            faults.append(f"{where}an offer after a {' and a '.join(sorted(barred.values()))}")
        if entry.kind == "contest" and opened.get(entry.case_id) == "contest":
            faults.append(f"{where}a second open contest of the case")
        if entry.kind == "review" and entry.seq > before and (heard := added[entry.case_id]):
            faults.append(f"{where}the reviewer never saw the {heard[-1]}")
        if entry.kind == "rectification" and body.get("corrected_by"):
            corrected[entry.case_id] += 1
        if entry.kind in BARS:
            barred[entry.case_id] = entry.kind
        elif entry.kind in LIFTS:
            barred.pop(entry.case_id, None)
        if entry.kind in ("contest", "review"):
            opened[entry.case_id] = entry.kind
        if entry.seq > before:
            added[entry.case_id].append(entry.kind)
    faults += [f"{case} was corrected {n} times" for case, n in corrected.items() if n > 1]
    return faults


def _answer_faults(log: DecisionLog, answers: list[tuple[Scene, str, Any]]) -> list[str]:
    """What was promised and is not on record, or was answered as no answer is documented."""
    faults, kinds = [], {"object": "objection", "withdraw": "withdrawal"}
    kinds |= dict.fromkeys(CALLS["/v1/restrictions"], "restriction")
    for scene, name, answer in answers:
        if not isinstance(answer, httpx.Response):
            continue
        if answer.status_code not in (200, 202, 303, 403, 404, 409, 410):
            faults.append(f"{name}: {answer.status_code} {answer.text[:80]}")
        given = answer.json() if answer.headers["content-type"] == "application/json" else {}
        if kind := kinds.get(name):
            theirs = [one.kind for one in log.of_subject(scene.subject)]
            erased = not theirs or bool(log.barred([scene.subject]))
            if kind not in theirs and not erased:
                faults.append(f"{name}: in force says the answer, and nothing is on record")
        for one in given.get("decisions", [given] if "decision_id" in given else []):
            entries = log.of_case(one["decision_id"]) if one["decision_id"] else []
            body = json.loads((entries[0].body if entries else None) or "{}")
            if "outcome" in one and body and body["outcome"] != one["outcome"]:
                faults.append(f"{name}: answered {one['outcome']}, on record {body['outcome']}")
    return faults


BROKEN: dict[str, list[tuple[str, str]]] = {
    "an offer after a objection": [("objection", "{}"), ("decision", '{"outcome": "offer"}')],
    "an offer after a restriction": [("restriction", "{}"), ("review", '{"outcome": "offer"}')],
    "an offer after a withdrawal": [
        ("withdrawal", "{}"),
        ("decision", '{"outcome": "pending_review"}'),
    ],
    "an offer after a restriction and a withdrawal": [
        ("restriction", "{}"),
        ("withdrawal", "{}"),
        ("decision", '{"outcome": "offer"}'),
    ],
    "a second open contest": [("contest", "{}"), ("contest", "{}")],
    "never saw the contest": [("contest", "{}"), ("review", '{"outcome": "no_offer"}')],
    "never saw the rectification": [("rectification", "{}"), ("review", '{"outcome": "no_offer"}')],
    "was corrected 2 times": [("rectification", '{"corrected_by": "x"}')] * 2,
}
"""Logs that no service may write, and what the judge of the meetings has to say."""


@pytest.mark.parametrize("fault", BROKEN)
def test_the_judge_of_the_meetings_sees_each_broken_promise(fault: str) -> None:
    entries = [
        Entry(
            seq, kind, f"bar-{seq}" if kind in BARS else "case", *("person", "", "", body, *"   ")
        )
        for seq, (kind, body) in enumerate(BROKEN[fault], 1)
    ]
    assert any(fault in one for one in _faults(entries, 0))


@pytest.mark.servers
def test_no_two_calls_that_meet_break_a_promise(sides: tuple[Side, Side], address: str) -> None:
    first = sides[0].post("/v1/score", "score", customer_id=CUSTOMER, **ONE).json()
    answers: list[tuple[Scene, str, Any]] = []
    met: Counter[str] = Counter()
    with closing(Gate(address)) as gate, closing(open_log(address)) as log:
        body = log.of_case(first["decision_id"])[0].body or ""
        scenes = list(_scenes(log, body, len(PAIRS)))
        before = log.head()[0]
        for (_, scene), pair in zip(scenes, PAIRS * len(SITUATIONS), strict=True):
            waited = gate.met
            both = gate.race(sides, pair, scene)
            if gate.met > waited:
                met.update({call.name for call in pair})
            answers += [(scene, call.name, one) for call, one in zip(pair, both, strict=True)]
        faults = [*_faults(log.entries(), before), *verify(log).problems]
        faults += [*_answer_faults(log, answers)]
        people = [scene.subject for _, scene in scenes]
        faults += [fault for side in sides for fault in _memory_faults(side, log, people)]
    sys.stdout.write(
        f"{len(PAIRS)} ordered pairs of {len({call.name for call, _ in PAIRS})} calls in "
        f"{len(SITUATIONS)} situations: {len(scenes)} meetings, in {gate.met} both waited to write, "
        f"{len(faults)} faults\n"
    )
    assert faults == []
    never = {call.name for call, _ in PAIRS} - met.keys() - {"sign in"}
    assert not never, "these calls never met another one while they wrote"


def _memory_faults(side: Side, log: DecisionLog, people: list[str]) -> list[str]:
    """Score everybody once more: what this instance remembers may not differ from what the log says."""
    barred = log.barred(people)
    asked = [{"customer_id": one, **ONE} for one in people]
    answer = side.post("/v1/score/batch", "score", customers=asked)
    assert answer.status_code == 200, answer.text
    return [
        f"{one['outcome']} for somebody whom the log has as {barred.get(one['customer_id'])}"
        for one in answer.json()["decisions"]
        if one["outcome"] not in (barred.get(one["customer_id"], "pending_review"), "erased")
    ]
