"""Findings of `churn leave audit` as SARIF 2.1.0."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from sovereign_ml.audit.sarif import physical_location, sarif_log
from sovereign_ml.leaving.checklist import RULES, ChecklistFinding
from sovereign_ml.leaving.code_audit import CodeUse, rules
from sovereign_ml.pipeline.card_facts.left_system import REPORT

_LEVELS = {"error": "error", "warning": "warning", "notice": "note"}


def findings_sarif(
    findings: Sequence[tuple[ChecklistFinding, str]],
    uses: Sequence[tuple[CodeUse, str]],
    not_read: Mapping[str, str],
    code: str = "",
) -> dict[str, Any]:
    """Return the log of findings and uses, each with its waiver, "" for none.

    ``code`` is the folder of the code as it was named, under which its files are shown.
    """
    results = [_finding(finding, waiver) for finding, waiver in findings]
    results += [_use(use, waiver, code) for use, waiver in uses]
    notes = [
        {
            "level": "note",
            "message": {"text": f"not read: {reason}"},
            "locations": [physical_location(_uri(code, name))],
        }
        for name, reason in not_read.items()
    ]
    used = list(_rules(row["ruleId"] for row in results))
    return sarif_log("churn leave audit", used, results, notes)


def _rules(names: Iterable[str]) -> Iterable[dict[str, Any]]:
    by_code = {rule.id: rule for rule in rules()}
    for name in sorted(set(names)):
        if name in RULES:
            rule = RULES[name]
            what, remedy, level = rule.what, rule.remedy, rule.severity
            more = {"properties": {"tags": [rule.part], "article": rule.article}}
        else:
            use = by_code[name]
            what, remedy, level, more = use.what, use.replaced_by or use.instead, "error", {}
        yield {
            "id": name,
            "shortDescription": {"text": what},
            "help": {"text": remedy or what},
            "defaultConfiguration": {"level": _LEVELS[level]},
            **more,
        }


def _finding(finding: ChecklistFinding, waiver: str) -> dict[str, Any]:
    rule = RULES[finding.rule]
    times = f", {finding.count:,} times" if finding.count > 1 else ""
    # The dump itself is in no repository, so its findings are shown at the report, which is in git.
    location = physical_location(REPORT.as_posix()) | {
        "logicalLocations": [{"fullyQualifiedName": finding.where}]
    }
    text = f"{finding.where}{times}: {rule.what} ({rule.article}). {rule.remedy}"
    level = _LEVELS[rule.severity]
    return _result(finding.rule, level, text, location, finding.where, waiver)


def _use(use: CodeUse, waiver: str, code: str) -> dict[str, Any]:
    rule = next(rule for rule in rules() if rule.id == use.rule)
    text = f"{use.seen}: {rule.what}. {rule.replaced_by or rule.instead}"
    location = physical_location(_uri(code, use.file), use.line)
    return _result(use.rule, "error", text, location, f"{use.file} {use.seen}", waiver)


def _result(
    rule: str, level: str, text: str, location: dict[str, Any], place: str, waiver: str
) -> dict[str, Any]:
    # The line is left out, so that a finding stays the same when the file changes above it.
    mark = hashlib.sha256(f"{rule} {place}".encode()).hexdigest()[:32]
    result: dict[str, Any] = {
        "ruleId": rule,
        "level": level,
        "message": {"text": text},
        "locations": [location],
        "partialFingerprints": {"place/v1": mark},
    }
    if waiver:
        # A forge closes a suppressed finding, and opens it again when the waiver has ended.
        accepted = {"kind": "external", "status": "accepted", "justification": waiver}
        result["suppressions"] = [accepted]
    return result


def _uri(code: str, file: str) -> str:
    """Return the address of a file relative to the repository, as a forge needs it.

    A folder outside of the repository has none there, so its files are relative to it.
    """
    folder = PurePosixPath(code)
    inside = not folder.is_absolute() and ".." not in folder.parts
    return quote(str(folder / file if inside else PurePosixPath(file)))
