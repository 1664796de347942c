"""Code that uses SageMaker: each use by file and line, with the rule that says what replaces it."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from botocore import xform_name
from botocore.session import Session

from sovereign_ml.cli.main import application
from sovereign_ml.errors import Misuse
from sovereign_ml.leaving.code_audit import audit_code, rules, uses_in

# Each line ends with the rules that it must be found by; a line without a comment must not be found.
PYTHON = '''
"""What runs in the container reads /opt/ml/input and import sagemaker."""
import boto3, os, json  # C30
import sagemaker as sm  # C14
from sagemaker.estimator import Estimator as E  # C04
from sagemaker.experiments.run import Run  # C01
from sagemaker.tuner import HyperparameterTuner  # C05
import sagemaker.workflow.pipeline  # C07
from sagemaker.train.model_trainer import ModelTrainer  # C04
from sagemaker.brand_new import Thing  # C31
from .sagemaker import ours
client = boto3.client("sagemaker", region_name="x")  # C14
runtime = boto3.Session().client(service_name="sagemaker-runtime")  # C10
store = boto3.session.Session().client("sagemaker-featurestore-runtime")  # C03
s3 = boto3.resource("s3")  # C30
class Job:
    def __init__(self):
        self.api = boto3.client("sagemaker")  # C14
    def start(self, given):
        self.api.create_training_job(TrainingJobName="x")  # C04
        given.create_model_package_group(Name="x")  # C08
        given.create_model()
        later.list_model_cards()  # C09
        self.api.get_paginator("list_feature_groups").paginate()  # C03
        self.api.get_waiter("endpoint_in_service").wait()  # C10
        self.api.brand_new_operation()  # C31
estimator = E(role=sm.get_execution_role())  # C04 C14
predictor = estimator.deploy(1)  # C10
predictor.predict([1])  # C10
tuner = HyperparameterTuner(estimator)  # C04 C05
tuner.fit({})  # C05
with Run(experiment_name="x") as run:  # C01
    run.log_metric("auc", 1)  # C01
store.put_record(Record=[])  # C03
sm.Session().sagemaker_runtime_client.invoke_endpoint(EndpointName="x")  # C10
sm.Session().boto_session.client("sagemaker").create_endpoint()  # C10
s3.Bucket("x").upload_file("a")  # C30
folder = os.environ["SM_CHANNEL_TRAIN"]  # C15
image = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/churn:1"  # C16
group = f"arn:aws:sagemaker:eu-central-1:1:model-package/{x}"  # C21
# client.create_training_job() and /opt/ml/model
json.dumps({"sagemaker": "a word"})
deploy = ours.deploy(predict=1)
'''


def marked(text: str, sign: str = "#") -> dict[int, list[str]]:
    """Return the rules that each line asks for in its comment."""
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        if match := re.search(rf"{sign}((?: C\d\d)+)$", line):
            found[number] = match[1].split()
    return found


def by_line(file: str, text: str) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for use in uses_in(file, text) or ():
        found.setdefault(use.line, []).append(use.rule)
    return {line: sorted(set(rules)) for line, rules in found.items()}


def test_each_use_in_python_is_found_at_its_line_and_nothing_else() -> None:
    assert by_line("train.py", PYTHON) == marked(PYTHON)


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("broken.py", "<<<<<<< a\nfrom sagemaker.tuner import X\nd = '/opt/ml/model'", {2: ["C05"], 3: ["C15"]}),
        ("requirements.txt", "pandas\nsagemaker==2\n# boto3\nboto3\nboto3-stubs", {2: ["C22"], 4: ["C22"]}),
        ("pyproject.toml", 'dependencies = [\n  "sagemaker[local]>=2",\n]', {2: ["C22"]}),
        ("setup.py", "install = [\n    'sagemaker>=2',\n]", {2: ["C22"]}),
        ("run.sh", "aws s3 ls\naws --region x sagemaker create-processing-job\naws sagemaker wait x", {2: ["C06"], 3: ["C20"]}),
        ("main.tf", 'resource "aws_sagemaker_domain" "x" {}', {1: ["C19"]}),
        ("stack.yaml", "a: 1\nType: AWS::SageMaker::Model", {2: ["C19"]}),
        ("Dockerfile", "FROM 123456789012.dkr.ecr.x.amazonaws.com/y\nENV SAGEMAKER_PROGRAM=a.py", {1: ["C16"], 2: ["C15"]}),
        ("config.toml", 'uri = "arn:aws:sagemaker:x:1:mlflow-app/prod"', {1: ["C02", "C21"]}),
        ("feed.py", "a = 1\n\x0c\nb = '\u2028'\nimport boto3", {4: ["C30"]}),
        # words in a text of a cell that parses, and a line that ends as on an old Macintosh
        ("text.ipynb", json.dumps({"cells": [{"cell_type": "code", "source": '"""\nimport boto3\n"""'}]}), {}),
        ("mac.ipynb", json.dumps({"cells": [{"cell_type": "code", "source": "a = 1\rimport boto3"}]}), {1: ["C30"]}),
        ("feed.ipynb", json.dumps({"cells": [{"cell_type": "code", "source": "a\x0c\nimport boto3"}]}), {1: ["C30"]}),
        ("data.csv", "sagemaker", {}),
    ],
)  # fmt: skip
def test_other_files_are_read_by_their_lines(
    file: str, text: str, expected: dict[int, list[str]]
) -> None:
    assert by_line(file, text) == expected


def test_a_notebook_is_read_cell_by_cell_with_the_names_of_the_cells_before(tmp_path: Path) -> None:
    cells = [
        ("code", ["import sagemaker\n", "session = sagemaker.Session()\n"]),
        ("markdown", ["import sagemaker"]),
        ("code", ["%matplotlib inline\n", "!aws sagemaker list-models\n", "session.upload_data()"]),
        ("code", ["def broken(\n", "import sagemaker.tuner"]),
    ]
    text = json.dumps({"cells": [{"cell_type": k, "source": s} for k, s in cells]}, indent=1)
    (tmp_path / "old.ipynb").write_text(text)
    (tmp_path / "empty.bin").write_bytes(b"\0\1")
    (tmp_path / "notes.md").write_text("sagemaker")
    result = audit_code(tmp_path)
    lines = [(text.splitlines()[use.line - 1].strip(' ",'), use.rule) for use in result.uses]
    assert lines == [
        ("import sagemaker\\n", "C14"),
        ("session = sagemaker.Session()\\n", "C14"),
        ("!aws sagemaker list-models\\n", "C10"),
        ("session.upload_data()", "C14"),
        ("import sagemaker.tuner", "C05"),
    ]
    assert (result.files, sorted(result.not_read)) == (1, ["empty.bin", "notes.md"])
    with pytest.raises(Misuse, match="no folder"):
        audit_code(tmp_path / "none")
    (tmp_path / "old.ipynb").unlink()
    with pytest.raises(Misuse, match="no file of code"):
        audit_code(tmp_path)


def test_no_rule_names_what_is_not_there() -> None:
    """Operations must be of the API, commands of `churn`, and files of the template."""
    operations = {xform_name(o) for o in Session().get_service_model("sagemaker").operation_names}
    others = {"invoke_endpoint*", "batch_*_metrics"}  # of the runtime and metrics services
    for rule in rules():
        for mask in set(rule.operations) - others:
            assert any(fnmatchcase(name, mask) for name in operations), (rule.id, mask)
    app = application()
    known = {c.name or getattr(c.callback, "__name__", "") for c in app.registered_commands}
    known |= {str(group.name) for group in app.registered_groups}
    leave = next(g.typer_instance for g in app.registered_groups if g.name == "leave")
    below = {c.name or getattr(c.callback, "__name__", "") for c in leave.registered_commands}
    template = next(Path(__file__).parents[4].glob("{{*}}"))
    for rule in rules():
        assert bool(rule.replaced_by) != bool(rule.instead), rule.id
        for first, second in re.findall(r"`churn (\S+?)(?: (\S+?))?`", rule.replaced_by):
            assert first.replace("-", "_") in {name.replace("-", "_") for name in known}, first
            assert first != "leave" or second in below, second
        for path in re.findall(r"\b(?:src|infra|notebooks|serve)/[\w./]*\w", rule.replaced_by):
            assert (template / path).exists(), (rule.id, path)
