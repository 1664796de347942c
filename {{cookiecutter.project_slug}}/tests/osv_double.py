"""A double of an OSV service on loopback: only `POST /v1/query`, answering as the published API does.

Source: OSV's OpenAPI document, query by package and version; an unknown package gives ``{}``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@contextmanager
def osv(advisories: dict[str, dict[str, Any]], asked: list[dict[str, Any]]) -> Iterator[str]:
    """The query address of a service that knows ``advisories`` (by package); each question is appended to ``asked``."""

    class Desk(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            question = json.loads(self.rfile.read(int(self.headers["content-length"])))
            known = self.path == "/v1/query" and set(question) == {"package", "version"}
            asked.append(question)
            found = advisories.get(question["package"]["name"])
            answer = json.dumps({"vulns": [found]} if found else {}).encode()
            self.send_response(200 if known else 400)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Nothing: the tests read ``asked``."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Desk)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
    finally:
        server.shutdown()
        server.server_close()
