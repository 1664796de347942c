"""Step 7, register: the sealed bundle and its registry version, or every reason against it."""

from __future__ import annotations

from pathlib import Path

from sovereign_ml.pipeline.card_builder import CardBuilder
from sovereign_ml.pipeline.registration import Registration
from sovereign_ml.storage.artifacts import read_json, summarise, writing


def register(
    model: Path,
    metrics: Path,
    features: Path,
    valid: Path,
    card: Path,
    output: Path,
    *,
    cards: CardBuilder,
    registration: Registration,
) -> None:
    """Write the sealed bundle and register it in MLflow with the alias ``candidate``.

    Raises Refused with every reason: quality gate, rules, a card that differs from the artifacts.
    """
    figures = read_json(metrics / "metrics.json")
    document = registration.read_card(card)
    facts = cards.gather(model, metrics, features, valid)  # anew: the card may have been edited
    warnings = registration.check(figures, document, facts)
    run = read_json(model / "run.json")
    with writing(output) as folder:
        registration.collect(folder, model, card, document)
        registration.write_reference(folder, features, valid)
        version = registration.register(folder, run, figures, document, metrics / "plots")
        summarise(
            folder,
            rows_in=len(warnings),
            rows_out=1,
            headline=f"{registration.tracking.project} version {version}, alias candidate; "
            f"{len(warnings)} warnings of the rules",
            version=version,
        )
