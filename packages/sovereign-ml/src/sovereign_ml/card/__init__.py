"""The model card that answers GDPR Article 22: schema, derived status, rules, questions, approval, promotion."""

from sovereign_ml.card.approval import ApprovalError, approve, with_approvals
from sovereign_ml.card.build import CardError, build, read_answers
from sovereign_ml.card.promotion import (
    PromotionDecision,
    Registry,
    RegistryError,
    may_promote,
    promote,
    rollback,
)
from sovereign_ml.card.questions import Progress, Question, open_questions, progress
from sovereign_ml.card.rules import RULES, Finding, RulePolicy, blocks, check
from sovereign_ml.card.schema import NOT_ANSWERED, Answers, Approval, Card, Derived, Facts, read

__all__ = [
    "NOT_ANSWERED",
    "RULES",
    "Answers",
    "Approval",
    "ApprovalError",
    "Card",
    "CardError",
    "Derived",
    "Facts",
    "Finding",
    "Progress",
    "PromotionDecision",
    "Question",
    "Registry",
    "RegistryError",
    "RulePolicy",
    "approve",
    "blocks",
    "build",
    "check",
    "may_promote",
    "open_questions",
    "progress",
    "promote",
    "read",
    "read_answers",
    "rollback",
    "with_approvals",
]
