"""Rules on special categories and criminal data.

Sources: GDPR 9, 10, 22(4); AI Act 4a.
"""

from __future__ import annotations

from sovereign_ml.card.duties import special_features
from sovereign_ml.card.rules.engine import Case, Hits, RuleHit, rule
from sovereign_ml.card.schema.base import NOT_ANSWERED, is_open

UNMEASURED = (
    "Add group columns to the customers table, or waive this in [[sign_off.waivers]] and say why."
)


@rule(
    "R12",
    "GDPR 9(1)-(2)",
    "Take it out, list a false proxy in special.proxies_cleared, or name a condition of 9(2).",
)
def special_without_condition(case: Case) -> Hits:
    """Special-category data or a proxy is used without a condition of 9(2). Warns while proxies are not measured."""
    features = special_features(case.answers, case.facts)
    condition = case.answers.special.art9_condition
    if features and condition in ("none", NOT_ANSWERED):
        hit = f"{', '.join(features)}: special-category data or a proxy, condition '{condition}'."
        # "none" contradicts the data and blocks. No answer is an open question.
        yield hit if condition == "none" else case.open(hit)
    scan = case.facts.data.special_scan
    if scan and not scan.associations:
        reason = scan.not_measured_because or "not recorded"
        yield RuleHit(
            f"Proxies were not measured, only names were compared: {reason}.", "warn", UNMEASURED
        )


@rule(
    "R13", "GDPR 22(4)", "Take the feature out, or rely on 9(2)(a) or (g) with written safeguards."
)
def special_in_article_22(case: Case) -> Hits:
    """Article 22 applies to special data without 9(2)(a) or (g), or without safeguards."""
    special = case.answers.special
    if not case.applies22 or not special_features(case.answers, case.facts):
        return
    if special.art9_condition not in ("9_2_a", "9_2_g"):
        yield (
            "Article 22(4) allows special data only under 9(2)(a) or (g), "
            f"not '{special.art9_condition}'."
        )
    if is_open(special.art22_4_safeguards):
        yield "special.art22_4_safeguards is empty."


@rule("R14", "GDPR 9(2)(a)", "Ask for explicit consent that names this very use.")
def special_consent(case: Case) -> Hits:
    """Consent for special data that is not explicit or not specific to this use."""
    consent = case.answers.consent
    if case.answers.special.art9_condition == "9_2_a":
        # Article 9(2)(a) asks for explicit consent to specified purposes, so an open answer is
        # none.
        if consent.explicit is not True:
            yield "The consent for special data is not explicit."
        if consent.specific_to_this_use is not True:
            yield "The consent for special data does not name this use."


@rule("R15", "GDPR 9(2)", "Name a condition of Article 9(2); legitimate interest is none.")
def legitimate_interest_for_special(case: Case) -> Hits:
    """Legitimate interest is given as a condition of Article 9."""
    if case.answers.special.art9_condition == "legitimate_interest":
        yield "Legitimate interest is given as condition for special data; the list is closed."


@rule("R16", "GDPR 10", "Cite the law that allows it, or take the data out.")
def criminal_data(case: Case) -> Hits:
    """Data on offences without an authorising law."""
    if case.answers.special.criminal_data is True and is_open(
        case.answers.special.criminal_law_ref
    ):
        yield "There is data on offences and no law is cited."


@rule(
    "R54",
    "AI Act 4a(1); GDPR 5(1)(e)",
    "Meet all six conditions and delete the special data after the test.",
)
def bias_testing(case: Case) -> Hits:
    """Special data kept after a bias test, or one of the six conditions is not met."""
    testing = case.answers.special.bias_testing
    if testing.used is not True:
        return
    if (
        testing.conditions_met == NOT_ANSWERED
        or len(testing.conditions_met) != 6
        or not all(testing.conditions_met)
    ):
        yield "Not all six conditions (a) to (f) are met."
    # A day in the future is a plan and no deletion.
    if testing.deleted_on == NOT_ANSWERED or testing.deleted_on > case.today:
        yield "The special data of the bias test is not deleted yet."
