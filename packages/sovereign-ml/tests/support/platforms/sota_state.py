"""What the sota double knows and what each documented call does to it; the assumptions are listed in sota_double."""

from __future__ import annotations

import email
import email.policy
import io
import json
import tarfile
import uuid
from dataclasses import dataclass, field
from typing import Any

STEPS = ("pending", "building", "built", "deploying", "running")
LIMIT = 50_000_000


@dataclass
class Faults:
    """The documented failures, each off by default; the counts say how many answers fail before one succeeds."""

    build_fails: bool = False
    health_check_fails: bool = False
    never_runs: bool = False
    replaced: bool = False
    queue_full: int = 0
    rate_limited: int = 0
    stream_cut: bool = False
    stream_missing: bool = False
    slugs_taken: tuple[str, ...] = ()
    limit_bytes: int = LIMIT


@dataclass
class State:
    """What the double knows; tests read it to see what arrived."""

    faults: Faults = field(default_factory=Faults)
    projects: list[dict[str, Any]] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    deployments: list[dict[str, Any]] = field(default_factory=list)
    archives: list[dict[str, bytes]] = field(default_factory=list)
    started_with: list[dict[str, str]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    build_log: tuple[str, ...] = ("Step 1/9 : FROM", "Step 5/9 : RUN python -m pip install")
    service_open: bool = False
    service_ready: bool = True


class RefusalError(Exception):
    """An answer of 400 and above."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


def _now() -> str:
    return "2026-02-25T14:30:00Z"


def new_project(state: State, body: dict[str, str]) -> tuple[int, dict[str, Any]]:
    _only(body, {"name", "slug"})
    if not 1 <= len(body.get("name", "")) <= 100:
        raise RefusalError(422, "validation_error", "name must have 1 to 100 characters")
    if body["slug"] in state.faults.slugs_taken:
        raise RefusalError(409, "conflict", "Slug already taken")
    project = {"id": str(uuid.uuid4()), "name": body["name"], "slug": body["slug"]}
    state.projects.append({**project, "created_at": _now(), "updated_at": _now()})
    return 201, {"data": state.projects[-1]}


def list_projects(state: State) -> tuple[int, dict[str, Any]]:
    return 200, {"data": state.projects, "pagination": {"next_cursor": None, "has_more": False}}


def set_variable(state: State, project: str, body: dict[str, str]) -> tuple[int, dict[str, Any]]:
    _only(body, {"key", "value"})
    state.variables[body["key"]] = body["value"]
    stamps = {"created_at": _now(), "updated_at": _now()}
    return 200, {"data": {"id": str(uuid.uuid4()), "project_id": project, **body, **stamps}}


def delete_variable(state: State, key: str) -> tuple[int, None]:
    if state.variables.pop(key, None) is None:
        raise RefusalError(404, "not_found", "Variable not found")
    return 204, None


def deploy(state: State, project: str, raw: bytes, kind: str) -> tuple[int, dict[str, Any]]:
    if state.faults.queue_full:
        state.faults.queue_full -= 1
        raise RefusalError(503, "unavailable", "Build queue full")
    archive = _archive_part(raw, kind)
    if len(archive) > state.faults.limit_bytes:
        raise RefusalError(413, "too_large", "Archive exceeds 50 MB")
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        members = {member.name.removeprefix("./"): member for member in tar.getmembers()}
        state.archives.append(
            {n: tar.extractfile(m).read() for n, m in members.items() if m.isfile()}
        )  # type: ignore[union-attr]
    return 202, {"data": _start(state, project, "pending", None)}


def _start(state: State, project: str, status: str, image: str | None) -> dict[str, Any]:
    identity = str(uuid.uuid4())
    empty = dict.fromkeys(("build_method", "framework", "error_message", "url"))
    deployment = {
        "id": identity,
        "project_id": project,
        "status": status,
        "image_tag": image,
        **empty,
    }
    state.deployments.insert(0, {**deployment, "created_at": _now(), "updated_at": _now()})
    state.started_with.append(dict(state.variables))
    return dict(state.deployments[0])


def list_deployments(state: State) -> tuple[int, dict[str, Any]]:
    answer = json.loads(json.dumps(state.deployments[:20]))
    if state.deployments:
        _advance(state, state.deployments[0])
    return 200, {"data": answer, "pagination": {"next_cursor": None, "has_more": False}}


def _advance(state: State, newest: dict[str, Any]) -> None:
    """One step a look, so that every status is seen once."""
    if newest["status"] not in STEPS[:-1]:
        return
    following = STEPS[STEPS.index(newest["status"]) + 1]
    has_dockerfile = bool(state.archives) and "Dockerfile" in state.archives[-1]
    if following == "built" and (state.faults.build_fails or not has_dockerfile):
        newest.update(status="failed", error_message="build failed: exit code 1")
    elif following == "running" and state.faults.health_check_fails:
        newest.update(status="failed", error_message="health check failed after 60s")
    elif following == "running" and state.faults.replaced:
        newest.update(status="stopped")
    elif not (following == "running" and state.faults.never_runs):
        newest.update(status=following)
    if newest["status"] == "running":
        slug = next(p["slug"] for p in state.projects if p["id"] == newest["project_id"])
        newest["image_tag"] = newest["image_tag"] or f"registry.sota.io/{slug}:{newest['id'][:8]}"
        newest.update(url=f"{slug}.sota.io", build_method="dockerfile")
        for older in state.deployments[1:]:
            older["status"] = "stopped" if older["status"] == "running" else older["status"]


def rollback(state: State, project: str) -> tuple[int, dict[str, Any]]:
    running = next((d for d in state.deployments if d["status"] == "running"), None)
    previous = next(
        (d for d in state.deployments if d["status"] == "stopped" and d["image_tag"]), None
    )
    if running is None or previous is None:
        raise RefusalError(409, "conflict", "No previous deployment")
    return 200, {"data": _start(state, project, "deploying", previous["image_tag"])}


def redeploy(state: State, project: str) -> tuple[int, dict[str, Any]]:
    running = next((d for d in state.deployments if d["status"] == "running"), None)
    if running is None:
        raise RefusalError(409, "conflict", "Nothing is running")
    return 200, {"data": _start(state, project, "deploying", running["image_tag"])}


def _only(body: dict[str, Any], allowed: set[str]) -> None:
    if extra := set(body) - allowed:
        raise RefusalError(
            422, "validation_error", f"undocumented fields: {', '.join(sorted(extra))}"
        )


def _archive_part(raw: bytes, kind: str) -> bytes:
    if not kind.startswith("multipart/form-data"):
        raise RefusalError(
            400,
            "bad_request",
            "multipart/form-data with the field archive is the only documented input",
        )
    message = email.message_from_bytes(
        f"Content-Type: {kind}\r\n\r\n".encode() + raw, policy=email.policy.HTTP
    )
    parts = {
        part.get_param("name", header="content-disposition"): part for part in message.iter_parts()
    }
    if set(parts) != {"archive"}:
        raise RefusalError(
            400,
            "bad_request",
            f"only the field archive is documented, seen {sorted(map(str, parts))}",
        )
    return bytes(parts["archive"].get_payload(decode=True))
