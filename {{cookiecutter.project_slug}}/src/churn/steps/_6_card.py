"""Step 6, card: the model card, from the facts of the run and the answers of people."""

from __future__ import annotations

from pathlib import Path

from sovereign_ml.pipeline.card_builder import CardBuilder
from sovereign_ml.storage.artifacts import summarise, writing


def card(
    model: Path, metrics: Path, features: Path, valid: Path, output: Path, *, cards: CardBuilder
) -> None:
    """Write ``card.json``, ``card.md``, ``card.html`` and ``card.cdx.json``.

    With open questions the card is a draft, which does not stop this step. Raises Misuse for an
    answer in ``model_card.toml`` that does not fit its question.
    """
    document = cards.build(cards.gather(model, metrics, features, valid))
    with writing(output) as folder:
        cards.write(document, folder)
        required, answered = cards.progress(document)
        verdict = document.derived.decision.art22_applies
        applies = "open" if verdict == "?" else "yes" if verdict else "no"
        summarise(
            folder,
            rows_in=required,
            rows_out=answered,
            headline=f"{document.status}: {answered} of {required} questions answered; "
            f"Article 22 applies: {applies}",
        )
