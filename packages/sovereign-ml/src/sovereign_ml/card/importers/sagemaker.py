"""SageMaker model cards in all their wrappings.

These are standalone cards, model packages, the spelling of CloudFormation, and the shapes that
articles print.
"""

from __future__ import annotations

import re
from typing import Any, Final

from sovereign_ml.card.importers.leaves import (
    DEEPEST,
    DuplicateKeyError,
    Parsed,
    leaves_of,
    merged,
    read_json,
)

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
# All that a card keeps when it was asked for as MetadataOnly. The answer itself does not say so.
METADATA_ONLY: Final = {
    "model_overview.model_id",
    "model_overview.model_name",
    "intended_uses.risk_rating",
    "model_package_details.model_package_group_name",
    "model_package_details.model_package_arn",
}
# Maps whose keys are the user's own words and keep their spelling.
FREE_KEYS: Final = ("custom_details", "metadata")

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


RESOURCE: Final = "AWS::SageMaker::ModelCard"
STATUS: Final = ("model_card_status", "status", "model_approval_status")


def recognises(content: Any) -> bool:
    """Return whether JSON ``content`` is a SageMaker card in any of its wrappings.

    A key ``content`` alone is none: many formats have one. It counts with a section inside or a
    ``ModelCard`` key beside.
    """
    if not isinstance(content, dict):
        return False
    if _wrapped(content):
        return True
    keys = {_snake(str(key)) for key in content}
    if keys & set(SECTIONS) or any(key.startswith("model_card") for key in keys):
        return True
    inner = [value for key, value in content.items() if _snake(str(key)) in CONTENT_KEYS]
    return any(_has_sections(value) for value in inner)


def _has_sections(value: Any) -> bool:
    # The API returns the content as JSON in a string.
    if isinstance(value, str):
        try:
            value = read_json(value)
        except (ValueError, RecursionError):
            return False
    return isinstance(value, dict) and bool({_snake(str(key)) for key in value} & set(SECTIONS))


def _wrapped(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the cards inside the answer of ``search`` or a CloudFormation template."""
    results = content.get("Results") or content.get("results")
    if isinstance(results, list):
        rows = [row.get("ModelCard") for row in results if isinstance(row, dict)]
        rows += [row.get("ModelPackage") for row in results if isinstance(row, dict)]
        return [row for row in rows if isinstance(row, dict) and recognises(row)]
    resources = content.get("Resources")
    if isinstance(resources, dict):
        model_cards = [
            row
            for row in resources.values()
            if isinstance(row, dict) and row.get("Type") == RESOURCE
        ]
        return [row["Properties"] for row in model_cards if isinstance(row.get("Properties"), dict)]
    return []


def parse(content: dict[str, Any]) -> Parsed:
    """Return the parsed card.

    Raises ValueError when the inner ``Content`` is not JSON or the file holds several cards.
    """
    cards = _wrapped(content)
    if len(cards) > 1:
        raise ValueError(
            f"the file holds {len(cards)} cards: save the one you want as its own file"
        )
    notes = (
        ["the card was cut out of a search answer or a template: only the card is read"]
        if cards
        else []
    )
    outer = _renamed(cards[0] if cards else content)
    package = outer.pop("model_card", None)
    if isinstance(package, str):
        package = _renamed(_opened(package))
    package = (
        package if isinstance(package, dict) else {} if package is None else {"model_card": package}
    )
    bodies, rests = [], []
    # The inner card comes first: on a conflict the outer value gets the mark.
    for part in (package, outer):
        contents = [_renamed(_opened(part.pop(key))) for key in CONTENT_KEYS if key in part]
        bodies += [leaves_of(opened) for opened in contents]
        bodies.append(
            leaves_of({key: part.pop(key) for key in SECTIONS if key in part})
            if any(k in part for k in SECTIONS)
            else {}
        )
        rests.append(leaves_of(part, "card") if part else {})
    leaves = merged(*bodies, *rests)
    if _is_sanitised(content) or set(merged(*bodies)) <= METADATA_ONLY:
        notes.append(
            "the card is the sanitised version (MetadataOnly): "
            "ask SageMaker again with IncludedData=AllData"
        )
    statuses = {
        leaf: str(value)
        for leaf, value in leaves.items()
        if leaf.rstrip("'") in {f"card.{key}" for key in STATUS}
    }
    return Parsed(
        "sagemaker",
        leaves,
        MAPPING,
        foreign_status=", ".join(dict.fromkeys(statuses.values())),
        handled=frozenset(statuses),
        notes=tuple(notes),
    )


def _is_sanitised(content: dict[str, Any]) -> bool:
    words = {str(key).lower(): str(value).lower() for key, value in content.items()}
    return words.get("includeddata") == "metadataonly" or any("sanitized" in key for key in words)


def _opened(content: Any) -> dict[str, Any]:
    try:
        opened = read_json(content) if isinstance(content, str) else content
    except DuplicateKeyError:
        raise
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the card's Content is a string but not JSON: {error}") from None
    if not isinstance(opened, dict):
        raise ValueError(f"the card's Content must be a JSON object, seen {type(opened).__name__}")
    return opened


def _renamed(value: Any, depth: int = 0) -> Any:
    """Return the value with keys in snake_case.

    CloudFormation and the API spell them in PascalCase.
    """
    if depth > DEEPEST:
        raise ValueError(f"nested deeper than {DEEPEST} levels; a model card is not")
    if isinstance(value, list):
        return [_renamed(item, depth + 1) for item in value]
    if not isinstance(value, dict):
        return value
    named: dict[str, Any] = {}
    # Of two spellings of one key the other one keeps its own, so that none is lost.
    keys = {str(key) for key in value}
    for key, item in value.items():
        name = _snake(str(key))
        named[str(key) if name in named or name in keys else name] = item
    return {
        key: item if key in FREE_KEYS else _renamed(item, depth + 1) for key, item in named.items()
    }


def _snake(key: str) -> str:
    return (
        key
        if len(key) > 200
        else re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", key).lower()
    )
