"""infra/: nothing starts with a default password or an image without digest, and the manifests are Kubernetes'."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from kubernetes_schema import notebook_problems, problems
from small_project import PROJECT, churn, make_project
from sovereign_ml.cli.servers import servers

INFRA = PROJECT / "infra"
KINDS = {
    "Deployment": "V1Deployment",
    "StatefulSet": "V1StatefulSet",
    "Service": "V1Service",
    "Namespace": "V1Namespace",
    "NetworkPolicy": "V1NetworkPolicy",
    "ConfigMap": "V1ConfigMap",
    "PersistentVolumeClaim": "V1PersistentVolumeClaim",
    "Role": "V1Role",
    "RoleBinding": "V1RoleBinding",
    "ServiceAccount": "V1ServiceAccount",
}
MANIFESTS = [
    path
    for folder in ("kustomize", "kubeflow")
    for path in sorted((INFRA / folder).glob("*.yaml"))
    if path.name != "kustomization.yaml"
]
KEYS = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}


def names_in(path: Path) -> set[str]:
    return set(re.findall(r"(?m)^([A-Z_]+)=", path.read_text()))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(INFRA, tmp_path / "infra"))


def run(script: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": "/usr/bin:/bin", **environ}
    return subprocess.run(
        [str(script), *arguments], env=env, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_the_manifests_are_what_kubernetes_reads(path: Path) -> None:
    for document in yaml.safe_load_all(path.read_text()):
        where = f"{path.name}:{document['metadata']['name']}"
        if document["kind"] == "Notebook":
            assert notebook_problems(document, where) == []
        else:
            assert problems(document, KINDS[document["kind"]], where) == []


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
    assert len(set(passwords)) == len(passwords) == 9
    assert made.stat().st_mode & 0o077 == 0
    assert run(copy / "make-secrets", **KEYS).returncode == 2


def pin(copy: Path) -> None:
    """Put a digest in the place of every example."""
    for path in (
        copy / "images.env",
        copy / "kustomize/kustomization.yaml",
        copy / "jupyterhub/values.yaml",
        copy / "kubeflow/notebook.yaml",
    ):
        path.write_text(path.read_text().replace("0" * 64, "1" * 64))


@pytest.mark.parametrize("which", ["", "storage", "jupyterhub", "kubeflow"])
def test_an_image_with_the_example_digest_is_refused(copy: Path, which: str) -> None:
    arguments = [which] if which else []
    refused = run(copy / "check-images", *arguments)
    assert refused.returncode == 1
    assert (
        refused.stderr.count("still has the example digest")
        == {"": 3, "storage": 4, "jupyterhub": 3, "kubeflow": 1}[which]
    )
    pin(copy)
    assert run(copy / "check-images", *arguments).returncode == 0


def test_a_last_line_without_a_line_end_is_looked_at_too(copy: Path) -> None:
    pin(copy)
    lines = (copy / "images.env").read_text().splitlines()
    (copy / "images.env").write_text("\n".join([*lines[:-1], "CHURN_IMAGE=churn:latest"]))
    refused = run(copy / "check-images")
    assert refused.returncode == 1
    assert "CHURN_IMAGE is not pinned by digest" in refused.stderr


def test_the_key_of_the_storage_is_kept_as_it_is_whatever_signs_it_has(copy: Path) -> None:
    secret = 'a$b#c \\n`d` "e"'
    keys = KEYS | {"AWS_SECRET_ACCESS_KEY": secret}
    assert run(copy / "make-secrets", **keys).returncode == 0
    command = f'. {copy}/.env.secrets && printf %s "$AWS_SECRET_ACCESS_KEY"'
    assert subprocess.check_output(["sh", "-c", command], text=True) == secret
    (copy / ".env.secrets").unlink()
    refused = run(copy / "make-secrets", **(KEYS | {"AWS_ACCESS_KEY_ID": "it's"}))
    assert refused.returncode == 2
    assert "AWS_ACCESS_KEY_ID has a single quote" in refused.stderr
    assert not (copy / ".env.secrets").exists()


@pytest.mark.parametrize(
    ("name", "before", "after", "which", "said"),
    [
        (
            "images.env",
            "redis@sha256:" + "1" * 64,
            "redis:7",
            [],
            "REDIS_IMAGE is not pinned by digest",
        ),
        (
            "images.env",
            "redis@sha256:1",
            "redis@sha256:2",
            [],
            "has another image or digest than REDIS_IMAGE",
        ),
        (
            "jupyterhub/values.yaml",
            "1" * 64,
            "latest",
            ["jupyterhub"],
            "k8s-hub is not pinned by digest",
        ),
        (
            "kubeflow/notebook.yaml",
            "@sha256:" + "1" * 64,
            ":latest",
            ["kubeflow"],
            "churn-notebook:latest is not pinned by digest",
        ),
        (
            "kubeflow/notebook.yaml",
            "image: ",
            "imagine: ",
            ["kubeflow"],
            "no image found in infra/kubeflow/notebook.yaml",
        ),
    ],
)
def test_an_image_without_digest_or_with_two_is_refused(
    copy: Path, name: str, before: str, after: str, which: list[str], said: str
) -> None:
    pin(copy)
    text = (copy / name).read_text()
    assert before in text
    (copy / name).write_text(text.replace(before, after, 1))
    refused = run(copy / "check-images", *which)
    assert refused.returncode == 1
    assert said in refused.stderr


def test_each_image_has_its_own_digest_and_registry_in_the_cluster_too(copy: Path) -> None:
    """Other images, a remark and another registry may hold the digest that an image should have."""
    pin(copy)
    for number, name in enumerate(("postgres", "redis", "churn"), start=3):
        for file, sign in (("images.env", "@"), ("kustomize/kustomization.yaml", 'digest: "')):
            path = copy / file
            own = f"{name}@" if sign == "@" else f'registry.example.eu/{name}, digest: "'
            text = path.read_text()
            assert f"{own}sha256:1" in text
            path.write_text(
                text.replace(f"{own}sha256:{'1' * 64}", f"{own}sha256:{str(number) * 64}")
            )
    assert run(copy / "check-images").returncode == 0
    path = copy / "kustomize/kustomization.yaml"
    good = path.read_text()
    postgres, redis = (f"sha256:{digit * 64}" for digit in "34")
    wrong = {
        "swapped": good.replace(postgres, "x").replace(redis, postgres).replace("x", redis),
        "in a remark": good.replace(redis, postgres) + f"# redis was {redis}\n",
        "elsewhere": good.replace(
            "newName: registry.example.eu/redis", "newName: other.test/redis"
        ),
        "out of use": good.replace("- {name: registry.example.eu/redis", "# - {name: a.b/redis"),
        "twice": good + f'  - {{name: a.b/redis, newName: a.b/redis, digest: "{redis}"}}\n',
        "a tag": good.replace(f'digest: "{redis}"', 'newTag: "7"'),
    }
    for how, text in wrong.items():
        assert text != good
        path.write_text(text)
        refused = run(copy / "check-images")
        assert refused.returncode == 1, how
        assert "another image or digest than REDIS_IMAGE" in refused.stderr, how
    path.write_text(good)
    tagged = (copy / "images.env").read_text().replace("/redis@", "/redis:7.4@")
    (copy / "images.env").write_text(tagged)
    assert run(copy / "check-images").returncode == 0


def test_nothing_is_started_with_an_example_digest_or_without_secrets(
    copy: Path, tmp_path: Path
) -> None:
    docker = tmp_path / "bin/docker"
    docker.parent.mkdir()
    docker.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n')
    docker.chmod(0o755)
    path = {"PATH": f"{docker.parent}:/usr/bin:/bin"}
    assert run(copy / "up", **path).returncode == 1
    pin(copy)
    assert run(copy / "up", **path).returncode == 2
    assert not (tmp_path / "calls").exists()
    assert run(copy / "make-secrets", **KEYS).returncode == 0
    assert run(copy / "up", "storage", **path).returncode == 0
    assert (tmp_path / "calls").read_text().strip() == (
        "compose --env-file images.env --env-file .env.secrets -f compose.yaml --profile storage up -d --wait"
    )


def test_what_goes_into_the_image_is_a_project_that_answers(tmp_path: Path) -> None:
    text = (INFRA / "Dockerfile").read_text().replace("\\\n", " ")
    assert "FROM ${BASE_IMAGE}" in text and "ARG BASE_IMAGE\n" in text
    assert "USER 10001:10001" in text
    sources = {name for line in re.findall(r"(?m)^COPY (.+)$", text) for name in line.split()[:-1]}
    sent = {
        line[1:]
        for line in (INFRA / "Dockerfile.dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    assert sources == sent
    root = make_project(tmp_path / "project")
    for name in sources - {"config.toml", "model_card.toml"}:
        source, target = PROJECT / name, root / name
        target.parent.mkdir(exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    done = churn(root, "doctor", "--profile", "local")
    assert done.returncode == 0, done.stderr


def test_compose_and_kustomize_start_the_servers_that_the_tests_of_the_profile_eu_start() -> None:
    services = yaml.safe_load((INFRA / "compose.yaml").read_text())["services"]
    for name, port in (("mlflow", "5000"), ("features", "6566")):
        [deployment, _] = yaml.safe_load_all((INFRA / f"kustomize/{name}.yaml").read_text())
        [container] = deployment["spec"]["template"]["spec"]["containers"]
        assert services[name]["command"] == container["command"]
        program, group, verb, *options = container["command"]
        assert (program, group) == ("churn", "servers")
        assert options == ["--host", "0.0.0.0", "--port", port]
        assert verb in {command.name for command in servers.registered_commands}


def test_compose_and_kustomize_make_the_same_databases() -> None:
    assert (INFRA / "databases.sql").read_bytes() == (
        INFRA / "kustomize/databases.sql"
    ).read_bytes()
