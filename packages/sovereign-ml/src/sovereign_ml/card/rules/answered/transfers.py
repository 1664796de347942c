"""Rule on transfers outside the EEA (GDPR 44-49).

The tool has to exist for the country and to be on record.
"""

from __future__ import annotations

from sovereign_ml.card.rules.answered.adequacy import ADEQUATE, COUNTRIES, DPF_APPEAL, EEA
from sovereign_ml.card.rules.engine import Case, Hits, RuleHit, rule
from sovereign_ml.card.schema.base import is_open, items_of
from sovereign_ml.card.schema.rights import Transfer


@rule(
    "R74",
    "GDPR 44-46, 49; C-311/18; EDPB 01/2020",
    "Name the country by code, a tool that exists for it, its evidence and the assessment.",
)
def transfer_without_ground(case: Case) -> Hits:
    """A transfer to an unknown country, on adequacy that nobody decided, or without evidence or assessment."""
    transfers = case.answers.hosting.transfers
    for transfer in items_of(transfers):
        if problem := _problem(transfer, case):
            yield f"hosting.transfers, {transfer.to}, tool '{transfer.tool}': {problem}."
        elif transfer.tool == "dpf" and is_open(transfer.tia_ref):
            yield RuleHit(
                f"hosting.transfers, {transfer.to}: {DPF_APPEAL}, "
                "and tia_ref names no assessment without it.",
                "warn",
            )


def _problem(transfer: Transfer, case: Case) -> str:
    if transfer.to not in COUNTRIES:
        return "that is no country code of ISO 3166-1 such as US"
    if transfer.to in EEA:
        return "that country is in the EEA, where no transfer happens"
    if transfer.tool == "adequacy":
        return _inadequate(transfer.to, case)
    return "" if transfer.tool == "none" else _unproven(transfer)  # rule R53 refuses "none"


def _unproven(transfer: Transfer) -> str:
    if transfer.tool == "dpf" and transfer.to != "US":
        return "the Data Privacy Framework covers certified companies in the United States only"
    if is_open(transfer.reference):
        return "reference names no certification, clauses, rules or case of Article 49(1)"
    assessed = transfer.tool not in ("scc", "bcr", "art49") or not is_open(transfer.tia_ref)
    return "" if assessed else "tia_ref names no assessment"


def _inadequate(country: str, case: Case) -> str:
    decision = ADEQUATE.get(country)
    if decision is None:
        return "no adequacy decision of the Commission is known for it"
    if decision.until and case.today > decision.until:
        return f"the decision {decision.source} ended on {decision.until}"
    return ""
