"""churn check, card --open, approve and promote on a project's folder, with a real MLflow registry."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from typer.testing import CliRunner

from bundles import write_bundle
from cards import card, good_facts
from small_project import PROJECT, commit, rendered
from sovereign_ml.bundle.library_identity import rule_digest
from sovereign_ml.bundle.sealed import read_bundle, read_manifest, seal_bundle
from sovereign_ml.card.alias_history import AliasMove, RegistryError
from sovereign_ml.card.build import build
from sovereign_ml.card.render import outputs
from sovereign_ml.card.schema import Card, Facts
from sovereign_ml.cli.card import app, list_open
from sovereign_ml.cli.card_output import rebuilt
from sovereign_ml.config import settings as churn_settings
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.registry import mlflow
from sovereign_ml.registry.aliases import MlflowRegistry
from sovereign_ml.registry.approvals import APPROVALS

NOW = datetime.now(UTC)
RECENT = {
    "evaluation.test_cutoff": (NOW - timedelta(days=20)).date(),
    "run.generated_at": NOW,
    "library.rule_digest": rule_digest(),
    "run.profile": "local",
    "model.authors": ["Alan Turing <alan@acme.example>", "Test <test@acme.example>"],
    "review.tested_on": (NOW - timedelta(days=20)).date(),
}
TIMELY = {"model.review_due": (NOW + timedelta(days=100)).date()}
CRM, LEAD = "Grace Hopper", "Ada Lovelace"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project's folder with its settings, its answers and no card yet."""
    for name in ("config.toml", "model_card.toml", "pyproject.toml"):
        text = (PROJECT / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(rendered(text), encoding="utf-8")
    commit(tmp_path)
    monkeypatch.setenv("CHURN_ROOT", str(tmp_path))
    monkeypatch.delenv("CHURN_PROFILE", raising=False)
    yield tmp_path


def written(project: Path, of: Card) -> Card:
    """Put a card where step 6 puts it."""
    path = project / "data" / "6_card" / "card.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(of.model_dump_json(), encoding="utf-8")
    return of


def good(project: Path) -> Card:
    """A complete card whose dates fit the clock of the test."""
    policy = churn_settings.load().rule_policy.on_card()
    made = card(answers=TIMELY, facts={**RECENT, "policy": policy})
    answers = made.answers.model_dump(mode="json")
    (project / "model_card.toml").write_text(tomlkit.dumps(answers), encoding="utf-8")
    commit(project)
    return written(project, made)


def draft(project: Path) -> Card:
    """The card of a fresh project after a complete run."""
    answers = tomllib.loads((project / "model_card.toml").read_text(encoding="utf-8"))
    policy = churn_settings.load().rule_policy.on_card()
    facts = Facts.model_validate({**good_facts(), "policy": policy})
    return written(project, build(facts, answers, card_id="acme-churn"))


def run(*arguments: str) -> str:
    """What a command prints; a refusal is raised, as in `churn`."""
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    return result.stdout


def registered(of: Card, roc_auc: float = 0.74) -> str:
    """A registry version of a run with this metric, registered with this card."""
    settings = churn_settings.load()
    api = mlflow.client(settings.tracking)
    name = settings.project.name
    if not api.search_registered_models(f"name = '{name}'"):
        api.create_registered_model(name)
    where = api.get_experiment_by_name("cards")
    tests = (
        where.experiment_id
        if where
        else api.create_experiment("cards", (settings.root / "runs").as_uri())
    )
    tracked = api.create_run(tests).info.run_id
    api.log_metric(tracked, "roc_auc", roc_auc)
    tags = {"card_hash": of.content_hash}
    return str(
        api.create_model_version(name, f"runs:/{tracked}/model", run_id=tracked, tags=tags).version
    )


def bundled(project: Path, of: Card) -> Path:
    """A sealed bundle with this card, where step 7 puts it."""
    folder = write_bundle(project / "data" / "7_bundle")
    outputs.write(of, folder, [])
    seal_bundle(
        folder,
        **read_manifest(folder / "bundle.json").model_dump(exclude={"schema_version", "files"}),
    )
    (folder / "summary.json").write_text("{}", encoding="utf-8")
    return folder


def approved() -> None:
    """Both roles approve the card that is there."""
    run("approve", "--role", "business_owner", "--as", CRM)
    run("approve", "--role", "model_owner", "--as", LEAD)


def test_check_of_a_fresh_project_lists_what_is_open_and_does_not_refuse(project: Path) -> None:
    draft(project)
    shown = run("check")
    assert "R01" in shown
    assert "draft" in shown


def test_check_as_strict_as_promotion_refuses_a_fresh_project(project: Path) -> None:
    draft(project)
    with pytest.raises(Refused, match="R01"):
        run("check", "--promotion")


def test_check_prints_json_for_another_program(project: Path) -> None:
    draft(project)
    told: dict[str, Any] = json.loads(run("check", "--json"))
    assert told["status"] == "draft"
    assert {"rule", "severity", "article", "found", "do", "paste", "waived"} == set(
        told["findings"][0]
    )


def test_check_without_a_card_says_what_to_run(project: Path) -> None:
    with pytest.raises(Misuse, match="run `churn card` first"):
        run("check")


def test_the_open_list_needs_no_card_and_shows_article_and_progress(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    list_open(rebuilt(churn_settings.load()))
    shown = capsys.readouterr().out
    assert "relation_to_collection" in shown and "6(4)" in shown and "answered" in shown


def test_the_author_may_not_approve_and_nothing_is_recorded(project: Path) -> None:
    good(project)
    with pytest.raises(Refused, match="somebody else must approve"):
        run("approve", "--role", "model_owner", "--as", "Alan Turing")
    assert not (project / APPROVALS).exists()


def test_the_card_that_people_open_shows_the_signatures_and_its_hash_stays(project: Path) -> None:
    of = good(project)
    folder = project / "data" / "6_card"
    shown = run("approve", "--role", "business_owner", "--as", CRM)
    assert "Nobody has approved as model_owner." in shown
    assert json.loads((folder / "card.json").read_text())["status"] == "in_review"
    assert "Nobody has approved as model_owner" in (folder / "card.html").read_text()
    assert "All approvals are there" in run("approve", "--role", "model_owner", "--as", LEAD)
    told = json.loads((folder / "card.json").read_text())
    assert (told["status"], told["content_hash"]) == ("approved", of.content_hash)
    assert [one["person"] for one in told["approvals"]] == [CRM, LEAD]
    page = (folder / "card.html").read_text()
    assert CRM in page and LEAD in page
    assert "No rule keeps it from production" in page
    assert f"| model owner | {LEAD} | approve |" in (folder / "card.md").read_text()


def test_the_bundle_of_this_card_shows_the_signatures_too_and_is_whole(project: Path) -> None:
    of = good(project)
    bundle = bundled(project, of)
    before = read_bundle(bundle).manifest
    approved()
    after = read_bundle(bundle)
    assert after.card["status"] == "approved"
    assert after.manifest.model_copy(update={"files": {}}) == before.model_copy(
        update={"files": {}}
    )
    same = ("model.json", "contract.json", "policy.json")
    assert [after.manifest.files[name] for name in same] == [before.files[name] for name in same]
    assert (bundle / "summary.json").is_file() and "summary.json" not in after.manifest.files


def test_a_bundle_of_another_card_stays_as_it_is(project: Path) -> None:
    good(project)
    bundle = bundled(project, card(answers=TIMELY))
    before = (bundle / "bundle.json").read_bytes()
    approved()
    assert (bundle / "bundle.json").read_bytes() == before


def test_an_unapproved_card_is_not_promoted(project: Path) -> None:
    version = registered(good(project))
    with pytest.raises(Refused, match="Nobody has approved"):
        run("promote", "--as", CRM, "--why", "first", "--version", version)


def test_a_registry_that_cannot_be_reached_refuses(project: Path) -> None:
    good(project)
    approved()
    shutil.rmtree(project / ".mlflow", ignore_errors=True)
    (project / ".mlflow").write_text("no folder", encoding="utf-8")
    with pytest.raises(Refused, match="registry cannot be reached"):
        run("promote", "--as", CRM, "--why", "first", "--version", "1")


def test_an_answer_that_is_not_committed_is_not_approved(project: Path) -> None:
    good(project)
    (project / "model_card.toml").write_text("[model]")
    with pytest.raises(Refused, match=r"Not committed: model_card.toml"):
        run("approve", "--role", "model_owner", "--as", LEAD)
    assert not (project / APPROVALS).exists()


def without_opinion(document: dict[str, Any]) -> None:
    document["answers"]["sign_off"]["dpo_opinion"] = "positive"


def typed(document: dict[str, Any]) -> None:
    document["typed_status"]["ai_act.risk_class"] = "minimal"


@pytest.mark.parametrize(
    ("edit", "named"),
    [(without_opinion, "sign_off.dpo_opinion"), (typed, "ai_act.risk_class")],
)
def test_an_answer_that_stands_only_in_the_card_is_neither_approved_nor_promoted(
    project: Path, edit: Callable[[dict[str, Any]], None], named: str
) -> None:
    """Git names nobody as its author. The hash fits, as somebody would see to who cheats."""
    good(project)
    answers = tomllib.loads((project / "model_card.toml").read_text(encoding="utf-8"))
    answers["sign_off"] |= {
        "dpo_opinion": "conditions",
        "dpo_departure_reason": "Both conditions hold since October.",
    }
    (project / "model_card.toml").write_text(tomlkit.dumps(answers), encoding="utf-8")
    commit(project)
    document = json.loads((project / "data/6_card/card.json").read_text())
    document["answers"]["sign_off"] |= answers["sign_off"]
    edit(document)
    document["content_hash"] = Card.model_validate(document).computed_hash()
    forged = written(project, Card.model_validate(document))
    with pytest.raises(Refused, match=rf"other answers than model_card.toml: {named}\."):
        run("approve", "--role", "business_owner", "--as", CRM)
    version = registered(forged)
    with pytest.raises(Refused, match=rf"other answers than model_card.toml: {named}\."):
        run("promote", "--as", CRM, "--why", "first", "--version", version)
    assert "rejects" in run("approve", "--role", "business_owner", "--as", CRM, "--reject")


def test_four_eyes_need_git(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good(project)
    shutil.rmtree(project / ".git")
    monkeypatch.setenv("CHURN_GIT_AUTHOR", "Alan Turing <alan@acme.example>")
    with pytest.raises(Refused, match=r"Git does not say who wrote this: .*not a git repository"):
        run("approve", "--role", "model_owner", "--as", LEAD)
    assert not (project / APPROVALS).exists()


def test_somebody_whom_the_card_does_not_name_changed_the_answers(project: Path) -> None:
    good(project)
    path = project / "model_card.toml"
    path.write_text(path.read_text() + "\n")
    commit(project, "Quiet", name="Ada Lovelace", mail="ada@acme.example")
    with pytest.raises(Refused, match=r"does not name Ada Lovelace <ada@acme.example>"):
        run("approve", "--role", "model_owner", "--as", LEAD)


def test_a_recorded_decision_is_not_called_a_signature(project: Path) -> None:
    good(project)
    assert "Recorded without a signature" in run("approve", "--role", "business_owner", "--as", CRM)
    page = (project / "data/6_card/card.html").read_text()
    assert "recorded decision, not signed" in page


def test_a_move_that_fails_leaves_no_trace_in_the_history(project: Path) -> None:
    registered(good(project))
    registry = MlflowRegistry(churn_settings.load().tracking)
    with pytest.raises(RegistryError):
        registry.move(
            AliasMove(
                kind="promote", version="99", previous=None, by=CRM, at=NOW, why="no such version"
            )
        )
    assert registry.history() == ()
    assert registry.production() is None
