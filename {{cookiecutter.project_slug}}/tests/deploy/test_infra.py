"""infra/: nothing starts with a default password or an image without digest, and the manifests are Kubernetes'."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from kubernetes_schema import problems

INFRA = Path(__file__).resolve().parents[2] / "infra"
KINDS = {
    "Deployment": "V1Deployment",
    "StatefulSet": "V1StatefulSet",
    "Service": "V1Service",
    "Namespace": "V1Namespace",
    "NetworkPolicy": "V1NetworkPolicy",
}
MANIFESTS = [path for path in sorted((INFRA / "kustomize").glob("*.yaml")) if path.name != "kustomization.yaml"]
KEYS = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}


def names_in(path: Path) -> set[str]:
    return set(re.findall(r"(?m)^([A-Z_]+)=", path.read_text()))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(INFRA, tmp_path / "infra"))


def run(script: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": "/usr/bin:/bin", **environ}
    return subprocess.run([str(script)], env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_the_manifests_are_what_kubernetes_reads(path: Path) -> None:
    for document in yaml.safe_load_all(path.read_text()):
        assert problems(document, KINDS[document["kind"]], f"{path.name}:{document['metadata']['name']}") == []


def test_every_container_is_closed_in() -> None:
    for path in MANIFESTS:
        for document in yaml.safe_load_all(path.read_text()):
            pod = document["spec"].get("template", {}).get("spec") if "spec" in document else None
            for container in (pod or {}).get("containers", ()):
                assert pod["securityContext"]["runAsNonRoot"]
                assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
                assert {"cpu", "memory"} <= set(container["resources"]["limits"])


def test_every_value_of_the_compose_file_is_given_and_none_has_a_default(copy: Path) -> None:
    text = (copy / "compose.yaml").read_text()
    assert run(copy / "make-secrets", **KEYS).returncode == 0
    given = names_in(copy / "images.env") | names_in(copy / ".env.secrets")
    wanted = set(re.findall(r"\$\{([A-Z_]+):\?\}", text))
    assert wanted <= given
    assert len(re.findall(r"\$\{", text)) == len(re.findall(r"\$\{[A-Z_]+:\?\}", text))


def test_every_port_is_on_loopback_and_every_image_comes_from_the_one_file() -> None:
    services = yaml.safe_load((INFRA / "compose.yaml").read_text())["services"]
    for service in services.values():
        assert re.fullmatch(r"\$\{[A-Z]+_IMAGE:\?\}", service["image"])
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_secrets_are_made_once_differ_and_are_for_the_owner_only(copy: Path) -> None:
    assert run(copy / "make-secrets").returncode == 2
    assert run(copy / "make-secrets", **KEYS).returncode == 0
    made = copy / ".env.secrets"
    passwords = re.findall(r"(?:PASSWORD|TOKEN)=([0-9a-f]{48})", made.read_text())
    assert len(set(passwords)) == len(passwords) == 4
    assert made.stat().st_mode & 0o077 == 0
    assert run(copy / "make-secrets", **KEYS).returncode == 2


def test_an_image_without_digest_or_with_the_examples_is_refused(copy: Path) -> None:
    assert "still has the example digest" in run(copy / "check-images").stderr
    for path in (copy / "images.env", copy / "kustomize/kustomization.yaml"):
        path.write_text(path.read_text().replace("0" * 64, "1" * 64))
    assert run(copy / "check-images").returncode == 0
    text = (copy / "images.env").read_text()
    (copy / "images.env").write_text(text.replace("redis@sha256:" + "1" * 64, "redis:7"))
    refused = run(copy / "check-images")
    assert refused.returncode == 1
    assert "REDIS_IMAGE is not pinned by digest" in refused.stderr


def test_compose_and_kustomize_make_the_same_databases() -> None:
    assert (INFRA / "databases.sql").read_bytes() == (INFRA / "kustomize/databases.sql").read_bytes()
