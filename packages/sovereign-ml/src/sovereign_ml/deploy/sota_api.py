"""The documented sota.io API (sota.io/docs/api) as far as a deployment needs it.

Only documented fields are read. Statuses and the stream's form come from the official clients
(sota-deploy/cli, sdk), which are the only source for them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, Literal, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, ValidationError

from sovereign_ml.deploy.transport import SotaError, Transport

FINAL = ("running", "failed", "stopped")
M = TypeVar("M", bound=BaseModel)


class _Answer(BaseModel):
    # What the platform adds to its answers later is no error.
    model_config = ConfigDict(frozen=True, extra="ignore")


class SotaProject(_Answer):
    """A project. Its slug never changes, and its address is ``https://{slug}.sota.io``."""

    id: str
    name: str
    slug: str


class Deployment(_Answer):
    """One deployment. The clients read ``error``, the documentation says ``error_message``."""

    id: str
    status: Literal["pending", "building", "built", "deploying", "running", "failed", "stopped"]
    created_at: str
    image_tag: str | None = None
    url: str | None = None
    error_message: str | None = None
    error: str | None = None

    @property
    def reason(self) -> str:
        """Return the platform's reason for a failure."""
        return self.error_message or self.error or "no reason given"


class SotaApi:
    """The calls of a deployment, over a :class:`Transport` to the API's base address."""

    def __init__(self, transport: Transport) -> None:
        self._http = transport

    def projects(self) -> Iterator[SotaProject]:
        """Yield every project of the account, over all pages."""
        cursor = ""
        while True:
            page = self._http.json("GET", f"/v1/projects?limit=100{cursor}")
            yield from _items(SotaProject, page["data"])
            pagination = page.get("pagination")
            if not isinstance(pagination, dict):
                return
            after = pagination.get("next_cursor")
            # Without a cursor, the next page would be the first one again.
            if not after or not pagination.get("has_more"):
                return
            cursor = f"&cursor={quote(str(after), safe='')}"

    def create_project(self, name: str, slug: str) -> SotaProject:
        """Create a project. Raises SotaError with status 409 when the slug is taken."""
        content = {"name": name, "slug": slug}
        return _read(SotaProject, self._http.json("POST", "/v1/projects", json=content)["data"])

    def set_variable(self, project: str, key: str, value: str) -> None:
        """Create or replace one variable, as `sota env set` does, for the next deployment."""
        content = {"key": key, "value": value}
        self._http.json("POST", f"/v1/projects/{project}/envs", json=content)

    def delete_variable(self, project: str, key: str) -> None:
        """Remove one variable, if it exists."""
        try:
            self._http.send("DELETE", f"/v1/projects/{project}/envs/{quote(key, safe='')}")
        except SotaError as error:
            # A command that is repeated meets a variable that is removed already.
            if error.status != HTTPStatus.NOT_FOUND:
                raise

    def upload(self, project: str, archive: bytes) -> Deployment:
        """Send the packed folder as ``archive``, the only documented input of a deployment."""
        files = {"archive": ("archive.tar.gz", archive, "application/gzip")}
        return self._start(project, "deploy", files=files)

    def redeploy(self, project: str) -> Deployment:
        """Start the current image again with the newest variables, without a build."""
        return self._start(project, "redeploy")

    def rollback(self, project: str) -> Deployment:
        """Start the previous image again.

        Raises SotaError with status 409 when there is no previous image or nothing runs.
        """
        return self._start(project, "rollback")

    def _start(self, project: str, verb: str, **content: Any) -> Deployment:
        answer = self._http.json("POST", f"/v1/projects/{project}/{verb}", **content)
        return _read(Deployment, answer["data"])

    def deployments(self, project: str) -> list[Deployment]:
        """Return the newest deployments (the platform's default page, 20), newest first."""
        page = self._http.json("GET", f"/v1/projects/{project}/deployments")
        return _items(Deployment, page["data"])

    def logs(self, project: str, deployment: str) -> str:
        """Return the build log, from bare text or ``{"data": text}``: the clients accept both."""
        path = f"/v1/projects/{project}/deployments/{deployment}/logs"
        # A build may print any bytes.
        text = self._http.send("GET", path).content.decode("utf-8", "replace")
        try:
            content = json.loads(text)
        except ValueError:
            return text
        return str(content["data"]) if isinstance(content, dict) and "data" in content else text

    def follow(self, project: str, deployment: str) -> Iterator[str]:
        """Yield the lines of a build while it runs. Only :meth:`deployments` tells its outcome."""
        path = f"/v1/projects/{project}/deployments/{deployment}/logs/stream"
        for line in self._http.lines(path):
            if line.startswith("data:"):
                # The space after the colon is optional in server-sent events.
                yield line.removeprefix("data:").removeprefix(" ")


def _items(model: type[M], content: object) -> list[M]:
    """Return the items of a list. The platform is written in Go, whose empty list may be null."""
    if not isinstance(content, list | None):
        raise SotaError(f"the API sent no list of {model.__name__.lower()}s: {str(content)[:80]!r}")
    return [_read(model, item) for item in content or ()]


def _read(model: type[M], content: object) -> M:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SotaError(
            f"the API sent an undocumented {model.__name__.lower()}: {where}: {first['msg']}"
        ) from None
