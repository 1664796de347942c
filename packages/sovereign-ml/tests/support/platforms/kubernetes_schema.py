"""Check manifests strictly: core kinds against the models of the official Kubernetes client, KServe's and Spark's
against their CRDs.

The client is generated from Kubernetes' OpenAPI document, so its models carry every field, its type and whether it is
required. The schemas are those of releases (see the files' ``.license``). Kubernetes drops a field that a CRD does not
know without a word, so here each object is closed.
"""

import json
import re
from pathlib import Path

from jsonschema import Draft202012Validator
from kubernetes import client

DATA = Path(__file__).parents[2] / "data"
CRD = DATA / "kserve-0.16.0-inferenceservice.json"
SPARK = DATA / "spark-operator-2.5.2-sparkapplication.json"
PLAIN = {"str": str, "int": int, "bool": bool, "float": (int, float)}


def problems(value, kind, where):
    """Every way in which ``value`` is not a ``kind`` (a model name or OpenAPI type of the client)."""
    if kind.startswith("list["):
        if not isinstance(value, list):
            return [f"{where}: a list is needed"]
        return [
            line
            for n, item in enumerate(value)
            for line in problems(item, kind[5:-1], f"{where}[{n}]")
        ]
    if kind.startswith("dict("):
        inner = kind[5:-1].partition(", ")[2]
        return [
            line for key, item in value.items() for line in problems(item, inner, f"{where}.{key}")
        ]
    if kind in PLAIN:
        right = isinstance(value, PLAIN[kind]) and (kind == "bool" or not isinstance(value, bool))
        return [] if right else [f"{where}: {value!r} is no {kind}"]
    if kind == "object":
        return (
            [] if isinstance(value, int | str) else [f"{where}: {value!r} is no port or quantity"]
        )
    return _model_problems(value, getattr(client, kind), where)


def _model_problems(value, model, where):
    by_key = {key: name for name, key in model.attribute_map.items()}
    found = [f"{where}.{key}: no such field" for key in value if key not in by_key]
    known = {key: item for key, item in value.items() if key in by_key}
    for key, item in known.items():
        found += problems(item, model.openapi_types[by_key[key]], f"{where}.{key}")
    try:
        model(**{by_key[key]: item for key, item in known.items()})
    except ValueError as error:
        found.append(f"{where}: {error}")
    return found


def network_policy_problems(manifest):
    """What is wrong with a NetworkPolicy."""
    return _head(manifest, "networking.k8s.io/v1", "NetworkPolicy") + problems(
        manifest, "V1NetworkPolicy", "policy"
    )


def notebook_problems(manifest, where):
    """What is wrong with a Notebook: of its own it has a pod template alone (kubeflow.org/v1)."""
    found = _head(manifest, "kubeflow.org/v1", "Notebook")
    if list(manifest["spec"]) != ["template"] or list(manifest["spec"]["template"]) != ["spec"]:
        found.append(f"{where}: spec.template.spec is all that a Notebook has")
    found += problems(manifest["metadata"], "V1ObjectMeta", where)
    return found + problems(manifest["spec"]["template"]["spec"], "V1PodSpec", where)


def inference_service_problems(manifest):
    """What is wrong with an InferenceService."""
    found = _head(manifest, "serving.kserve.io/v1beta1", "InferenceService")
    schema = _closed(json.loads(CRD.read_text()))
    for error in Draft202012Validator(schema).iter_errors(manifest):
        found.append(f"{error.json_path}: {error.message}")
    found += problems(manifest["metadata"], "V1ObjectMeta", "metadata")
    if not re.fullmatch("[a-z]([-a-z0-9]*[a-z0-9])?", manifest["metadata"]["name"]):
        found.append("metadata.name: lower-case letters, digits and -, starting with a letter")
    return found


def spark_application_problems(manifest):
    """What is wrong with a SparkApplication."""
    found = _head(manifest, "sparkoperator.k8s.io/v1beta2", "SparkApplication")
    schema = _closed(json.loads(SPARK.read_text()))
    for error in Draft202012Validator(schema).iter_errors(manifest):
        found.append(f"{error.json_path}: {error.message}")
    found += problems(manifest["metadata"], "V1ObjectMeta", "metadata")
    for role in ("driver", "executor"):
        pod = manifest["spec"][role]["template"]["spec"]
        found += problems(pod, "V1PodSpec", role)
    return found


def _closed(schema):
    """``schema`` without room for fields that it does not name."""
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    shut = {"additionalProperties": False} if isinstance(schema.get("properties"), dict) else {}
    return shut | {key: _closed(item) for key, item in schema.items()}


def _head(manifest, version, kind):
    extra = set(manifest) - {"apiVersion", "kind", "metadata", "spec"}
    wrong = (manifest["apiVersion"], manifest["kind"]) != (version, kind)
    return [f"{version} {kind} is needed, {sorted(extra)} seen"] if wrong or extra else []
