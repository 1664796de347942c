"""Compile the flow for the cluster, check the result, and submit it to Kubeflow Pipelines."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from pydantic import SecretStr

from sovereign_ml import git
from sovereign_ml.config.connections import DataVersions
from sovereign_ml.config.tables import PipelineSettings, ProjectSettings
from sovereign_ml.data_subjects.stores import s3_versions
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.git import GitError
from sovereign_ml.kubeflow.local_runner import pipeline_of
from sovereign_ml.project import Project
from sovereign_ml.storage import dvc

DIGEST = re.compile(r"[\w.:/-]+@sha256:(?!0{64}$)[0-9a-f]{64}")
ADDRESS = re.compile(r"\b[a-z][a-z0-9+]*://[^\s\"'<>)]+")
INSTALLS = re.compile(
    r"\b(pip3?|uv|conda|apt-get|apk)\s+(pip\s+)?install\b|kfp_install|packages_to_install"
)


@dataclass(frozen=True)
class Cluster:
    """Kubeflow Pipelines of ``[pipeline]``, and the data versions that its runs read."""

    about: ProjectSettings
    config: PipelineSettings
    versions: DataVersions
    tracking_uri: str
    token: SecretStr | None = field(default=None, repr=False)

    @property
    def hosts(self) -> set[str | None]:
        """Return the hosts of config.toml that a pipeline may name."""
        addresses = (self.versions.storage.endpoint, self.tracking_uri, self.config.host)
        return {urlsplit(address).hostname for address in addresses if address}

    @property
    def pipeline_root(self) -> str:
        """Return the address of task outputs in our bucket, which erasure and retention cover."""
        return self.versions.storage.address(s3_versions.tasks(self.about.name).rstrip("/"))


def submit(project: Project, cluster: Cluster, raw: Path, revision: str, output: Path) -> str:
    """Run the whole flow on the version of ``raw`` at a git revision, and return the run's id."""
    root, name = cluster.versions.root, cluster.about.name
    commit, version = _commit(root, revision), dvc.pinned(root, revision, str(raw))
    _need_stored(cluster.versions, version, "raw")
    package = compile_checked(project, cluster, "train-pinned", output)
    with _kubeflow(cluster.config.host, cluster.token) as client:
        run = client.create_run_from_pipeline_package(
            str(package),
            arguments={"version": version, "revision": commit},
            run_name=f"{name} {commit[:12]}",
            experiment_name=name,
            namespace=cluster.config.namespace,
            pipeline_root=cluster.pipeline_root,
        )
    return str(run.run_id)


def schedule(
    project: Project, cluster: Cluster, bundle: Path, revision: str, output: Path
) -> list[str]:
    """Create or replace the recurring runs of ``[pipeline]``, and return their names.

    Scoring and the monitor use the version of ``bundle`` at a git revision. An empty schedule ends its run.
    """
    root, config = cluster.versions.root, cluster.config
    commit, bundle_version = _commit(root, revision), dvc.pinned(root, revision, str(bundle))
    _need_stored(cluster.versions, bundle_version, "bundle")
    schedules: dict[str, tuple[str, str]] = {
        "train": (config.train_schedule, ""),
        "score": (config.score_schedule, bundle_version),
        "monitor": (config.monitor_schedule, bundle_version),
        "retain": (config.retain_schedule, ""),
    }
    names = []
    with _kubeflow(config.host, cluster.token) as client:
        experiment = client.create_experiment(cluster.about.name, namespace=config.namespace)
        for kind, (cron, version) in schedules.items():
            name = f"{cluster.about.name}-{kind}"
            # Kubeflow cannot change a recurring run, so it is deleted and created again.
            _end(client, experiment.experiment_id, name)
            if cron:
                client.create_recurring_run(
                    experiment.experiment_id,
                    name,
                    cron_expression=cron,
                    # Two runs at the same time would write to the same stores.
                    max_concurrency=1,
                    # Runs that an outage left out would all read the same data now.
                    no_catchup=True,
                    params={"version": version, "revision": commit},
                    pipeline_package_path=str(compile_checked(project, cluster, kind, output)),
                    pipeline_root=cluster.pipeline_root,
                )
                names.append(f"{name} ({cron})")
    return names


def compile_checked(project: Project, cluster: Cluster, kind: str, output: Path) -> Path:
    """Compile a pipeline of the project to ``output/<name>-<kind>.yaml``.

    Raises Refused with every reason against running it.
    """
    from kfp import compiler

    path = output / f"{cluster.about.name}-{kind}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    pipeline = pipeline_of(project, cluster.about, cluster.config, kind, on_cluster=True)
    compiler.Compiler().compile(pipeline, str(path))
    text = path.read_text(encoding="utf-8")
    if problems := check(text, cluster.config.image, cluster.hosts):
        # Nobody should submit the refused file by hand.
        path.unlink()
        raise Refused(
            "The compiled pipeline may not run:\n" + "\n".join(f"  - {line}" for line in problems)
        )
    return path


def check(text: str, image: str, allowed: Collection[str | None]) -> list[str]:
    """Return the reasons against running a compiled pipeline.

    Reasons are a broken schema, images without digest or from another registry than that of
    ``image``, installs at run time, and hosts that are not ``allowed``.
    """
    # kfp writes what is Kubernetes' own, such as volumes and secrets, as a second document.
    documents = list(yaml.safe_load_all(text))
    problems = _against_schema(documents[0])
    registry = image.partition("/")[0]
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


def _commit(root: Path, revision: str) -> str:
    try:
        commit = f"{revision}^{{commit}}"
        # A revision that starts with a hyphen must not be read as an option.
        return git.ask(root, "rev-parse", "--verify", "--end-of-options", commit)
    except GitError as error:
        raise Misuse(
            f"No git revision {revision}: give a commit, a tag or a branch, or leave it out for "
            f"HEAD. Git says: {error}."
        ) from None


def _need_stored(versions: DataVersions, version: str, noun: str) -> None:
    if not dvc.stored(versions.storage, version):
        raise Refused(
            f"The DVC remote does not have {noun} {version}: "
            f"`churn push --profile {versions.profile}`."
        )


def _end(client: Any, experiment: str, name: str) -> None:
    ids: list[str] = []
    token: str | None = ""
    while token is not None:
        page = client.list_recurring_runs(experiment_id=experiment, page_size=100, page_token=token)
        runs = page.recurring_runs or ()
        ids += [run.recurring_run_id for run in runs if run.display_name == name]
        token = page.next_page_token or None
    # After the last page, because a deletion in between would move runs to a page already read.
    for run_id in ids:
        client.delete_recurring_run(run_id)


@contextmanager
def _kubeflow(host: str, secret: SecretStr | None) -> Iterator[Any]:
    """Yield the client. Raises Misuse when the server refuses or does not answer."""
    import kfp
    import kfp_server_api
    import urllib3

    if not host:
        raise Misuse(
            "No Kubeflow Pipelines: set [pipeline] host in config.toml, or run `churn kubeflow "
            "run` here."
        )
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
            f"Kubeflow Pipelines at {host} stopped answering: repeat the command."
        ) from None


def _knock(host: str, token: str | None) -> None:
    """Check that the server answers and accepts the token, or raise Misuse."""
    import httpx

    # kfp's own client would try five times and print five tracebacks.
    headers = {"authorization": f"Bearer {token}"} if token else {}
    try:
        # trust_env=False, because a proxy of the environment would be handed the token.
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
            f"{host} answers {answer.status_code}, so it is no Kubeflow Pipelines: correct "
            "[pipeline] host."
        )
