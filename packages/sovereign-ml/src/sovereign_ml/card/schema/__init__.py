"""The card as pydantic models: groups A to R of the field list, and their JSON Schema."""

from sovereign_ml.card.schema.answers import Answers
from sovereign_ml.card.schema.base import NOT_ANSWERED, is_open
from sovereign_ml.card.schema.derived import Derived
from sovereign_ml.card.schema.facts import Facts
from sovereign_ml.card.schema.model_card import (
    LAW_SNAPSHOT,
    RULEPACK_VERSION,
    SCHEMA_VERSION,
    Approval,
    Card,
    read,
)

__all__ = [
    "LAW_SNAPSHOT",
    "NOT_ANSWERED",
    "RULEPACK_VERSION",
    "SCHEMA_VERSION",
    "Answers",
    "Approval",
    "Card",
    "Derived",
    "Facts",
    "is_open",
    "read",
]
