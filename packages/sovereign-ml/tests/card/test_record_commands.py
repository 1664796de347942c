"""churn card import and churn records on a project's folder."""

import json
import tomllib

import pytest
from typer.testing import CliRunner

from cards import card
from foreign_cards import AS_ARTICLES_PRINT_IT
from small_project import PROJECT, rendered
from sovereign_ml.card.schema import Facts
from sovereign_ml.cli.flow import card_app
from sovereign_ml.cli.records import app
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
    assert shown.stderr.startswith("6 suggestions, 3 values without a place.")


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


def test_records_are_written_under_docs_with_their_open_points(project):
    path = project / "data" / "6_card" / "card.json"
    path.parent.mkdir(parents=True)
    path.write_text(card().model_dump_json(), encoding="utf-8")
    shown = run(app).stdout
    assert (project / "docs" / "ropa.html").is_file()
    assert (project / "docs" / "dpia.md").is_file()
    assert "Open points: 0 in the record of processing" in shown


def test_records_without_a_card_are_wrong_use(project):
    with pytest.raises(Misuse, match=r"card\.json does not exist: run `churn card` first"):
        run(app)


def test_records_of_a_card_of_another_version_are_wrong_use(project):
    path = project / "data" / "6_card" / "card.json"
    path.parent.mkdir(parents=True)
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(Misuse, match="is no card of this version"):
        run(app)
