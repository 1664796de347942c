"""Google Model Card Toolkit JSON (schema 0.0.2)."""

from __future__ import annotations

from typing import Any, Final

from sovereign_ml.card.importers.leaves import Parsed, leaves_of

MAPPING: Final = {
    "model_details.name": "compare",
    "model_details.version.name": "compare",
    "model_details.version.date": "compare",
    "model_details.version.diff": "model.change_summary",
    "model_details.path": "compare",
    "model_details.overview": "purpose.statement",
    "model_details.owners[*].name": "roles.owner_model",
    "model_parameters.model_architecture": "compare",
    "model_parameters.input_format": "compare",
    "model_parameters.output_format": "compare",
    "model_parameters.data[*].name": "data.sources",
    "quantitative_analysis.performance_metrics*": "compare",
    "considerations.users[*].description": "compare",
    "considerations.use_cases[*].description": "purpose.specific_uses",
    "considerations.use_cases": "purpose.specific_uses",
    "considerations.limitations[*].description": "evaluation.limitations",
    "considerations.limitations": "evaluation.limitations",
    "considerations.tradeoffs[*].description": "evaluation.limitations",
    "considerations.tradeoffs": "evaluation.limitations",
    "considerations.ethical_considerations[*].name": "dpia.risks",
    "considerations.ethical_considerations[*].mitigation_strategy": "dpia.measures",
}


def recognises(content: Any) -> bool:
    """Whether JSON ``content`` is a toolkit card."""
    return isinstance(content, dict) and bool(
        {"model_details", "model_parameters"} & content.keys()
    )


def parse(content: dict[str, Any]) -> Parsed:
    """Read a card."""
    version = str(content.get("schema_version", ""))
    return Parsed(
        "mct", leaves_of(content), MAPPING, version, handled=frozenset({"schema_version"})
    )
