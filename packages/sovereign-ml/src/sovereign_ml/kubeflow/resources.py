"""Resources on a cluster: limits, retries, variables and secrets of a task, and the launcher."""

from __future__ import annotations

from typing import Any

from sovereign_ml.config.connections import ObjectStorage
from sovereign_ml.config.tables import PipelineSettings
from sovereign_ml.features.spark_operator import MOUNT
from sovereign_ml.jurisdictions import PLAINTEXT

STORAGE_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
TRACKING = ("MLFLOW_TRACKING_PASSWORD",)
FACTS = ("DATABASE_URL", *STORAGE_KEYS, *TRACKING)
"""Secrets for the facts of the card. The step register collects them again and compares."""
SECRETS = {
    "data": ("CHURN_PSEUDONYM_KEY", "DATABASE_URL", *STORAGE_KEYS),
    "features": ("CHURN_FEATURE_REGISTRY_URL", "CHURN_ONLINE_STORE_URL", *STORAGE_KEYS),
    "train": (*TRACKING, *STORAGE_KEYS),
    "card": FACTS,
    "register": FACTS,
    "score": ("DATABASE_URL",),
    "monitor": ("DATABASE_URL", *STORAGE_KEYS),
    "pull": STORAGE_KEYS,
    "record": STORAGE_KEYS,
    "retain": (
        *("CHURN_TRACKING_DATABASE_URL", "CHURN_FEATURE_REGISTRY_URL", "CHURN_ONLINE_STORE_URL"),
        *FACTS,
    ),
}
"""Secrets that the task of each step uses. A task gets no others."""
MAIL = "CHURN_SMTP_PASSWORD"
CONFIG = ("CHURN_PROFILE", "MLFLOW_TRACKING_USERNAME")
WAIT = {"backoff_duration": "30s", "backoff_factor": 2.0, "backoff_max_duration": "600s"}


def equip(task: Any, verb: str, config: PipelineSettings) -> None:
    """Set limits, variables, secrets and retries of the task of the step ``verb``."""
    from kfp import kubernetes

    task.set_cpu_request("250m").set_cpu_limit(config.cpu)
    task.set_memory_request("512Mi").set_memory_limit(config.memory)
    task.set_env_variable("CHURN_ROOT", "/project")
    kubernetes.set_timeout(task, config.timeout_minutes * 60)
    kubernetes.use_config_map_as_env(task, config.config_map, {name: name for name in CONFIG})
    if names := SECRETS.get(verb, ()):
        kubernetes.use_secret_as_env(task, config.secret, {name: name for name in names})
    # Only servers without TLS of their own are named there, so most clusters lack this key.
    if {"DATABASE_URL", "CHURN_ONLINE_STORE_URL"} & set(names):
        kubernetes.use_config_map_as_env(
            task, config.config_map, {PLAINTEXT: PLAINTEXT}, optional=True
        )
    # Channels without a password need no secret, and a task does not start without one it names.
    if verb == "monitor":
        kubernetes.use_secret_as_env(task, f"{config.secret}-mail", {MAIL: MAIL}, optional=True)
    if verb == "features" and config.spark_claim:
        kubernetes.mount_pvc(task, pvc_name=config.spark_claim, mount_path=str(MOUNT))
    # kfp refuses retries of an exit task. An alarm that nobody answered is no accident to repeat.
    if verb not in ("record", "monitor"):
        task.set_retry(config.retries, **WAIT)


def launcher(config: PipelineSettings, storage: ObjectStorage) -> dict[str, Any]:
    """Return the ConfigMap with which Kubeflow's launcher reaches the bucket of ``[s3]``.

    Without it the launcher sends `s3://` to AWS. Its keys are those of the launcher
    (kubeflow/pipelines, backend/src/v2/config).
    """
    import yaml

    keys = dict(zip(("accessKeyKey", "secretKeyKey"), STORAGE_KEYS, strict=True))
    provider = {
        "endpoint": storage.endpoint,
        "region": storage.region,
        "disableSSL": storage.endpoint.startswith("http:"),
        "credentials": {"fromEnv": False, "secretRef": {"secretName": config.secret, **keys}},
    }
    providers = yaml.safe_dump({"s3": {"default": provider}}, sort_keys=False)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "kfp-launcher", "namespace": config.namespace},
        "data": {"defaultPipelineRoot": storage.address("pipelines"), "providers": providers},
    }
