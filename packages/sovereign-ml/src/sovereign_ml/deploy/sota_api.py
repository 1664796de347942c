"""The documented sota.io API (sota.io/docs/api) as far as a deployment needs it.

Only documented fields are read. Statuses and the stream's form come from the official clients (sota-deploy/cli,
sdk), which are the only source for them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from http import HTTPStatus
from typing import Literal, TypeVar
from urllib.parse import quote
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, ValidationError

from sovereign_ml.deploy.transport import SotaError, Transport, envelope

FINAL = ("running", "failed", "stopped")
M = TypeVar("M", bound=BaseModel)


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class SotaProject(_Answer):
    """A project; its slug is its address, ``https://{slug}.sota.io``, and never changes."""

    id: str
    name: str
    slug: str


class Deployment(_Answer):
    """One deployment. ``error`` is what the clients read; the documentation calls the field ``error_message``."""

    id: str
    status: Literal["pending", "building", "built", "deploying", "running", "failed", "stopped"]
    created_at: str
    image_tag: str | None = None
    url: str | None = None
    error_message: str | None = None
    error: str | None = None

    @property
    def reason(self) -> str:
        """Why it failed, as far as the platform says."""
        return self.error_message or self.error or "no reason given"


class SotaApi:
    """The calls of a deployment, over a :class:`Transport` to the API's base address."""

    def __init__(self, transport: Transport) -> None:
        self._http = transport

    def projects(self) -> Iterator[SotaProject]:
        """Every project of the account, over all pages."""
        cursor = ""
        while True:
            page = self._http.json("GET", f"/v1/projects?limit=100{cursor}")
            yield from (_read(SotaProject, item) for item in page["data"])
            pagination = page.get("pagination") or {}
            if not pagination.get("has_more"):
                return
            cursor = f"&cursor={quote(str(pagination['next_cursor']), safe='')}"

    def create_project(self, name: str, slug: str) -> SotaProject:
        """Create a project; SotaError with status 409 when the slug is taken."""
        return _read(
            SotaProject,
            self._http.json("POST", "/v1/projects", {"name": name, "slug": slug})["data"],
        )

    def set_variable(self, project: str, key: str, value: str) -> None:
        """Create or replace one variable: what `sota env set` does. It takes effect with the next deployment."""
        self._http.json("POST", f"/v1/projects/{project}/envs", {"key": key, "value": value})

    def delete_variable(self, project: str, key: str) -> None:
        """Remove one variable; one that is not there is fine."""
        try:
            self._http.send("DELETE", f"/v1/projects/{project}/envs/{quote(key, safe='')}")
        except SotaError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise

    def upload(self, project: str, archive: bytes) -> Deployment:
        """Send the packed folder as multipart field ``archive``, the only documented input of a deployment."""
        mark = uuid4().hex
        head = (
            f"--{mark}\r\n"
            'Content-Disposition: form-data; name="archive"; filename="archive.tar.gz"\r\n'
            "Content-Type: application/gzip\r\n\r\n"
        )
        body = head.encode() + archive + f"\r\n--{mark}--\r\n".encode()
        kind = f"multipart/form-data; boundary={mark}"
        return _read(
            Deployment,
            envelope(self._http.send("POST", f"/v1/projects/{project}/deploy", body, kind))["data"],
        )

    def redeploy(self, project: str) -> Deployment:
        """Start the current image again with the newest variables, without a build."""
        return _read(
            Deployment, self._http.json("POST", f"/v1/projects/{project}/redeploy")["data"]
        )

    def rollback(self, project: str) -> Deployment:
        """Start the previous image again; SotaError with status 409 when there is none or nothing runs."""
        return _read(
            Deployment, self._http.json("POST", f"/v1/projects/{project}/rollback")["data"]
        )

    def deployments(self, project: str) -> list[Deployment]:
        """The newest deployments (the platform's default page, 20), newest first."""
        page = self._http.json("GET", f"/v1/projects/{project}/deployments")
        return [_read(Deployment, item) for item in page["data"]]

    def logs(self, project: str, deployment: str) -> str:
        """The build log as text; the clients accept bare text and ``{"data": text}``, so both are read."""
        path = f"/v1/projects/{project}/deployments/{deployment}/logs"
        text = self._http.send("GET", path).decode("utf-8", "replace")
        try:
            content = json.loads(text)
        except ValueError:
            return text
        return str(content["data"]) if isinstance(content, dict) and "data" in content else text

    def follow(self, project: str, deployment: str) -> Iterator[str]:
        """Lines of the build while it runs; says nothing about success, which only :meth:`deployments` tells."""
        for line in self._http.lines(
            f"/v1/projects/{project}/deployments/{deployment}/logs/stream"
        ):
            if line.startswith("data:"):
                yield line.removeprefix("data:").removeprefix(" ")


def _read(model: type[M], content: object) -> M:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SotaError(
            f"the API sent an undocumented {model.__name__.lower()}: {where}: {first['msg']}"
        ) from None
