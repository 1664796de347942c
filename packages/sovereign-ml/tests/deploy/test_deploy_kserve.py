"""The KServe manifests fit Kubernetes' schemas, let the service talk to named hosts only, and never hold a secret."""

import pytest
import yaml

from desks import BASE_IMAGE
from kubernetes_schema import inference_service_problems, network_policy_problems
from small_project import PROJECT
from sovereign_ml.config.deployment import KserveSettings
from sovereign_ml.deploy.kserve import render_kserve
from sovereign_ml.service.__main__ import GRACE_S

TEMPLATES = PROJECT / "deploy" / "kserve"
POSTGRES = {"host": "postgres.example.eu", "port": 5432, "cidr": "203.0.113.10/32"}
FEATURES = {"host": "feature-server.feast.svc", "port": 6566, "namespace": "feast"}


def render(*, name="acme-churn", variables=None, templates=TEMPLATES, **changed):
    given = {
        "namespace": "churn",
        "image": BASE_IMAGE,
        "secret": "acme-churn-service",
        "ingress_namespace": "ingress",
    }
    cluster = KserveSettings.model_validate({**given, "egress": [POSTGRES, FEATURES], **changed})
    return render_kserve(name, cluster, variables or {"CHURN_PROFILE": "eu"}, templates)


def manifests(**changed):
    service, policy = yaml.safe_load_all(render(**changed))
    return service, policy


def test_both_manifests_fit_the_schemas():
    service, policy = manifests()
    assert inference_service_problems(service) == []
    assert network_policy_problems(policy) == []


def test_traffic_goes_elsewhere_before_the_service_stops():
    pod = manifests()[0]["spec"]["predictor"]
    (container,) = pod["containers"]
    program, seconds = container["lifecycle"]["preStop"]["exec"]["command"]
    most_s = int(seconds) + GRACE_S + 10  # the log's own end
    assert program == "sleep" and int(seconds) > 0 and most_s < pod["terminationGracePeriodSeconds"]


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (
            lambda pod: pod.update(autoMountServiceAccountToken=False),
            "'autoMountServiceAccountToken' was",
        ),
        (lambda pod: pod["containers"][0].pop("name"), "'name' is a required property"),
        (
            lambda pod: pod["containers"][0]["livenessProbe"].update(periodSeconds="10"),
            "livenessProbe.periodSeconds: '10' is not of type 'integer'",
        ),
        (lambda pod: pod.update(minReplicas="1"), "predictor.minReplicas: '1' is not of type"),
        (lambda pod: pod["containers"][0]["resources"].update(limits=[]), "limits: [] is not"),
    ],
)
def test_the_schema_check_itself_refuses(damage, problem):
    service, _ = manifests()
    damage(service["spec"]["predictor"])
    assert problem in "\n".join(inference_service_problems(service))


def test_rendering_twice_gives_the_same_text():
    assert render() == render()


def test_the_image_runs_by_digest_without_rights_on_a_read_only_disk_within_256_megabytes():
    pod = manifests()[0]["spec"]["predictor"]
    container = pod["containers"][0]
    assert container["image"] == BASE_IMAGE
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"]["memory"] == "256Mi"
    assert pod["automountServiceAccountToken"] is False


def test_secrets_come_from_a_kubernetes_secret_and_variables_in_order():
    container = manifests(variables={"B": "2", "A": "1"})[0]["spec"]["predictor"]["containers"][0]
    assert container["envFrom"] == [{"secretRef": {"name": "acme-churn-service"}}]
    assert [item["name"] for item in container["env"]] == ["A", "B", "PORT"]


def test_the_policy_selects_the_pods_of_the_service():
    service, policy = manifests()
    assert policy["spec"]["podSelector"]["matchLabels"] == service["spec"]["predictor"]["labels"]
    assert policy["metadata"]["namespace"] == service["metadata"]["namespace"] == "churn"


def test_only_dns_and_the_named_hosts_can_be_reached():
    _, policy = manifests()
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    dns, postgres, features = policy["spec"]["egress"]
    assert {port["port"] for port in dns["ports"]} == {53}
    assert postgres == {
        "to": [{"ipBlock": {"cidr": "203.0.113.10/32"}}],
        "ports": [{"protocol": "TCP", "port": 5432}],
    }
    inside = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "feast"}}}
    assert features == {"to": [inside], "ports": [{"protocol": "TCP", "port": 6566}]}
    assert policy["metadata"]["annotations"]["sovereign/egress"] == (
        "postgres.example.eu:5432 feature-server.feast.svc:6566"
    )


def test_only_the_ingress_namespace_reaches_the_port():
    (rule,) = manifests()[1]["spec"]["ingress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": 8080}]
    assert rule["from"] == [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}
    ]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"image": "registry.example.eu/churn:3"}, "name@sha256:<64 hex digits> is needed"),
        ({"name": "2acme"}, "KServe needs a letter first"),
        ({"namespace": "Acme_Churn"}, "should match pattern"),
        ({"variables": {"PORT": "3000"}}, "PORT is set by the platform"),
        ({"variables": {"DB_PASSWORD": "x"}}, "looks like a secret"),
        (
            {"egress": [{"host": "everything", "port": 443, "cidr": "0.0.0.0/0"}]},
            "is a large network, not one host",
        ),
        ({"egress": [{"host": "nowhere", "port": 443}]}, "either cidr or namespace is needed"),
        ({"egress": [{**POSTGRES, "namespace": "db"}]}, "either cidr or namespace is needed"),
        (
            {"egress": [{**POSTGRES, "cidr": "postgres.example.eu"}]},
            "does not appear to be an IPv4 or IPv6 network",
        ),
        ({"egress": [{**POSTGRES, "cidr": "::ffff:0:0/96"}]}, "IPv4 network in its own spelling"),
        ({"egress": [{"host": "db", "port": 5432, "namespace": "Not a name"}]}, "namespace"),
        ({"egress": [{"host": "db", "port": 5432, "namespace": " "}]}, "namespace"),
        ({"namespace": "-churn"}, "namespace"),
        ({"secret": "churn..keys"}, "secret"),
    ],
)
def test_a_configuration_that_would_open_or_break_it(changed, words):
    with pytest.raises(ValueError, match=words):
        render(**changed)


@pytest.mark.parametrize("kind", ["inferenceservice", "networkpolicy"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: b"", "lacks a part that is filled in"),
        (lambda text: b"- a list", "lacks a part that is filled in"),
        (lambda text: text.replace(b"spec:", b"specs:"), "lacks a part that is filled in"),
        (lambda text: text.replace(b"kind:", b"kind"), "is no YAML"),
        (lambda text: b"\xff\xfe\x00\xd8" + text, "is no YAML"),
        (lambda text: text + b"---\n" + text, "is no YAML"),
    ],
)
def test_a_manifest_that_the_team_has_broken_is_one_line(kind, change, words, tmp_path):
    for name in ("inferenceservice", "networkpolicy"):
        content = (TEMPLATES / f"{name}.yaml").read_bytes()
        (tmp_path / f"{name}.yaml").write_bytes(change(content) if name == kind else content)
    with pytest.raises(ValueError, match=rf"deploy/kserve/{kind}\.yaml {words}") as refused:
        render(templates=tmp_path)
    assert "\n" not in str(refused.value)


def test_names_and_addresses_that_kubernetes_allows():
    """An address alone is one host, which a policy writes with its prefix."""
    egress = [
        {**POSTGRES, "cidr": "203.0.113.10"},
        {**POSTGRES, "cidr": "2001:db8::7"},
        {"host": "db", "port": 5432, "namespace": "2-db"},
    ]
    names = {"namespace": "42-churn", "ingress_namespace": "i" * 63, "secret": "churn.service-keys"}
    _, policy = manifests(egress=egress, **names)
    peers = [rule["to"][0] for rule in policy["spec"]["egress"][1:]]
    assert [peer["ipBlock"]["cidr"] for peer in peers[:2]] == ["203.0.113.10/32", "2001:db8::7/128"]
