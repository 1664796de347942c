"""Program for the environment of the ClearML client: write, list and delete tasks.

It reads a job as JSON from standard input and writes an answer to the file of its argument. Only
the low-level ``APIClient`` is used. ``clearml.Task`` is banned: its ``init`` asks a server for
updates even offline and uploads the source of the script.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PAGE = 500
"""Tasks or events in one request."""
FINAL = ("completed", "stopped", "failed", "closed", "published")
MARK = "mlflow:"
"""Start of the tag that names the run of MLflow."""


def connect(job: dict[str, Any]) -> Any:
    """Return the API of the server. Neither a configuration file nor the host name is used."""
    settings = Path(os.environ["HOME"], "clearml.conf")  # noqa: TID251  a program of its own
    settings.write_text("{}", encoding="utf-8")
    os.environ["CLEARML_CONFIG_FILE"] = str(settings)  # noqa: TID251
    # The client sends the body of a request by GET, which proxies drop.
    os.environ["CLEARML_API_DEFAULT_REQ_METHOD"] = "post"  # noqa: TID251
    import requests

    # The client repeats a request for ever where TLS fails. This one raises the error.
    requests.post(f"{job['api']}/debug.ping", json={}, timeout=10)
    from clearml.backend_api.session.client import APIClient, StrictSession

    session = StrictSession(
        worker=job["project"],  # the default is the name of this machine
        api_key=job["key"],
        secret_key=job["secret"],
        host=job["api"],
        http_retries_config={"total": 2, "connect": 2, "read": 2, "backoff_factor": 0.2},
    )
    return APIClient(session=session)


def twins(api: Any, project: str) -> Iterator[tuple[str, str, str, str]]:
    """Yield id, run, status and content of every task of ``project`` that is a run of MLflow."""
    ids = _projects(api, project)
    page = 0
    while ids:
        tasks = list(api.tasks.get_all(project=ids, tags=["mlflow"], page=page, page_size=PAGE))
        for task in tasks:
            content = task.data.to_dict()
            runs = [tag for tag in content.get("tags") or [] if tag.startswith(MARK)]
            if runs:
                run = runs[0].removeprefix(MARK)
                yield content["id"], run, str(content.get("status")), json.dumps(content)
        if len(tasks) < PAGE:
            return
        page += 1


def push(api: Any, job: dict[str, Any]) -> dict[str, int]:
    """Write the runs of the job that have no task yet, and return how many were written or there.

    A task that an interrupted call left unfinished is deleted and written again.
    """
    ids = _projects(api, job["project"]) or [
        api.projects.create(name=job["project"], description="Runs of MLflow.").id
    ]
    complete = set()
    # All pages first: a task that is deleted would move one of the next page out of sight.
    for task, run, status, _ in list(twins(api, job["project"])):
        if status in FINAL:
            complete.add(run)
        else:
            delete(api, [task])
    missing = [run for run in job["runs"] if run["id"] not in complete]
    for run in missing:
        _write(api, ids[0], job["project"], run)
    return {"written": len(missing), "there": len(job["runs"]) - len(missing)}


def delete(api: Any, tasks: list[str]) -> int:
    """Delete tasks for good, with their events. A task that is gone already does no harm."""
    if tasks:
        # An id that the server does not know is no error. The artifacts are those of MLflow,
        # and the server would try to delete what the task only names.
        api.tasks.delete_many(ids=tasks, force=True, delete_external_artifacts=False)
    return len(tasks)


def _projects(api: Any, name: str) -> list[str]:
    # The server takes the name as a regular expression.
    listed = api.projects.get_all(name=f"^{name}$", search_hidden=False)
    return [project.id for project in listed if project.name == name]


def _write(api: Any, project_id: str, project: str, run: dict[str, Any]) -> None:
    values = {
        name: {"section": "General", "name": name, "value": value, "type": "str"}
        for name, value in run["parameters"].items()
    }
    task = api.tasks.create(
        name=f"{project} {run['id'][:8]}",
        type="training",
        project=project_id,
        tags=["mlflow", f"{MARK}{run['id']}", *run["tags"]],
        hyperparams={"General": values} if values else {},
        comment="Copied from MLflow, which stays the record.",
    ).id
    api.tasks.started(task=task)
    events = [
        {
            "type": "training_stats_scalar",
            "task": task,
            "metric": name,
            "variant": name,
            "value": value,
            "iter": step,
            "timestamp": moment,
        }
        for name, value, moment, step in run["points"]
    ]
    for start in range(0, len(events), PAGE):
        api.events.add_batch(requests=events[start : start + PAGE])
    artifacts = [
        {"key": name, "type": "custom", "mode": "output", "uri": address}
        for name, address in run["artifacts"].items()
    ]
    if artifacts:
        api.tasks.add_or_update_artifacts(task=task, artifacts=artifacts)
    # The end comes last: a task without it is written again.
    end = {"FINISHED": api.tasks.completed, "FAILED": api.tasks.failed}
    end.get(run["status"], api.tasks.stopped)(task=task, status_reason="as in MLflow")


def listed(api: Any, job: dict[str, Any]) -> list[dict[str, Any]]:
    """Return every twin with its run, and whether it names one of the job's people."""
    people = job.get("people") or []
    return [
        {"task": task, "run": run, "named": any(name in content for name in people)}
        for task, run, _, content in twins(api, job["project"])
    ]


VERBS: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    "push": push,
    "list": listed,
    "delete": lambda api, job: delete(api, job["tasks"]),
}


def main() -> None:
    """Carry out the job. An error of the server or the network becomes one line."""
    job = json.load(sys.stdin)
    try:
        content = {"answer": VERBS[job["do"]](connect(job), job)}
    except Exception as error:
        content = {"error": _explained(error, job["api"])}
    path = Path(sys.argv[1])
    path.with_suffix(".part").write_text(json.dumps(content), encoding="utf-8")
    path.with_suffix(".part").replace(path)


def _explained(error: Exception, address: str) -> str:
    text = " ".join(str(error).split())
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return (
            f"ClearML at {address}: its certificate is from no authority that this machine trusts. "
            "Name the file of yours in SSL_CERT_FILE. No key was sent."
        )
    code = getattr(error, "code", None)
    if type(error).__name__ == "LoginError" or code == 401:
        return (
            f"ClearML at {address} refuses the keys: check CLEARML_API_ACCESS_KEY and "
            "CLEARML_API_SECRET_KEY."
        )
    return (
        f"ClearML at {address}: {text[:200] or type(error).__name__}. "
        "Nothing half written counts: the same command goes on."
    )


if __name__ == "__main__":
    main()
