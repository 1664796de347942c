"""Step 3 at Spark's operator on Kubernetes: a SparkApplication for each run, and its end.

The task and the pods of Spark share a volume. The program of the driver is that of the client's
environment (`sovereign_ml.features.spark_client`), in an image of the team's own.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sovereign_ml.config.connections import SparkCluster
from sovereign_ml.config.settings import ENVIRONMENT
from sovereign_ml.errors import Misuse, Refused

__all__ = ["MOUNT", "application", "run"]

MOUNT = Path("/spark")
"""Where the shared volume is, in every pod."""
PROGRAM = "local:///opt/churn/sovereign_ml/features/spark_client.py"
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
VERSION = "sparkoperator.k8s.io/v1beta2"
FAILED = ("FAILED", "SUBMISSION_FAILED")
USER = 10001


def application(cluster: SparkCluster, job: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the SparkApplication (v1beta2) of a run whose job is ``folder``/job.json."""
    from sovereign_ml.features.spark_client import FIXED

    memory = {"memory": cluster.memory, "cores": 1}
    pod = {
        "automountServiceAccountToken": False,
        "volumes": [{"name": "shared", "persistentVolumeClaim": {"claimName": cluster.claim}}],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    container = {
        "volumeMounts": [{"name": "shared", "mountPath": str(MOUNT)}],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    driver_pod = {**pod, "automountServiceAccountToken": True}  # it starts the executors
    names = {"driver": "spark-kubernetes-driver", "executor": "spark-kubernetes-executor"}
    templates = {
        role: {"spec": {**spec, "containers": [{"name": names[role], **container}]}}
        for role, spec in (("driver", driver_pod), ("executor", pod))
    }
    # The operator sets the master, and each value is text.
    conf = {name: str(value) for name, value in {**job["properties"], **FIXED}.items()}
    instances = int(conf.pop("spark.executor.instances", "2"))
    return {
        "apiVersion": VERSION,
        "kind": "SparkApplication",
        "metadata": {
            "name": f"churn-features-{secrets.token_hex(4)}",
            "namespace": cluster.namespace,
        },
        "spec": {
            "type": "Python",
            "pythonVersion": "3",
            "mode": "cluster",
            "image": cluster.image,
            "sparkVersion": "4.3.0",
            "mainApplicationFile": PROGRAM,
            "arguments": [str(folder / "answer.json"), str(folder / "job.json")],
            "sparkConf": conf,
            # A run that broke off is repeated by the step, which then removes what it wrote.
            "restartPolicy": {"type": "Never"},
            "timeToLiveSeconds": 3600,
            "driver": {**memory, "serviceAccount": "churn-spark", "template": templates["driver"]},
            "executor": {**memory, "instances": instances, "template": templates["executor"]},
        },
    }


def run(
    cluster: SparkCluster, job: Mapping[str, Any], folder: Path, longest_s: int, every_s: float = 5
) -> Any:
    """Run the job as a SparkApplication, remove it, and return the program's answer.

    Raises Misuse with the program's own line, and outside a cluster. Raises Refused where the
    operator says that it failed, or after ``longest_s`` seconds.
    """
    import httpx

    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    manifest = application(cluster, job, folder)
    name = manifest["metadata"]["name"]
    path = f"/apis/{VERSION}/namespaces/{cluster.namespace}/sparkapplications"
    try:
        with _api() as api:
            api.post(path, json=manifest).raise_for_status()
            try:
                state = _ended(api, f"{path}/{name}", longest_s, every_s)
            finally:
                api.delete(f"{path}/{name}")
    except httpx.HTTPStatusError as error:
        raise Misuse(
            f"Kubernetes refuses the SparkApplication ({error.response.status_code}): is the operator "
            "installed, and infra/kubeflow/spark-features.yaml applied?"
        ) from None
    except httpx.HTTPError as error:
        raise Misuse(f"Kubernetes' API does not answer: {type(error).__name__}.") from None
    answer = folder / "answer.json"
    if not answer.is_file():
        raise Refused(f"The SparkApplication {name} ended as {state} without an answer.")
    content = json.loads(answer.read_text(encoding="utf-8"))
    if "error" in content:
        raise Misuse(str(content["error"]))
    return content["answer"]


def _ended(api: Any, path: str, longest_s: int, every_s: float) -> str:
    """Wait until the application has completed or failed, and return its state."""
    ends = time.monotonic() + longest_s
    while time.monotonic() < ends:
        response = api.get(path)
        response.raise_for_status()
        status = response.json().get("status") or {}
        state = str((status.get("applicationState") or {}).get("state", ""))
        if state == "COMPLETED" or state in FAILED:
            return state
        time.sleep(every_s)
    raise Refused(f"Spark's operator did not end the run within {longest_s // 60} minutes.")


def _api() -> Any:
    """Return a client of the API of the cluster that this pod runs in."""
    import httpx

    host = ENVIRONMENT.get("KUBERNETES_SERVICE_HOST")
    try:
        token = (ACCOUNT / "token").read_text(encoding="utf-8").strip()
    except OSError:
        token = ""
    if not (host and token):
        raise Misuse(
            "[spark] master is 'operator', and this is no pod with a service account: run the step on "
            "Kubeflow, or name another master."
        )
    address = f"https://{host}:{ENVIRONMENT.get('KUBERNETES_SERVICE_PORT', '443')}"
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(
        base_url=address,
        headers=headers,
        verify=str(ACCOUNT / "ca.crt"),
        trust_env=False,
        timeout=30,
    )
