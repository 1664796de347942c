"""Raw requests to a running service on PostgreSQL that no client library would send."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import uvicorn

from servers import Postgres, free_port, postgres_or_skip
from service_desk import CUSTOMER, FEATURES, KEYS, Desk, write_bundle
from shipped import Service, service
from sovereign_ml.decision_log import Draft, LogUnavailableError, open_log, verify
from sovereign_ml.service import __main__ as program
from sovereign_ml.service import routes
from sovereign_ml.service.settings import ServiceSettings

SCORE = json.dumps({"customer_id": CUSTOMER, "features": FEATURES}).encode()
KEY = {scope: b"authorization: Bearer " + key.encode() for scope, (key, _) in KEYS.items()}
JSON = b"content-type: application/json"
UPGRADE = (b"upgrade: websocket", b"connection: Upgrade", b"sec-websocket-version: 13")
UPGRADE += (b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",)
H2C = (
    b"connection: Upgrade, HTTP2-Settings",
    b"upgrade: h2c",
    b"http2-settings: AAMAAABkAARAAAAAAAIAAAAA",
)
ORIGIN = b"origin: http://evil.example"


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres_or_skip() as running:
        yield running


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the service writes its log lines."""
    return tmp_path_factory.mktemp("edges") / "output.txt"


@pytest.fixture(scope="module")
def running(server: Postgres, lines: Path) -> Iterator[Service]:
    bundle = write_bundle(lines.parent / "bundle", human_review=True)
    with lines.open("wb") as output, service(bundle, server.url(), output=output) as opened:
        yield opened


def _raw(
    head: bytes, *headers: bytes, body: bytes = b"", host: bytes = b"host: 127.0.0.1"
) -> bytes:
    """One request; its length is sent unless it comes in chunks."""
    fields = [host, *headers] if host else [*headers]
    if body and b"chunked" not in b"".join(headers):
        fields.append(b"content-length: %d" % len(body))
    return b"\r\n".join([head + b" HTTP/1.1", *fields, b"", body])


def _answer(running: Service, request: bytes, seconds: float = 15) -> bytes:
    """Return the first answer: its head, and as much of its body as it says that there is."""
    with socket.create_connection(("127.0.0.1", running.port), timeout=seconds) as connection:
        connection.sendall(request)
        with connection.makefile("rb") as stream:
            head = b""
            while (line := stream.readline()) not in (b"", b"\r\n"):
                head += line
            length = re.search(rb"content-length: (\d+)", head)
            return head + stream.read(int(length[1]) if length else 0)


def _chunks(*pieces: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + end


def _scored(**changed: Any) -> bytes:
    return json.dumps({"customer_id": CUSTOMER, "features": FEATURES, **changed}).encode()


def _score(body: bytes, *headers: bytes) -> bytes:
    return _raw(b"POST /v1/score", KEY["score"], *(headers or (JSON,)), body=body)


CHUNKED = (JSON, b"transfer-encoding: chunked")
CASE = b"0" * 32
ATTACKS: dict[str, tuple[bytes, set[int]]] = {
    "WebSocket on a page": (_raw(b"GET /reviews", *UPGRADE), {200, 401, 426}),
    "WebSocket on nothing": (_raw(b"GET /nowhere", *UPGRADE), {404, 426}),
    "WebSocket with a body": (
        _raw(b"POST /v1/score", KEY["score"], JSON, *UPGRADE, body=SCORE),
        {400},
    ),
    "HTTP/2 in clear text": (_raw(b"GET /livez", *H2C), {200}),
    "chunks with an extension and a trailer": (
        _score(b"%x;a=b\r\n%s\r\n0\r\nx-evil: 1\r\n\r\n" % (len(SCORE), SCORE), *CHUNKED),
        {200},
    ),
    "a chunk of 2**68 bytes": (_score(b"100000000000000000\r\n{}", *CHUNKED), {400}),
    "a chunk of minus one byte": (_score(b"-1\r\n{}\r\n0\r\n\r\n", *CHUNKED), {400}),
    "one byte a chunk": (_score(_chunks(*(b"%c" % byte for byte in SCORE)), *CHUNKED), {200}),
    "chunks past the limit": (_score(_chunks(*[b" " * 1000] * 30), *CHUNKED), {413}),
    "two types of content": (_score(SCORE, b"content-type: text/plain", JSON), {415}),
    "two hosts": (_raw(b"GET /livez", b"host: evil.example"), {200, 400}),
    "no host": (_raw(b"GET /livez", host=b""), {200, 400}),
    "a host with a user": (_raw(b"GET /livez", host=b"host: a@b:80/../x"), {200, 400}),
    "another host in the target": (_raw(b"GET http://evil.example/metrics"), {400, 401, 404}),
    "a form of another site, host rewritten": (
        _raw(
            b"POST /reviews/sign-in",
            *(ORIGIN, b"x-forwarded-host: evil.example", b"forwarded: host=evil.example"),
            b"content-type: application/x-www-form-urlencoded",
            body=b"key=x",
        ),
        {403},
    ),
    "two origins": (
        _raw(
            b"POST /reviews/sign-in",
            *(ORIGIN, b"origin: http://127.0.0.1"),
            b"content-type: application/x-www-form-urlencoded",
            body=b"key=x",
        ),
        {403},
    ),
    "two people": (
        _raw(
            b"GET /v1/decisions/" + CASE,
            *(
                KEY["subject"],
                b"customer-id: aaaabbbbccccdddd",
                b"customer-id: " + CUSTOMER.encode(),
            ),
        ),
        {404},
    ),
    "a person in Latin letters": (
        _raw(b"GET /v1/decisions/" + CASE, KEY["subject"], b"customer-id: \xff\xfe"),
        {404},
    ),
    "NUL in a header": (_raw(b"GET /livez", b"x-a: a\0b"), {400}),
    "an id in percent signs": (
        _raw(b"GET /v1/decisions/" + b"%30" * 32, KEY["subject"], b"customer-id: a"),
        {404},
    ),
    "the next page of 2**63": (
        _raw(b"GET /v1/reviews?after=9223372036854775808", KEY["review"]),
        {422},
    ),
    "the next page of 10**18 - 1": (
        _raw(b"GET /v1/reviews?after=" + b"9" * 18, KEY["review"]),
        {200},
    ),
    "the next page in Arabic": (
        _raw("GET /v1/reviews?after=٣".encode(), KEY["review"]),
        {400, 422},
    ),
    "the next page with NUL": (_raw(b"GET /v1/reviews?after=1%00", KEY["review"]), {422}),
    "10,000 fields of a query": (
        _raw(b"GET /v1/reviews?" + b"a=1&" * 10_000, KEY["review"]),
        {200},
    ),
    "10,000 cookies": (_raw(b"GET /reviews", b"cookie: " + b"a=1; " * 10_000), {401}),
    "an integer of 5,000 digits": (
        _score(SCORE.replace(b"61.0", b"9" * 5000)),
        {400, 422},
    ),
    "1e400": (_score(SCORE.replace(b"61.0", b"1e400")), {400, 422}),
    "a number as a text": (_score(SCORE.replace(b"61.0", b'"61.0"')), {422}),
    "NUL in a category": (
        _score(_scored(features={**FEATURES, "preferred_category": "a\0b"})),
        {200},
    ),
    "half of a pair": (_score(SCORE.replace(b'"gifts"', b'"\\ud800"')), {400, 422}),
    "letters of all planes": (
        _score(_scored(features={**FEATURES, "preferred_category": "\U0010ffff日本\u202e"})),
        {200},
    ),
    "UTF-16": (
        _score(SCORE.decode().encode("utf-16"), b"content-type: application/json; charset=utf-16"),
        {400},
    ),
    "a key twice": (_score(SCORE[:-1] + b', "customer_id": "../../etc"}'), {422}),
    "brackets without end": (_score(b"[" * 16_000), {400}),
    "a day of the year 10000": (
        _raw(
            b"POST /v1/consents",
            *(KEY["subject"], JSON),
            body=json.dumps(
                {"customer_id": CUSTOMER, "reference": "Form 48213", "given_on": "10000-01-01"}
            ).encode(),
        ),
        {422},
    ),
    "a view that ends in NUL": (
        _raw(
            b"POST /v1/decisions/" + CASE + b"/contest",
            *(KEY["subject"], JSON, b"customer-id: " + CUSTOMER.encode()),
            body=json.dumps({"view": "I was abroad.\0\ud800"}).encode(),
        ),
        {400, 404, 422},
    ),
}
"""What is sent, and how it may be answered. The first answer counts."""


@pytest.mark.servers
@pytest.mark.parametrize("name", ATTACKS)
def test_what_is_no_plain_request_gets_a_refusal_and_no_error(
    name: str, running: Service, lines: Path
) -> None:
    request, allowed = ATTACKS[name]
    before, started = lines.read_text(), time.monotonic()
    answer = _answer(running, request)
    assert int(answer.split(b" ", 2)[1]) in allowed, answer[:200]
    assert time.monotonic() - started < 5
    assert httpx.get(f"{running.url}/readyz").status_code == 200
    assert lines.read_text() == before, "whoever may write lines can fill the disk with them"


@pytest.mark.servers
def test_after_all_that_the_chain_holds(running: Service, server: Postgres) -> None:
    assert running.post("/v1/score", json.loads(SCORE)).status_code == 200
    with closing(open_log(server.url())) as log:
        assert verify(log).problems == ()
        letters = [entry.body for entry in log.of_kind("decision") if "日本" in (entry.body or "")]
        assert len(letters) == 1


@pytest.mark.servers
@pytest.mark.parametrize(
    "path",
    [
        "/healthz/../metrics",
        "//metrics",
        "/metrics%00",
        "/metrics;a=b",
        "/%6detrics/",
        "/metrics%0a",
    ],
)
def test_raw_path_tricks_lead_nowhere(path: str, running: Service) -> None:
    answer = _answer(running, _raw(b"GET " + path.encode()))
    assert int(answer.split(b" ", 2)[1]) in (401, 404)
    assert b"application/problem+json" in answer


@pytest.mark.servers
def test_a_body_that_never_ends_is_cut_off(running: Service) -> None:
    head = _raw(b"POST /v1/score", KEY["score"], JSON, b"content-length: 5000")
    with socket.create_connection(("127.0.0.1", running.port), timeout=20) as connection:
        connection.sendall(head + SCORE[:50])
        assert b" 408 " in connection.recv(65_536)


@pytest.mark.servers
@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({"database": "nothere"}, "there is no such database"),
        ({"role": "nobody"}, "there is no such database or role"),
        ({"options": "-c default_transaction_read_only=on"}, "this server is read-only"),
        ({"sslmode": "require"}, "do not agree about encryption"),
        ({"port": "1"}, "nothing listens there"),
    ],
)
def test_a_refusal_of_postgresql_says_what_to_look_at(
    change: dict[str, str], hint: str, server: Postgres
) -> None:
    named = {name: change.pop(name) for name in ("database", "role") if name in change}
    server_parts = {"host": "127.0.0.1", "port": str(server.port), "user": "postgres", **change}
    address = server.url(**named) if named else psycopg.conninfo.make_conninfo(**server_parts)
    with pytest.raises(LogUnavailableError, match=hint) as refused:
        open_log(address).append([Draft("objection", "objection-1", "aaaaaaaa", "{}")])
    assert "127.0.0.1" not in str(refused.value)


@pytest.mark.servers
def test_a_database_that_cannot_hold_every_letter_is_refused(server: Postgres) -> None:
    with psycopg.connect(server.url(), autocommit=True) as owner:
        owner.execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    with pytest.raises(LogUnavailableError, match="LATIN1; make it with ENCODING 'UTF8'"):
        open_log(server.url("latin"))


def test_the_description_and_the_cards_page_are_made_once(
    open_service: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    html = {"accept": "text/html"}
    described = open_service.call("GET", "/openapi.json")
    page = open_service.call("GET", "/v1/card", "score", headers=html)
    monkeypatch.setattr(routes, "document", None)
    (open_service.runtime.settings.bundle / "card.html").write_text("<p>All is well.</p>")
    assert open_service.call("GET", "/openapi.json").content == described.content
    assert open_service.call("GET", "/v1/card", "score", headers=html).content == page.content


async def _hello(scope: Any, receive: Any, send: Any) -> None:
    """An application that answers everything."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a caller got who waited for "Listening on", and the server's settings."""
    seen: dict[str, Any] = {}
    started = uvicorn.Server.startup

    async def startup(self: uvicorn.Server, sockets: Any = None) -> None:
        seen.update(vars(self.config))
        await started(self, sockets)

    async def main_loop(self: uvicorn.Server) -> None:
        url = seen["printed"]().split("Listening on ")[1].split()[0]
        async with httpx.AsyncClient() as client:
            seen["answer"] = (await client.get(url)).text

    monkeypatch.setattr(uvicorn.Server, "startup", startup)
    monkeypatch.setattr(uvicorn.Server, "main_loop", main_loop)
    monkeypatch.setattr(program.gc, "freeze", lambda: None)
    return seen


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_whoever_reads_that_the_service_listens_reaches_it_at_once(
    answers: dict[str, Any], capsys: pytest.CaptureFixture[str], host: str
) -> None:
    answers["printed"] = lambda: capsys.readouterr().err
    assert program._run(ServiceSettings(host=host, port=free_port()), _hello) == 0
    assert answers["answer"] == "hello"
    # Longer than the usual proxies keep a connection.
    assert answers["timeout_keep_alive"] > 60


def test_an_address_that_is_taken_is_one_line_and_no_promise(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(program.gc, "freeze", lambda: None)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert program._run(ServiceSettings(port=port), _hello) == 1
    told = capsys.readouterr().err
    assert "Listening on" not in told
    assert f"Nothing listens on http://127.0.0.1:{port}: choose another" in told
