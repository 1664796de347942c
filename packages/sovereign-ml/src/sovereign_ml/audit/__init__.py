"""Audit of a project's addresses: whose law reaches them, what they carry, and a verdict."""

from sovereign_ml.audit._audit_report import NotRead, Report, hosting
from sovereign_ml.audit._judge import AddressFinding, Severity, judge
from sovereign_ml.audit._mention import Mention
from sovereign_ml.audit._payloads import Payload
from sovereign_ml.audit._policy import (
    AddressWaiver,
    AuditPolicy,
    Declaration,
    LineWaiver,
    declaration_for,
    declarations,
    line_waiver,
    void_because,
)
from sovereign_ml.audit._scan import audit, scan

__all__ = [
    "AddressFinding",
    "AddressWaiver",
    "AuditPolicy",
    "Declaration",
    "LineWaiver",
    "Mention",
    "NotRead",
    "Payload",
    "Report",
    "Severity",
    "audit",
    "declaration_for",
    "declarations",
    "hosting",
    "judge",
    "line_waiver",
    "scan",
    "void_because",
]
