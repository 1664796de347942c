"""The result of a Katib experiment: the line of config to paste, or one line that says what is missing."""

from __future__ import annotations

import copy
import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from small_project import churn
from sovereign_ml.config.settings import Settings
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.kubeflow.katib import experiment, setting

NAME = "acme-churn"
Change = Callable[[dict[str, Any]], Any]


@pytest.fixture
def finished(settings: Settings) -> dict[str, Any]:
    """The experiment of this project as Katib 0.19 shows it at its end."""
    made = experiment(NAME, settings.train, settings.pipeline, "0" * 32 + ".dir")
    done = {"type": "Succeeded", "status": "True", "reason": "ExperimentMaxTrialsReached"}
    made["status"] = {
        "conditions": [
            {"type": "Created", "status": "True"},
            {"type": "Running", "status": "False"},
            done | {"message": "Experiment has succeeded because max trial count has reached"},
        ],
        "currentOptimalTrial": {
            "bestTrialName": f"{NAME}-regularisation-7vxq2",
            "observation": {
                "metrics": [
                    {"name": "log_loss", "latest": "0.5313", "max": "0.5313", "min": "0.5313"}
                ]
            },
            "parameterAssignments": [{"name": "c", "value": "0.1"}],
        },
        "trials": 2,
        "trialsSucceeded": 2,
    }
    return copy.deepcopy(made)


def test_the_line_to_paste_is_the_best_value(
    project: Path, finished: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "result.yaml"
    file.write_text(yaml.safe_dump(finished))
    done = churn(project, "kubeflow", "katib", "--result", str(file))
    assert done.returncode == 0, done.stderr
    assert tomllib.loads(done.stdout) == {"regularisation": [0.1]}
    assert "best of 2 values, log_loss 0.5313" in done.stdout
    assert setting(json.dumps(finished), NAME) + "\n" == done.stdout
    missing = churn(project, "kubeflow", "katib", "--result", str(tmp_path / "gone.yaml"))
    assert (missing.returncode, missing.stderr.count("\n")) == (2, 1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda e: e.pop("status"), "is not finished: 0 trials"),
        (lambda e: e.update(status=None), "is not finished: 0 trials"),
        (lambda e: e["status"].update(conditions=["Succeeded"]), "is not finished: 2 trials"),
        (lambda e: e["status"]["conditions"].pop(), "is not finished: 2 trials"),
        (
            lambda e: e["status"]["conditions"][-1].update(type="Failed", message="no\nmemory"),
            "failed: no memory",
        ),
        (lambda e: e["status"].pop("currentOptimalTrial"), "names no best trial"),
        (lambda e: e["status"].update(currentOptimalTrial="the first"), "names no best trial"),
        (
            lambda e: e["status"]["currentOptimalTrial"].pop("bestTrialName"),
            "names no best trial",
        ),
        (
            lambda e: e["status"]["currentOptimalTrial"].update(parameterAssignments=[]),
            "names no best trial",
        ),
        (
            lambda e: e["status"]["currentOptimalTrial"]["parameterAssignments"][0].update(
                value="-1"
            ),
            "names no best trial",
        ),
        *(
            (
                lambda e, latest=latest: e["status"]["currentOptimalTrial"]["observation"][
                    "metrics"
                ][0].update(latest=latest),
                "names no best trial",
            )
            for latest in ("unavailable", "nan", None)
        ),
    ],
)
def test_an_experiment_without_result_is_refused(
    finished: dict[str, Any], change: Change, said: str
) -> None:
    change(finished)
    with pytest.raises(Refused, match=said) as refused:
        setting(yaml.safe_dump(finished), NAME)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("", "no manifest"),
        ("{", "no manifest"),
        ("[" * 10_000, "no manifest"),
        ("kind: Experiment\n---\nkind: Experiment", "no manifest"),
        ("- a list", "no manifest"),
        ("kind: List\nitems: []", "kind List"),
        ("kind: Experiment\nmetadata: {name: other}", "the experiment other"),
        ("kind: Experiment", "kind Experiment"),
    ],
)
def test_another_file_is_named_with_the_command_to_call(text: str, seen: str) -> None:
    with pytest.raises(Misuse, match=f"holds {seen}: write it with `kubectl get experiment"):
        setting(text, NAME)
