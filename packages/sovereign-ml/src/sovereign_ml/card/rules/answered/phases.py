"""Rules on the lawful basis that can carry a phase, and on marketing that is denied."""

from __future__ import annotations

from typing import Final

from sovereign_ml.card.derive import MARKETING_ACTIONS
from sovereign_ml.card.rules.engine import Case, Hits, RuleHit, rule

USING: Final = ("train", "score", "act")


@rule(
    "R68",
    "GDPR 6(1)(b)-(e); EDPB 2/2019; C-252/21",
    "Name the basis that really carries the phase.",
)
def basis_that_cannot_carry(case: Case) -> Hits:
    """Vital interests for a commercial score, contract for offers, or law and public task without their law."""
    used = case.answers.lawful_basis.used()
    vital = [phase for phase, basis in used.items() if basis == "6_1_d"]
    if vital:
        yield (
            f"Vital interests (6(1)(d), rec. 46) cannot carry {', '.join(vital)}: "
            "nobody's life is at stake."
        )
    if case.when("direct_marketing"):
        offers = [phase for phase in ("score", "act") if used.get(phase) == "6_1_b"]
        if offers:
            yield f"An offer is not necessary to perform a contract (6(1)(b)): {', '.join(offers)}."
    if used.get("train") == "6_1_b":
        yield RuleHit("Training a model is rarely necessary for a contract (EDPB 2/2019).", "warn")
    ordered = [phase for phase in USING if used.get(phase) in ("6_1_c", "6_1_e")]
    if ordered:
        yield RuleHit(
            f"{', '.join(ordered)} rests on a legal obligation or public task: "
            "is there such a law (6(3))?",
            "warn",
        )
    if used.get("act") == "eprivacy_13_2" and not _soft_opt_in(case):
        yield "lawful_basis.act is eprivacy_13_2, which holds for a soft opt-in only (C-654/23)."


def _soft_opt_in(case: Case) -> bool:
    eprivacy = case.answers.eprivacy
    return eprivacy.e_marketing_basis == "soft_opt_in" and eprivacy.soft_opt_in_holds is True


@rule(
    "R69",
    "GDPR 21(2)-(3), rec. 70",
    "Answer purpose.direct_marketing with true: choosing who gets an offer is direct marketing.",
)
def marketing_denied(case: Case) -> Hits:
    """Marketing is denied beside an offer, or beside a basis for electronic marketing."""
    if case.answers.purpose.direct_marketing is not False:
        return
    action = case.answers.decision.downstream_action
    if action in MARKETING_ACTIONS:
        yield f"purpose.direct_marketing is false and the action is '{action}'."
    if case.answers.eprivacy.e_marketing_basis in ("opt_in", "soft_opt_in"):
        yield (
            "purpose.direct_marketing is false and eprivacy.e_marketing_basis says "
            "how offers go out."
        )
