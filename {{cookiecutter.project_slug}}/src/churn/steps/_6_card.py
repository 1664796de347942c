"""Step 6, card: facts and answers as one card, for people and for machines."""

from __future__ import annotations

from pathlib import Path

from churn import card_facts
from churn.artifacts import need, summarise, writing
from churn.errors import Misuse
from churn.settings import Settings
from sovereign.card.build import CardError, build, read_answers
from sovereign.card.questions import progress
from sovereign.card.render import render_cyclonedx, render_html, render_markdown
from sovereign.card.schema.card import Card

APPLIES: dict[object, str] = {True: "yes", False: "no"}


def card(model: Path, metrics: Path, features: Path, valid: Path, output: Path, *, settings: Settings) -> None:
    """Write ``card.json``, ``card.md``, ``card.html`` and ``card.cdx.json``.

    Open questions do not stop this step: the card is then a draft and says so. Raises Misuse for an answer in
    ``model_card.toml`` that does not fit its question.
    """
    for folder, verb in ((model, "train"), (metrics, "evaluate"), (features, "features"), (valid, "validate")):
        need(folder, verb)
    facts = card_facts.gather(model, metrics, features, valid, settings)
    try:
        answers = read_answers(settings.root / "model_card.toml")
        done = build(facts, answers, card_id=settings.project.name)
    except CardError as error:
        raise Misuse(str(error)) from None
    with writing(output) as folder:
        _write(done, folder)
        state = progress(done)
        summarise(
            folder,
            rows_in=state.required,
            rows_out=state.answered,
            headline=f"{done.status}: {state.answered} of {state.required} questions answered; "
            f"Article 22 applies: {APPLIES.get(done.derived.decision.art22_applies, 'open')}",
        )


def _write(done: Card, folder: Path) -> None:
    (folder / "card.json").write_text(done.model_dump_json(indent=2) + "\n", encoding="utf-8")
    (folder / "card.md").write_text(render_markdown(done), encoding="utf-8")
    (folder / "card.html").write_text(render_html(done), encoding="utf-8")
    (folder / "card.cdx.json").write_text(render_cyclonedx(done), encoding="utf-8")
