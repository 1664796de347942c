"""A double of ClearML's API server. No ClearML server was used for these tests.

It is held to the client's published contract: each request is validated against the endpoint schema
that the client carries (API 2.23), with no field besides. Another endpoint, a missing key or token
and an unknown task are refused as the server refuses them.
"""

from __future__ import annotations

import base64
import json
import subprocess
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator, ValidationError

from feature_server import answering

KEY, SECRET = "K" * 20, "S" * 40
VERSION = "v2.23"
ENDPOINTS = {
    "auth.login": None,
    "debug.ping": None,
    "projects.get_all": "projects.GetAllRequest",
    "projects.create": "projects.CreateRequest",
    "tasks.get_all": "tasks.GetAllRequest",
    "tasks.create": "tasks.CreateRequest",
    "tasks.started": "tasks.StartedRequest",
    "tasks.completed": "tasks.CompletedRequest",
    "tasks.stopped": "tasks.StoppedRequest",
    "tasks.failed": "tasks.FailedRequest",
    "tasks.add_or_update_artifacts": "tasks.AddOrUpdateArtifactsRequest",
    "tasks.delete_many": "tasks.DeleteManyRequest",
    "events.add_batch": "events.AddRequest",
}
"""Endpoints and the class of the client that holds the schema of each."""
DUMP = """
import json, sys
from clearml.backend_api.services.v2_23 import events, projects, tasks
modules = {"events": events, "projects": projects, "tasks": tasks}
named = [line for line in sys.argv[1:]]
print(json.dumps({n: getattr(modules[n.split(".")[0]], n.split(".")[1])._schema for n in named}))
"""


def schemas(python: Path) -> dict[str, Draft7Validator]:
    """Return the request schema of each endpoint as the installed client has it."""
    classes = [name for name in ENDPOINTS.values() if name]
    done = subprocess.run(
        [str(python), "-c", DUMP, *classes], capture_output=True, text=True, check=True
    )
    held = json.loads(done.stdout.splitlines()[-1])
    return {
        endpoint: Draft7Validator(_closed(held[name]))
        for endpoint, name in ENDPOINTS.items()
        if name
    }


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    # The client adds the HTTP method to each request, which its schemas do not list.
    # An event is one of several kinds, of which a run has scalars.
    scalar = schema.get("definitions", {}).get("metrics_scalar_event")
    schema = {**schema, **scalar, "anyOf": [{}]} if scalar else schema
    properties = {**schema.get("properties", {}), "method": {"enum": ["post"]}}
    return {**schema, "properties": properties, "additionalProperties": False}


@dataclass
class Clearml:
    """What the double holds, and the headers and bodies of all requests."""

    validators: Mapping[str, Draft7Validator]
    projects: dict[str, str] = field(default_factory=dict)
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    breaks_at: str = ""
    """Endpoint that is answered with an error, as by a server that ends in the middle."""
    on_request: Callable[[str], object] = id
    """What happens when an endpoint is asked for."""

    def handle(self, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        """Answer one request."""
        text = body.decode()
        version, _, endpoint = path.strip("/").partition("?")[0].rpartition("/")
        self.requests.append((endpoint, str(headers), text))
        self.on_request(endpoint)
        if endpoint not in ENDPOINTS or version not in ("", VERSION):
            return self._refusal(400, f"Unknown endpoint {path}")
        if endpoint == "debug.ping":
            return self._answer({})
        if endpoint == "auth.login":
            wanted = "Basic " + base64.b64encode(f"{KEY}:{SECRET}".encode()).decode()
            if headers.get("authorization") != wanted:
                return self._refusal(401, "Unauthorized (invalid credentials)")
            return self._answer({"token": TOKEN})
        if headers.get("authorization") != f"Bearer {TOKEN}":
            return self._refusal(401, "Unauthorized (missing token)")
        if endpoint == self.breaks_at:
            return self._refusal(500, "General data error")
        # A batch is one JSON document a line.
        batch = endpoint == "events.add_batch"
        requests = [json.loads(line) for line in text.splitlines()] if batch else [json.loads(text)]
        try:
            for request in requests:
                self.validators[endpoint].validate(request)
        except ValidationError as error:
            return self._refusal(400, f"Validation error: {error.message}")
        service, verb = endpoint.split(".")
        if service == "events":
            self.events += requests
            return self._answer({"added": len(requests)})
        answer: tuple[int, bytes] = getattr(self, f"_{service}_{verb}")(requests[0])
        return answer

    def _projects_get_all(self, request: dict[str, Any]) -> tuple[int, bytes]:
        name = request["name"].strip("^$")
        rows = [{"id": i, "name": n} for n, i in self.projects.items() if n == name]
        return self._answer({"projects": rows})

    def _projects_create(self, request: dict[str, Any]) -> tuple[int, bytes]:
        self.projects[request["name"]] = uuid.uuid4().hex
        return self._answer({"id": self.projects[request["name"]]})

    def _tasks_get_all(self, request: dict[str, Any]) -> tuple[int, bytes]:
        rows = [
            task
            for task in self.tasks.values()
            if task["project"] in request["project"] and set(request["tags"]) <= set(task["tags"])
        ]
        start = request["page"] * request["page_size"]
        return self._answer({"tasks": rows[start : start + request["page_size"]]})

    def _tasks_create(self, request: dict[str, Any]) -> tuple[int, bytes]:
        task = {**request, "id": uuid.uuid4().hex, "status": "created"}
        self.tasks[task["id"]] = task
        return self._answer({"id": task["id"]})

    def _change(self, request: dict[str, Any], **changes: Any) -> tuple[int, bytes]:
        if request["task"] not in self.tasks:
            return self._refusal(400, f"Invalid task id: id={request['task']}")
        self.tasks[request["task"]].update(changes)
        return self._answer({"updated": 1})

    def _tasks_started(self, request: dict[str, Any]) -> tuple[int, bytes]:
        return self._change(request, status="in_progress")

    def _tasks_completed(self, request: dict[str, Any]) -> tuple[int, bytes]:
        return self._change(request, status="completed")

    def _tasks_stopped(self, request: dict[str, Any]) -> tuple[int, bytes]:
        return self._change(request, status="stopped")

    def _tasks_failed(self, request: dict[str, Any]) -> tuple[int, bytes]:
        return self._change(request, status="failed")

    def _tasks_add_or_update_artifacts(self, request: dict[str, Any]) -> tuple[int, bytes]:
        return self._change(request, execution={"artifacts": request["artifacts"]})

    def _tasks_delete_many(self, request: dict[str, Any]) -> tuple[int, bytes]:
        gone = [task for task in request["ids"] if self.tasks.pop(task, None)]
        self.events = [event for event in self.events if event["task"] not in gone]
        return self._answer({"succeeded": [{"id": task} for task in gone], "failed": []})

    @staticmethod
    def _answer(data: dict[str, Any]) -> tuple[int, bytes]:
        meta = {"id": "1", "result_code": 200, "result_subcode": 0, "result_msg": "OK"}
        return 200, json.dumps({"meta": meta, "data": data}).encode()

    @staticmethod
    def _refusal(code: int, text: str) -> tuple[int, bytes]:
        meta = {"id": "1", "result_code": code, "result_subcode": 1, "result_msg": text}
        return code, json.dumps({"meta": meta, "data": {}}).encode()


def _token() -> str:
    """Return a token that the client can decode: it reads the version of the API from it."""
    parts = [{"alg": "HS256", "typ": "JWT"}, {"exp": 4102444800, "api_version": "2.23"}]
    coded = [base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts]
    return ".".join([*coded, "c2ln"])


TOKEN = _token()
Double = Callable[[], tuple[str, Clearml]]


@contextmanager
def clearml(
    validators: Mapping[str, Draft7Validator], tls: tuple[Path, Path] | None = None
) -> Iterator[tuple[str, Clearml]]:
    """The address of a running double and what it holds."""
    state = Clearml(validators)
    with answering(state.handle, tls=tls) as address:
        yield address, state
