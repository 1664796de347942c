"""Additions that people make to the generated documents in ``documents.toml``.

The file is read and never written. The documents are written anew from the card each time. Grades
of risk, the action plan, decisions, points of a contract and wordings in another language stay
here, so that no new version of a document loses them.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, ValidationError

from sovereign_ml.card.schema.base import NOT_ANSWERED, Day, Flag, Group, Open, Text, Texts
from sovereign_ml.errors import Misuse

FILE: Final = "documents.toml"
# Four levels as in the method of the CNIL. The EDPB's template leaves the method open.
Grade = Literal["negligible", "limited", "significant", "maximum"]
HIGH: Final = ("significant", "maximum")


class RiskGrades(Group):
    """Likelihood and severity of one risk, before and after the measures of the action plan."""

    likelihood: Grade | Open = NOT_ANSWERED
    severity: Grade | Open = NOT_ANSWERED
    residual_likelihood: Grade | Open = NOT_ANSWERED
    residual_severity: Grade | Open = NOT_ANSWERED


class PlannedAction(Group):
    """A measure of the action plan against one risk."""

    risk: Text
    measure: Text
    owner: Text = NOT_ANSWERED
    due: Day = NOT_ANSWERED
    done: Day = NOT_ANSWERED


class FormalDecision(Group):
    """The controller's decision on the assessment.

    ``covers`` is the basis that the document prints.
    """

    outcome: Literal["approve", "approve_with_conditions", "reject", "consult_authority"] | Open = (
        NOT_ANSWERED
    )
    by: Text = NOT_ANSWERED
    on: Day = NOT_ANSWERED
    conditions: Texts = ()
    covers: Text = NOT_ANSWERED


class AssessmentAdditions(Group):
    """Additions to the impact assessment that the questionnaire does not ask for."""

    team: Texts = NOT_ANSWERED
    planning: Text = NOT_ANSWERED
    standards: Texts = NOT_ANSWERED
    risks: dict[str, RiskGrades] = Field(default_factory=dict)
    actions: tuple[PlannedAction, ...] = ()
    decision: FormalDecision = Field(default_factory=FormalDecision)


class ProcessorAdditions(Group):
    """The points of a contract with a processor (GDPR 28(3)(a) to (h)).

    The other processors that it uses are listed as well.
    """

    instructions: Flag = NOT_ANSWERED
    confidentiality: Flag = NOT_ANSWERED
    security: Flag = NOT_ANSWERED
    subprocessors_agreed: Flag = NOT_ANSWERED
    helps_with_rights: Flag = NOT_ANSWERED
    helps_with_duties: Flag = NOT_ANSWERED
    deletes_or_returns: Flag = NOT_ANSWERED
    proves_and_audits: Flag = NOT_ANSWERED
    subprocessors: Texts = NOT_ANSWERED


# GDPR 28(3)(a) to (h): the fields stand in the order of the letters.
POINTS: Final = tuple(name for name in ProcessorAdditions.model_fields if name != "subprocessors")


class TransferAdditions(Group):
    """The assessment of one host or recipient that a law outside the EEA reaches (EDPB 01/2020)."""

    law: Text = NOT_ANSWERED
    practice: Text = NOT_ANSWERED
    measures: Texts = NOT_ANSWERED
    conclusion: Literal["equivalent", "not_equivalent"] | Open = NOT_ANSWERED
    by: Text = NOT_ANSWERED
    on: Day = NOT_ANSWERED
    review_due: Day = NOT_ANSWERED


class BreachAdditions(Group):
    """The place where a breach is notified, and the people who act on it."""

    authority_form: Text = NOT_ANSWERED
    deputy: Text = NOT_ANSWERED
    hotline: Text = NOT_ANSWERED


class StaffAdditions(Group):
    """The agreement about the reviewers' desk."""

    lawful_basis: Text = NOT_ANSWERED
    representation: (
        Literal["agreement", "consulted", "no_representation", "not_consulted"] | Open
    ) = NOT_ANSWERED
    agreement_ref: Text = NOT_ANSWERED
    informed_on: Day = NOT_ANSWERED
    used_for_appraisal: Flag = NOT_ANSWERED
    who_sees: Texts = NOT_ANSWERED


class NoticeAdditions(Group):
    """Texts that only the notice holds."""

    must_people_provide: Text = NOT_ANSWERED
    url: Text = NOT_ANSWERED


class Wording(Group):
    """Words of one language.

    Inputs are keyed by their name, answers by their key in ``model_card.toml``.
    """

    inputs: dict[str, str] = Field(default_factory=dict)
    answers: dict[str, str | tuple[str, ...]] = Field(default_factory=dict)


class Additions(Group):
    """The whole file. ``notes`` are remarks under a document's name, printed at its end."""

    answers_language: str = "en"
    dpia: AssessmentAdditions = Field(default_factory=AssessmentAdditions)
    processors: dict[str, ProcessorAdditions] = Field(default_factory=dict)
    transfers: dict[str, TransferAdditions] = Field(default_factory=dict)
    breach: BreachAdditions = Field(default_factory=BreachAdditions)
    staff: StaffAdditions = Field(default_factory=StaffAdditions)
    notice: NoticeAdditions = Field(default_factory=NoticeAdditions)
    notes: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    languages: dict[str, Wording] = Field(default_factory=dict)


def read_additions(path: Path) -> Additions:
    """Return the content of ``documents.toml``, empty where there is no file.

    Raises Misuse with one line for a mistake.
    """
    try:
        return Additions.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return Additions()
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Misuse(f"{path} is no TOML file: {error}.") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        allowed = first.get("ctx", {}).get("expected", "")
        value = f" {first['input']!r}" if isinstance(first["input"], str | int | float) else ""
        problem = f"{first['msg']}" if not allowed else f"one of {allowed} is allowed"
        raise Misuse(
            f"{path}: {where}{value}: {problem}. docs/documents.md lists the keys."
        ) from None
