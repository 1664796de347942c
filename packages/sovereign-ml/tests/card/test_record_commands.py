"""churn card import and churn card documents on a project's folder."""

import json
import re
import tomllib

import pytest
from typer.testing import CliRunner

from cards import card
from churn.contract import FEATURES
from foreign_cards import AS_ARTICLES_PRINT_IT
from small_project import PROJECT, rendered
from sovereign_ml.card.records import read_additions
from sovereign_ml.card.schema import Facts
from sovereign_ml.cli.step_commands import card_app
from sovereign_ml.errors import Misuse
from sovereign_ml.pipeline.card_facts.collect import IMPORTED, provenance


@pytest.fixture
def project(tmp_path, monkeypatch):
    text = (PROJECT / "config.toml").read_text(encoding="utf-8")
    (tmp_path / "config.toml").write_text(rendered(text), encoding="utf-8")
    monkeypatch.setenv("CHURN_ROOT", str(tmp_path))
    monkeypatch.delenv("CHURN_PROFILE", raising=False)
    return tmp_path


def run(part, *arguments):
    result = CliRunner().invoke(part, list(arguments))
    if result.exception:
        raise result.exception
    return result


def test_an_imported_card_is_printed_as_suggestions_and_its_origin_is_kept(project):
    (project / "card.json").write_text(json.dumps(AS_ARTICLES_PRINT_IT), encoding="utf-8")
    shown = run(card_app, "import", str(project / "card.json"))
    assert tomllib.loads(shown.stdout)["purpose"]["statement"] == "Find customers who may leave"
    kept = json.loads((project / IMPORTED).read_text(encoding="utf-8"))
    assert kept["source"] == "sagemaker"
    assert kept["foreign_status"] == "Approved"
    assert shown.stderr.startswith("6 suggestions, 3 values without a question.")


def test_the_next_card_takes_the_origin_up_and_is_approved_by_nobody(project):
    (project / "card.json").write_text(json.dumps(AS_ARTICLES_PRINT_IT), encoding="utf-8")
    run(card_app, "import", str(project / "card.json"))
    facts = Facts.model_validate({"imported": provenance(project)})
    assert facts.imported.foreign_status == "Approved"
    assert card(facts={"imported": provenance(project)}).approvals == ()


def test_without_an_import_there_is_no_origin(project):
    assert provenance(project) == {}


def test_a_file_that_is_no_card_is_wrong_use_and_keeps_nothing(project):
    (project / "other.json").write_text("{}", encoding="utf-8")
    with pytest.raises(Misuse, match="no SageMaker, Hugging Face"):
        run(card_app, "import", str(project / "other.json"))
    assert not (project / IMPORTED).exists()


def _card_in(project, text):
    path = project / "data" / "6_card" / "card.json"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")


def test_documents_are_written_with_their_open_points(project):
    _card_in(project, card().model_dump_json())
    shown = run(card_app, "documents").stdout
    folder = project / "build/documents"
    assert {path.suffix for path in folder.glob("ropa.*")} == {".html", ".json", ".csv"}
    assert "ropa         0 open points" in shown
    assert "notice       1 open point\n" in shown


def test_documents_are_written_in_german_with_the_words_of_the_team(project):
    _card_in(project, card().model_dump_json())
    words = '[languages.de.inputs]\nrecency_days = "Tage seit dem letzten Einkauf"\n'
    (project / "documents.toml").write_text(words, encoding="utf-8")
    run(card_app, "documents", "--lang", "de", "--output", "build/de")
    page = (project / "build/de/notice.html").read_text(encoding="utf-8")
    assert 'lang="de"' in page
    assert "Tage seit dem letzten Einkauf" in page


def test_a_language_that_is_not_here_is_wrong_use(project):
    _card_in(project, card().model_dump_json())
    with pytest.raises(
        Misuse, match=r"no texts in 'fr'. The languages are de, en\..*texts/fr\.toml"
    ):
        run(card_app, "documents", "--lang", "fr")


def test_documents_without_a_card_are_wrong_use(project):
    with pytest.raises(Misuse, match=r"card\.json does not exist: run `churn card` first"):
        run(card_app, "documents")


def test_documents_of_a_card_of_another_version_are_wrong_use(project):
    _card_in(project, "{}")
    with pytest.raises(Misuse, match="is no card of this version"):
        run(card_app, "documents")


def test_the_file_of_a_new_project_is_read_as_it_is(project):
    text = rendered((PROJECT / "documents.toml").read_text(encoding="utf-8"))
    (project / "documents.toml").write_text(text, encoding="utf-8")
    added = read_additions(project / "documents.toml")
    assert set(added.languages["de"].inputs) == {feature.name for feature in FEATURES}
    uncommented = re.sub(r"^# (\[|\w+ = )", r"\1", text, flags=re.MULTILINE)
    (project / "documents.toml").write_text(uncommented, encoding="utf-8")
    assert read_additions(project / "documents.toml").dpia.actions
