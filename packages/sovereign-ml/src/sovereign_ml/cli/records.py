"""churn card import, churn records: a card from elsewhere as hints, and the records that follow from ours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sovereign_ml.cli.flow import card_app
from sovereign_ml.cli.profile import ProfileOption, load_settings
from sovereign_ml.errors import Misuse

if TYPE_CHECKING:
    from sovereign_ml.card.schema.card import Card

app = typer.Typer()


@card_app.command("import")
def import_card(
    file: Annotated[Path, typer.Argument(help="A SageMaker, Hugging Face or CycloneDX card.")],
    profile: ProfileOption = None,
) -> None:
    """Print suggestions for model_card.toml from another system's card, and keep where they came from."""
    from sovereign_ml.card import importers
    from sovereign_ml.pipeline.card_facts.collect import IMPORTED

    kept = load_settings(profile).root / IMPORTED
    try:
        imported = importers.import_card(file)
    except ValueError as error:
        raise Misuse(f"{error}.") from None
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(imported.provenance.model_dump_json(indent=2) + "\n", encoding="utf-8")
    typer.echo(imported.toml())
    known = (
        f"{len(imported.suggestions)} suggestions, {len(imported.unmapped)} values without a place"
    )
    typer.echo(
        f"{known}. Hash and warnings are in {IMPORTED}; `churn card` takes them up.", err=True
    )


@card_app.command("answer")
def answer_card(profile: ProfileOption = None) -> None:
    """Ask what is open in model_card.toml, and write each answer there; stop and go on at any time."""
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
    done = progress(rebuilt(settings))
    typer.echo(
        f"\n{interview.asked} questions asked; {done.answered} of {done.required} answers are in "
        "model_card.toml. `churn card` takes them up."
    )
    if stopped and stopped.ended:
        raise Misuse(
            "The input ended before the questions did. Call `churn card answer` in a terminal; it goes on "
            "where the file ends."
        )


@app.command(rich_help_panel="The card")
def records(
    output: Annotated[Path, typer.Option(help="Folder for the four files.")] = Path("docs"),
    profile: ProfileOption = None,
) -> None:
    """Write the Article 30 entry and a draft impact assessment from the card."""
    from sovereign_ml.card.records import impact_assessment, record_of_processing, write_records

    loaded = load_settings(profile)
    card = _card(loaded.path("card") / "card.json")
    for path in write_records(card, loaded.root / output):
        typer.echo(f"Wrote {path}")
    entry, draft = record_of_processing(card).open, impact_assessment(card).open
    typer.echo(
        f"Open points: {entry} in the record of processing, {draft} in the impact assessment."
    )


def _card(path: Path) -> Card:
    from pydantic import ValidationError

    from sovereign_ml.card.schema.card import read

    try:
        return read(path)
    except FileNotFoundError:
        raise Misuse(f"{path} does not exist: run `churn card` first.") from None
    except ValidationError as error:
        raise Misuse(
            f"{path} is no card of this version ({error.error_count()} errors): run `churn card`."
        ) from None
