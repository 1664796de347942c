"""The notebook's public door: tables without people, the model in words, a notebook that runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from small_project import PROJECT
from sovereign_ml import notebook
from sovereign_ml.config.settings import ENVIRONMENT, Settings

NOTEBOOK = PROJECT / "notebooks/explore.ipynb"


def cells() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return found


def test_the_notebook_is_committed_without_outputs() -> None:
    for cell in cells():
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None


@pytest.mark.usefixtures("model")
def test_every_cell_of_the_notebook_runs(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ENVIRONMENT["CHURN_ROOT"] = str(project)
    names: dict[str, Any] = {}
    for cell in cells():
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    assert "days since the last purchase" in capsys.readouterr().out


@pytest.mark.usefixtures("features")
def test_the_training_set_names_nobody(settings: Settings) -> None:
    assert (
        "customer_id"
        not in notebook.OpenProject(
            root=settings.root,
            features=settings.path("features"),
            model=settings.path("model"),
            score=settings.score,
        )
        .training_set()
        .columns
    )
