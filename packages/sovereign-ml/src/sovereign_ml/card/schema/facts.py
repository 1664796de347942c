"""All facts of the pipeline.

Every one is optional, so that a partial flow works and what is missing is a finding.
"""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

from pydantic import Field

from sovereign_ml.card.schema.base import Group, fill, part
from sovereign_ml.card.schema.facts_data import ConsentFacts, DataFacts, Host, RetentionFacts
from sovereign_ml.card.schema.facts_model import (
    DecisionFacts,
    EvaluationFacts,
    ExplanationFacts,
    LibraryFacts,
    ModelFacts,
    ModelPrivacyFacts,
    MonitoringFacts,
    ReviewFacts,
    Run,
)


class Imported(Group):
    """Origin of an imported card.

    Its status is kept as text and is evidence for nothing (GDPR 5(2)).
    """

    source: Literal["sagemaker", "hf", "mct", "cyclonedx", "none"] = "none"
    schema_version: str = ""
    raw_sha256: str = ""
    foreign_status: str = ""
    unmapped: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class LeftResource(Group):
    """A kind of resource that the other system still holds, with its number as a range."""

    kind: str
    count: str
    personal_data: bool = False


MAX_DUMP_AGE_DAYS = 90
"""Age from which on the last dump of a system says too little about what that still holds."""


class LeavingFacts(Group):
    """State of leaving another system, as the report of `churn leave` has it.

    ``brought`` names what was brought here: runs, registry, cards, features or notebooks.
    """

    system: Literal["", "sagemaker"] = ""
    state: str = ""
    since: str = ""
    last_dump_at: str = ""
    brought: tuple[str, ...] = ()
    remaining: tuple[LeftResource, ...] = ()
    deleted_at: str = ""
    evidence_sha256: str = ""


class PreviousCard(Group):
    """Statements of the production version's card, for comparison."""

    version: str = ""
    bases: dict[str, str] = Field(default_factory=dict)
    purpose: str = ""
    notice_version: str = ""


class ProjectFacts(Group):
    """Contacts that ``[project]`` of the configuration tells people, in service and letters."""

    contact: str = ""
    dpo_contact: str = ""


class NationalLaw(Group):
    """A national opening of the GDPR, or an entry of an authority's list, with source and date.

    ``when`` is a named condition. ``field`` is the answer that has to name the entry. ``age`` is
    that of Article 8(1).
    """

    country: str = Field(pattern=r"^[A-Z]{2}$")
    article: Literal["6(2)", "8(1)", "9(4)", "22(2)(b)", "35(4)", "88", "ePrivacy 13(2)"]
    name: str = Field(min_length=1)
    what: str = Field(min_length=1)
    when: str = "always"
    field: str = ""
    age: int | None = Field(None, ge=13, le=16)
    source: str = Field(min_length=1)
    dated: date
    read: str = ""


class CampaignFacts(Group):
    """The newest campaign with a control group whose outcomes are known.

    ``prevented`` is the share of churn that the offer prevented, with a 95 % interval. Counts of
    people are ranges. ``newer_open`` counts newer campaigns whose outcomes are not known yet.
    """

    name: str = ""
    listed_on: date | None = None
    treated: str = ""
    control: str = ""
    # Article 35(7)(b) asks for necessity: nobody needs a score for offers that change nothing.
    prevented: float | None = fill(
        "Churn that offers prevented, measured against a control group", "GDPR 5(1)(c), 35(7)(b)"
    )
    low: float | None = None
    high: float | None = None
    newer_open: int = 0

    @property
    def is_shown(self) -> bool:
        """Return whether the interval excludes zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


class OwnRule(Group):
    """A rule that the team added to those of the library."""

    id: str
    severity: Literal["block", "warn"]
    article: str
    refuses: str


class OwnRulesFacts(Group):
    """The team's own rules when the card was written. ``digest`` covers their code only."""

    digest: str = ""
    rules: tuple[OwnRule, ...] = ()


class Facts(Group):
    """Everything that the pipeline knows without asking anybody."""

    run: Run = part(Run)
    project: ProjectFacts = part(ProjectFacts)
    library: LibraryFacts = part(LibraryFacts)
    model: ModelFacts = part(ModelFacts)
    decision: DecisionFacts = part(DecisionFacts)
    review: ReviewFacts = part(ReviewFacts)
    data: DataFacts = part(DataFacts)
    consent: ConsentFacts = part(ConsentFacts)
    retention: RetentionFacts = part(RetentionFacts)
    model_privacy: ModelPrivacyFacts = part(ModelPrivacyFacts)
    explanation: ExplanationFacts = part(ExplanationFacts)
    evaluation: EvaluationFacts = part(EvaluationFacts)
    monitoring: MonitoringFacts = part(MonitoringFacts)
    campaign: CampaignFacts = part(CampaignFacts)
    hosting: tuple[Host, ...] = fill(
        "Endpoints found by the audit", "GDPR 28, 30(1)(d)-(e), 44-49", when="always", default=()
    )
    imported: Imported = part(Imported)
    leaving: LeavingFacts = part(LeavingFacts)
    previous: PreviousCard | None = None
    # Apart from the digest of the library: a change of the team is none of the library.
    own_rules: OwnRulesFacts = part(OwnRulesFacts)
    national_law: tuple[NationalLaw, ...] = fill(
        "National law and lists that the team added", "GDPR 6(2), 22(2)(b), 35(4)", default=()
    )
    policy: dict[str, dict[str, Any]] = fill(
        "Numbers of [card.policy] that judge the card: value, default, limit",
        "GDPR 5(2), 24",
        default={},
    )
