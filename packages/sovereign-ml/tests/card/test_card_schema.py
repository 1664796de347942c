"""The schema: every field says who fills it and why, and the published JSON Schema is the current one."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from pydantic.fields import FieldInfo

from cards import BASES, card
from mutations import answers_of
from small_project import LIBRARY, PROJECT
from sovereign_ml.card.build import CardError
from sovereign_ml.card.conditions import CONDITIONS
from sovereign_ml.card.export import json_schema, rules_table
from sovereign_ml.card.questions import walk
from sovereign_ml.card.rules.answered.national import known_entries
from sovereign_ml.card.schema import NOT_ANSWERED, Answers, Card, Facts
from sovereign_ml.card.schema.base import Group, Number, Texts, is_open

DOCS = Path(__file__).parents[2] / "docs"
PUBLISH = "run in packages/sovereign-ml: python -m sovereign_ml.card.export docs"
HEAVY = {
    "pandas",
    "mlflow",
    "feast",
    "sklearn",
    "duckdb",
    "numpy",
    "great_expectations",
    "jinja2",
    "rich",
}


def fields(model: type[Group], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every leaf field of nested groups; a list of groups is followed into its items."""
    for name, info in model.model_fields.items():
        inner = _models(info.annotation)
        if not inner or info.json_schema_extra:
            yield f"{prefix}{name}", info
        for kind in inner:
            yield from fields(kind, f"{prefix}{name}.")


def _models(annotation: Any) -> list[type[Group]]:
    if isinstance(annotation, type) and issubclass(annotation, Group):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]


ASKED = [(path, info) for path, info in fields(Answers) if info.json_schema_extra]


def test_every_answer_says_who_gives_it_its_source_when_it_is_required_and_asks_in_a_sentence() -> (
    None
):
    for path, info in ASKED:
        extra = info.json_schema_extra
        assert isinstance(extra, dict)
        assert extra["filled_by"] in ("person", "both"), path
        assert extra["source"], path
        assert extra["required_when"] in CONDITIONS, path
        assert info.description and any(mark in info.description for mark in "?."), path


def test_an_answer_that_no_card_gives_is_a_text_which_r59_reads_wherever_it_stands() -> None:
    given = {re.sub(r"\.\d+", "", path) for base in BASES for path, _, _ in answers_of(base)}
    kinds = {path: info.annotation for path, info in fields(Answers) if info.json_schema_extra}
    assert len(kinds) > 200
    assert {path for path in set(kinds) - given if kinds[path] not in (str, Texts)} == {
        "ai_act.insurance_kind"  # of an action that no card has; a change that R50 finds has it
    }


def test_no_answer_has_a_default_that_says_something() -> None:
    for path, info in ASKED:
        assert info.get_default() in (NOT_ANSWERED, ()), path


def test_every_condition_is_used_by_a_field_or_a_national_law() -> None:
    every = [
        info.json_schema_extra
        for _, info in (*fields(Answers), *fields(Facts))
        if info.json_schema_extra
    ]
    used = {extra["required_when"] for extra in every if isinstance(extra, dict)}
    assert used | {entry.when for entry in known_entries()} == set(CONDITIONS)


def test_every_fact_is_optional() -> None:
    assert Facts() == Facts.model_validate({})


@pytest.mark.parametrize(
    "value", ["?", "", " ", "TODO", "tbd", "n/a", "N/A.", None, "{{ cookiecutter.x }}", ("a", "?")]
)
def test_a_placeholder_is_no_answer(value: object) -> None:
    assert is_open(value)


@pytest.mark.parametrize("value", [False, 0, (), "n/a: we have no processor", "no"])
def test_a_no_a_zero_and_a_reasoned_not_applicable_are_answers(value: object) -> None:
    assert not is_open(value)


def test_the_published_schema_is_the_one_of_the_models() -> None:
    published = json.loads((DOCS / "card.schema.json").read_text(encoding="utf-8"))
    assert published == json_schema(), PUBLISH


def test_the_published_table_of_rules_is_the_one_of_the_code() -> None:
    published = (DOCS / "card-rules.md").read_text(encoding="utf-8")
    assert published == rules_table(), PUBLISH


def test_the_published_schema_is_2020_12_and_accepts_a_card_and_refuses_a_typed_status() -> None:
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    written = json.loads(card().model_dump_json())
    assert validator.is_valid(written)
    written["answers"]["decision"]["art22_applies"] = False
    assert not validator.is_valid(written)


def test_a_card_survives_being_written_and_read() -> None:
    good = card("article22")
    again = Card.model_validate_json(good.model_dump_json())
    assert again == good
    assert again.computed_hash() == good.content_hash


def test_every_card_says_schema_rule_pack_and_law() -> None:
    good = card()
    assert (
        good.schema_version
        and good.rulepack_version
        and good.law_snapshot.isoformat() == "2026-11-24"
    )


def numbers() -> list[str]:
    return [path for path, field, _ in walk(Answers()) if field.annotation == Number]


def test_a_number_that_json_cannot_write_is_no_answer() -> None:
    """TOML has nan and inf. A card with one could be written, and read by nobody."""
    assert len(numbers()) > 5
    for path in numbers():
        for number in (float("nan"), float("inf"), float("-inf")):
            with pytest.raises(CardError, match=rf"{re.escape(path)} = -?(nan|inf) does not fit"):
                card(answers={path: number})


def test_a_repeated_run_changes_nothing_that_was_approved() -> None:
    again = card(facts={"run.pipeline_run_id": "another", "run.git_commit": "f" * 40})
    assert again.content_hash == card().content_hash


def test_the_question_file_is_toml_even_before_it_is_rendered_and_uses_only_the_agreed_names() -> (
    None
):
    text = (PROJECT / "model_card.toml").read_text(encoding="utf-8")
    assert tomllib.loads(text)
    names = {part.split("}}")[0].strip() for part in text.split("{{")[1:]}
    asked = ("project_name", "project_slug", "organisation", "contact", "dpo_contact")
    of_the_label = ("__outcome", "__subjects", "__label_definition")
    assert names <= {f"cookiecutter.{name}" for name in (*asked, *of_the_label)}


def test_importing_the_card_pulls_in_nothing_heavy() -> None:
    code = "import sys, sovereign_ml.card; print(*sys.modules)"
    told = {"PYTHONPATH": str(LIBRARY)}
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=told
    )
    assert not HEAVY & {name.partition(".")[0] for name in run.stdout.split()}
