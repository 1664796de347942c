"""A double of an OSV service on loopback: only `POST /v1/query`, answering as the published API does.

Source: OSV's OpenAPI document, query by package and version; an unknown package gives ``{}``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from loopback import Quiet, listening


@contextmanager
def osv(advisories: dict[str, dict[str, Any]], asked: list[dict[str, Any]]) -> Iterator[str]:
    """The query address of a service that knows ``advisories`` (by package); each question is appended to ``asked``."""

    class Desk(Quiet):
        def do_POST(self) -> None:
            question = json.loads(self.rfile.read(int(self.headers["content-length"])))
            known = self.path == "/v1/query" and set(question) == {"package", "version"}
            asked.append(question)
            found = advisories.get(question["package"]["name"])
            self.reply(
                200 if known else 400, json.dumps({"vulns": [found]} if found else {}).encode()
            )

    with listening(Desk) as address:
        yield f"{address}/v1/query"
