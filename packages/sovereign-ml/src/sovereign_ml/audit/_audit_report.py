"""The audit's result: a table, JSON, SARIF 2.1.0, and the hosting list of the model card."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sovereign_ml.audit._judge import AddressFinding, Severity
from sovereign_ml.audit._normalise import shown
from sovereign_ml.audit._payloads import Payload
from sovereign_ml.audit._policy import AuditPolicy
from sovereign_ml.audit.sarif import physical_location, sarif_log
from sovereign_ml.jurisdictions import Jurisdiction

if TYPE_CHECKING:
    from rich.table import Table

_LEVELS = {Severity.NOTICE: "note", Severity.WARNING: "warning", Severity.ERROR: "error"}
_STYLES = {
    Severity.OK: "green",
    Severity.NOTICE: "cyan",
    Severity.WARNING: "yellow",
    Severity.ERROR: "bold red",
}
J = Jurisdiction
_MEANING = {
    J.LOCAL: "This machine or a private network",
    J.EU_OWNED: "Seat in the EEA, no owner outside it",
    J.EU_HQ_FOREIGN_OWNER: "Seat in the EEA or Switzerland, owned from elsewhere",
    J.EU_HQ_US_NEXUS: "EEA parent that also has a US entity or US regions",
    J.EU_ON_US_SUBSTRATE: "EU vendor on the infrastructure of a US provider",
    J.ADEQUATE_NON_EU: "Country with an adequacy decision (GDPR Art. 45)",
    J.US_PARENT_EU_REGION: "Machines in the EU, parent under US law",
    J.US: "Under US law",
    J.OTHER_THIRD_COUNTRY: "Third country without an adequacy decision",
    J.SELF_DECLARED: "Not in the provider table: its owner must be declared",
}
# Eight digits tell two images apart. All 64 would fill the line of a terminal.
_DIGEST = re.compile(r"(@sha256:[0-9a-f]{8})[0-9a-f]{56}")
_REGION = re.compile(
    r"(?:^|[.-])((?:[a-z]{2}|af|ap|cloudgouv-eu|eusc-de)-[a-z]+(?:-\d)?|fsn1|nbg1|hel1|eu0\d|gra"
    r"|rbx|sbg|waw)(?=[.-]|$)"
)


_NAMES = 5
"""Number of file names shown for each reason. The JSON and SARIF outputs name all."""


@dataclass(frozen=True, slots=True)
class NotRead:
    """A file that the audit did not read, and the reason."""

    file: str
    reason: str


@dataclass(frozen=True, slots=True)
class Report:
    """All addresses with their verdicts, and the files that were not read."""

    findings: tuple[AddressFinding, ...]
    root: str
    not_read: tuple[NotRead, ...] = ()

    def unread_line(self) -> str:
        """Return the number of files that were not read, by reason, with their first names.

        The text is empty if all were read.
        """
        by_reason: dict[str, list[str]] = {}
        for row in self.not_read:
            by_reason.setdefault(row.reason, []).append(row.file)
        reasons = [
            f"{reason} {len(names)} ({', '.join(names[:_NAMES])}{', …' if names[_NAMES:] else ''})"
            for reason, names in by_reason.items()
        ]
        return f"Not read: {len(self.not_read)} files. {'; '.join(reasons)}." if reasons else ""

    def counts(self) -> dict[str, int]:
        """Return the number of findings of each severity."""
        by_severity = Counter(finding.severity for finding in self.findings)
        return {severity.name.lower(): by_severity[severity] for severity in Severity}

    def refused(self, policy: AuditPolicy) -> list[AddressFinding]:
        """Return the findings that the policy's ``fail_on`` refuses."""
        limit = Severity[policy.fail_on.upper()]
        return [finding for finding in self.findings if finding.severity >= limit]

    def to_json(self) -> dict[str, Any]:
        """Return one object for other programs."""
        return {
            "schema_version": "1",
            "counts": self.counts(),
            "findings": [_row(finding) for finding in self.findings],
            "not_read": [{"file": row.file, "reason": row.reason} for row in self.not_read],
        }

    def to_sarif(self) -> dict[str, Any]:
        """Return SARIF 2.1.0 (OASIS), which code forges show beside the line."""
        findings = self.shown()
        rules = sorted({finding.classification.jurisdiction for finding in findings})
        return sarif_log(
            "churn audit",
            [{"id": rule.value, "shortDescription": {"text": _MEANING[rule]}} for rule in rules],
            [_sarif(finding) for finding in findings],
            [_notification(row) for row in self.not_read],
        )

    def shown(self, *, everything: bool = False) -> list[AddressFinding]:
        """Return the findings, the worst first. OK ones are included if ``everything`` is set."""
        listed = [
            finding for finding in self.findings if everything or finding.severity > Severity.OK
        ]
        return sorted(listed, key=lambda finding: -finding.severity)

    def lines(self, *, everything: bool = False) -> list[str]:
        """Return one plain line per finding, for pipes and logs."""
        return [
            f"{row.severity.name.lower():<7} {row.where}  {_shown(row)}  "
            f"{row.classification.jurisdiction.value}  {row.message}"
            for row in self.shown(everything=everything)
        ]

    def table(self, *, everything: bool = False) -> Table:
        """Return the same findings as a table for a terminal."""
        from rich.markup import escape
        from rich.table import Table

        table = Table("", "where", "address", "class", "why", title=f"Addresses in {self.root}")
        for row in self.shown(everything=everything):
            name = f"[{_STYLES[row.severity]}]{row.severity.name.lower()}[/]"
            table.add_row(
                name,
                *map(
                    escape,
                    (row.where, _shown(row), row.classification.jurisdiction.value, row.message),
                ),
            )
        return table


def _shown(finding: AddressFinding) -> str:
    """Return the address with a shortened image digest. The registry stands before the digest."""
    return _DIGEST.sub(r"\1…", finding.address)


def hosting(findings: tuple[AddressFinding, ...]) -> list[dict[str, Any]]:
    """Return the hosting list of the model card.

    It has one row per component and host, in the terms of the card.
    """
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for finding in findings:
        # A link in the documentation carries nothing, so its host is no recipient.
        if not finding.mention.carries or not _hostname(finding):
            continue
        key = (finding.mention.component, _hostname(finding))
        row = rows.setdefault(key, _host(finding))
        # The card's schema has no word for telemetry.
        carries = {*row["carries"], *(payload.value for payload in finding.mention.carries)} - {
            Payload.TELEMETRY.value
        }
        row["carries"] = [payload.value for payload in Payload if payload.value in carries]
        # The card shows a host once, so one refused mention of it is enough.
        row["allowed"] = row["allowed"] and finding.severity < Severity.ERROR
    return list(rows.values())


def _hostname(finding: AddressFinding) -> str:
    """Return the host. In ``s3://bucket`` the bucket is no host, so the provider stands for it."""
    classification = finding.classification
    if finding.mention.word and classification.provider:
        return classification.provider
    return (
        shown(classification.host)
        if "." in classification.host or not classification.provider
        else classification.provider
    )


def _host(finding: AddressFinding) -> dict[str, Any]:
    classification = finding.classification
    region = _REGION.search(classification.host)
    return {
        "component": finding.mention.component,
        "hostname": _hostname(finding),
        "scheme": classification.scheme,
        "provider": classification.provider,
        "region": region.group(1) if region else "",
        "config": finding.where,
        "jurisdiction_class": classification.jurisdiction.value,
        "us_nexus": classification.us_nexus,
        "carries": [],
        "allowed": True,
    }


def _row(finding: AddressFinding) -> dict[str, Any]:
    return {
        "severity": finding.severity.name.lower(),
        "file": finding.mention.file,
        "line": finding.mention.line,
        "key": finding.mention.key,
        "address": finding.address,
        "host": shown(finding.classification.host),
        "provider": finding.classification.provider,
        "country": finding.classification.country,
        "jurisdiction_class": finding.classification.jurisdiction.value,
        "confirmed": finding.classification.confirmed,
        "component": finding.mention.component,
        "carries": [payload.value for payload in finding.mention.carries],
        "message": finding.message,
    }


def _notification(row: NotRead) -> dict[str, Any]:
    place = {"artifactLocation": {"uri": row.file}}
    return {
        "level": "note",
        "message": {"text": f"not read: {row.reason}"},
        "locations": [{"physicalLocation": place}],
    }


def _sarif(finding: AddressFinding) -> dict[str, Any]:
    return {
        "ruleId": finding.classification.jurisdiction.value,
        "level": _LEVELS[finding.severity],
        "message": {"text": f"{finding.address}: {finding.message}"},
        "locations": [physical_location(finding.mention.file, finding.mention.line)],
    }
