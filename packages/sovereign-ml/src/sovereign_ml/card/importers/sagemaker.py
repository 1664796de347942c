"""SageMaker model cards: standalone, model-package, CloudFormation spelling, and the shapes that articles print."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from sovereign_ml.card.importers.leaves import Parsed, leaves_of

SECTIONS: Final = (
    "model_overview",
    "intended_uses",
    "business_details",
    "training_details",
    "evaluation_details",
    "additional_information",
    "model_package_details",
)
CONTENT_KEYS: Final = ("content", "model_card_content")
FREE_KEYS: Final = ("custom_details", "metadata")
"""Maps whose keys are the user's own words and keep their spelling."""

MAPPING: Final = {
    "model_overview.model_name": "compare",
    "model_overview.model_id": "compare",
    "model_overview.model_version": "compare",
    "model_overview.model_description": "compare",
    "model_overview.problem_type": "compare",
    "model_overview.algorithm_type": "compare",
    "model_overview.model_creator": "roles.owner_model",
    "model_overview.model_owner": "roles.owner_business",
    "model_overview.model_artifact": "compare",
    "model_overview.inference_environment.container_image": "compare",
    "model_overview.training_datasets": "data.sources",
    "model_overview.training_datasets[*].name": "data.sources",
    "intended_uses.purpose_of_model": "purpose.statement",
    "intended_uses.intended_uses": "purpose.specific_uses",
    "intended_uses.out_of_scope_uses": "purpose.out_of_scope_uses",
    "intended_uses.factors_affecting_model_efficiency": "evaluation.limitations",
    "intended_uses.risk_rating": "compare",
    "intended_uses.explanations_for_risk_rating": "compare",
    "business_details.*": "compare",
    "training_details.objective_function.*": "compare",
    "training_details.training_observations": "compare",
    "training_details.training_datasets": "data.sources",
    "training_details.evaluation_datasets": "compare",
    "training_details.training_job_details.*": "compare",
    "training_details.training_job_details.training_datasets": "data.sources",
    "evaluation_details*": "compare",
    "additional_information.ethical_considerations": "dpia.risks",
    "additional_information.caveats_and_recommendations": "evaluation.limitations",
    "additional_information.custom_details.out_of_scope_uses": "purpose.out_of_scope_uses",
}


def recognises(content: Any) -> bool:
    """Whether JSON ``content`` is a SageMaker card in any of its wrappings."""
    if not isinstance(content, dict):
        return False
    keys = {_snake(key) for key in content}
    wrapped = isinstance(content.get("ModelCard"), dict) and recognises(content["ModelCard"])
    return bool(keys & {*SECTIONS, *CONTENT_KEYS}) or wrapped


def parse(content: dict[str, Any]) -> Parsed:
    """Read a card; ValueError when the inner ``Content`` string is not JSON."""
    outer = _renamed(content)
    inner: dict[str, Any] = {}
    package = outer.pop("model_card", None)
    outer |= package if isinstance(package, dict) else {}
    for key in CONTENT_KEYS:
        if key in outer:
            inner |= _renamed(_opened(outer.pop(key)))
    sections = {key: outer.pop(key) for key in SECTIONS if key in outer}
    status = str(outer.get("model_card_status", outer.get("status", "")))
    body = sections | inner
    leaves = leaves_of(body) | (leaves_of(outer, "card") if outer else {})
    seen = frozenset(f"card.{key}" for key in ("model_card_status", "status"))
    return Parsed("sagemaker", leaves, MAPPING, foreign_status=status, handled=seen)


def _opened(content: Any) -> dict[str, Any]:
    try:
        opened = json.loads(content) if isinstance(content, str) else content
    except ValueError as error:
        raise ValueError(f"the card's Content is a string but not JSON: {error}") from None
    if not isinstance(opened, dict):
        raise ValueError(f"the card's Content must be a JSON object, seen {type(opened).__name__}")
    return opened


def _renamed(value: Any) -> Any:
    """Keys in snake_case, which CloudFormation and the API spell in PascalCase."""
    if isinstance(value, list):
        return [_renamed(item) for item in value]
    if not isinstance(value, dict):
        return value
    named: dict[str, Any] = {}
    for key, item in value.items():
        named[str(key) if _snake(str(key)) in named else _snake(str(key))] = item
    return {key: item if key in FREE_KEYS else _renamed(item) for key, item in named.items()}


def _snake(key: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", key).lower()
