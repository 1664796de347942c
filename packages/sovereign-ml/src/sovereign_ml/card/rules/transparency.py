"""Rules on notice and explanation.

Sources: GDPR 12-15; C-203/22.
"""

from __future__ import annotations

import re
from typing import Final

from sovereign_ml.card.rules.engine import Case, Hits, RuleHit, Severity, rule
from sovereign_ml.card.schema.base import NOT_ANSWERED, is_open, items_of

ADM_ITEMS: Final = ("adm_existence", "logic", "significance", "consequences")
# C-203/22 paras 58-61: none of these says which data was used and how each weighed.
NO_EXPLANATION: Final = {
    "formula": "a formula",
    "source_code": "source code",
    "shap": "a raw array of SHAP values",
    "generic": "a generic text",
}


@rule(
    "R39",
    "GDPR 13(2)(f), 14(2)(g), 14(3)",
    "Complete the notice and bring it into force before scoring.",
)
def notice(case: Case) -> Hits:
    """The notice lacks the decision's existence, logic, significance or consequences, or a source, or comes too late."""
    section = case.answers.notice
    lacking = [name for name in ADM_ITEMS if getattr(section.items, name) is not True]
    if case.applies22 and lacking:
        yield f"Article 22 applies and the notice lacks {', '.join(lacking)}."
    # GDPR 13 and 14: a notice that begins after the first scoring came too late for these people.
    first = case.facts.decision.first_scoring_on
    if (
        first is not None
        and section.effective_from != NOT_ANSWERED
        and section.effective_from > first
    ):
        yield f"The notice is in force since {section.effective_from}, scoring since {first}."
    sources = case.answers.data.sources
    for source in items_of(sources):
        if source.origin == "third_party" and source.art14_given is not True:
            untold = f"Data from '{source.name}' comes from a third party"
            yield (
                f"{untold}, and people were not told (14(1))."
                if source.art14_given is False
                else case.open(
                    f"{untold}; art14_given does not say whether people were told (14(1))."
                )
            )
    # People write these names, so case and separators are not compared.
    named = "" if sources == NOT_ANSWERED else " ".join(_plain(source.name) for source in sources)
    for table in case.facts.data.event_tables:
        if sources != NOT_ANSWERED and _plain(table.name) not in named:
            yield (
                f"The event table '{table.name}' is read, and data.sources has no source whose "
                "name has that word in it (14(1)(d), 14(2)(f))."
            )


def _plain(name: str) -> str:
    """Return ``name`` in small letters without what stands between words."""
    return re.sub(r"[\W_]+", "", name.casefold())


@rule(
    "R40",
    "C-203/22 paras 58-61; GDPR 12(1)",
    "Say which data was used and how each weighed, in plain words.",
)
def no_individual_explanation(case: Case) -> Hits:
    """The explanation is a formula, code, raw SHAP or generic, or does not say what was used and how it weighed."""
    facts = case.facts.explanation
    # GDPR 15(1)(h) demands the explanation "at least" where Article 22 applies.
    severity: Severity = "block" if case.applies22 else "warn"
    if facts.individual_method in NO_EXPLANATION:
        yield RuleHit(
            f"The individual explanation is {NO_EXPLANATION[facts.individual_method]}.", severity
        )
    lacking = {"inputs_used", "influence_of_each"} - set(facts.individual_returns)
    if lacking:
        yield RuleHit(
            f"The individual explanation does not give {', '.join(sorted(lacking))}.", severity
        )


@rule("R41", "C-203/22 para. 62", "Say what would have changed the outcome.", severity="warn")
def no_counterfactual(case: Case) -> Hits:
    """Nothing says what would have changed the outcome. Blocks when there is no other individual explanation."""
    returns = case.facts.explanation.individual_returns
    if "counterfactual" not in returns:
        severity: Severity = "warn" if "influence_of_each" in returns else case.open_severity
        yield RuleHit("No counterfactual or anything equivalent is given.", severity)


@rule(
    "R42",
    "C-203/22 paras 74-76; GDPR 15(4)",
    "Give what can be given, and the rest to the authority or court.",
)
def trade_secret(case: Case) -> Hits:
    """A blanket trade-secret refusal, or no way for the material to reach the authority or court."""
    explanation = case.answers.explanation
    if explanation.withheld in (NOT_ANSWERED, ()):
        return
    if explanation.blanket_refusal is True:
        yield "Every explanation is refused as a trade secret."
    if is_open(explanation.route_to_authority):
        yield "Something is withheld and no way leads to the authority or court that weighs it."


@rule(
    "R43",
    "GDPR 15(1)(h), 5(2)",
    "Log model version, inputs, threshold and reasons with each decision.",
)
def decisions_without_reasons(case: Case) -> Hits:
    """The decision log does not keep what was actually applied."""
    stored = case.facts.decision.explanation_stored_with_decision
    # Not knowing counts as missing only where Article 22 makes it a duty.
    if stored is False or (case.applies22 and stored is None):
        yield RuleHit(
            "Decisions are not logged with version, inputs, threshold and reasons.",
            "block" if case.applies22 else "warn",
        )
