"""Answers that cannot both be true."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from sovereign_ml.card.derive import claims_review
from sovereign_ml.card.rules.engine import Case, Hits, RuleHit, rule
from sovereign_ml.card.schema.base import NOT_ANSWERED, items_of, plain


def _words(*forms: str) -> re.Pattern[str]:
    """Return a pattern that finds any of ``forms`` as whole words, in text of one case."""
    return re.compile(rf"(?<!\w)(?:{'|'.join(forms)})(?!\w)")


# Whole words only: "price" stands in "priceless" and "personal" in "personal data". German joins
# words, so its forms say what may be joined, and leave out what means something else.
CONTRACT: Final = _words(
    "contracts?", r"\w*vertr(?:ag(?!lich|en\b)|äge)\w*", "contrats?", "contratos?", "contratt[oi]"
)
ACTION_WORDS: Final = {
    "credit": _words(
        "credits?",
        "creditworthiness",
        "loans?",
        # Neither accreditation, nor a creditor, nor a card to pay with.
        r"\w*(?<!ak)(?<!dis)kredit(?!ier|or|karte)\w*",
        r"\w*darlehen\w*",
        "crédits?",
        "créditos?",
        "credit[oi]",
    ),
    "insurance": _words(
        "insurances?",
        r"\w*versicherung(?!snummer)\w*",
        # Quality assurance is something else, in English and in French.
        "(?<!quality )assurances?(?![ -](?:qualité|of|that|que))",
        # "Seguro" alone is safe, as in "un uso seguro".
        "(?:^|del? |un |el |los |o |(?<=, ))seguros?",
        "assicurazion[ei]",
    ),
    "employment": _words(
        "employments?",
        "employees?",
        "(?<!loan )(?<!credit )(?<!insurance )applicants?",
        r"beschäftigung(?:s\w+)?",
        r"beschäftigte(?:[nr]?(?! sich)|n\w+)",
        # "Bewerbung" alone is advertising too, and a "Mitbewerber" is a competitor.
        r"bewerber\w*",
        r"bewerbungen|bewerbungs\w+",
        # "Personalausweis" and "Personalien" are about a person and not about staff.
        "personal(?:abteilung|akte|auswahl|beschaffung|beurteilung|bewertung|einsatz|einstellung|"
        r"entscheidung|entwicklung|führung|gewinnung|planung|suche|verwaltung|wesen)\w*",
        "(?:von|das|dem|des) personals?(?! data)",
        # "Emploi" and "empleo" are use too, as in "l'emploi de données".
        "(?<!mode d')emplois?(?! d)",
        "empleos?(?! d)",
        "lavorator[ei]",
    ),
    "price_change": _words(
        "prices?",
        "pricing",
        # "Preisgabe" is disclosure, and a "Preisausschreiben" has prizes.
        r"\w*(?<!an)(?<!lob)preis(?!gab|geb|gegeb|geld|ausschreib|träger)\w*",
        "prix",
        "precios?",
        "prezz[oi]",
    ),
    "contract_termination": CONTRACT,
    "contract_refusal": CONTRACT,
    "service_priority": _words("service[ -]?levels?"),
}
"""Words with which people name an action among the uses that are not allowed."""


@rule("R75", "GDPR 5(1)(a), 5(2)", "Correct the one that is wrong.")
def contradicting_answers(case: Case) -> Hits:
    """Two answers contradict each other, so that one of them tells people something untrue."""
    yield from _blocks(case)
    yield from (RuleHit(text, "warn") for text in _warnings(case))


def _blocks(case: Case) -> Iterator[str]:
    decision, purpose = case.answers.decision, case.answers.purpose
    action = decision.downstream_action
    words = ACTION_WORDS.get(action)
    uses = items_of(purpose.out_of_scope_uses)
    named = [use for use in uses if words and words.search(plain(use))]
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
