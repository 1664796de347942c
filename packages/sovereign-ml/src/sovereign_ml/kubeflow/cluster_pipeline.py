"""The flow on a Kubeflow cluster: what each task is given, may use and writes down."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from sovereign_ml.config.settings import Settings
from sovereign_ml.kubeflow.local_runner import chain, wrap
from sovereign_ml.pipeline.flow import STEPS

Kind = Literal["train", "score", "retain"]
STORAGE = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
TRACKING = ("MLFLOW_TRACKING_PASSWORD",)
SECRETS = {
    "data": ("CHURN_PSEUDONYM_KEY", "DATABASE_URL", *STORAGE),
    "features": ("CHURN_FEATURE_REGISTRY_URL", "CHURN_ONLINE_STORE_URL", *STORAGE),
    "train": TRACKING,
    "card": ("DATABASE_URL", *STORAGE, *TRACKING),
    "register": TRACKING,
    "score": ("DATABASE_URL",),
    "pull": STORAGE,
    "record": STORAGE,
    "retain": (
        "CHURN_TRACKING_DATABASE_URL",
        "CHURN_FEATURE_REGISTRY_URL",
        "CHURN_ONLINE_STORE_URL",
        "DATABASE_URL",
        *STORAGE,
        *TRACKING,
    ),
}
"""A task gets only the secrets that it uses; the others get none."""
CONFIG = ("CHURN_PROFILE", "MLFLOW_TRACKING_USERNAME")
DONE_BY: dict[Kind, tuple[str, ...]] = {
    "train": tuple(step.verb for step in STEPS),
    "score": ("data", "validate", "features", "score"),
    "retain": (),
}
"""The steps of each pipeline."""
WAIT = {"backoff_duration": "30s", "backoff_factor": 2.0, "backoff_max_duration": "600s"}


def build(settings: Settings, kind: Kind, *, pinned: bool) -> Any:
    """The pipeline for the cluster. Its ``version`` is a DVC hash: of the raw data (``pinned`` training) or the bundle.

    Kubeflow's cache is keyed on what a task is given, so a pinned run finds what was computed from the same version;
    a step that reads the source itself is never taken from the cache.
    """
    from kfp import dsl

    def on_cluster(version: str, revision: str):  # type: ignore[no-untyped-def]
        from sovereign_ml.kubeflow import cluster_components as extra

        last = wrap(settings, extra.record)(revision=revision, version=version)
        _equip(last, "record", settings)
        with dsl.ExitHandler(last, name="flow"):
            made: dict[str, Any] = {}
            if noun := _pulled(kind, pinned=pinned):
                task = wrap(settings, extra.pull)(version=version)
                _equip(task.set_display_name(f"pull {noun}"), "pull", settings)
                made[noun] = task.outputs["artifact"]
            steps = [
                step for step in STEPS if step.verb in DONE_BY[kind] and step.writes not in made
            ]
            for verb, task in chain(settings, steps, made):
                _equip(task, verb, settings)
                task.set_caching_options(enable_caching=verb != "data")
            if kind == "retain":
                task = _retain(settings)
                _equip(task, "retain", settings)
                task.set_caching_options(enable_caching=False)

    on_cluster.__annotations__.update(
        version=str, revision=str
    )  # kfp wants the objects, this file has their names
    return dsl.pipeline(name=f"{settings.project.name}-{kind}")(on_cluster)


def _retain(settings: Settings) -> Any:
    """`churn retain --apply` as a task: what is past its period goes, and each deletion is printed."""
    from kfp import dsl

    def retain():  # type: ignore[no-untyped-def]
        return dsl.ContainerSpec(
            image=settings.pipeline.image, command=["churn", "retain", "--apply"]
        )

    return dsl.container_component(retain)()


def _pulled(kind: Kind, *, pinned: bool) -> str:
    """Which artifact comes out of the DVC remote instead of a step."""
    return "bundle" if kind == "score" else "raw" if pinned else ""


def _equip(task: Any, verb: str, settings: Settings) -> None:
    """Limits, retries, a timeout, the configuration and the secrets of one task."""
    from kfp import kubernetes

    given = settings.pipeline
    task.set_cpu_request("250m").set_cpu_limit(given.cpu)
    task.set_memory_request("512Mi").set_memory_limit(given.memory)
    task.set_env_variable("CHURN_ROOT", "/project")
    kubernetes.set_timeout(task, given.timeout_minutes * 60)
    kubernetes.use_config_map_as_env(task, given.config_map, {name: name for name in CONFIG})
    if names := SECRETS.get(verb, ()):
        kubernetes.use_secret_as_env(task, given.secret, {name: name for name in names})
    if verb != "record":  # an exit task may have no retries
        task.set_retry(given.retries, **WAIT)


def launcher(settings: Settings) -> dict[str, Any]:
    """The ConfigMap by which Kubeflow's launcher reaches the bucket; without it `s3://` means AWS to the launcher.

    Its keys are those of the launcher (kubeflow/pipelines, backend/src/v2/config).
    """
    import yaml

    storage, secret = settings.s3, settings.pipeline.secret
    keys = dict(zip(("accessKeyKey", "secretKeyKey"), STORAGE, strict=True))
    provider = {
        "endpoint": storage.endpoint,
        "region": storage.region,
        "disableSSL": storage.endpoint.startswith("http:"),
        "credentials": {"fromEnv": False, "secretRef": {"secretName": secret, **keys}},
    }
    providers = yaml.safe_dump({"s3": {"default": provider}}, sort_keys=False)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "kfp-launcher", "namespace": settings.pipeline.namespace},
        "data": {"defaultPipelineRoot": storage.address("pipelines"), "providers": providers},
    }


def fetch(version: str, output: str) -> None:
    """Fetch the folder that DVC stored under the hash ``version`` from the remote of the profile."""
    from sovereign_ml.config import settings as configuration
    from sovereign_ml.egress import allow_list
    from sovereign_ml.storage import dvc

    with allow_list.task(configuration.ENVIRONMENT):
        dvc.fetch(configuration.load(), version, Path(output))


def write_record(state: str, job: str, error: str, revision: str, version: str) -> str:
    """Put one JSON object beside the data: state, revision, data version and time of a run; return its address."""
    from sovereign_ml.config import settings as configuration
    from sovereign_ml.egress import allow_list
    from sovereign_ml.storage import s3

    with allow_list.task(configuration.ENVIRONMENT):
        settings = configuration.load()
        run = job.rpartition("/")[2]
        said = {
            "state": state,
            "run": run,
            "error": error,
            "git_commit": revision,
            "data_version": version,
            "finished": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "image": settings.pipeline.image,
        }
        return s3.write_json(settings, f"pipeline-runs/{settings.project.name}/{run}.json", said)
