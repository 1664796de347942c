"""Rules on impact assessment, records, hosting and dates (GDPR 24, 28, 30, 35, 44-49)."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Final

from sovereign_ml.card.approval import identity
from sovereign_ml.card.person_names import author_is
from sovereign_ml.card.rules.engine import Case, Hits, RuleHit, Severity, rule
from sovereign_ml.card.schema.base import NOT_ANSWERED, is_future, is_open, items_of, plain
from sovereign_ml.card.schema.facts import MAX_DUMP_AGE_DAYS
from sovereign_ml.jurisdictions import covers

# The version before the registry gives a number. Promotion checks the number itself.
CANDIDATE: Final = "candidate"

# As words, because "endpoint" has the three letters too.
OFFICER: Final = re.compile(r"\bdpo\b|\bdata protection officer|\bdatenschutzbeauftragt")

# Jurisdictions of the endpoint list in which data kept there has left the EEA (GDPR 44).
OUTSIDE: Final = ("ADEQUATE_NON_EU", "US", "OTHER_THIRD_COUNTRY")


@rule(
    "R44",
    "GDPR 35(1), 35(3)(a), 35(11), 36(1)",
    "Complete the impact assessment for this version of the model.",
)
def dpia(case: Case) -> Hits:
    """An impact assessment is required and not done, does not cover the version, or a high risk is not consulted."""
    if case.answers.dpia.status == "prior_consultation":
        yield "The authority has not answered the prior consultation yet (36(2))."
    if case.derived.dpia.required is not True:
        if case.answers.dpia.status == "in_progress":
            yield RuleHit("An impact assessment was begun and is not finished.", "warn")
        return
    assessment, version = case.answers.dpia, case.facts.model.version
    if assessment.status not in ("completed", "consulted"):
        message = (
            f"An impact assessment is required ({'; '.join(case.derived.dpia.criteria)}); "
            f"status '{assessment.status}'."
        )
        yield case.open(message) if assessment.status == NOT_ANSWERED else message
    # Before registration there is no number that the assessment could cover.
    covered = assessment.model_versions_covered
    if (
        isinstance(covered, tuple)
        and version not in (None, CANDIDATE)
        and not {version, "*"} & set(covered)
    ):
        yield f"The impact assessment covers version {', '.join(covered) or 'none'}, not {version}."
    if assessment.residual_risk == "high" and (
        assessment.status != "consulted" or is_open(assessment.prior_consultation_ref)
    ):
        yield "A high risk remains and the authority was not consulted."


@rule(
    "R45",
    "GDPR 35(3)(a); WP251 p. 29",
    "Take the typed line out: profiling behind significant decisions needs one.",
)
def dpia_denied(case: Case) -> Hits:
    """The impact assessment is denied although profiling feeds significant decisions."""
    feeds = case.applies22 or case.significant
    denied = case.card.typed_status.get("dpia.required") is False
    if feeds and (denied or case.answers.dpia.status == "not_required_documented"):
        yield "The impact assessment is denied, but profiling feeds significant decisions."


@rule("R46", "GDPR 30(1)", "Bring [ropa] in line with [roles] processors, hosts and transfers.")
def record_of_processing(case: Case) -> Hits:
    """No entry in the record of processing, or its recipients and transfers differ from the card's."""
    record = case.answers.ropa
    if is_open(record.entry_id):
        yield case.open("There is no entry in the record of processing.")
    named = {plain(name) for name in items_of(record.recipients)}
    unnamed = sorted(name for name in _recipients(case) if plain(name) not in named)
    if record.recipients != NOT_ANSWERED and unnamed:
        do = (
            "Add them to ropa.recipients (and roles.processors), "
            "or take the host out of the configuration."
        )
        yield RuleHit(f"The record does not name {', '.join(unnamed)}.", do=do)
    processors = case.answers.roles.processors
    handling = {plain(p.name) for p in processors} if processors != NOT_ANSWERED else set()
    outside = sorted(name for name in _providers(case) if plain(name) not in handling)
    if processors != NOT_ANSWERED and outside:
        do = (
            "Name them in roles.processors with their agreement (Art. 28(3)), or take the host out."
        )
        keep = f"{', '.join(outside)} keep personal data and are no processor in roles.processors."
        yield RuleHit(keep, do=do)
    transfers = case.answers.hosting.transfers
    if isinstance(transfers, str) or isinstance(record.transfers, str):
        return
    # A transfer may be missing on either side.
    if differ := {transfer.to for transfer in transfers} ^ set(record.transfers):
        yield f"Record and card differ on transfers to {', '.join(sorted(differ))}."


def _recipients(case: Case) -> set[str]:
    """Return processors, and providers of hosts that carry personal data outside this machine."""
    processors = case.answers.roles.processors
    named = {p.name for p in items_of(processors)}
    folded = {plain(name) for name in named}
    return named | {name for name in _providers(case) if plain(name) not in folded}


def _providers(case: Case) -> set[str]:
    """Return who runs the hosts that carry personal data outside this machine."""
    return {
        host.provider
        for host in case.facts.hosting
        if "personal_data" in host.carries and host.jurisdiction_class != "LOCAL" and host.provider
    }


@rule(
    "R47",
    "GDPR 38(6); C-453/21",
    "Ask someone else to approve; the data protection officer advises.",
    severity="warn",
)
def dpo_decides(case: Case) -> Hits:
    """The data protection officer approves or owns instead of advising."""
    contact = case.answers.roles.dpo_contact
    for approval in case.card.approvals:
        # dpo_contact is free text: a name, a mail address, or both with a telephone number.
        named = plain(approval.person) in plain(contact) or author_is(
            identity(approval), (contact,)
        )
        if not is_open(contact) and named:
            yield (
                f"{approval.person} approves as {approval.role} and is the data protection officer."
            )
    owners = (case.answers.roles.owner_business, case.answers.roles.owner_model)
    if any(OFFICER.search(plain(owner)) for owner in owners):
        yield "The data protection officer is named as an owner."


@rule(
    "R53",
    "GDPR 28, 44-49",
    "Move the data, declare the host's owner in [[hosting.owner_declarations]], or name a tool.",
)
def host_not_allowed(case: Case) -> Hits:
    """Personal data on a host the profile forbids, on an undeclared host, or transferred without a tool."""
    declared = {row.hostname.lower() for row in case.answers.hosting.owner_declarations}
    for host in case.facts.hosting:
        if "personal_data" not in host.carries:
            continue
        if not host.allowed:
            where = f"{host.hostname} ({host.jurisdiction_class})"
            yield (
                f"{host.component} keeps personal data on {where}, "
                "which the profile does not allow."
            )
        covered = any(covers(name, host.hostname) for name in declared)
        if host.jurisdiction_class == "SELF_DECLARED" and not covered:
            yield f"Nobody declared who owns {host.hostname}, which carries personal data."
    yield from _transferred(case)


def _transferred(case: Case) -> Hits:
    transfers = case.answers.hosting.transfers
    carrying = [host for host in case.facts.hosting if "personal_data" in host.carries]
    outside = [host.hostname for host in carrying if host.jurisdiction_class in OUTSIDE]
    if transfers == () and outside:
        yield (
            "Nobody outside the EEA has access, says hosting.transfers; "
            f"{', '.join(outside)} lies outside."
        )
    for transfer in items_of(transfers):
        if transfer.tool == "none":
            yield f"Access from {transfer.to} has no transfer tool."


@rule(
    "R55",
    "GDPR 24(1), 35(11)",
    "Check the rules against the law, or review the card, and set the next date.",
)
def expired(case: Case) -> Hits:
    """The law date of the rules or the review date of the card has passed. Blocks after a grace period (policy)."""
    law_due = case.card.law_snapshot + timedelta(days=case.policy.law_valid_days)
    yield from _expiry(case, f"The law date {case.card.law_snapshot} expired on", law_due)
    review_due = case.answers.model.review_due
    if review_due != NOT_ANSWERED:
        yield from _expiry(case, "The card's review was due on", review_due)


def _expiry(case: Case, statement: str, due: date) -> Hits:
    late = (case.today - due).days
    if late > 0:
        severity: Severity = "block" if late > case.policy.grace_days else "warn"
        yield RuleHit(
            f"{statement} {due} (policy: {case.policy.grace_days} days of grace).", severity
        )


@rule(
    "M01",
    "GDPR 24(1), 25(1); AI Act 26(5), 72",
    "Run `churn monitor`, and schedule it.",
    severity="warn",
)
def not_watched(case: Case) -> Hits:
    """People are scored and the monitor did not run lately. Blocks for a high-risk system."""
    first, last = case.facts.decision.first_scoring_on, case.facts.monitoring.last_run_on
    allowed = timedelta(days=case.policy.max_monitor_days)
    if last and is_future(last, case.today):
        yield RuleHit(
            f"The monitor last ran on {last}, which is in the future.", _of_high_risk(case)
        )
    # A monitor that never ran is late from the first scoring on.
    began = last or first
    if first is None or began is None or began >= case.today - allowed:
        return
    last_run = f"last ran on {last}" if last else f"never ran, and people are scored since {first}"
    text = f"The monitor {last_run} (policy: every {case.policy.max_monitor_days} days)."
    yield RuleHit(text, _of_high_risk(case))


@rule(
    "M02",
    "GDPR 5(2), 24(1)",
    "Answer it with `churn monitor answer`: who, why, and what is done.",
    severity="warn",
)
def unanswered_alarm(case: Case) -> Hits:
    """An alarm of the monitor has no answer in time. Blocks for a high-risk system."""
    monitoring = case.facts.monitoring
    oldest = monitoring.oldest_unanswered_on
    if oldest and oldest < case.today - timedelta(days=case.policy.answer_within_days):
        text = (
            f"Unanswered since {oldest}: {', '.join(monitoring.unanswered)} "
            f"(policy: {case.policy.answer_within_days} days)."
        )
        yield RuleHit(text, _of_high_risk(case))


def _of_high_risk(case: Case) -> Severity:
    return "block" if case.derived.ai_act.risk_class == "high_risk" else "warn"


@rule(
    "R80",
    "GDPR 5(1)(e), 5(2), 30(1)",
    "Delete what is left there, make a new dump, and call `churn leave finish` with it.",
    severity="warn",
)
def left_system(case: Case) -> Hits:
    """A system that is left holds personal data, and its last dump is old. Blocks if it is recorded as deleted."""
    left = case.facts.leaving
    kinds = ", ".join(row.kind for row in left.remaining if row.personal_data)
    if not kinds:
        return
    if left.deleted_at:
        yield RuleHit(
            f"The record says deleted on {left.deleted_at}, and the dump of "
            f"{left.last_dump_at[:10]} still shows data of people: {kinds}.",
            "block",
        )
    if not left.last_dump_at:
        return
    age = case.today - date.fromisoformat(left.last_dump_at[:10])
    if age.days > MAX_DUMP_AGE_DAYS:
        yield (
            f"The last dump is {age.days} days old, and shows data of people: {kinds}. "
            f"{MAX_DUMP_AGE_DAYS} days are allowed."
        )
