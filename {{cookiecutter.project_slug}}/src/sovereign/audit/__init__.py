"""Find every address in a project, say whose law reaches it and what it carries, and judge that by a policy."""

from sovereign.audit._judge import Finding, Severity, judge
from sovereign.audit._mention import Mention, Payload
from sovereign.audit._policy import Declaration, Policy, Waiver, declaration_for, declarations
from sovereign.audit._report import Report, hosting
from sovereign.audit._scan import audit, scan

__all__ = [
    "Declaration",
    "Finding",
    "Mention",
    "Payload",
    "Policy",
    "Report",
    "Severity",
    "Waiver",
    "audit",
    "declaration_for",
    "declarations",
    "hosting",
    "judge",
    "scan",
]
