"""A double of Kubeflow Pipelines on loopback: the calls of the published v2beta1 API that kfp.Client makes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any
from urllib.parse import parse_qs, urlsplit

from loopback import Quiet, listening

ROOT = "/apis/v2beta1"
KEYS = {"experiments": "experiment_id", "runs": "run_id", "recurringruns": "recurring_run_id"}
LISTS = {"experiments": "experiments", "runs": "runs", "recurringruns": "recurringRuns"}


class Kubeflow:
    """What was created, by kind; a token without which nothing is answered."""

    def __init__(self, token: str) -> None:
        self.token, self.address, self._numbers = token, "", count(1)
        self.made: dict[str, dict[str, dict[str, Any]]] = {kind: {} for kind in KEYS}

    def answer(
        self, method: str, path: str, query: dict[str, list[str]], body: Any
    ) -> tuple[int, Any]:
        """Status and JSON of a call."""
        parts = path.removeprefix(ROOT).strip("/").split("/")
        if path == f"{ROOT}/healthz":
            return 200, {"multi_user": False}
        if parts[0] not in KEYS:
            return 404, {"error": f"no {path} in v2beta1"}
        shelf = self.made[parts[0]]
        if method == "POST":
            body = {**body, KEYS[parts[0]]: f"{parts[0]}-{next(self._numbers)}"}
            shelf[body[KEYS[parts[0]]]] = body
            return 200, body
        if method == "DELETE":
            return (200, {}) if shelf.pop(parts[1], None) else (404, {"error": "none"})
        fitting = [row for row in shelf.values() if _fits(row, query)]
        start = int(query.get("page_token", ["0"])[0])
        end = start + int(query.get("page_size", ["10"])[0])
        more = {"next_page_token": f"{end}"} if end < len(fitting) else {}
        return 200, {LISTS[parts[0]]: fitting[start:end]} | more


def _fits(row: dict[str, Any], query: dict[str, list[str]]) -> bool:
    predicates = json.loads(query.get("filter", ["{}"])[0]).get("predicates", [])
    return all(
        row.get(p["key"], row.get("display_name")) == p.get("stringValue", p.get("string_value"))
        for p in predicates
    )


@contextmanager
def kubeflow(token: str) -> Iterator[Kubeflow]:
    """A running double."""
    double = Kubeflow(token)

    class Handler(Quiet):
        def handle_call(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("content-length", 0))
            body = json.loads(self.rfile.read(length)) if length else None
            if self.headers.get("authorization") != f"Bearer {double.token}":
                status, said = 401, {"error": "no"}
            else:
                status, said = double.answer(self.command, parts.path, parse_qs(parts.query), body)
            self.reply(status, json.dumps(said).encode())

        def __getattr__(self, name: str) -> Any:
            if name in ("do_GET", "do_POST", "do_DELETE"):
                return self.handle_call
            raise AttributeError(name)

    with listening(Handler) as address:
        double.address = address
        yield double
