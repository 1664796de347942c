"""CycloneDX ML-BOMs (1.5 and later).

The reader takes the machine-learning model that has a model card, wherever it is nested.
"""

from __future__ import annotations

from typing import Any, Final

from sovereign_ml.card.importers.leaves import DEEPEST, Leaves, Parsed, leaves_of, merged

MAPPING: Final = {
    "model.name": "compare",
    "model.version": "compare",
    "model.type": "compare",
    "model.hashes*": "compare",
    "model.description": "purpose.statement",
    "model.modelCard.modelParameters.*": "compare",
    "model.modelCard.quantitativeAnalysis.*": "compare",
    "model.modelCard.considerations.users": "compare",
    "model.modelCard.considerations.useCases": "purpose.specific_uses",
    "model.modelCard.considerations.technicalLimitations": "evaluation.limitations",
    "model.modelCard.considerations.performanceTradeoffs": "evaluation.limitations",
    "model.modelCard.considerations.ethicalConsiderations[*].name": "dpia.risks",
    "model.modelCard.considerations.ethicalConsiderations[*].mitigationStrategy": "dpia.measures",
    "model.modelCard.considerations.fairnessAssessments[*].groupAtRisk": "dpia.risks",
    "model.modelCard.considerations.fairnessAssessments[*].harms": "dpia.risks",
    "model.modelCard.considerations.fairnessAssessments[*].mitigationStrategy": "dpia.measures",
    "model.modelCard.modelParameters.datasets[*].name": "data.sources",
    "bom.components[*].data[*].name": "data.sources",
}


def recognises(content: Any) -> bool:
    """Return whether JSON ``content`` is a CycloneDX document."""
    return isinstance(content, dict) and content.get("bomFormat") == "CycloneDX"


def parse(content: dict[str, Any]) -> Parsed:
    """Return the parsed model that has a card.

    Raises ValueError when the document describes no machine-learning model.
    """
    models = _models(content)
    if not models:
        raise ValueError(
            "the CycloneDX document describes no component of type machine-learning-model"
        )
    # A model without a card is read only when no model has one.
    holder, key, model = next((row for row in models if "modelCard" in row[2]), models[0])
    others = [_name(row[2]) for row in models if row[2] is not model]
    notes = (
        (f"the file holds {len(others)} more models, not read: {', '.join(others[:10])}",)
        if others
        else ()
    )
    # the rest of the document without the model; a very long list of parts is one value
    rest = _without(content, holder, key)
    leaves = merged(leaves_of(model, "model"), _rest(rest))
    handled = frozenset({"bom.bomFormat", "bom.specVersion", "bom.$schema"})
    return Parsed(
        "cyclonedx",
        leaves,
        MAPPING,
        str(content.get("specVersion", "")),
        handled=handled,
        notes=notes,
    )


def _models(content: dict[str, Any]) -> list[tuple[Any, Any, dict[str, Any]]]:
    """Return each model with its container and its place there, nested components included.

    The container is the list or object that holds the model.
    """
    models: list[tuple[Any, Any, dict[str, Any]]] = []
    metadata = content.get("metadata") or {}
    todo: list[tuple[Any, Any, Any]] = [(metadata, "component", metadata.get("component"))]
    todo += [
        (content["components"], index, row)
        for index, row in enumerate(content.get("components") or ())
    ]
    for holder, key, component in todo:  # grows while it is walked
        if not isinstance(component, dict):
            continue
        if component.get("type") == "machine-learning-model":
            models.append((holder, key, component))
        nested = component.get("components") or []
        todo += [(nested, index, row) for index, row in enumerate(nested)]
    return models


def _without(value: Any, holder: Any, key: Any, depth: int = 0) -> Any:
    """Return a copy of ``value`` in which ``holder`` has no ``key``."""
    # Deeper parts stay as they are: ``flatten`` refuses to read them.
    if depth > DEEPEST:
        return value
    if isinstance(value, list):
        return [
            _without(item, holder, key, depth + 1)
            for index, item in enumerate(value)
            if not (value is holder and index == key)
        ]
    if isinstance(value, dict):
        return {
            name: _without(item, holder, key, depth + 1)
            for name, item in value.items()
            if not (value is holder and name == key)
        }
    return value


def _rest(rest: dict[str, Any]) -> Leaves:
    try:
        return leaves_of(rest, "bom")
    except ValueError:
        # Too many values or too deep: the parts are named, so that the model can still be read.
        parts = rest.get("components") or ()
        names = f"{len(parts):,} other components: {', '.join(map(_name, parts[:20]))} …"
        short = {
            name: item
            for name, item in rest.items()
            if name in ("bomFormat", "specVersion", "serialNumber", "version")
        }
        unread = sorted(set(rest) - set(short) - {"components"})
        return leaves_of(short | {"components": names} | dict.fromkeys(unread, "not read"), "bom")


def _name(component: Any) -> str:
    return str(component.get("name", "?"))[:60] if isinstance(component, dict) else "?"
