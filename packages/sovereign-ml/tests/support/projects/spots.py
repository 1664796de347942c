"""Tables of places in which an address leaves or only seems to, and how the audit judges one of them."""

from datetime import date
from pathlib import Path

from sovereign_ml.audit import AddressFinding, AuditPolicy, Severity, audit

DATA = Path(__file__).parents[2] / "data"
TODAY = date(2026, 11, 24)
RIGHT = {"FOUND": {"ERROR"}, "NOTICE": {"NOTICE"}, "QUIET": {"OK", "NOTICE"}}
"""The worst severities in the profile eu that fit an outcome."""


def table(name: str) -> list[list[str]]:
    """Return the rows of a table in ``tests/data``."""
    lines = (DATA / name).read_text(encoding="utf-8").splitlines()
    return [line.split("\t") for line in lines if not line.startswith("# ")]


def findings(root: Path, file: str, text: str, *, strict: bool = True) -> list[AddressFinding]:
    """Return what the audit says of a project that holds one file with ``text``, written as in a table."""
    path = root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    body = text.replace("\\n", "\n").replace("\\t", "\t").replace("\\\\", "\\")
    path.write_text(body + "\n", encoding="utf-8")
    report = audit(root, AuditPolicy(), today=TODAY, project="acme-churn", strict=strict)
    return list(report.findings)


def worst(root: Path, file: str, text: str) -> str:
    """Return the worst severity of a spot in the profile eu."""
    rows = findings(root, file, text)
    return max((row.severity for row in rows), default=Severity.OK).name
