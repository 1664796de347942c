"""CycloneDX ML-BOMs (1.5 and later): the first machine-learning model in the file and its model card."""

from __future__ import annotations

from typing import Any, Final

from sovereign_ml.card.importers.leaves import Parsed, leaves_of

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
    "bom.components[*].data[*].name": "data.sources",
}


def recognises(content: Any) -> bool:
    """Whether JSON ``content`` is a CycloneDX document."""
    return isinstance(content, dict) and content.get("bomFormat") == "CycloneDX"


def parse(content: dict[str, Any]) -> Parsed:
    """Read the first model with a card; ValueError when the document describes no machine-learning model."""
    model, rest = _split(content)
    leaves = leaves_of(model, "model") | leaves_of(rest, "bom")
    handled = frozenset({"bom.bomFormat", "bom.specVersion", "bom.$schema"})
    return Parsed(
        "cyclonedx", leaves, MAPPING, str(content.get("specVersion", "")), handled=handled
    )


def _split(content: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The model, and the document without it."""
    metadata = dict(content.get("metadata") or {})
    main, others = metadata.get("component"), list(content.get("components") or ())
    if main is not None and _is_model(main):
        del metadata["component"]
        return dict(main), content | {"metadata": metadata}
    for index, component in enumerate(others):
        if _is_model(component):
            return dict(component), content | {"components": others[:index] + others[index + 1 :]}
    raise ValueError("the CycloneDX document describes no component of type machine-learning-model")


def _is_model(component: Any) -> bool:
    return isinstance(component, dict) and component.get("type") == "machine-learning-model"
