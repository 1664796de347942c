"""The card as pydantic models: groups A to R of the field list, and their JSON Schema."""

from sovereign.card.schema.answers import Answers
from sovereign.card.schema.base import NOT_ANSWERED, is_open
from sovereign.card.schema.card import LAW_SNAPSHOT, RULEPACK_VERSION, SCHEMA_VERSION, Approval, Card, read
from sovereign.card.schema.derived import Derived
from sovereign.card.schema.facts import Facts

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
