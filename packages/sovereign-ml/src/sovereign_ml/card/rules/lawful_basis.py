"""Rules on lawful basis, consent and purpose (GDPR 5-7)."""

from __future__ import annotations

import re
from typing import Final

from sovereign_ml.card.conditions import consent_used
from sovereign_ml.card.person_names import is_named_person
from sovereign_ml.card.rules.engine import Case, Hits, RuleHit, Severity, rule
from sovereign_ml.card.schema.base import NOT_ANSWERED, is_open
from sovereign_ml.card.schema.basis import PHASES, LegitimateInterest

# Word lists, in English and German: they cannot judge, so a named person who has read the text
# overrules them.
VAGUE: Final = re.compile(
    r"(improve|optimi[sz]e|enhance|develop)\s+(the|our|a)?\s*(model|product|service|business)s?\W*$"
    r"|^business (purpose|interest|need)s?\W*$|^(ai|analytics|marketing|innovation)\W*$"
    r"|(verbesserung|optimierung|weiterentwicklung)\s+(des|der|unseres|unserer)?\s*(modell|produkt"
    r"|dienst|angebot)\w*\W*$"
    r"|^(berechtigtes|gesch\u00e4ftliches|wirtschaftliches) interesse\W*$",
    re.IGNORECASE,
)
DUTIES: Final = re.compile(
    r"privacy notice|right (to|of) (access|erasure|object|rectification)|opt.?out|objection"
    r"|security|encrypt"
    r"|pseudonymi[sz]|dpia|impact assessment|record of processing|data processing agreement|delet"
    r"|datenschutzhinweis|recht auf (auskunft|l\u00f6schung|widerspruch|berichtigung)|widerspruch"
    r"|verschl\u00fcssel"
    r"|folgenabsch\u00e4tzung|verarbeitungsverzeichnis|auftragsverarbeitung|l\u00f6sch",
    re.IGNORECASE,
)
CHECKED: Final = (
    "Say it precisely, or name in legitimate_interest.wording_checked_by who has read it "
    "and stands by it."
)


@rule(
    "R08",
    "GDPR 7(3), 17(1)(b)",
    "Make withdrawal as easy as giving, stop scoring soon, and drop the rows.",
)
def withdrawal(case: Case) -> Hits:
    """Consent without a channel to withdraw, harder than giving, scoring goes on, or withdrawn rows are found."""
    if not consent_used(case.answers):
        return
    section = case.answers.consent.withdrawal
    hours = section.stops_scoring_within_hours
    if is_open(section.channel):
        yield "There is no channel to withdraw."
    if section.as_easy_as_giving is False:
        yield "Withdrawing is harder than giving consent."
    if hours != NOT_ANSWERED and float(hours) > case.policy.max_withdrawal_hours:
        yield (
            f"Scoring stops {hours} hours after withdrawal "
            f"(policy: {case.policy.max_withdrawal_hours})."
        )
    if case.facts.consent.withdrawn_rows_found:
        yield f"{case.facts.consent.withdrawn_rows_found} rows belong to people who withdrew."


@rule("R09", "GDPR 6(1)(a), 7(1)", "Drop the rows without valid consent and run the flow again.")
def rows_without_consent(case: Case) -> Hits:
    """The basis is consent and some rows have none."""
    share = case.facts.consent.valid_share_of_rows
    if consent_used(case.answers) and share is not None and share < 1.0:
        yield f"Only {share:.2%} of rows have valid consent."


@rule("R23", "GDPR 6(1); Opinion 28/2024", "Name a basis and its document for each phase.")
def phase_without_basis(case: Case) -> Hits:
    """A phase has no lawful basis or no document for it, or one basis silently carries training and acting."""
    # The last phase, the test for bias, exists only when special data is used for it.
    rows = {phase: getattr(case.answers.lawful_basis, phase) for phase in PHASES[:-1]}
    lacking = [
        phase for phase, row in rows.items() if row.basis == NOT_ANSWERED or is_open(row.reference)
    ]
    if lacking:
        yield case.open(f"No lawful basis with a document for: {', '.join(lacking)}.")
    used = case.answers.lawful_basis.used()
    silent = is_open(case.answers.lawful_basis.one_basis_reason)
    if silent and used.get("train") is not None and used.get("train") == used.get("act"):
        yield RuleHit(
            f"Training and acting both stand on {used['act']} and lawful_basis.one_basis_reason "
            "does not say why.",
            "warn",
            "Say why one basis carries both phases, or name two.",
        )


@rule(
    "R24",
    "GDPR 6(1)(f); Opinion 28/2024 s. 3.3",
    "Complete the three steps: interest, necessity, balancing.",
)
def weak_legitimate_interest(case: Case) -> Hits:
    """Legitimate interest without the three steps, with a vague interest, or with duties sold as mitigations."""
    if not case.when("legitimate_interest"):
        return
    assessment = case.answers.legitimate_interest
    # The person who read the wording is no step of the assessment.
    steps = [name for name in LegitimateInterest.model_fields if name != "wording_checked_by"]
    lacking = [name for name in steps if is_open(getattr(assessment, name))]
    if lacking:
        yield case.open(f"[legitimate_interest] lacks {', '.join(lacking)}.")
    yield from _as_worded(assessment)
    if (
        assessment.lawful is False
        or assessment.real_and_present is False
        or assessment.outcome == "does_not_prevail"
    ):
        yield "The assessment itself says that the interest does not carry the processing."
    if assessment.mitigations_beyond_duty == ():
        yield "No mitigation goes beyond what the law demands anyway."


def _as_worded(assessment: LegitimateInterest) -> Hits:
    """Yield what the wording suggests.

    It blocks until a named person has read the words, and warns from then on.
    """
    severity: Severity = "warn" if is_named_person(assessment.wording_checked_by) else "block"
    if not is_open(assessment.interest) and (
        VAGUE.search(assessment.interest) or len(assessment.interest) < 15
    ):
        yield RuleHit(
            f"The interest '{assessment.interest}' is not stated precisely.", severity, CHECKED
        )
    beyond = assessment.mitigations_beyond_duty
    if isinstance(beyond, tuple) and beyond and all(DUTIES.search(item) for item in beyond):
        yield RuleHit("The mitigations read like what the law demands anyway.", severity, CHECKED)


@rule(
    "R25",
    "GDPR 5(1)(a)-(b), 13(3)",
    "Keep the basis, or state a new purpose and give people a new notice.",
    severity="warn",
)
def switched_basis(case: Case) -> Hits:
    """The basis of a phase changed since the production version, with the same purpose or the same notice."""
    before = case.facts.previous
    if before is None:
        return
    now = case.answers.lawful_basis.used()
    # An open phase was not switched. Rule R23 asks for it.
    switched = [phase for phase, basis in before.bases.items() if now.get(phase, basis) != basis]
    same = (
        case.answers.purpose.statement == before.purpose
        or case.answers.notice.version == before.notice_version
    )
    if switched and same:
        yield (
            f"The basis of {', '.join(switched)} was switched without a new purpose "
            "and a new notice."
        )


@rule(
    "R26",
    "GDPR 5(1)(b), 6(4)",
    "Write the five-factor note, ask for fresh consent, or use other data.",
)
def incompatible_purpose(case: Case) -> Hits:
    """The purpose is incompatible, compatible without the note, or consented data is re-used as compatible."""
    purpose = case.answers.purpose
    if purpose.relation_to_collection == "incompatible":
        yield "The purpose is incompatible with the one the data was collected for."
    if purpose.relation_to_collection == "compatible_6_4":
        if is_open(purpose.compatibility_assessment_ref):
            yield "The purpose is called compatible without a note on the five factors."
        if case.answers.lawful_basis.collect.basis == "6_1_a":
            yield "Data collected on consent is re-used as 'compatible'."
