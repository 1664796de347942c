"""The ConfigMap by which Kubeflow's launcher reaches the bucket of ``[s3]``."""

from __future__ import annotations

from typing import Any

from sovereign_ml.config.connections import ObjectStorage
from sovereign_ml.config.tables import PipelineSettings
from sovereign_ml.kubeflow.resources import STORAGE_KEYS


def launcher(config: PipelineSettings, storage: ObjectStorage) -> dict[str, Any]:
    """Return the ConfigMap by which Kubeflow's launcher reaches the bucket; without it `s3://` means AWS to the launcher.

    Its keys are those of the launcher (kubeflow/pipelines, backend/src/v2/config).
    """
    import yaml

    secret = config.secret
    keys = dict(zip(("accessKeyKey", "secretKeyKey"), STORAGE_KEYS, strict=True))
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
        "metadata": {"name": "kfp-launcher", "namespace": config.namespace},
        "data": {"defaultPipelineRoot": storage.address("pipelines"), "providers": providers},
    }
