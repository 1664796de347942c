"""The search for the regularisation as a Katib experiment: the same values, folds and figure as in step 4."""

from __future__ import annotations

from typing import Any

from sovereign_ml.config.tables import PipelineSettings, TrainSettings

METRIC = "log_loss"


def experiment(
    project: str, train: TrainSettings, config: PipelineSettings, version: str
) -> dict[str, Any]:
    """Return a Katib experiment over ``[train] regularisation``.

    It runs on the features stored under the DVC hash ``version``.
    """
    values = [f"{c:g}" for c in train.regularisation]
    return {
        "apiVersion": "kubeflow.org/v1beta1",
        "kind": "Experiment",
        "metadata": {
            "name": f"{project}-regularisation",
            "namespace": config.namespace,
        },
        "spec": {
            "objective": {"type": "minimize", "objectiveMetricName": METRIC},
            "algorithm": {"algorithmName": "grid"},
            "parallelTrialCount": 2,
            "maxTrialCount": len(values),
            "maxFailedTrialCount": 1,
            "metricsCollectorSpec": {"collector": {"kind": "StdOut"}},
            "parameters": [
                {"name": "c", "parameterType": "categorical", "feasibleSpace": {"list": values}}
            ],
            "trialTemplate": {
                "primaryContainerName": "trial",
                "trialParameters": [
                    {"name": "c", "reference": "c", "description": "inverse strength C"}
                ],
                "trialSpec": _job(config, version),
            },
        },
    }


def _job(config: PipelineSettings, version: str) -> dict[str, Any]:
    trial = {
        "name": "trial",
        "image": config.image,
        "command": ["churn", "trial", "--c", "${trialParameters.c}", "--features-version", version],
        "envFrom": [{"configMapRef": {"name": config.config_map}}],
        "env": [
            _secret(config.secret, name) for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        ],
        "resources": {"limits": {"cpu": config.cpu, "memory": config.memory}},
    }
    pod = {"restartPolicy": "Never", "containers": [trial]}
    template = {"metadata": {"annotations": {"sidecar.istio.io/inject": "false"}}, "spec": pod}
    deadline = config.timeout_minutes * 60
    spec = {"backoffLimit": config.retries, "activeDeadlineSeconds": deadline, "template": template}
    return {"apiVersion": "batch/v1", "kind": "Job", "spec": spec}


def _secret(secret: str, name: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": name}}}
