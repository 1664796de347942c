"""Send a staged folder: link the project, set the variables, upload by the sota CLI or the API."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from threading import Timer

from sovereign_ml.config.deployment import API_URL
from sovereign_ml.deploy import DeployError
from sovereign_ml.deploy.packing import pack
from sovereign_ml.deploy.releases import VariableChange
from sovereign_ml.deploy.sota_api import SotaApi, SotaProject
from sovereign_ml.deploy.stage import Staged
from sovereign_ml.deploy.transport import SotaError, https_only

Say = Callable[[str], None]
LINK = ".sota.json"
SHORTEST_LINE = 8
"""Characters of a value or line that is hidden by itself. Shorter ones are numbers or brackets."""


@dataclass(frozen=True)
class Shipment:
    """A staged folder and its destination.

    ``cli`` is the sota CLI's name or path, empty for the API alone. ``service_url`` is empty for
    the platform's own address. ``variables`` are public, ``secrets`` are never printed.
    """

    staged: Staged
    name: str
    slug: str
    variables: Mapping[str, str]
    secrets: Mapping[str, str] = field(repr=False)
    service_url: str = ""
    api_url: str = API_URL
    cli: str = ""

    @property
    def url(self) -> str:
        """Return the service's address, without a slash. Raises ValueError unless it is https."""
        return public_url(self.service_url, self.slug)

    @property
    def cli_path(self) -> str | None:
        """Return the path of the CLI, None if it is not used or not installed."""
        return shutil.which(self.cli) if self.cli else None


def public_url(service_url: str, slug: str) -> str:
    """Return ``service_url``, or else the platform's address for ``slug``.

    Raises ValueError when it is not https.
    """
    return https_only(service_url.rstrip("/") or f"https://{slug}.sota.io")


def redact(text: str, secrets: Iterable[str]) -> str:
    """Return ``text`` with every secret value replaced: a build step may have printed one.

    A log comes line by line, so each line of a value is replaced too.
    """
    values = [value.strip() for value in secrets]
    values += [
        line.strip()
        for value in values
        for line in value.splitlines()
        if len(line.strip()) >= SHORTEST_LINE
    ]
    # Longest first: a secret may be a part of another one.
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, "[redacted]") if value else text
    return text


def read_link(link: Path) -> SotaProject | None:
    """Return the project that ``.sota.json`` names, None before first use.

    Raises ValueError when the file is broken.
    """
    if not link.is_file():
        return None
    try:
        content = json.loads(link.read_text(encoding="utf-8"))
        # It becomes a part of the path of each call.
        if not re.fullmatch("[A-Za-z0-9_-]+", content["project_id"]):
            raise ValueError
        return SotaProject(
            id=content["project_id"], name=content["project_slug"], slug=content["project_slug"]
        )
    except (ValueError, KeyError, TypeError):
        raise ValueError(
            f"{link}: project_id and project_slug are needed; restore it or delete it to link anew"
        ) from None


def write_link(link: Path, project: SotaProject) -> None:
    """Write ``.sota.json`` as the CLI does. It holds no secret and belongs into version control."""
    content = {"project_id": project.id, "project_slug": project.slug}
    link.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def linked_project(api: SotaApi, shipment: Shipment, link: Path, say: Say) -> SotaProject:
    """Return the project of ``link``, or else the account's project with this slug, or a new one.

    Writes ``link`` on first use. Raises ValueError when it names another slug.
    """
    project = read_link(link)
    if project and project.slug != shipment.slug:
        raise ValueError(
            f"{link} names the project {project.slug!r}, [deploy] slug is {shipment.slug!r}: "
            "a slug never changes; correct config.toml, or delete the file to use another project"
        )
    if project is None:
        project = next((item for item in api.projects() if item.slug == shipment.slug), None)
        project = project or _create(api, shipment)
        write_link(link, project)
        say(f"project {project.slug} ({project.id}) linked in {link.name}; commit that file")
    return project


def apply_change(api: SotaApi, project: str, change: VariableChange, say: Say) -> None:
    """Write and remove variables, and report their names, never their values."""
    for key, value in change.write.items():
        try:
            api.set_variable(project, key, value)
        except SotaError as error:
            # Who refuses a value may repeat it.
            message = redact(str(error), (value,) if len(value) >= SHORTEST_LINE else ())
            raise SotaError(message, error.status, error.reset) from None
        say(f"variable {key} set")
    for key in change.remove:
        api.delete_variable(project, key)
        say(f"variable {key} removed")


def upload(
    api: SotaApi, project: SotaProject, shipment: Shipment, timeout_s: float, say: Say
) -> str:
    """Start the deployment and return its id. Build lines are passed on, but prove no success."""
    hidden = tuple(shipment.secrets.values())
    cli = shipment.cli_path
    if cli is None:
        deployment = api.upload(project.id, pack(shipment.staged.folder)).id
        ends = time.monotonic() + timeout_s
        for line in api.follow(project.id, deployment):
            say(redact(line, hidden))
            # Build lines prove nothing, so the deployment is followed in the list either way.
            if time.monotonic() > ends:
                break
        return deployment
    before = {deployment.id for deployment in api.deployments(project.id)}
    flags = () if shipment.api_url == API_URL else ("--api-url", shipment.api_url)
    command = [cli, *flags, "deploy"]
    _run_cli(command, shipment.staged.folder, timeout_s, say, hidden)
    # The CLI does not print the id of the deployment that it started.
    new = [item.id for item in api.deployments(project.id) if item.id not in before]
    if len(new) != 1:
        raise DeployError(
            f"{len(new)} new deployments after `sota deploy`, expected 1: somebody else may be "
            "deploying; see `churn deploy status`"
        )
    return new[0]


def _create(api: SotaApi, shipment: Shipment) -> SotaProject:
    try:
        return api.create_project(shipment.name, shipment.slug)
    except SotaError as error:
        if error.status != HTTPStatus.CONFLICT:
            raise
        raise DeployError(
            f"the slug {shipment.slug!r} is taken by another account of the platform; "
            "choose another [deploy] slug in config.toml"
        ) from None


def _run_cli(
    command: list[str], folder: Path, timeout_s: float, say: Say, hidden: tuple[str, ...]
) -> None:
    """Run the CLI and pass on its lines. It ends with 0 even when the build failed.

    Values in ``hidden`` are in no line and in no error.
    It reads SOTA_API_KEY itself, so the key is in no argument. Raises DeployError otherwise.
    """
    with subprocess.Popen(
        command,
        cwd=folder,
        # The CLI must not wait for an answer that nobody gives.
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        # One stream, because a second pipe that nobody reads could fill up and block the CLI.
        stderr=subprocess.STDOUT,
        text=True,
        # A build may print any bytes.
        encoding="utf-8",
        errors="replace",
    ) as process:
        # A hanging CLI would block the loop over its lines for ever.
        watchdog = Timer(timeout_s, process.kill)
        watchdog.start()
        lines = []
        try:
            for line in process.stdout or ():
                lines.append(redact(line.rstrip(), hidden))
                say(lines[-1])
        finally:
            # Its thread would keep this program alive until the time is over.
            watchdog.cancel()
    if process.returncode:
        last = " ".join(lines[-1:]) or "no output"
        raise DeployError(f"`sota deploy` ended with {process.returncode}: {last}")
