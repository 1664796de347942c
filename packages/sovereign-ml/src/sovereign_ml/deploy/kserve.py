"""Describe the service for KServe: an InferenceService and a NetworkPolicy that limits its egress.

Kubernetes' own NetworkPolicy knows addresses and namespaces, but no host names. So each host that
the service may call is configured with its address or namespace. An annotation lists the names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from sovereign_ml.config.deployment import DIGEST, Egress, KserveSettings
from sovereign_ml.deploy.releases import check_variables

HOSTS = "sovereign/egress"
NAME = "app.kubernetes.io/name"
NAMESPACE = "kubernetes.io/metadata.name"


def render_kserve(
    name: str, cluster: KserveSettings, variables: Mapping[str, str], templates: Path
) -> str:
    """Return both manifests as one YAML stream for ``kubectl apply -f -``.

    The same arguments give the same text. ``templates`` holds ``inferenceservice.yaml`` and
    ``networkpolicy.yaml``. Raises ValueError in one line when the image has no digest, ``name``
    fits no Kubernetes label, a variable is a secret or the platform's, or a file is no such
    manifest.
    """
    import yaml

    _check(name, cluster, variables)
    kinds = ("inferenceservice", "networkpolicy")
    if missing := [kind for kind in kinds if not (templates / f"{kind}.yaml").is_file()]:
        raise ValueError(
            f"no deploy/kserve/{missing[0]}.yaml: take the folder from the template, whose question "
            "`parts` brings it"
        )
    documents = []
    for kind in kinds:
        # These files belong to the team, which may have changed them.
        try:
            document = yaml.safe_load((templates / f"{kind}.yaml").read_bytes())
            if kind == "inferenceservice":
                _fill_service(document, name, cluster, variables)
            else:
                _fill_policy(document, name, cluster)
        except yaml.YAMLError as error:
            words = " ".join(str(error).split())
            raise ValueError(f"deploy/kserve/{kind}.yaml is no YAML: {words}") from None
        except (KeyError, IndexError, TypeError, AttributeError):
            raise ValueError(
                f"deploy/kserve/{kind}.yaml lacks a part that is filled in here: compare it with "
                "the file of the template"
            ) from None
        documents.append(document)
    return "---\n".join(yaml.safe_dump(document, sort_keys=False) for document in documents)


def _check(name: str, cluster: KserveSettings, variables: Mapping[str, str]) -> None:
    check_variables(variables, {})
    if not DIGEST.fullmatch(cluster.image):
        raise ValueError(
            f"[deploy.kserve] image is {cluster.image!r}: name@sha256:<64 hex digits> is needed"
        )
    # KServe appends "-predictor", and a label of Kubernetes has at most 63 characters.
    if not re.fullmatch("[a-z]([-a-z0-9]{0,51}[a-z0-9])?", name):
        raise ValueError(
            f"[deploy] slug is {name!r}: KServe needs a letter first and at most 53 of a-z, 0-9 "
            "and -"
        )


def _fill_service(
    service: dict[str, Any], name: str, cluster: KserveSettings, variables: Mapping[str, str]
) -> None:
    predictor = service["spec"]["predictor"]
    container = predictor["containers"][0]
    values = {**variables, "PORT": str(container["ports"][0]["containerPort"])}
    service["metadata"].update(name=name, namespace=cluster.namespace)
    predictor["labels"] = {NAME: name}
    container["image"] = cluster.image
    container["env"] = [{"name": key, "value": value} for key, value in sorted(values.items())]
    container["envFrom"][0]["secretRef"]["name"] = cluster.secret


def _fill_policy(policy: dict[str, Any], name: str, cluster: KserveSettings) -> None:
    hosts = " ".join(f"{item.host}:{item.port}" for item in cluster.egress)
    policy["metadata"].update(name=name, namespace=cluster.namespace, annotations={HOSTS: hosts})
    policy["spec"]["podSelector"]["matchLabels"] = {NAME: name}
    source = policy["spec"]["ingress"][0]["from"][0]["namespaceSelector"]
    source["matchLabels"] = {NAMESPACE: cluster.ingress_namespace}
    policy["spec"]["egress"] += [_egress(item) for item in cluster.egress]


def _egress(item: Egress) -> dict[str, Any]:
    inside = {"namespaceSelector": {"matchLabels": {NAMESPACE: item.namespace}}}
    peer = {"ipBlock": {"cidr": str(ip_network(item.cidr))}} if item.cidr else inside
    return {"to": [peer], "ports": [{"protocol": "TCP", "port": item.port}]}
