"""docs/approval.md leads a real project from draft to production: every command of the page, in its order."""

from __future__ import annotations

import re
import shlex
import shutil
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from typer.testing import CliRunner

from card_answers import article22_answers, offer_answers, put
from small_project import KEY, PROJECT, configure
from sovereign_ml.card.schema.card import read
from sovereign_ml.cli.main import application
from sovereign_ml.config.settings import Settings
from sovereign_ml.errors import Refused
from sovereign_ml.storage.artifacts import read_json

pytestmark = pytest.mark.flow
PAGE = (PROJECT / "docs/approval.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
AUTHOR = (
    "-c",
    "user.name=Alan Turing",
    "-c",
    "user.email=alan@acme.example",
    "-c",
    "commit.gpgsign=false",
)


@pytest.fixture
def own(settings: Settings, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small project after its first run, in a folder of its own; its data may be old."""
    root = tmp_path / "own"
    shutil.copytree(settings.root, root)
    with sqlite3.connect(root / ".mlflow/mlflow.db") as connection:
        for table, column in (("runs", "artifact_uri"), ("experiments", "artifact_location")):
            sql = f"UPDATE {table} SET {column} = replace({column}, ?, ?)"
            connection.execute(sql, (settings.root.as_uri(), root.as_uri()))
    configure(root, {"card.policy.max_data_age_days": 36_500})
    monkeypatch.setenv("CHURN_ROOT", str(root))
    monkeypatch.setenv("CHURN_PSEUDONYM_KEY", KEY)
    monkeypatch.delenv("CHURN_PROFILE", raising=False)
    return root


def answered(root: Path) -> None:
    """What people write into ``model_card.toml``, for every object that this project stores."""
    given: dict[str, Any] = offer_answers()
    facts = read(root / "data/6_card/card.json").facts
    rows = [
        {"object": row.object, "period": row.period, "covers_versions": True}
        for row in facts.retention.objects
    ]
    put(given, "retention.objects", rows)
    found = [row.group for row in facts.data.representativeness]
    put(given, "purpose.territories", [name[8:] for name in found if name.startswith("country=")])
    # The built-in shop asks for consent, and step 1 keeps the rows that have it.
    put(given, "lawful_basis.collect", {"basis": "6_1_a", "reference": "consent text C-3"})
    put(given, "consent", article22_answers()["consent"])
    put(given, "roles.controller_contact", "team@acme.example")
    given["roles"]["processors"].append(given["roles"]["processors"][0] | {"name": "Hetzner"})
    put(given, "evaluation.fairness_tolerance", 1.0)
    put(given, "ropa.recipients", ["Nordhost", "Hetzner"])
    (root / "model_card.toml").write_text(tomlkit.dumps(given), encoding="utf-8")


def configure_answers(root: Path, changes: dict[str, str]) -> None:
    """Change dotted answers of ``model_card.toml``."""
    path = root / "model_card.toml"
    given = tomlkit.parse(path.read_text(encoding="utf-8")).unwrap()
    for key, value in changes.items():
        put(given, key, value)
    path.write_text(tomlkit.dumps(given), encoding="utf-8")


def followed(root: Path, block: str) -> tuple[str, Refused | None]:
    """What the commands of one block print, and the refusal that the last one ends with, if any."""
    told, refusal = "", None
    for line in block.splitlines():
        assert refusal is None, f"{line} stands behind a command that refuses"
        program, *arguments = shlex.split(line)
        if program == "git":
            subprocess.run(
                ["git", "-C", str(root), *AUTHOR, *arguments], check=True, capture_output=True
            )
            continue
        assert program == "churn"
        done = CliRunner().invoke(application(), arguments)
        refusal = done.exception if isinstance(done.exception, Refused) else None
        assert refusal or done.exit_code == 0, f"{line}: {done.output}{done.exception!r}"
        told += done.stdout
    return told, refusal


def test_every_command_of_the_page_does_what_the_page_says(own: Path) -> None:
    see, answer, register, approve, promote, back, records = BLOCKS
    told, refusal = followed(own, see)
    assert refusal is None
    assert re.search(r"\d+ of \d+ questions answered, \d\d+ open\.", told)

    answered(own)
    told, refusal = followed(own, answer)
    assert refusal is None, "nothing may block: " + told
    assert "in_review" in told

    told, refusal = followed(own, register)
    assert str(refusal) == "Blocked by R48."
    assert "Nobody has approved as model_owner." in told

    told, refusal = followed(own, approve)
    assert refusal is None
    assert "All approvals are there: `churn promote` is next." in told

    told, refusal = followed(own, promote)
    assert refusal is None
    assert "acme-churn version 2 is production." in told
    assert read_json(own / "data/7_bundle/card.json")["status"] == "approved"

    _, refusal = followed(own, back)
    assert "There is no version before" in str(refusal)

    told, refusal = followed(own, records)
    assert refusal is None
    assert "Open points: 0 in the record of processing" in told
    assert {path.name for path in (own / "docs").iterdir()} == {
        "ropa.md",
        "ropa.html",
        "dpia.md",
        "dpia.html",
    }


def test_a_second_version_is_approved_promoted_and_taken_back_like_the_first(own: Path) -> None:
    """What exists from the second version on: the card before, what changed since, and a version to return to."""
    _, answer, register, approve, promote, back, _ = BLOCKS
    answered(own)
    for block in (answer, register.replace("churn check --promotion\n", ""), approve, promote):
        told, refusal = followed(own, block)
        assert refusal is None, told
    told, refusal = followed(own, "churn card\nchurn check")
    assert refusal is None, told
    previous = read(own / "data/6_card/card.json").facts.previous
    assert previous is not None
    assert previous.version == "2"
    assert previous.bases == {
        "collect": "6_1_a",
        **dict.fromkeys(("train", "score", "act", "monitor"), "6_1_f"),
    }
    assert "change_summary" in told, told

    configure_answers(
        own, {"model.change_summary": "Fitted again.", "lawful_basis.act.basis": "6_1_a"}
    )
    told, refusal = followed(own, "churn card\nchurn check")
    assert "The basis of act was switched without a new purpose and a new notice." in told
    configure_answers(own, {"lawful_basis.act.basis": "6_1_f"})
    told, refusal = followed(
        own, register.replace("churn check --promotion\n", "") + approve + promote
    )
    assert refusal is None, told
    assert "acme-churn version 3 is production (before: 2)." in told
    told, refusal = followed(own, back + "churn card\nchurn register\nchurn score")
    assert refusal is None, told
    assert "acme-churn version 2 is production (before: 3)." in told
