"""The search for the regularisation as a Katib experiment, with values and folds of step 4."""

from __future__ import annotations

import math
from typing import Any

from sovereign_ml.config.tables import PipelineSettings, TrainSettings
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.kubeflow.resources import STORAGE_KEYS

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
        "metadata": {"name": _name(project), "namespace": config.namespace},
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
    command = "churn kubeflow trial --c ${trialParameters.c} --features-version"
    trial = {
        "name": "trial",
        "image": config.image,
        "command": [*command.split(), version],
        "envFrom": [{"configMapRef": {"name": config.config_map}}],
        "env": [
            {"name": name, "valueFrom": {"secretKeyRef": {"name": config.secret, "key": name}}}
            for name in STORAGE_KEYS
        ],
        "resources": {"limits": {"cpu": config.cpu, "memory": config.memory}},
    }
    pod = {"restartPolicy": "Never", "containers": [trial]}
    # Istio's sidecar keeps running after the trial, so that the job would never end.
    template = {"metadata": {"annotations": {"sidecar.istio.io/inject": "false"}}, "spec": pod}
    deadline = config.timeout_minutes * 60
    spec = {"backoffLimit": config.retries, "activeDeadlineSeconds": deadline, "template": template}
    return {"apiVersion": "batch/v1", "kind": "Job", "spec": spec}


def setting(text: str, project: str) -> str:
    """Return the lines for ``[train]`` from a finished experiment in kubectl's YAML or JSON.

    Raises Misuse if ``text`` is not this project's experiment, Refused if it has no result.
    """
    import yaml

    try:
        manifest = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError):
        manifest = None
    kind = manifest.get("kind") if isinstance(manifest, dict) else None
    name = _at(manifest, "metadata", "name") if kind == "Experiment" else None
    if name != _name(project):
        content = f"the experiment {name}" if name else f"kind {kind}" if kind else "no manifest"
        raise Misuse(
            f"Katib's result is needed, but the file holds {content}: "
            f"write it with `kubectl get experiment {_name(project)} -o yaml`."
        )
    conditions = _at(manifest, "status", "conditions")
    states = {
        _at(condition, "type"): " ".join(str(_at(condition, "message")).split())
        for condition in (conditions if isinstance(conditions, list) else ())
        if _at(condition, "status") == "True"
    }
    if "Failed" in states:
        raise Refused(f"The experiment {name} failed: {states['Failed']}")
    succeeded = _at(manifest, "status", "trialsSucceeded")
    succeeded = succeeded if isinstance(succeeded, int) else 0
    if "Succeeded" not in states:
        raise Refused(
            f"The experiment {name} is not finished: {succeeded} trials so far. Try again later."
        )
    best = _at(manifest, "status", "currentOptimalTrial")
    c = _number(_at(best, "parameterAssignments"), "c", "value")
    loss = _number(_at(best, "observation", "metrics"), METRIC, "latest")
    trial = _at(best, "bestTrialName")
    if c is None or c <= 0 or loss is None or not trial:
        raise Refused(f"The experiment {name} names no best trial with a value of c and {METRIC}.")
    return (
        f"# [train]: the best of {succeeded} values, {METRIC} {loss:g} "
        f"in {trial}\nregularisation = [{c:g}]"
    )


def _name(project: str) -> str:
    return f"{project}-regularisation"


def _at(node: Any, *keys: str) -> Any:
    """Return the value at the path ``keys``, None where a part of the path is missing."""
    for key in keys:
        node = node.get(key) if isinstance(node, dict) else None
    return node


def _number(items: Any, name: str, key: str) -> float | None:
    """Return the finite number under ``key`` of the item called ``name``, None if there is none."""
    # Katib writes numbers as text.
    try:
        [value] = [float(item[key]) for item in items or () if item["name"] == name]
    except (KeyError, TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None
