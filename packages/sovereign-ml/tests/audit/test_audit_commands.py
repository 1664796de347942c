"""churn audit, sbom and licences through the command line: output, exit codes, files."""

import json
import subprocess
import tomllib
from datetime import UTC, datetime, timedelta

import nbformat
import pytest
from typer.testing import CliRunner

from small_project import PROJECT, commit, make_clone, rendered
from sovereign_ml.cli.audit import app
from sovereign_ml.config import settings
from sovereign_ml.errors import Misuse, Refused
from wheels import write_wheel

LIST = ("git", "grep", "--name-only", "--fixed-strings", "{{ cookiecutter.")
LOCK = PROJECT / "requirements" / "serve.lock"


@pytest.fixture
def project(tmp_path, monkeypatch):
    text = (PROJECT / "config.toml").read_text(encoding="utf-8")
    (tmp_path / "config.toml").write_text(rendered(text), encoding="utf-8")
    monkeypatch.setattr(settings, "ENVIRONMENT", {})
    monkeypatch.setenv("CHURN_ROOT", str(tmp_path))
    return tmp_path


def call(*arguments: str):
    return CliRunner().invoke(app, list(arguments))


def test_a_fresh_project_passes(project):
    answer = call("audit")
    assert answer.exit_code == 0, answer.exception
    assert "mlflow.example.eu is a placeholder" in answer.output
    assert "0 error" in answer.output


def test_a_refused_address_stops_with_its_place_and_in_every_format(project):
    (project / ".env").write_text("MLFLOW_TRACKING_URI=https://api.wandb.ai\n")
    plain = call("audit")
    assert isinstance(plain.exception, Refused)
    assert "The audit refuses addresses: 1, " in str(plain.exception)
    assert "error   .env:1  https://api.wandb.ai  US  model may not go here" in plain.output
    found = json.loads(call("audit", "--json", "--sarif", str(project / "audit.sarif")).output)
    assert found["counts"]["error"] == 1
    (run,) = json.loads((project / "audit.sarif").read_text())["runs"]
    assert "error" in {result["level"] for result in run["results"]}


def test_the_policy_of_config_toml_decides(project):
    (project / ".env").write_text("MLFLOW_TRACKING_URI=https://api.wandb.ai\n")
    soon = f"{datetime.now(UTC) + timedelta(days=300):%Y-%m-%d}"
    waivers = "".join(
        f'[[audit.waivers]]\nhost = "wandb.ai"\npayload = "{payload}"\nowner = "CTO"\n'
        f'reason = "moving out in March"\nuntil = {soon}\n'
        for payload in ("model", "metadata")
    )
    config = project / "config.toml"
    config.write_text(config.read_text() + waivers)
    assert call("audit").exit_code == 0
    config.write_text(config.read_text().replace(soon, "2025-01-01"))
    assert isinstance(call("audit").exception, Refused)


def test_notebooks_and_secrets_are_refused_when_asked_for(project):
    cell = nbformat.v4.new_code_cell("who = 'anna.muster@example.org'")
    (project / "look.ipynb").write_text(nbformat.writes(nbformat.v4.new_notebook(cells=[cell])))
    (project / "a.py").write_text('password = "' + "a1b2c3d4e5" + '"\n')
    assert call("audit").exit_code == 0
    answer = call("audit", "--notebooks", "--secrets")
    assert "things that must not be committed: 2. " in str(answer.exception)
    assert "a.py:1  password or key" in answer.output
    assert "anna" not in answer.output


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """Return a whole project as cruft writes it, in git, with the library's wheel."""
    root = make_clone(tmp_path_factory.mktemp("fresh") / "acme-churn")
    for path in (
        root / name for name in subprocess.check_output(LIST, cwd=root, text=True).split()
    ):
        path.write_text(rendered(path.read_text(encoding="utf-8")), encoding="utf-8")
    write_wheel(root / "vendor")
    context = {"cookiecutter": {"__presets": {"aws": {"endpoint": "https://s3.amazonaws.com"}}}}
    cruft = {"template": "https://codeberg.org/acme/template", "commit": "0f", "context": context}
    (root / ".cruft.json").write_text(json.dumps(cruft, indent=1))
    commit(root)
    return root


def test_a_whole_fresh_project_has_nothing_above_a_notice(fresh, monkeypatch):
    monkeypatch.setattr(settings, "ENVIRONMENT", {})
    monkeypatch.setenv("CHURN_ROOT", str(fresh))
    answer = call("audit", "--notebooks", "--secrets", "--json")
    assert answer.exit_code == 0, answer.output
    counts = json.loads(answer.output)["counts"]
    assert counts["notice"] > 0
    assert {name for name, count in counts.items() if count} <= {"ok", "notice"}


def test_the_wheel_of_a_fresh_project_is_named_as_not_searched(fresh, monkeypatch):
    monkeypatch.setenv("CHURN_ROOT", str(fresh))
    wheel = next((fresh / "vendor").glob("*.whl"))
    told = call("audit", "--secrets").output.splitlines()[-1]
    assert told == f"Not searched for secrets, binary or over 2 MB: vendor/{wheel.name}."


def test_the_bill_of_materials_is_written(tmp_path):
    target = tmp_path / "sbom" / "serve.cdx.json"
    assert call("supply-chain", "sbom", str(LOCK), "-o", str(target)).exit_code == 0
    document = json.loads(target.read_text())
    assert document["bomFormat"] == "CycloneDX"
    assert document["metadata"]["component"]["name"] == "churn-serve"
    assert call("supply-chain", "sbom", str(LOCK)).output == target.read_text()


def test_licences_are_listed():
    answer = call("supply-chain", "licences", str(LOCK))
    assert "MIT (" in answer.output


def test_a_lock_without_hashes_is_wrong_use(tmp_path):
    (tmp_path / "x.lock").write_text("numpy==2\n")
    answer = call("supply-chain", "sbom", str(tmp_path / "x.lock"))
    assert isinstance(answer.exception, Misuse)
    assert "without a hash: numpy" in str(answer.exception)


def test_the_example_policy_of_the_docs_is_valid():
    from sovereign_ml.audit import AuditPolicy

    text = '[allow]\npersonal_data = ["EU_OWNED", "SELF_DECLARED"]\nmodel = ["EU_OWNED"]\n'
    assert not AuditPolicy.model_validate(tomllib.loads(text)).allows("US", "telemetry")
