"""churn deploy and its status, rollback and kserve end 0, 1 or 2 and say why in one line."""

import json
import shutil
from types import SimpleNamespace

import pytest
import yaml
from typer.testing import CliRunner

from built_wheel import naming
from desks import BASE_IMAGE, LOCK, SERVICE, write_bundle
from small_project import PROJECT
from sota_double import KEY
from sovereign_ml.cli import deploy as commands
from sovereign_ml.config.deployment import Deploy
from sovereign_ml.errors import Misuse, Refused

BUNDLE = ("--bundle", "bundle")
CLUSTER = {
    "image": BASE_IMAGE,
    "namespace": "churn",
    "secret": "keys",
    "ingress_namespace": "ingress",
}


@pytest.fixture
def project(tmp_path, double, wheel, monkeypatch):
    """A project folder whose [deploy] points at the double."""
    root = tmp_path / "project"
    shutil.copytree(PROJECT / "deploy", root / "deploy")
    shutil.copytree(wheel.parent, root / "vendor")
    lock = naming(LOCK, wheel)
    for name, text in {"serve/service.py": SERVICE, "requirements/serve.lock": lock}.items():
        (root / name).parent.mkdir()
        (root / name).write_text(text)
    write_bundle(root / "bundle")
    table = {"slug": "acme-churn", "base_image": BASE_IMAGE, "sota_cli": "", "kserve": CLUSTER}
    table |= {"api_url": double.url, "service_url": double.service_url, "poll_s": 0.01}
    given = {
        "root": root,
        "deploy": Deploy.model_validate(table),
        "project": SimpleNamespace(title="Acme churn"),
    }
    settings = SimpleNamespace(**given, path=lambda noun: root / noun)
    monkeypatch.chdir(root)
    monkeypatch.setattr("sovereign_ml.config.settings.load", lambda profile: settings)
    monkeypatch.setattr(
        "sovereign_ml.config.settings.ENVIRONMENT",
        {"SOTA_API_KEY": KEY, "CHURN_KEYS": "s3cr3t-value"},
    )
    return settings


def churn(*arguments):
    result = CliRunner().invoke(commands.app, arguments)
    if isinstance(result.exception, Refused | Misuse):
        return result.exception.exit_code, f"{result.output}{result.exception}"
    assert result.exception is None, result.exception
    return result.exit_code, result.output


def test_deploy_ends_well_and_says_where_it_runs(project, double):
    code, output = churn("deploy", *BUNDLE)
    assert code == 0
    assert f"acme-churn 3 runs at {double.service_url}" in output
    assert "s3cr3t-value" not in output
    assert (project.root / ".sota.json").is_file()
    assert (
        json.loads((project.root / "deploy" / "releases.json").read_text())[0]["smoke"] == "passed"
    )


def test_deploy_ends_1_when_the_build_fails(project, double):
    double.state.faults.build_fails = True
    code, output = churn("deploy", *BUNDLE)
    assert code == 1
    assert "build failed: exit code 1" in output


def test_a_dry_run_sends_nothing(project, double):
    code, output = churn("deploy", "--dry-run", *BUNDLE)
    assert (code, double.state.requests) == (0, [])
    assert "GET " in output


def test_a_dry_run_that_would_be_refused_ends_1(project):
    write_bundle(project.root / "local", profile="local")
    code, output = churn("deploy", "--dry-run", "--bundle", str(project.root / "local"))
    assert code == 1
    assert (
        "REFUSED app/bundle: would not start in profile eu: the bundle was made with profile local"
        in output
    )


@pytest.mark.parametrize("environment", [{}, {"SOTA_API_KEY": KEY}, {"CHURN_KEYS": "x"}])
def test_a_missing_key_or_secret_is_wrong_use(project, monkeypatch, environment):
    monkeypatch.setattr("sovereign_ml.config.settings.ENVIRONMENT", environment)
    code, output = churn("deploy", *BUNDLE)
    assert code == 2
    assert (
        "SOTA_API_KEY is not set" in output
        or "no value in the environment for CHURN_KEYS" in output
    )


def test_rollback_and_status(project):
    churn("deploy", *BUNDLE)
    churn("deploy", *BUNDLE)
    code, output = churn("deploy", "rollback")
    assert (code, "acme-churn 3 runs again" in output) == (0, True)
    code, output = churn("deploy", "status", "--json")
    assert [row["status"] for row in json.loads(output)] == ["running", "stopped", "stopped"]
    assert "rollback" in churn("deploy", "status")[1]


def test_rollback_before_first_use_ends_1(project):
    assert churn("deploy", "rollback")[0] == 1


def test_kserve_prints_both_manifests(project):
    code, output = churn("deploy", "kserve")
    assert code == 0
    assert [item["kind"] for item in yaml.safe_load_all(output)] == [
        "InferenceService",
        "NetworkPolicy",
    ]
