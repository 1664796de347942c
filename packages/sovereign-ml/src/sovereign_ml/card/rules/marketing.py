"""Rules on objection, electronic offers and personalised prices.

Sources: GDPR 21; Directives 2002/58 and 2011/83.
"""

from __future__ import annotations

from sovereign_ml.card.derive import may_object
from sovereign_ml.card.rules.engine import Case, Hits, rule
from sovereign_ml.card.schema.base import is_open


@rule("R27", "GDPR 21(2)-(3)", "Offer an opt-out and apply it when scoring and when acting.")
def opt_out(case: Case) -> Hits:
    """Direct marketing without an opt-out channel, without suppression when scoring or sending, or with a leak."""
    if not case.when("direct_marketing"):
        return
    if is_open(case.answers.objection.marketing_channel):
        yield case.open("There is no channel to stop offers.")
    if is_open(case.answers.objection.marketing_at_sending):
        yield case.open("It is not said how objections are applied where offers go out.")
    applied = case.facts.consent.suppression_applied_to
    if "score" not in applied:
        message = "Objections are not applied at: score."
        # Where nothing was recorded, the fact is open and the check has not failed.
        yield message if applied else case.open(message)
    if case.facts.consent.leak_count:
        yield f"{case.facts.consent.leak_count} people who objected were scored."


@rule("R28", "GDPR 21(3)", "Stop without weighing: an objection to marketing is unconditional.")
def marketing_objection_weighed(case: Case) -> Hits:
    """An objection to marketing is weighed against compelling grounds."""
    if case.when("direct_marketing") and case.answers.objection.marketing_weighed is True:
        yield "Objections to marketing are weighed against the controller's own grounds."


@rule(
    "R29",
    "GDPR 21(1)-(2), 21(4)",
    "Set up the procedure and bring the right clearly and separately in the notice.",
)
def general_objection(case: Case) -> Hits:
    """A right to object without a procedure, or that the notice does not bring clearly and separately."""
    objection = case.answers.objection
    procedure = (objection.general_channel, objection.compelling_grounds_procedure)
    if case.when("interest_or_public_task") and any(is_open(answer) for answer in procedure):
        yield case.open("There is no procedure for a general objection.")
    if not may_object(case.answers):
        return
    if case.answers.notice.items.objection_separate is False:
        yield "The notice does not bring the right to object clearly and separately (21(4))."


@rule(
    "R30",
    "Dir. 2002/58 Art. 13, 5(3)",
    "Get an opt-in, check the soft opt-in, or do not send electronically.",
)
def electronic_offers(case: Case) -> Hits:
    """Electronic offers without opt-in or valid soft opt-in, or device data without consent."""
    eprivacy = case.answers.eprivacy
    if case.when("direct_marketing") and eprivacy.e_marketing_basis == "none":
        yield "Electronic offers go out without opt-in or soft opt-in."
    if eprivacy.e_marketing_basis == "soft_opt_in" and eprivacy.soft_opt_in_holds is False:
        yield "The soft opt-in is relied on, but not all of its conditions hold (Art. 13(2))."
    if eprivacy.terminal_access is True and is_open(eprivacy.terminal_consent_ref):
        yield "Data is read from devices without a documented consent."


@rule(
    "R31",
    "Dir. 2011/83 Art. 6(1)(ea)",
    "Tell people before the contract that the price is personalised.",
)
def personalised_price(case: Case) -> Hits:
    """A personalised price without notice before the contract."""
    if case.answers.decision.price_personalised is True and is_open(
        case.answers.decision.price_notice_ref
    ):
        yield "The price is personalised and no notice before the contract is named."
