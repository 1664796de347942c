"""A double of the sota.io API on loopback, for tests.

It implements the request and response shapes published at sota.io/docs/api/* and used by sota-deploy/cli v1.1.0 and
sdk v1.2.0, as far as a deployment uses them. It does not claim to behave as sota.io does. What is not documented is
refused: no image field, no region, no per-deployment GET, no JSON body on a deploy.

ASSUMPTIONS, because nothing documents them: every error code except ``not_found``; 413 for an archive that is too
large and 400 for one without ``archive``; the stream's payload (``data: <line>``) and that it ends with the status;
logs as bare text; ``build_method`` "dockerfile"; one step of the status for each look at the list; the build checks
that a Dockerfile is in the archive; X-RateLimit-Reset one second ahead.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import sota_state as act
from sota_state import RefusalError, State

KEY = "sota_" + "a1b2c3d4e5" * 4


class SotaDouble:
    """The running double: ``url`` for the API, ``service_url`` for the deployed service, ``state`` to look inside."""

    def __init__(self) -> None:
        self.state = State()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self.state))
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.service_url = f"{self.url}/service"


@contextmanager
def sota_double() -> Iterator[SotaDouble]:
    """Start the double on a free port and stop it afterwards."""
    double = SotaDouble()
    thread = threading.Thread(
        target=double.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
    )
    thread.start()
    try:
        yield double
    finally:
        double.server.shutdown()
        double.server.server_close()


Route = tuple[str, str, Callable[..., tuple[int, dict[str, Any] | None]]]
ROUTES: tuple[Route, ...] = (
    ("GET", r"/v1/projects", lambda s, h: act.list_projects(s)),
    ("POST", r"/v1/projects", lambda s, h: act.new_project(s, json.loads(h.body))),
    (
        "POST",
        r"/v1/projects/([^/]+)/envs",
        lambda s, h, p: act.set_variable(s, p, json.loads(h.body)),
    ),
    (
        "DELETE",
        r"/v1/projects/([^/]+)/envs/([^/]+)",
        lambda s, h, p, key: act.delete_variable(s, key),
    ),
    (
        "POST",
        r"/v1/projects/([^/]+)/deploy",
        lambda s, h, p: act.deploy(s, p, h.body, h.headers["Content-Type"] or ""),
    ),
    ("POST", r"/v1/projects/([^/]+)/redeploy", lambda s, h, p: act.redeploy(s, p)),
    ("POST", r"/v1/projects/([^/]+)/rollback", lambda s, h, p: act.rollback(s, p)),
    ("GET", r"/v1/projects/([^/]+)/deployments", lambda s, h, p: act.list_deployments(s)),
)
LOGS = re.compile(r"/v1/projects/([^/]+)/deployments/([^/]+)/logs(/stream)?")


def _handler(state: State) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        body = b""

        def do_GET(self) -> None:
            self.answer()

        def do_POST(self) -> None:
            self.answer()

        def do_DELETE(self) -> None:
            self.answer()

        def log_message(self, format: str, *args: object) -> None:
            pass

        def answer(self) -> None:
            path = self.path.partition("?")[0]
            self.body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            state.requests.append(f"{self.command} {path}")
            try:
                if path.startswith("/service/"):
                    self.service(path.removeprefix("/service"))
                else:
                    self.admit(path)
                    self.api(path)
            except RefusalError as refusal:
                self.send(
                    refusal.status,
                    json.dumps({"error": {"message": str(refusal), "code": refusal.code}}),
                )

        def api(self, path: str) -> None:
            logs = LOGS.fullmatch(path) if self.command == "GET" else None
            if logs and logs[3]:
                self.stream()
            elif logs:
                self.send(200, "\n".join(state.build_log), "text/plain")
            else:
                status, content = self.route(path)
                self.send(status, json.dumps(content) if content is not None else "")

        def admit(self, path: str) -> None:
            if self.headers["Authorization"] != f"Bearer {KEY}":
                raise RefusalError(401, "unauthorized", "Missing or invalid API key")
            if state.faults.rate_limited:
                state.faults.rate_limited -= 1
                raise RefusalError(429, "rate_limited", "Too many requests")
            project = re.match(r"/v1/projects/([^/]+)", path)
            if project and project[1] not in {item["id"] for item in state.projects}:
                raise RefusalError(404, "not_found", "Project not found")

        def route(self, path: str) -> tuple[int, dict[str, Any] | None]:
            for method, pattern, handle in ROUTES:
                if method == self.command and (match := re.fullmatch(pattern, path)):
                    return handle(state, self, *match.groups())
            raise RefusalError(404, "not_found", f"undocumented: {self.command} {path}")

        def stream(self) -> None:
            if state.faults.stream_missing:
                raise RefusalError(404, "not_found", "No stream")
            lines = [
                ": comment",
                "event: log",
                *(f"data: {line}" for line in state.build_log),
                "data:no space",
            ]
            text = "".join(f"{line}\n\n" for line in lines)
            length = len(text) + 1000 if state.faults.stream_cut else len(text)
            self.send(200, text, "text/event-stream", length)

        def service(self, path: str) -> None:
            good = state.service_ready if path == "/readyz" else state.service_open
            self.send(200 if good else 503 if path == "/readyz" else 401, "{}")

        def send(
            self, status: int, text: str, kind: str = "application/json", length: int | None = None
        ) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header(
                "Content-Length", str(len(text.encode()) if length is None else length)
            )
            self.send_header("X-RateLimit-Limit", "100")
            self.send_header("X-RateLimit-Remaining", "0" if status == 429 else "99")
            self.send_header("X-RateLimit-Reset", str(int(time.time()) + 1))
            self.end_headers()
            self.wfile.write(text.encode())

    return Handler
