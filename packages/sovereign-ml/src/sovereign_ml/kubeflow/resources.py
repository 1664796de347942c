"""What one task gets on a cluster: limits, retries, a timeout, its variables and its secrets."""

from __future__ import annotations

from typing import Any

from sovereign_ml.config.tables import PipelineSettings

STORAGE_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
TRACKING = ("MLFLOW_TRACKING_PASSWORD",)
FACTS = ("DATABASE_URL", *STORAGE_KEYS, *TRACKING)
"""Where the facts of the card come from: register gathers them anew and compares."""
SECRETS = {
    "data": ("CHURN_PSEUDONYM_KEY", "DATABASE_URL", *STORAGE_KEYS),
    "features": ("CHURN_FEATURE_REGISTRY_URL", "CHURN_ONLINE_STORE_URL", *STORAGE_KEYS),
    "train": TRACKING,
    "card": FACTS,
    "register": FACTS,
    "score": ("DATABASE_URL",),
    "pull": STORAGE_KEYS,
    "record": STORAGE_KEYS,
    "retain": (
        "CHURN_TRACKING_DATABASE_URL",
        "CHURN_FEATURE_REGISTRY_URL",
        "CHURN_ONLINE_STORE_URL",
        "DATABASE_URL",
        *STORAGE_KEYS,
        *TRACKING,
    ),
}
"""A task gets only the secrets that it uses; the others get none."""
CONFIG = ("CHURN_PROFILE", "MLFLOW_TRACKING_USERNAME")
WAIT = {"backoff_duration": "30s", "backoff_factor": 2.0, "backoff_max_duration": "600s"}


def equip(task: Any, verb: str, config: PipelineSettings) -> None:
    """Set what the task of the step ``verb`` may use and is given."""
    from kfp import kubernetes

    task.set_cpu_request("250m").set_cpu_limit(config.cpu)
    task.set_memory_request("512Mi").set_memory_limit(config.memory)
    task.set_env_variable("CHURN_ROOT", "/project")
    kubernetes.set_timeout(task, config.timeout_minutes * 60)
    kubernetes.use_config_map_as_env(task, config.config_map, {name: name for name in CONFIG})
    if names := SECRETS.get(verb, ()):
        kubernetes.use_secret_as_env(task, config.secret, {name: name for name in names})
    if verb != "record":  # an exit task may have no retries
        task.set_retry(config.retries, **WAIT)
