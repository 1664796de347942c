"""Notebooks of home directories: the code comes, and nothing of people, secrets or metadata with it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from sovereign_ml.errors import Misuse
from sovereign_ml.leaving.brought_notebooks import BroughtNotebooks, bring_notebooks
from sovereign_ml.leaving.minimise import Minimiser

KEY = bytes(32)
CLEAN = [
    "import pandas as pd\nfrom churn import features",
    "cohort_size = 30  # days\nsegment = frame.groupby('preferred_category').size()",
    "model = LogisticRegression(C=0.1).fit(X, y)\nprint(model.score(X, y))",
    "frame[frame['recency_days'] > 30].describe()",
    "%matplotlib inline\n!pip list",
    "for days in (7, 30, 90):\n    windows[days] = count(days)",
]
PEOPLE = {
    "a filter": "df[df.user_id == 12345]",
    "a query": "sql = \"SELECT * FROM t WHERE user_id = '12345'\"",
    "a look-up": "client.get_record(RecordIdentifierValueAsString='12345')",
    "records": "rows = [{'user_id': 1, 'country': 'DE', 'spend': 9}, {'user_id': 2, 'country': 'FR', 'spend': 3}]",
    "an address": "owner = 'jane.doe@acme.example'",
    "a comment on a cohort": "load()  # this cohort is GDPR-consented EU users from Q1",
}


def code(source: str, **more: Any) -> dict[str, Any]:
    return {"cell_type": "code", "source": source, "metadata": {}, "outputs": [], **more}


def notebook(*cells: dict[str, Any], **more: Any) -> str:
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 2, **more})


def wrote(dump: Path, name: str, text: str) -> None:
    path = dump / "efs/200001" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def bring(tmp_path: Path, **more: Any) -> tuple[BroughtNotebooks, list[Path]]:
    result = bring_notebooks(tmp_path / "dump", tmp_path / "out", Minimiser(KEY), **more)
    return result, sorted((tmp_path / "out").rglob("*.ipynb"))


def test_only_sources_come_unchanged_and_a_second_call_makes_nothing(tmp_path: Path) -> None:
    outputs = [
        {"output_type": "display_data", "metadata": {}, "data": {"image/png": "aGk=", "text/html": "<td>12345 Jane</td>"}},
        {"output_type": "stream", "name": "stdout", "text": "user 12345 Jane Doe, Berlin"},
        {"output_type": "display_data", "metadata": {}, "data": {"application/vnd.plotly.v1+json": {"x": [12345]}}},
    ]  # fmt: skip
    metadata = {
        "kernelspec": {"name": "arn:aws:sagemaker:eu-central-1:081325390199:image/x"},
        "papermill": {"parameters": {"customer": "12345"}},
        "widgets": {"state": {"html": "<td>12345 Jane</td>"}},
    }
    cells = [code(source, outputs=outputs, metadata={"who": "jane"}) for source in CLEAN]
    text = {"cell_type": "markdown", "source": "# Churn", "attachments": {"a.png": {}}}
    wrote(tmp_path / "dump", "team/churn.ipynb", notebook(*cells, text, metadata=metadata))
    result, (path,) = bring(tmp_path)
    written = path.read_text()
    brought = nbformat.reads(written, as_version=4)
    nbformat.validate(brought)
    assert [cell.source for cell in brought.cells] == [*CLEAN, "# Churn"]
    assert not re.search(r"12345|[Jj]ane|arn:|200001|papermill|widgets", written + str(path))
    assert (result.imported, result.skipped) == (1, {})
    assert result.removed == {
        "outputs": 3 * len(CLEAN),
        "attachments": 1,
        "states of widgets": 1,
    }
    again, _ = bring(tmp_path)
    assert (again.imported, again.present) == (0, 1)
    path.write_text(written.replace("# Churn", "# Mine"))
    third, _ = bring(tmp_path)
    assert (third.imported, sum(third.skipped.values())) == (0, 1)
    assert "# Mine" in path.read_text()


@pytest.mark.parametrize("case", PEOPLE)
def test_a_cell_with_data_of_people_stays_unless_somebody_looked(tmp_path: Path, case: str) -> None:
    wrote(tmp_path / "dump", "a.ipynb", notebook(code(CLEAN[0]), code(PEOPLE[case])))
    result, (path,) = bring(tmp_path)
    assert [cell.source for cell in nbformat.read(path, 4).cells] == [CLEAN[0]]
    assert sum(result.removed.values()) == 1
    path.unlink()
    _, (path,) = bring(tmp_path, with_hits=True)
    assert len(nbformat.read(path, 4).cells) == 2


def test_what_is_not_brought_is_counted(tmp_path: Path) -> None:
    dump = tmp_path / "dump"
    secret = "key = 'AKIA" + "Q3EGRTUVWXYZ2345'"
    token = "token = 'ghp_" + "a1B2" * 9 + "'"
    wrote(dump, "secret.ipynb", notebook(code(secret)))
    wrote(dump, "token.ipynb", notebook(code(CLEAN[0]), code(token)))
    wrote(dump, ".ipynb_checkpoints/a-checkpoint.ipynb", notebook(code(CLEAN[0])))
    wrote(dump, "broken.ipynb", "{")
    wrote(dump, "list.ipynb", "[]")
    wrote(dump, "model.pkl", "x")
    (dump / "efs/200001/link.ipynb").symlink_to("/etc/hostname")
    old = {"worksheets": [{"cells": [{"cell_type": "code", "input": CLEAN[0], "outputs": []}]}]}
    wrote(dump, "jane.doe@acme.example/eu_cohort.ipynb", json.dumps({**old, "nbformat": 3}))
    result, (path,) = bring(tmp_path, with_hits=True)
    assert nbformat.read(path, 4).cells[0].source == CLEAN[0]
    assert not re.search(r"jane|cohort", str(path.relative_to(tmp_path)))
    assert (result.imported, sum(result.skipped.values())) == (1, 7)
    assert sum(n for reason, n in result.skipped.items() if "secret" in reason) == 2
    with pytest.raises(Misuse, match="no home directory"):
        bring_notebooks(tmp_path / "out", tmp_path / "other", Minimiser(KEY))
