"""Deploy the service: send it, wait until it runs, test that it answers, and record the release."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from sovereign_ml.deploy import DeployError
from sovereign_ml.deploy.check import check_staged
from sovereign_ml.deploy.releases import (
    Release,
    VariableChange,
    append_release,
    check_variables,
    note_tried,
    read_releases,
    read_tried,
)
from sovereign_ml.deploy.send import (
    Say,
    Shipment,
    apply_change,
    linked_project,
    read_link,
    redact,
    upload,
    write_link,
)
from sovereign_ml.deploy.smoke import smoke_test
from sovereign_ml.deploy.sota_api import FINAL, Deployment, SotaApi
from sovereign_ml.deploy.transport import SotaError

LOG_LINES = 40


class Clock(NamedTuple):
    """Waiting times in seconds. The platform allows 100 requests a minute, so polling is slow."""

    poll_s: float = 5.0
    timeout_s: float = 900.0
    smoke_s: float = 60.0
    sleep: Callable[[float], None] = time.sleep


def deploy(
    shipment: Shipment, api: SotaApi, *, link: Path, releases: Path, clock: Clock, say: Say
) -> Release:
    """Send the staged folder and return the release once it runs and answers.

    Writes ``.sota.json`` (``link``) on first use and appends to ``releases``. Variables of
    deployments that failed are removed unless this one has them. Raises DeployError
    when the folder, the platform, the build or the service fails, and ValueError when the
    configuration is wrong.
    """
    url, change = shipment.url, planned_change(shipment, releases)
    for line in shipment.staged.listing():
        say(line)
    # Before the project is linked, so that a refused folder leaves nothing at the platform.
    if problems := check_staged(shipment.staged.folder):
        raise DeployError(
            "the staged folder may not be sent:\n"
            + "\n".join(f"  {problem}" for problem in problems)
        )
    project = linked_project(api, shipment, link, say)
    # The CLI reads the project from the folder that it sends.
    write_link(shipment.staged.folder / link.name, project)
    # Before they are written: whatever ends this deployment, the next one knows of them.
    note_tried(releases, {*read_tried(releases), *change.write})
    apply_change(api, project.id, change, say)
    # After the variables, because a service gets them only when it starts.
    deployment = upload(api, project, shipment, clock.timeout_s, say)
    running = wait_until_running(
        api, project.id, deployment, clock=clock, say=say, hidden=shipment.secrets.values()
    )
    return finish(
        running,
        "deploy",
        url=url,
        bundle=shipment.staged.bundle,
        variables=shipment.variables,
        secrets=shipment.secrets,
        releases=releases,
        clock=clock,
    )


def planned_change(shipment: Shipment, releases: Path) -> VariableChange:
    """Return the change of variables. Raises ValueError for malformed ones and empty secrets."""
    check_variables(shipment.variables, shipment.secrets)
    if empty := missing_secrets(shipment):
        raise ValueError(f"{empty}; export it")
    return _change(shipment, releases)


def missing_secrets(shipment: Shipment) -> str:
    """Return a message that names the secrets without a value, "" when all have one."""
    names = sorted(name for name, value in shipment.secrets.items() if not value)
    if not names:
        return ""
    return f"no value in the environment for {', '.join(names)}, which [deploy] secrets lists"


def _change(shipment: Shipment, releases: Path) -> VariableChange:
    # Every variable is written: somebody may have changed one by hand on the platform.
    after = {**shipment.variables, **shipment.secrets}
    last = read_releases(releases)[-1:]
    before = {name for release in last for name in (*release.variables, *release.secrets)}
    before.update(read_tried(releases))
    return VariableChange(after, tuple(sorted(before - set(after))))


def wait_until_running(
    api: SotaApi,
    project: str,
    deployment: str,
    *,
    clock: Clock,
    say: Say,
    hidden: Iterable[str] = (),
) -> Deployment:
    """Poll the deployment list until ``deployment`` runs, and return it.

    Raises DeployError with the end of the build log when it fails or takes too long.
    """
    waited, reported = 0.0, ""
    while True:
        current = next((item for item in api.deployments(project) if item.id == deployment), None)
        status = current.status if current else "not listed"
        if status != reported:
            say(f"deployment {deployment}: {status}")
        if current and status == "running":
            return current
        if current and status in FINAL:
            raise DeployError(
                f"deployment {deployment} {status}: {_ending(api, project, current, tuple(hidden))}"
            )
        # The upload is complete, so the platform goes on without us.
        if waited >= clock.timeout_s:
            log = _log_end(api, project, deployment, tuple(hidden))
            raise DeployError(
                f"deployment {deployment} is {status} after {waited:.0f} s: gave up waiting, "
                f"but the platform may continue; see `churn deploy status`{log}"
            )
        clock.sleep(clock.poll_s)
        waited, reported = waited + clock.poll_s, status


def finish(
    running: Deployment,
    kind: Literal["deploy", "rollback"],
    *,
    url: str,
    bundle: str,
    variables: Mapping[str, str],
    secrets: Iterable[str],
    releases: Path,
    clock: Clock,
    settled: bool = True,
) -> Release:
    """Test the running service at ``url`` and record the release with the outcome.

    ``settled`` says that the platform has no other variables than those of the release. Raises DeployError if the test fails.
    """
    fault = smoke_test(url, timeout_s=clock.smoke_s, sleep=clock.sleep)
    release = Release(
        deployment=running.id,
        image_tag=running.image_tag,
        bundle=bundle,
        created_at=running.created_at,
        kind=kind,
        smoke="failed" if fault else "passed",
        variables=dict(variables),
        secrets=tuple(sorted(secrets)),
    )
    # A release that fails its test is recorded too: a rollback needs its variables.
    append_release(releases, release)
    if settled:
        note_tried(releases, ())
    if fault:
        raise DeployError(
            f"deployment {running.id} runs but {fault}; "
            "`churn deploy rollback` restores the previous one"
        )
    return release


def dry_run(shipment: Shipment, *, link: Path, releases: Path) -> list[str]:
    """Return the steps of :func:`deploy` in order, without sending or writing anything.

    A line with `REFUSED` names a reason why it would refuse. Needs neither the key nor the
    secrets. Raises ValueError when the configuration is wrong.
    """
    check_variables(shipment.variables, shipment.secrets)
    change, empty = _change(shipment, releases), missing_secrets(shipment)
    project = read_link(link)
    staged, problems = shipment.staged, check_staged(shipment.staged.folder)
    place = f"/v1/projects/{project.id if project else '<id>'}"
    lines = [*staged.listing(), *(f"REFUSED {problem}" for problem in problems)]
    lines += [f"REFUSED {empty}"] if empty else []
    api_url = shipment.api_url
    if project is None:
        new = f"name={shipment.name!r} slug={shipment.slug!r}"
        lines.append(f"POST {api_url}/v1/projects {new} unless it exists")
    secrets = dict.fromkeys(shipment.secrets, "<from the environment>")
    values = {key: repr(value) for key, value in shipment.variables.items()} | secrets
    lines += [f"POST {api_url}{place}/envs {key}={values[key]}" for key in change.write]
    lines += [f"DELETE {api_url}{place}/envs/{key}" for key in change.remove]
    api_upload = f"POST {api_url}{place}/deploy archive=<{staged.packed_bytes:,} bytes>"
    cli = shipment.cli_path
    return [
        *lines,
        f"{cli} deploy (in {staged.folder})" if cli else api_upload,
        f"GET {api_url}{place}/deployments until running, failed or stopped",
        f"GET {shipment.url}/readyz must answer 200",
        f"POST {shipment.url}/v1/score without a key must answer 401",
    ]


def _ending(api: SotaApi, project: str, deployment: Deployment, hidden: tuple[str, ...]) -> str:
    if deployment.status == "stopped":
        return "a newer deployment replaced it before it ran; see `churn deploy status`"
    return redact(deployment.reason, hidden) + _log_end(api, project, deployment.id, hidden)


def _log_end(api: SotaApi, project: str, deployment: str, hidden: tuple[str, ...]) -> str:
    try:
        lines = redact(api.logs(project, deployment), hidden).rstrip().splitlines()[-LOG_LINES:]
    except SotaError as error:
        return f"\n(the build log could not be read: {error})"
    return "\n" + "\n".join(f"  | {line}" for line in lines)
