"""churn submit: compile the flow for the cluster, check what was compiled, and hand it to Kubeflow Pipelines."""

from __future__ import annotations

import re
import subprocess
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from sovereign_ml.config.settings import Settings
from sovereign_ml.data_subjects.stores import s3_versions
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.kubeflow.local_runner import pipeline_of
from sovereign_ml.project import Project
from sovereign_ml.storage import dvc

DIGEST = re.compile(r"[\w.:/-]+@sha256:(?!0{64}$)[0-9a-f]{64}")
ADDRESS = re.compile(r"\b[a-z][a-z0-9+]*://[^\s\"'<>)]+")
INSTALLS = re.compile(
    r"\b(pip3?|uv|conda|apt-get|apk)\s+(pip\s+)?install\b|kfp_install|packages_to_install"
)


def submit(project: Project, settings: Settings, revision: str, output: Path) -> str:
    """Run the whole flow on the data version of a git revision; return the run's id."""
    commit, version = (
        _commit(settings, revision),
        dvc.pinned(settings.root, revision, str(settings.paths.raw)),
    )
    _need_stored(settings, version, "raw")
    package = compile_checked(project, settings, "train-pinned", output)
    with _kubeflow(settings) as client:
        run = client.create_run_from_pipeline_package(
            str(package),
            arguments={"version": version, "revision": commit},
            run_name=f"{settings.project.name} {commit[:12]}",
            experiment_name=settings.project.name,
            namespace=settings.pipeline.namespace,
            pipeline_root=_artifacts(settings),
        )
    return str(run.run_id)


def schedule(project: Project, settings: Settings, revision: str, output: Path) -> list[str]:
    """Make or replace the recurring runs of ``[pipeline]``; return their names. An empty schedule ends its run."""
    commit, bundle = (
        _commit(settings, revision),
        dvc.pinned(settings.root, revision, str(settings.paths.bundle)),
    )
    _need_stored(settings, bundle, "bundle")
    wanted: dict[str, tuple[str, str]] = {
        "train": (settings.pipeline.train_schedule, ""),
        "score": (settings.pipeline.score_schedule, bundle),
        "retain": (settings.pipeline.retain_schedule, ""),
    }
    done = []
    with _kubeflow(settings) as client:
        experiment = client.create_experiment(
            settings.project.name, namespace=settings.pipeline.namespace
        )
        for kind, (cron, version) in wanted.items():
            name = f"{settings.project.name}-{kind}"
            _end(client, experiment.experiment_id, name)
            if cron:
                client.create_recurring_run(
                    experiment.experiment_id,
                    name,
                    cron_expression=cron,
                    max_concurrency=1,
                    no_catchup=True,
                    params={"version": version, "revision": commit},
                    pipeline_package_path=str(compile_checked(project, settings, kind, output)),
                    pipeline_root=_artifacts(settings),
                )
                done.append(f"{name} ({cron})")
    return done


def compile_checked(project: Project, settings: Settings, kind: str, output: Path) -> Path:
    """Compile a pipeline of the project to ``output/<name>-<kind>.yaml``. Raises Refused with every reason why it may not run."""
    from kfp import compiler

    path = output / f"{settings.project.name}-{kind}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    pipeline = pipeline_of(project, settings, kind, on_cluster=True)
    compiler.Compiler().compile(pipeline, str(path))
    if problems := check(path.read_text(encoding="utf-8"), settings):
        path.unlink()
        raise Refused(
            "The compiled pipeline may not run:\n" + "\n".join(f"  - {line}" for line in problems)
        )
    return path


def check(text: str, settings: Settings) -> list[str]:
    """Why this compiled pipeline may not run: schema, images without digest, installs at run time, unknown hosts."""
    documents = list(yaml.safe_load_all(text))
    problems = _against_schema(documents[0])
    registry, allowed = settings.pipeline.image.partition("/")[0], _hosts(settings)
    for where, value in _strings(documents):
        if where[-1] == "image":
            if not DIGEST.fullmatch(value):
                problems.append(f"image {value} has no digest: write name@sha256:…")
            if value.partition("/")[0] != registry:
                problems.append(
                    f"image {value} is not from {registry}, the registry of [pipeline] image"
                )
        if INSTALLS.search(value):
            problems.append(
                f"{'.'.join(where[:3])} installs packages when it runs: put them into the image"
            )
        for address in ADDRESS.findall(value):
            if (host := urlsplit(address).hostname) not in allowed:
                problems.append(f"{address}: {host} is none of the hosts of config.toml")
    return list(dict.fromkeys(problems))


def _against_schema(spec: Mapping[str, Any]) -> list[str]:
    from google.protobuf import json_format
    from kfp.pipeline_spec import pipeline_spec_pb2

    try:
        json_format.ParseDict(dict(spec), pipeline_spec_pb2.PipelineSpec())
    except json_format.ParseError as error:
        return [f"it is no pipeline spec: {str(error).splitlines()[0]}"]
    return []


def _strings(node: Any, where: tuple[str, ...] = ("",)) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(node, str):
        yield where, node
    elif isinstance(node, dict):
        for key, value in node.items():
            yield from _strings(value, (*where, str(key)))
    elif isinstance(node, list):
        for value in node:
            yield from _strings(value, where)


def _hosts(settings: Settings) -> set[str | None]:
    ours = (settings.s3.endpoint, settings.profile.tracking_uri, settings.pipeline.host)
    return {urlsplit(address).hostname for address in ours if address}


def _artifacts(settings: Settings) -> str:
    """Where tasks keep what they hand on: in our bucket, where erasure and retention reach it."""
    return settings.storage.address(s3_versions.tasks(settings).rstrip("/"))


def _commit(settings: Settings, revision: str) -> str:
    command = [
        "git",
        "-C",
        str(settings.root),
        "rev-parse",
        "--verify",
        "--quiet",
        f"{revision}^{{commit}}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Misuse(
            f"No git revision {revision}: give a commit, a tag or a branch, or leave it out for HEAD."
        )
    return done.stdout.strip()


def _need_stored(settings: Settings, version: str, noun: str) -> None:
    if not dvc.stored(settings.storage, version):
        raise Refused(
            f"The DVC remote does not have {noun} {version}: `churn push --profile {settings.profile_name}`."
        )


def _end(client: Any, experiment: str, name: str) -> None:
    found = client.list_recurring_runs(experiment_id=experiment, page_size=100).recurring_runs or ()
    for row in found:
        if row.display_name == name:
            client.delete_recurring_run(row.recurring_run_id)


@contextmanager
def _kubeflow(settings: Settings) -> Iterator[Any]:
    """The client; one line when the server refuses or does not answer."""
    import kfp
    import kfp_server_api
    import urllib3

    host = settings.pipeline.host
    if not host:
        raise Misuse(
            "No Kubeflow Pipelines: set [pipeline] host in config.toml, or run `churn pipeline` here."
        )
    secret = settings.secrets.kubeflow_token
    token = secret.get_secret_value() if secret else None
    _knock(host, token)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield kfp.Client(host=host, existing_token=token)
    except kfp_server_api.ApiException as error:
        raise Misuse(f"Kubeflow Pipelines at {host}: {error.status}, {error.reason}.") from None
    except urllib3.exceptions.HTTPError:
        raise Misuse(
            f"Kubeflow Pipelines at {host} stopped answering; the same command goes on."
        ) from None


def _knock(host: str, token: str | None) -> None:
    """Ask once whether somebody is there: kfp's own client tries five times and prints five tracebacks."""
    import httpx

    headers = {"authorization": f"Bearer {token}"} if token else {}
    try:
        answer = httpx.get(
            f"{host.rstrip('/')}/apis/v2beta1/healthz", headers=headers, timeout=10, trust_env=False
        )
    except httpx.HTTPError:
        raise Misuse(
            f"Kubeflow Pipelines at {host} does not answer: check the address and the network."
        ) from None
    if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        raise Misuse(f"Kubeflow Pipelines at {host} refuses the token: set CHURN_KUBEFLOW_TOKEN.")
    if answer.status_code != httpx.codes.OK:
        raise Misuse(
            f"{host} answers {answer.status_code}, so it is no Kubeflow Pipelines: correct [pipeline] host."
        )
