"""Step 6, card: facts and answers as one card, for people and for machines."""

from __future__ import annotations

from pathlib import Path

from sovereign_ml.card.questions import progress
from sovereign_ml.pipeline.card_builder import CardBuilder
from sovereign_ml.storage.artifacts import need, summarise, writing

APPLIES: dict[object, str] = {True: "yes", False: "no"}


def card(
    model: Path, metrics: Path, features: Path, valid: Path, output: Path, *, cards: CardBuilder
) -> None:
    """Write ``card.json``, ``card.md``, ``card.html`` and ``card.cdx.json``.

    Open questions do not stop this step: the card is then a draft and says so. Raises Misuse for an
    answer in ``model_card.toml`` that does not fit its question.
    """
    for folder, verb in (
        (model, "train"),
        (metrics, "evaluate"),
        (features, "features"),
        (valid, "validate"),
    ):
        need(folder, verb)
    document = cards.build(cards.gather(model, metrics, features, valid))
    with writing(output) as folder:
        cards.write(document, folder)
        state = progress(document)
        applies = APPLIES.get(document.derived.decision.art22_applies, "open")
        summarise(
            folder,
            rows_in=state.required,
            rows_out=state.answered,
            headline=f"{document.status}: {state.answered} of {state.required} questions answered; "
            f"Article 22 applies: {applies}",
        )
