"""Step 6, card: facts and answers as one card, for people and for machines."""

from __future__ import annotations

from pathlib import Path

from churn import card_facts, governance
from churn.artifacts import need, summarise, writing
from churn.errors import Misuse
from churn.settings import Settings
from sovereign.card.build import CardError, build, read_answers
from sovereign.card.questions import progress

APPLIES: dict[object, str] = {True: "yes", False: "no"}


def card(model: Path, metrics: Path, features: Path, valid: Path, output: Path, *, settings: Settings) -> None:
    """Write ``card.json``, ``card.md``, ``card.html`` and ``card.cdx.json``.

    Open questions do not stop this step: the card is then a draft and says so. Approvals on record are shown.
    Raises Misuse for an answer in ``model_card.toml`` that does not fit its question.
    """
    for folder, verb in ((model, "train"), (metrics, "evaluate"), (features, "features"), (valid, "validate")):
        need(folder, verb)
    facts = card_facts.gather(model, metrics, features, valid, settings)
    try:
        answers = read_answers(settings.root / "model_card.toml")
        done = governance.signed(build(facts, answers, card_id=settings.project.name), settings)
    except CardError as error:
        raise Misuse(str(error)) from None
    with writing(output) as folder:
        governance.write(done, folder, settings)
        state = progress(done)
        summarise(
            folder,
            rows_in=state.required,
            rows_out=state.answered,
            headline=f"{done.status}: {state.answered} of {state.required} questions answered; "
            f"Article 22 applies: {APPLIES.get(done.derived.decision.art22_applies, 'open')}",
        )
