"""The model card that answers GDPR Article 22: schema, derived status, rules, questions, approval, promotion."""

from sovereign.card.approval import ApprovalError, approve, with_approvals
from sovereign.card.build import CardError, build, read_answers
from sovereign.card.promotion import Decision, Registry, RegistryError, may_promote, promote, rollback
from sovereign.card.questions import Progress, Question, open_questions, progress
from sovereign.card.rules import RULES, Finding, RulePolicy, blocks, check
from sovereign.card.schema import NOT_ANSWERED, Answers, Approval, Card, Derived, Facts, read

__all__ = [
    "NOT_ANSWERED",
    "RULES",
    "Answers",
    "Approval",
    "ApprovalError",
    "Card",
    "CardError",
    "Decision",
    "Derived",
    "Facts",
    "Finding",
    "Progress",
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
