"""docs/approval.md leads a real project from draft to production: every command of the page, in its order."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import tomlkit
from typer.testing import CliRunner

from card_answers import put
from finished_project import answered, finished_copy
from small_project import KEY, PROJECT, configure, load
from sovereign_ml.card.alias_history import broken_history
from sovereign_ml.card.schema.model_card import read
from sovereign_ml.cli.main import application
from sovereign_ml.config.settings import Settings
from sovereign_ml.errors import Refused
from sovereign_ml.registry import bundle_store, mlflow
from sovereign_ml.registry.aliases import HISTORY, MlflowRegistry
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
    root = finished_copy(settings, tmp_path / "own")
    monkeypatch.setenv("CHURN_ROOT", str(root))
    monkeypatch.setenv("CHURN_PSEUDONYM_KEY", KEY)
    monkeypatch.delenv("CHURN_PROFILE", raising=False)
    return root


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
    see, answer, register, approve, promote, back, documents = BLOCKS
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
    tracking = load(own).tracking
    run_id = mlflow.client(tracking).get_model_version("acme-churn", "2").run_id
    assert mlflow.artifact(tracking, run_id, "card/card.json")["status"] == "approved"

    _, refusal = followed(own, back)
    assert "There is no version before" in str(refusal)

    told, refusal = followed(own, documents)
    assert refusal is None
    assert "ropa         0 open points" in told
    assert (own / "build/documents/dpia.html").is_file()
    written = (own / "build/documents/breach.json").read_text(encoding="utf-8")
    counted = len(pd.read_parquet(own / "data/1_raw/transactions.parquet")["customer_id"].unique())
    assert f"{counted:,}" in written, "people are counted in the store itself"


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
    after = read(own / "data/6_card/card.json").facts
    assert after.previous is not None and after.previous.version == "2"
    told, refusal = followed(own, approve + promote)
    assert refusal is None, told
    # The same model with the same card is the version that was rolled back.
    assert "acme-churn version 3 is production (before: 2)." in told
    assert_nothing_done_by_hand_passes(own)


def assert_nothing_done_by_hand_passes(own: Path) -> None:
    """Each change by hand, one after the other, keeps the next version from production."""
    tracking = load(own).tracking
    api, registry = mlflow.client(tracking), MlflowRegistry(tracking)
    moves = [(move.kind, move.version) for move in registry.history()]
    assert moves == [("promote", "2"), ("promote", "3"), ("rollback", "2"), ("promote", "3")]
    assert broken_history(registry) == []
    again = "churn promote --as 'Grace Hopper' --why again"

    api.set_registered_model_alias("acme-churn", "production", "2")
    _, refusal = followed(own, again)
    assert "points to version 2, the history says 3" in str(refusal)
    with pytest.raises(Refused, match="points to version 2, the history says 3"):
        bundle_store.fetch(tracking, "production", own / "build/bundle")
    api.set_registered_model_alias("acme-churn", "production", "3")

    last = f"{HISTORY}00004"
    kept = api.get_registered_model("acme-churn").tags[last]
    api.delete_registered_model_tag("acme-churn", last)
    _, refusal = followed(own, again)
    assert "a promotion that the history does not know" in str(refusal)
    api.set_registered_model_tag("acme-churn", last, kept)

    hash_ = api.get_model_version("acme-churn", "3").tags["card_hash"]
    api.set_model_version_tag("acme-churn", "2", "card_hash", hash_)
    _, refusal = followed(own, again + " --version 2")
    assert "Tags, run or metrics of version 2 changed" in str(refusal)


def test_what_was_not_measured_committed_or_said_by_git_is_not_promoted(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The facts in the card, the artifacts, the answers and the policy, each changed after approval."""
    _, answer, register, approve, promote, _, _ = BLOCKS
    answered(own)
    told, refusal = followed(
        own, answer + register.replace("churn check --promotion\n", "") + approve
    )
    assert refusal is None, told
    for change, reason in (
        (uncommitted_answer, "Not committed: model_card.toml"),
        (figure_in_the_metrics, "evaluation.base_rate: the card says"),
        (feature_in_the_training_data, "The card does not state what its artifacts say"),
        (model_itself, "model.artifact_sha256: the card says"),
        (policy_number, "[card.policy] grace_days: the card states 30, it is judged by 60"),
        (no_repository, "Git does not say who wrote this: "),
        (someone_else_wrote, "The card does not name Mallory Black <m@acme.example>"),
    ):
        copy = own.parent / change.__name__
        shutil.copytree(own, copy)
        change(copy)
        monkeypatch.setenv("CHURN_ROOT", str(copy))
        _, refusal = followed(copy, promote)
        assert reason in str(refusal), (change, refusal)
        shutil.rmtree(copy)


def uncommitted_answer(root: Path) -> None:
    path = root / "model_card.toml"
    path.write_text(path.read_text() + "\n# one more line\n")


def figure_in_the_metrics(root: Path) -> None:
    path = root / "data/5_metrics/metrics.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "base_rate": content["base_rate"] + 0.01}))


def feature_in_the_training_data(root: Path) -> None:
    path = root / "data/3_features/training.parquet"
    pd.read_parquet(path).iloc[: len(pd.read_parquet(path)) // 2].to_parquet(path)


def model_itself(root: Path) -> None:
    path = root / "data/4_model/model.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "intercept": content["intercept"] + 5}))


def policy_number(root: Path) -> None:
    configure(root, {"card.policy.grace_days": 60})


def no_repository(root: Path) -> None:
    shutil.rmtree(root / ".git")


def someone_else_wrote(root: Path) -> None:
    uncommitted_answer(root)
    mallory = ("-c", "user.name=Mallory Black", "-c", "user.email=m@acme.example")
    command = ("git", "-C", str(root), *mallory, *AUTHOR[4:], "commit", "--quiet", "-am", "Quiet")
    subprocess.run(command, check=True, capture_output=True)
