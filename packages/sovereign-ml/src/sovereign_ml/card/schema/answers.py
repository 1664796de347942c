"""All answers of ``model_card.toml``: one attribute for each table of the file."""

from __future__ import annotations

from sovereign_ml.card.schema.base import Group, part
from sovereign_ml.card.schema.basis import (
    Consent,
    EPrivacy,
    LawfulBasis,
    LegitimateInterest,
    Special,
)
from sovereign_ml.card.schema.data_life import (
    Data,
    ErasureAnswers,
    Identity,
    ModelPrivacy,
    Restriction,
    RetentionAnswers,
)
from sovereign_ml.card.schema.oversight import AiAct, Evaluation, Monitoring, SignOff
from sovereign_ml.card.schema.people import DecisionAnswers, Purpose, Roles
from sovereign_ml.card.schema.rights import (
    Dpia,
    ExplanationAnswers,
    Hosting,
    Notice,
    Objection,
    Rights,
    Ropa,
)
from sovereign_ml.card.schema.safeguards import Art22, HumanReview


class Answers(Group):
    """Answers that only people know, in the order in which ``model_card.toml`` asks."""

    model: Identity = part(Identity)
    roles: Roles = part(Roles)
    purpose: Purpose = part(Purpose)
    decision: DecisionAnswers = part(DecisionAnswers)
    art22: Art22 = part(Art22)
    human_review: HumanReview = part(HumanReview)
    lawful_basis: LawfulBasis = part(LawfulBasis)
    legitimate_interest: LegitimateInterest = part(LegitimateInterest)
    consent: Consent = part(Consent)
    eprivacy: EPrivacy = part(EPrivacy)
    special: Special = part(Special)
    data: Data = part(Data)
    retention: RetentionAnswers = part(RetentionAnswers)
    erasure: ErasureAnswers = part(ErasureAnswers)
    restriction: Restriction = part(Restriction)
    model_privacy: ModelPrivacy = part(ModelPrivacy)
    notice: Notice = part(Notice)
    explanation: ExplanationAnswers = part(ExplanationAnswers)
    rights: Rights = part(Rights)
    objection: Objection = part(Objection)
    dpia: Dpia = part(Dpia)
    ropa: Ropa = part(Ropa)
    hosting: Hosting = part(Hosting)
    evaluation: Evaluation = part(Evaluation)
    monitoring: Monitoring = part(Monitoring)
    ai_act: AiAct = part(AiAct)
    sign_off: SignOff = part(SignOff)
