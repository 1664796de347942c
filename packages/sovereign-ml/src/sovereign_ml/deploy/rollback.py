"""Go back to the previous release and its variables. The platform's rollback leaves variables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from http import HTTPStatus
from pathlib import Path

from sovereign_ml.deploy import DeployError
from sovereign_ml.deploy.releases import (
    Release,
    VariableChange,
    change_between,
    read_releases,
    read_tried,
)
from sovereign_ml.deploy.run import Clock, finish, wait_until_running
from sovereign_ml.deploy.send import Say, apply_change, public_url, read_link, redact
from sovereign_ml.deploy.sota_api import Deployment, SotaApi, SotaProject
from sovereign_ml.deploy.transport import SotaError


def rollback(
    api: SotaApi,
    *,
    link: Path,
    releases: Path,
    service_url: str,
    clock: Clock,
    say: Say,
    hidden: Iterable[str] = (),
) -> Release:
    """Start the previous image with the variables of its release, and check that it answers.

    ``hidden`` are values of secrets, which a build log may hold. The platform goes back by exactly
    one deployment. Secrets stay: an old key may be withdrawn. Raises DeployError when there is no
    previous release, or it does not run or answer.
    """
    project = linked(link)
    url = public_url(service_url, project.slug)
    history = read_releases(releases)
    # A deployment that failed since the newest release had its variables written before.
    tried = read_tried(releases)
    newest = [item.id for item in api.deployments(project.id)[:1]]
    tried_since = tried or newest != [item.deployment for item in history[-1:]]
    waiting = partial(
        wait_until_running, api, project.id, clock=clock, say=say, hidden=tuple(hidden)
    )
    running = waiting(_start(api, project).id)
    # An image without a tag is unknown, and is not that of another release without one.
    tag = running.image_tag
    target = next((item for item in reversed(history) if tag and item.image_tag == tag), None)
    change = _missing_change(history, target, running, say)
    if target and tried_since:
        kept = {*target.variables, *history[-1].secrets}
        removed = {*change.remove, *(set(tried) - kept)}
        change = VariableChange(target.variables, tuple(sorted(removed)))
    # The platform gives new variables to a service only when it starts.
    if change.write or change.remove:
        apply_change(api, project.id, change, say)
        running = waiting(api.redeploy(project.id).id)
    basis = target or (history[-1] if history else None)
    return finish(
        running,
        "rollback",
        url=url,
        bundle=target.bundle if target else "unknown",
        variables=basis.variables if basis else {},
        secrets=history[-1].secrets if history else (),
        releases=releases,
        clock=clock,
        settled=target is not None,
    )


def status(
    api: SotaApi, *, link: Path, releases: Path, count: int = 5, hidden: Iterable[str] = ()
) -> list[dict[str, str]]:
    """Return the newest deployments, newest first, each with its recorded bundle.

    ``hidden`` are values of secrets, which the reason of a failure may hold.
    """
    project, values = linked(link), tuple(hidden)
    bundles = {item.deployment: item for item in read_releases(releases)}
    rows = [_row(item, bundles.get(item.id)) for item in api.deployments(project.id)[:count]]
    return [{**row, "error": redact(row["error"], values)} for row in rows]


def linked(link: Path) -> SotaProject:
    """Return the project of this folder. Raises DeployError before the first deployment."""
    project = read_link(link)
    if project is None:
        raise DeployError(
            f"{link} does not exist: nothing was deployed from this folder yet; "
            "run `make deploy` first"
        )
    return project


def _start(api: SotaApi, project: SotaProject) -> Deployment:
    try:
        return api.rollback(project.id)
    except SotaError as error:
        if error.status != HTTPStatus.CONFLICT:
            raise
        raise DeployError(
            "there is no previous deployment to go back to, or none is running now"
        ) from None


def _missing_change(
    history: Sequence[Release], target: Release | None, running: Deployment, say: Say
) -> VariableChange:
    """Return the variables to restore, none (with a warning) without a record of the image."""
    if target is None or not history:
        say(
            f"no record of the image {running.image_tag}: its variables were NOT restored; "
            "check them by hand"
        )
        return VariableChange({}, ())
    return change_between(history[-1].variables, target.variables, keep=history[-1].secrets)


def _row(deployment: Deployment, release: Release | None) -> dict[str, str]:
    return {
        "deployment": deployment.id,
        "status": deployment.status,
        "created_at": deployment.created_at,
        "image": deployment.image_tag or "",
        "bundle": release.bundle if release else "",
        "kind": release.kind if release else "",
        "smoke": release.smoke if release else "",
        "error": deployment.reason if deployment.status == "failed" else "",
    }
