"""Step 6, card: facts and answers as one card, for people and for machines."""

from __future__ import annotations

from pathlib import Path

from sovereign_ml.card.build import CardError, build, read_answers
from sovereign_ml.card.questions import progress
from sovereign_ml.config.settings import Settings
from sovereign_ml.errors import Misuse
from sovereign_ml.pipeline.card_facts import collect
from sovereign_ml.registry import approvals
from sovereign_ml.storage.artifacts import need, summarise, writing

APPLIES: dict[object, str] = {True: "yes", False: "no"}


def card(
    model: Path, metrics: Path, features: Path, valid: Path, output: Path, *, settings: Settings
) -> None:
    """Write ``card.json``, ``card.md``, ``card.html`` and ``card.cdx.json``.

    Open questions do not stop this step: the card is then a draft and says so. Approvals on record are shown.
    Raises Misuse for an answer in ``model_card.toml`` that does not fit its question.
    """
    for folder, verb in (
        (model, "train"),
        (metrics, "evaluate"),
        (features, "features"),
        (valid, "validate"),
    ):
        need(folder, verb)
    facts = collect.gather(model, metrics, features, valid, settings)
    try:
        answers = read_answers(settings.root / "model_card.toml")
        done = approvals.signed(build(facts, answers, card_id=settings.project.name), settings)
    except CardError as error:
        raise Misuse(str(error)) from None
    with writing(output) as folder:
        approvals.write(done, folder, settings)
        state = progress(done)
        summarise(
            folder,
            rows_in=state.required,
            rows_out=state.answered,
            headline=f"{done.status}: {state.answered} of {state.required} questions answered; "
            f"Article 22 applies: {APPLIES.get(done.derived.decision.art22_applies, 'open')}",
        )
