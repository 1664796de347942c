"""Rights and notices that are law whatever the card says: the answer "no" refuses."""

from __future__ import annotations

from typing import Final

from sovereign_ml.card.conditions import consent_used
from sovereign_ml.card.rules.engine import Case, Hits, RuleHit, rule
from sovereign_ml.card.schema.base import NOT_ANSWERED

NOTICE: Final = {
    "purposes_and_basis": "purposes and lawful basis (13(1)(c), 14(1)(c))",
    "legitimate_interest": "the legitimate interest (13(1)(d), 14(2)(b))",
    "recipients": "the recipients (13(1)(e), 14(1)(e))",
    "transfers": "transfers outside the EEA (13(1)(f), 14(1)(f))",
    "retention": "how long data is kept (13(2)(a), 14(2)(a))",
    "rights": "the rights (13(2)(b), 14(2)(c))",
    "withdrawal": "the right to withdraw consent (13(2)(c), 14(2)(d))",
    "complaint": "the right to complain (13(2)(d), 14(2)(e))",
    "third_party_source": "categories and source of data from third parties (14(1)(d), 14(2)(f))",
}
PROFILING: Final = {
    "adm_existence": "that people are profiled",
    "logic": "the logic in plain words",
    "significance": "what the score means for them",
    "consequences": "the consequences to expect",
}


@rule("R61", "GDPR 13(1)-(2), 14(1)-(2), 5(1)(a)", "Add it to the notice, then answer yes.")
def incomplete_notice(case: Case) -> Hits:
    """The notice lacks what Articles 13 and 14 demand. On profiling without Article 22 it warns."""
    items = case.answers.notice.items
    for name, content in NOTICE.items():
        if getattr(items, name) is False:
            yield f"The notice does not name {content}."
    if not case.applies22:  # under Article 22 rule R39 refuses
        for name, content in PROFILING.items():
            if getattr(items, name) is False:
                yield RuleHit(
                    f"The notice does not say {content} (13(2)(f); rec. 60 for profiling).", "warn"
                )


@rule(
    "R62",
    "GDPR 4(11), 7(2), 7(4)",
    "Ask for separate consent that names this use and can be refused without disadvantage.",
)
def invalid_consent(case: Case) -> Hits:
    """Consent is relied on that is bundled, not specific, or whose refusal has a disadvantage."""
    if not consent_used(case.answers):
        return
    consent = case.answers.consent
    problems = {
        "granular": "The consent is bundled with terms or other purposes (7(2)).",
        "specific_to_this_use": "The consent does not name this use (4(11)).",
        "refusal_without_detriment": (
            "Refusing consent has a disadvantage, so it is not free (7(4))."
        ),
    }
    # Only a "no" is refused here. Open answers are asked for by rule R01.
    yield from (text for field, text in problems.items() if getattr(consent, field) is False)
    if consent.explicit is False:
        yield RuleHit(
            "The consent is not explicit; special data and Article 22 need explicit consent.",
            "warn",
            "Ask for explicit consent, or keep special data and significant decisions out.",
        )


@rule(
    "R63",
    "GDPR 21(2)-(3), 21(5), 12(5)",
    "Let people stop offers free of charge, by a click, and at once.",
)
def marketing_objection(case: Case) -> Hits:
    """Stopping offers costs something, cannot be done by automated means, or takes too long (policy number)."""
    if not case.when("direct_marketing"):
        return
    objection, limit = case.answers.objection, case.policy.max_objection_hours
    if objection.marketing_free is False:
        yield "Stopping offers is not free of charge (12(5), rec. 70)."
    if objection.marketing_automated_means is False:
        yield "Offers cannot be stopped by automated means (21(5))."
    hours = objection.marketing_sla_hours
    # Written this way, NaN is refused too, which TOML allows.
    if hours != NOT_ANSWERED and not 0 <= float(hours) <= limit:
        yield f"objection.marketing_sla_hours = {hours}: allowed are 0 to {limit} hours (policy)."


@rule("R65", "GDPR 15(1), 15(1)(h), 20", "Give people score, profile and provided data on request.")
def access_without_score(case: Case) -> Hits:
    """An answer to an access request leaves out score and profile, or portability is denied where it is owed."""
    rights = case.answers.rights
    if rights.access_includes_score is False:
        yield "The answer to an access request does not include score and profile."
    if case.when("consent_or_contract") and rights.portability == "not_applicable":
        yield "A phase rests on consent or contract, so portability applies (Art. 20(1)(a))."


@rule("R66", "GDPR 18(1)-(2)", "Leave people whose data is restricted out of scoring.")
def restricted_but_scored(case: Case) -> Hits:
    """People whose data is restricted are scored."""
    if case.answers.restriction.excluded_from_scoring is False:
        yield "People whose data is restricted are scored; only storage is allowed (18(2))."
