"""Answers that cannot both be true."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sovereign_ml.card.derive import claims_review
from sovereign_ml.card.rules.engine import Case, Hits, RuleHit, rule
from sovereign_ml.card.schema.base import NOT_ANSWERED, items_of, plain

# Words with which people name an action among the uses that are not allowed.
ACTION_WORDS: Final = {
    "credit": ("credit", "kredit", "crédit", "crédito", "loan", "darlehen"),
    "insurance": ("insurance", "versicherung", "assurance", "seguro", "assicurazione"),
    "employment": ("employ", "applicant", "beschäftig", "bewerb", "personal", "emploi"),
    "price_change": ("price", "preis", "prix", "precio", "prezzo"),
    "contract_termination": ("contract", "vertrag", "contrat", "contrato", "contratto"),
    "contract_refusal": ("contract", "vertrag", "contrat", "contrato", "contratto"),
    "service_priority": ("service level", "service-level", "servicelevel"),
}


@rule("R75", "GDPR 5(1)(a), 5(2)", "Correct the one that is wrong.")
def contradicting_answers(case: Case) -> Hits:
    """Two answers contradict each other, so that one of them tells people something untrue."""
    yield from _blocks(case)
    yield from (RuleHit(text, "warn") for text in _warnings(case))


def _blocks(case: Case) -> Iterator[str]:
    decision, purpose = case.answers.decision, case.answers.purpose
    action = decision.downstream_action
    named = [
        use
        for use in items_of(purpose.out_of_scope_uses)
        for word in ACTION_WORDS.get(action, ())
        if word in plain(use)
    ]
    if named:
        yield (
            f"The action is '{action}', and among the uses that are not allowed "
            f"stands '{named[0]}'."
        )
    if action == "price_change" and decision.price_personalised is False:
        yield "The action is 'price_change', and decision.price_personalised says no."
    fresh = purpose.relation_to_collection == "fresh_consent"
    if fresh and not case.when("consent_used"):
        yield "purpose.relation_to_collection is fresh_consent, and nothing rests on consent."


def _warnings(case: Case) -> Iterator[str]:
    decision, review = case.answers.decision, case.answers.human_review
    if decision.automation_level == "solely_automated" and decision.score_role == "informs":
        yield (
            "No person takes part, so the score determines the outcome and does not only inform it."
        )
    if review.stage == "none" and review.coverage not in ("none", NOT_ANSWERED):
        yield f"No person looks at a case, and human_review.coverage is '{review.coverage}'."
    if review.coverage == "none" and claims_review(case.answers):
        yield "A person is said to take part, and human_review.coverage is 'none'."
    exception = case.answers.art22.exception
    applies = case.derived.decision.art22_applies
    if applies is False and exception not in ("not_applicable", "none", NOT_ANSWERED):
        yield f"Article 22 does not apply, and the exception '{exception}' is relied on."
    sources = case.answers.data.sources
    for source in items_of(sources):
        if source.origin != "third_party" and source.art14_given != NOT_ANSWERED:
            yield f"'{source.name}' has an art14_given, and its origin is '{source.origin}'."
    if decision.effect in ("none", "minor") and case.significant:
        why = ", ".join(case.derived.decision.effect_why)
        yield f"decision.effect is '{decision.effect}', and it is significant: {why}."
    if decision.effect in ("similarly_significant", "legal") and (
        decision.downstream_action == "analytics_only"
    ):
        yield "The action is analytics_only, and the effect on people is called significant."
