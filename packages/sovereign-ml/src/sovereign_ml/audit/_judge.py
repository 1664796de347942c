"""Findings from mentions: jurisdiction class, severity by payload, reason in one sentence."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from enum import IntEnum

from sovereign_ml.audit._mention import Mention
from sovereign_ml.audit._normalise import shown
from sovereign_ml.audit._payloads import Payload
from sovereign_ml.audit._policy import (
    AuditPolicy,
    Declaration,
    declaration_for,
    line_waiver,
    void_because,
)
from sovereign_ml.jurisdictions import Classification, Jurisdiction, classify, classify_image


class Severity(IntEnum):
    """Severity of a finding. The policy's ``fail_on`` sets from which severity on it is refused."""

    OK = 0
    NOTICE = 1
    WARNING = 2
    ERROR = 3


@dataclass(frozen=True, slots=True)
class AddressFinding:
    """A mention with its classification, payloads, severity and reason."""

    mention: Mention
    classification: Classification
    severity: Severity
    message: str

    @property
    def where(self) -> str:
        """Return ``file:line``, or the variable's name in the environment."""
        at = self.mention
        return f"{at.file}:{at.line}" if at.line else f"{at.file} {at.key}"

    @property
    def address(self) -> str:
        """Return the address, or its word, without user names, passwords and query strings."""
        text = self.mention.word or self.mention.address
        # The report goes into logs of CI and into the card, where a password would stay.
        return shown(_LOGIN.sub("//***@", text).partition("?")[0])


_LOGIN = re.compile(r"//(?:[^/\s]*|[^/\s:@]+:(?!\d+/)\S*)@")
"""User and password of an address. A password may hold an @ or a slash, which ends no port."""
_REASONS = {
    Jurisdiction.US_PARENT_EU_REGION: (
        "an EU region of {provider}, whose parent {parent} is under US law"
    ),
    Jurisdiction.US: "{provider} is under US law",
    Jurisdiction.OTHER_THIRD_COUNTRY: (
        "{provider} ({country}) is in a third country without an adequacy decision"
    ),
    Jurisdiction.EU_ON_US_SUBSTRATE: (
        "{provider} runs on US infrastructure: ask for its list of subprocessors"
    ),
    Jurisdiction.EU_HQ_US_NEXUS: "{provider} ({country}) also has companies or regions in the US",
    Jurisdiction.EU_HQ_FOREIGN_OWNER: (
        "{provider} ({country}) is owned from outside the EU: {parent}"
    ),
    Jurisdiction.ADEQUATE_NON_EU: (
        "{provider} ({country}) is outside the EEA, in a country with an adequacy decision"
    ),
    Jurisdiction.EU_OWNED: "{provider} ({country})",
    Jurisdiction.LOCAL: "this machine or cluster",
    Jurisdiction.SELF_DECLARED: "{host}: {note}",
}


@dataclass(frozen=True, slots=True)
class _Rules:
    """Everything that a verdict depends on besides the mention."""

    policy: AuditPolicy
    today: date
    owners: list[Declaration]
    strict: bool


def judge(
    mentions: Iterable[Mention],
    policy: AuditPolicy,
    *,
    today: date,
    declared: Iterable[Declaration] = (),
    project: str = "",
    strict: bool = False,
) -> list[AddressFinding]:
    """Return one finding per mention.

    Severity and message are those of the payload with the worst verdict.
    """
    rules = _Rules(policy, today, list(declared), strict)
    return [_finding(_with_model(row, project), rules) for row in mentions]


def _with_model(row: Mention, project: str) -> Mention:
    """Add the model to the payloads of the project's own image, which carries it."""
    # The name of an image ends where its tag or its digest begins.
    name = re.split(r"[:@]", row.address.rpartition("/")[2])[0]
    if row.kind == "image" and project and name.startswith(project):
        return replace(row, carries=(Payload.MODEL, Payload.CODE))
    return row


def _finding(row: Mention, rules: _Rules) -> AddressFinding:
    classification = (
        classify_image(row.address)
        if row.kind == "image"
        else classify(row.address, s3_endpoint=row.s3_endpoint)
    )
    classification, declaration = _by_declaration(classification, rules)
    verdicts = [_verdict(classification, payload, rules, declaration) for payload in row.carries]
    severity, message = max(
        verdicts, key=lambda verdict: verdict[0], default=(Severity.OK, _reason(classification))
    )
    if row.word and "client" not in message:
        provider = classification.provider or classification.host
        message += f"; {row.word} means {provider} where no endpoint is named"
    severity, message = _waived(row, severity, message, rules.today)
    return AddressFinding(row, classification, severity, shown(message))


def _by_declaration(
    classification: Classification, rules: _Rules
) -> tuple[Classification, Declaration | None]:
    """Return the class that the owner's declaration gives to a host.

    Only a host that the provider table does not know can be declared.
    """
    # Otherwise a project could declare a US provider to be European.
    if classification.jurisdiction is not Jurisdiction.SELF_DECLARED:
        return classification, None
    declaration = declaration_for(classification.host, rules.owners)
    if declaration is None or declaration.jurisdiction is Jurisdiction.SELF_DECLARED:
        return classification, declaration
    declared = replace(
        classification,
        jurisdiction=declaration.jurisdiction,
        provider=declaration.provider or classification.host,
        country=declaration.country,
        parent=declaration.parent,
        note="declared in model_card.toml",
        us_nexus=declaration.jurisdiction.us_nexus,
    )
    return declared, declaration


def _waived(row: Mention, severity: Severity, message: str, today: date) -> tuple[Severity, str]:
    """Apply a waiver in the comment of the line itself, with owner, reason and end date."""
    if severity < Severity.WARNING:
        return severity, message
    waiver = line_waiver(row.source_line)
    if waiver is None:
        return severity, message
    if isinstance(waiver, str):
        return severity, f"{message}. The waiver on this line does not count: {waiver}"
    if void := void_because(waiver.until, today):
        return severity, f"{message}. The waiver of {waiver.owner} on this line {void}"
    return (
        Severity.NOTICE,
        f"{message}. Waived on this line by {waiver.owner} until {waiver.until}: {waiver.reason}",
    )


def _verdict(
    classification: Classification, payload: Payload, rules: _Rules, declaration: Declaration | None
) -> tuple[Severity, str]:
    carried = payload.value.replace("_", " ")
    if not rules.policy.allows(classification.jurisdiction, payload):
        return _refused(classification, payload, rules)
    # Code may come from anywhere, so nobody has to declare the owner of its host.
    if classification.jurisdiction is Jurisdiction.SELF_DECLARED and payload is not Payload.CODE:
        severity, message = _declared(classification.host, declaration, rules)
        return severity, f"{carried}: {message or _reason(classification) + _DECLARE}"
    if classification.jurisdiction is Jurisdiction.SELF_DECLARED and _is_placeholder(
        classification.host
    ):
        return (
            Severity.NOTICE,
            f"{carried}: {classification.host} is a placeholder, put in the real host",
        )
    quiet = classification.jurisdiction in (Jurisdiction.LOCAL, Jurisdiction.EU_OWNED)
    return Severity.OK if quiet else Severity.NOTICE, f"{carried}: {_reason(classification)}"


def _refused(
    classification: Classification, payload: Payload, rules: _Rules
) -> tuple[Severity, str]:
    reason = f"{payload.value.replace('_', ' ')} may not go here: {_reason(classification)}"
    waiver = rules.policy.waiver(classification.host, payload, rules.today)
    if waiver is None:
        return (
            Severity.ERROR,
            f"{reason}. Use another endpoint, or add a waiver with owner, reason and end date",
        )
    if void := void_because(waiver.until, rules.today):
        return Severity.ERROR, f"{reason}. The waiver of {waiver.owner} {void}"
    return (
        Severity.NOTICE,
        f"{reason}. Waived by {waiver.owner} until {waiver.until}: {waiver.reason}",
    )


def _declared(host: str, declaration: Declaration | None, rules: _Rules) -> tuple[Severity, str]:
    """Judge an owner's declaration. The eu profile (strict) accepts no incomplete one."""
    unfinished = Severity.ERROR if rules.strict else Severity.NOTICE
    if declaration is not None and declaration.complete:
        return Severity.NOTICE, f"{host}, whose owner is declared in model_card.toml"
    if declaration is not None:
        return unfinished, f"the declaration of {host} {declaration.problem or 'has open answers'}"
    if _is_placeholder(host):
        return unfinished, f"{host} is a placeholder, put in the real host"
    return Severity.ERROR if rules.strict else Severity.WARNING, ""


_DECLARE = "; declare its owner in model_card.toml under [[hosting.owner_declarations]]"


def _is_placeholder(host: str) -> bool:
    """Return True for names that documents use as placeholders (RFC 2606).

    Examples are ``mlflow.example.eu``, ``s3.acme.example`` and ``x.invalid``.
    """
    labels = host.split(".")
    return labels[-1] in ("example", "invalid", "test") or labels[-2:-1] == ["example"]


def _reason(classification: Classification) -> str:
    reason = _REASONS[classification.jurisdiction].format(
        provider=classification.provider,
        parent=classification.parent or classification.provider,
        country=classification.country,
        host=classification.host or classification.address,
        note=classification.note,
    )
    if "outside the EU" in classification.note:
        reason += f"; {classification.note[0].lower()}{classification.note[1:-1]}"
    aws = (
        classification.scheme.startswith("s3") and classification.provider == "Amazon Web Services"
    )
    return f"{reason}; an s3:// address without an endpoint means AWS" if aws else reason
