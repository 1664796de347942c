"""churn card import, answer and documents: hints from other cards, answers, documents."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sovereign_ml.cli.card_output import read_card_file
from sovereign_ml.cli.profile import ProfileOption, load_settings
from sovereign_ml.errors import Misuse

if TYPE_CHECKING:
    from sovereign_ml.card.records import Additions
    from sovereign_ml.texts import Catalogue

card_app = typer.Typer(invoke_without_command=True)
TEXTS = "texts"
"""Folder of the project for further languages."""


@card_app.command("import")
def import_card(
    file: Annotated[Path, typer.Argument(help="A SageMaker, Hugging Face or CycloneDX card.")],
    profile: ProfileOption = None,
) -> None:
    """Print suggestions for model_card.toml from another system's card, and record its origin."""
    from sovereign_ml.card import importers
    from sovereign_ml.pipeline.card_facts.collect import IMPORTED

    record = load_settings(profile).root / IMPORTED
    try:
        imported = importers.import_card(file)
    except ValueError as error:
        raise Misuse(f"{error}.") from None
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(imported.provenance.model_dump_json(indent=2) + "\n", encoding="utf-8")
    # Only the suggestions go to standard output, so that they can be written into a file.
    typer.echo(imported.toml())
    typer.echo(
        f"{len(imported.suggestions)} suggestions, {len(imported.unmapped)} values without a "
        f"question. Hash and warnings are in {IMPORTED}. `churn card` reads them.",
        err=True,
    )


@card_app.command("answer")
def answer_card(profile: ProfileOption = None) -> None:
    """Ask the open questions of model_card.toml and write each answer there, in parts if wanted."""
    from sovereign_ml.card.build import CardError
    from sovereign_ml.card.questions import progress
    from sovereign_ml.card.rules import check
    from sovereign_ml.cli.card_output import now, own_rules, rebuilt
    from sovereign_ml.pipeline.card_facts.interview import Interview, StoppedError

    settings = load_settings(profile)
    policy, own = settings.rule_policy, own_rules(settings)
    interview = Interview(
        settings.root / "model_card.toml",
        rebuilt(settings).facts,
        settings.project.name,
        read=input,
        say=typer.echo,
        judge=lambda card: check(card, policy, now().date(), at="register", own=own),
        today=now().date(),
    )
    try:
        interview.run()
        stopped = None
    except StoppedError as stop:
        stopped = stop
    except CardError as error:
        raise Misuse(str(error)) from None
    # Each answer is written at once, so the count is right after a stop as well.
    done = progress(rebuilt(settings))
    typer.echo(
        f"\n{interview.asked} questions asked; {done.answered} of {done.required} answers are in "
        "model_card.toml. `churn card` takes them up."
    )
    if stopped and stopped.ended:
        raise Misuse(
            "The input ended before the questions did. Call `churn card answer` in a terminal: "
            "it continues with the first open question."
        )


@card_app.command()
def documents(
    language: Annotated[
        str, typer.Option("--lang", help="en, de, or a language of your folder texts/.")
    ] = "en",
    output: Annotated[Path, typer.Option(help="Folder for the files.")] = Path("build/documents"),
    profile: ProfileOption = None,
) -> None:
    """Write the documents for a data protection officer.

    They are notice, record, assessments, processors, breach sheet and staff notice.
    """
    from sovereign_ml.card.records import FILE, Sheet, read_additions, write_documents
    from sovereign_ml.cli.composition import project_stores
    from sovereign_ml.data_subjects.project_stores import people_in_stores
    from sovereign_ml.texts import catalogue

    loaded = load_settings(profile)
    card = read_card_file(loaded)
    added = read_additions(loaded.root / FILE)
    texts = wording(catalogue(language, loaded.root / TEXTS), added)
    people = people_in_stores(project_stores(loaded))
    folder = loaded.root / output
    for name, document in write_documents(Sheet(card, texts, added, people), folder).items():
        points = "1 open point" if document.open == 1 else f"{document.open} open points"
        typer.echo(f"{name:<13}{points}")
    typer.echo(f"Written to {folder} as HTML and JSON. What you add goes into {FILE}.")


def wording(texts: Catalogue, added: Additions) -> Catalogue:
    """Return the texts of a language with the team's own words for its inputs."""
    own = added.languages.get(texts.language)
    return texts.named(own.inputs) if own else texts
