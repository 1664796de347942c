"""Answers compared with what the pipeline measured and what the configuration says."""

from __future__ import annotations

from typing import Final

from sovereign_ml.card.rules.answered.periods import days, same_period
from sovereign_ml.card.rules.engine import Case, Hits, RuleHit, rule
from sovereign_ml.card.schema.base import NOT_ANSWERED, is_open, plain

# The values of ``[data] lawful_basis``. Consent also holds where a consent column gates the rows.
BASIS_OF_CONFIGURATION: Final = {
    "consent": "6_1_a",
    "contract": "6_1_b",
    "legal_obligation": "6_1_c",
    "vital_interests": "6_1_d",
    "public_task": "6_1_e",
    "legitimate_interests": "6_1_f",
}
COUNTRY: Final = "country="


@rule(
    "R73",
    "GDPR 5(1)(d), 5(2)",
    "Correct the answer, or the configuration and the data that contradict it.",
)
def contradicted_by_the_data(case: Case) -> Hits:
    """An answer differs from the data or the configuration: countries, children, basis, periods, contacts."""
    yield from _countries(case)
    if case.answers.purpose.children_possible is False:
        yield from _children(case)
    yield from _basis(case)
    yield from _periods(case)
    yield from _contacts(case)


def _children(case: Case) -> Hits:
    if case.facts.data.minors_found is True:
        yield "purpose.children_possible is false, and birth years in the data are those of minors."
    # No block: a shop that asks for the age may know that these people are 18 already.
    elif case.facts.data.minors_possible is True:
        yield RuleHit(
            "purpose.children_possible is false, and by the birth year a person in the data may "
            "still be 17.",
            "warn",
        )


def _countries(case: Case) -> Hits:
    stated = case.answers.purpose.territories
    if stated == NOT_ANSWERED:
        return
    groups = [row.group for row in case.facts.data.representativeness]
    groups += [row.slice for row in case.facts.evaluation.slices if not row.suppressed]
    countries = {country_in(name) for name in groups if name.startswith(COUNTRY)}
    # Only a two-letter value is the code of a country.
    missing = sorted(code for code in countries if len(code) == 2 and code not in stated)
    if missing:
        yield f"purpose.territories leaves out {', '.join(missing)}, where people in the data live."


def country_in(group: str) -> str:
    """Return the ISO code in a group such as ``country=de``, another value as it is.

    Data often has small letters, or the codes of the European Commission for the United Kingdom and
    Greece. Answers have ISO codes.
    """
    value = group.removeprefix(COUNTRY).strip()
    code = value.upper()
    return {"UK": "GB", "EL": "GR"}.get(code, code) if len(value) == 2 else value


def _basis(case: Case) -> Hits:
    configured = case.facts.consent.configured_basis
    basis = BASIS_OF_CONFIGURATION.get(configured)
    used = case.answers.lawful_basis.used()
    # These phases use the rows that the configuration chose.
    if basis is None or NOT_ANSWERED in (
        getattr(case.answers.lawful_basis, phase).basis for phase in ("collect", "train", "score")
    ):
        return
    if basis not in (used["collect"], used["train"], used["score"]):
        yield (
            f"The rows were chosen on the basis '{configured}' ([data] in config.toml), and no "
            f"phase of [lawful_basis] names {basis}."
        )


def _periods(case: Case) -> Hits:
    answered = case.answers.retention.objects
    rules: dict[str, str] = (
        {} if isinstance(answered, str) else {row.object: row.period for row in answered}
    )
    for stored in case.facts.retention.objects:
        stated, configured = rules.get(stored.object, ""), stored.period or ""
        # A text that is no period is named by the rule on forms.
        if days(stated) is None or days(configured) is None:
            continue
        if not same_period(stated, configured):
            yield (
                f"{stored.object} is kept {stated} in model_card.toml and "
                f"{configured} in [retention] of config.toml."
            )


def _contacts(case: Case) -> Hits:
    roles, project = case.answers.roles, case.facts.project
    pairs = {
        "controller_contact": (roles.controller_contact, project.contact),
        "dpo_contact": (roles.dpo_contact, project.dpo_contact),
    }
    for name, (answer, configured) in pairs.items():
        if is_open(answer) or is_open(configured):
            continue
        # People may write more than the address, so each text may hold the other.
        if plain(configured) not in plain(answer) and plain(answer) not in plain(configured):
            yield RuleHit(
                f"roles.{name} is '{answer}', and people are told '{configured}' "
                "([project] in config.toml).",
                "warn",
            )
