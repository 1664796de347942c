"""The notebook policy: kept by the values of JupyterHub's chart, what they put into each notebook, and on Kubeflow."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from kubernetes_schema import problems
from small_project import PROJECT, environment, make_project

VALUES: dict[str, Any] = yaml.safe_load((PROJECT / "infra/jupyterhub/values.yaml").read_text())
USER = VALUES["singleuser"]
KUBEFLOW: dict[str, Any] = {
    document["kind"]: document
    for document in yaml.safe_load_all((PROJECT / "infra/kubeflow/notebook.yaml").read_text())
}
# From the chart's own values.schema.yaml (jupyterhub/zero-to-jupyterhub-k8s 4.x), which refuses other keys.
RULES = {
    "cloudMetadataServer",
    "dnsPortsCloudMetadataServer",
    "dnsPortsKubeSystemNamespace",
    "dnsPortsPrivateIPs",
    "nonPrivateIPs",
    "privateIPs",
}
TOP = {"hub", "proxy", "singleuser", "scheduling", "prePuller", "ingress", "cull"}
SINGLEUSER = {
    "image",
    "uid",
    "fsGid",
    "allowPrivilegeEscalation",
    "serviceAccountName",
    "cpu",
    "memory",
    "cloudMetadata",
    "networkPolicy",
    "extraEnv",
    "storage",
    "extraFiles",
}
ELSEWHERE = "import socket; socket.create_connection(('192.0.2.1', 443), timeout=1)"


def images(node: Any) -> list[dict[str, str]]:
    if not isinstance(node, dict):
        return []
    own = [node["image"]] if isinstance(node.get("image"), dict) else []
    return own + [found for value in node.values() for found in images(value)]


def kernel(root: Path, code: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Python that reads the kernel's configuration first, as a kernel does."""
    text = f"{USER['extraFiles']['guard']['stringData']}\n{code}"
    env = environment(root, CHURN_ROOT=str(root)) | environ
    return subprocess.run(
        [sys.executable, "-c", text], cwd=root, env=env, capture_output=True, text=True, check=False
    )


def test_every_key_is_one_of_the_charts() -> None:
    assert set(VALUES) == TOP
    assert set(USER) == SINGLEUSER
    assert set(USER["networkPolicy"]["egressAllowRules"]) == RULES


def test_every_image_is_named_by_digest() -> None:
    found = images(VALUES)
    assert len(found) == 3
    for image in found:
        assert re.fullmatch(r"[^:]+@sha256:[0-9a-f]{64}", f"{image['name']}:{image['tag']}")
        assert isinstance(image["tag"], str)


def test_a_notebook_reaches_names_mlflow_and_the_features_and_nothing_outside() -> None:
    policy = USER["networkPolicy"]
    assert policy["enabled"]
    assert [rule for rule, open_ in policy["egressAllowRules"].items() if open_] == [
        "dnsPortsKubeSystemNamespace"
    ]
    named = [rule["to"][0]["podSelector"]["matchLabels"]["app"] for rule in policy["egress"]]
    assert named == ["mlflow", "features"]
    for rule in policy["egress"]:
        assert problems(rule, "V1NetworkPolicyEgressRule", "egress") == []


def test_the_servers_let_notebooks_in_where_the_notebooks_may_go() -> None:
    text = (PROJECT / "infra/kustomize/networkpolicy.yaml").read_text()
    let_in = {
        (policy["metadata"]["name"], port["port"])
        for policy in yaml.safe_load_all(text)
        for rule in policy["spec"].get("ingress", [])
        for port in rule["ports"]
        if "churn-notebooks" in str(rule["from"])
    }
    may_go = {
        (rule["to"][0]["podSelector"]["matchLabels"]["app"], rule["ports"][0]["port"])
        for rule in USER["networkPolicy"]["egress"]
    }
    assert let_in == may_go


def test_a_notebook_has_no_secret_no_token_no_root_and_ends_when_idle() -> None:
    assert "secret" not in str(USER["extraEnv"]).lower()
    assert USER["serviceAccountName"] is None
    assert USER["uid"] > 0 and not USER["allowPrivilegeEscalation"]
    assert USER["cpu"]["limit"] and USER["memory"]["limit"]
    assert VALUES["cull"]["enabled"] and VALUES["cull"]["timeout"] <= 3600
    assert VALUES["hub"]["config"]["JupyterHub"] == {
        "admin_access": False,
        "authenticator_class": "null",
    }


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("notebook") / "acme-churn")


def test_a_kernel_reaches_nothing_outside_and_its_tools_are_silent(root: Path) -> None:
    done = kernel(root, f"print(os.environ['DO_NOT_TRACK'])\n{ELSEWHERE}")
    assert done.stdout == "true\n"
    assert done.returncode == 1
    assert "192.0.2.1" in done.stderr.splitlines()[-1]
    assert "timed out" not in done.stderr


def test_a_kernel_that_cannot_be_guarded_does_not_start(root: Path, tmp_path: Path) -> None:
    (tmp_path / "sovereign_ml.py").write_text("")
    done = kernel(root, "print('started')", PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("No kernel without the egress guard")


def test_what_is_saved_has_no_outputs() -> None:
    given = SimpleNamespace(
        ContentsManager=SimpleNamespace(), FileContentsManager=SimpleNamespace()
    )
    exec(USER["extraFiles"]["outputs"]["stringData"], {"get_config": lambda: given})
    cell = {
        "cell_type": "code",
        "source": "rows",
        "outputs": [{"text": "a person"}],
        "execution_count": 3,
    }
    text = {"cell_type": "markdown", "source": "words"}
    notebook = {"type": "notebook", "content": {"cells": [cell, text]}}
    given.ContentsManager.pre_save_hook(model=notebook, path="x.ipynb", contents_manager=None)
    assert (cell["outputs"], cell["execution_count"], cell["source"]) == ([], None, "rows")
    given.ContentsManager.pre_save_hook(
        model={"type": "file", "content": "a"}, path="a.txt", contents_manager=None
    )


def test_a_notebook_on_kubeflow_reaches_what_one_on_jupyterhub_reaches() -> None:
    policy = KUBEFLOW["NetworkPolicy"]["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    dns, *servers = policy["egress"]
    assert {port["port"] for port in dns["ports"]} == {53}
    assert servers == USER["networkPolicy"]["egress"]
    notebook = KUBEFLOW["Notebook"]["metadata"]
    assert policy["podSelector"]["matchLabels"].items() <= notebook["labels"].items()
    assert {document["metadata"]["namespace"] for document in KUBEFLOW.values()} == {
        "churn-notebooks"
    }


def test_a_notebook_on_kubeflow_is_guarded_and_limited_as_one_on_jupyterhub() -> None:
    pod = KUBEFLOW["Notebook"]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    files = {
        mount["mountPath"]: KUBEFLOW["ConfigMap"]["data"][mount["subPath"]]
        for mount in container["volumeMounts"]
        if mount["name"] == "policy"
    }
    assert files == {file["mountPath"]: file["stringData"] for file in USER["extraFiles"].values()}
    assert {item["name"]: item["value"] for item in container["env"]} == USER["extraEnv"]
    assert pod["automountServiceAccountToken"] is False
    assert not container["securityContext"]["allowPrivilegeEscalation"]
    assert pod["securityContext"]["runAsUser"] == USER["uid"]
    assert pod["securityContext"]["fsGroup"] == USER["fsGid"]
    assert container["resources"]["limits"] == {"cpu": str(USER["cpu"]["limit"]), "memory": "4Gi"}
    assert (
        f"--MappingKernelManager.cull_idle_timeout={VALUES['cull']['timeout']}"
        in (container["command"])
    )


def test_a_home_on_kubeflow_is_labelled_and_stored_as_one_on_jupyterhub() -> None:
    home, storage = KUBEFLOW["PersistentVolumeClaim"], USER["storage"]
    assert home["metadata"]["labels"] == storage["extraLabels"]
    assert home["spec"]["storageClassName"] == storage["dynamic"]["storageClass"]
    assert home["spec"]["resources"]["requests"]["storage"] == storage["capacity"]
