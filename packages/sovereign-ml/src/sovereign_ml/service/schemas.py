"""Requests and answers of the API as models, with the examples that the OpenAPI document shows."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, create_model

from sovereign_ml.decisions.decision_policy import NO_DECISION, NOBODY, DecisionPolicy, OutcomeName
from sovereign_ml.decisions.feature_contract import FeatureContract, FeatureSpec

MOST_IN_A_BATCH = 1000
LONGEST_CATEGORY = 200
"""Letters of a category."""
ID = "0b6f1c3e9a7d4e52"
CASE = "5f0c1d2e3b4a59687766554433221100"
Version = Annotated[
    str,
    Field(
        pattern=r"^[a-f0-9]{64}$",
        description="Of the case as it was read; another one once something was added to it",
        examples=["3f" * 32],
    ),
]
CaseId = Annotated[str, Field(pattern=r"^[a-f0-9]{32}$", examples=[CASE])]
CustomerId = Annotated[
    str,
    Field(
        # Hexadecimal digits and hyphens alone, so that no name and no e-mail address fits.
        pattern=r"^[a-f0-9-]{8,64}$",
        description="Pseudonym; never a name or an address",
        examples=[ID],
    ),
]
AsOf = Annotated[
    str | None,
    Field(
        description="Date of features that were looked up; null for features of the request",
        examples=["2026-11-24T00:00:00Z"],
    ),
]
Freshness = Annotated[
    Literal["current", "too_old", "not_dated"] | None,
    Field(
        description="current: as recent as the policy asks; too_old: older, answered in profile "
        "local only; not_dated: sent in the request, whoever sends them answers for "
        "their age; null: none were used",
        examples=["current"],
    ),
]
# Blanks around it are no part of a text: ten of them would be no reason.
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=10, max_length=4000)]
Ground = Literal["accuracy_contested", "unlawful", "needed_for_claims", "objection_pending"]


class _Request(BaseModel):
    # Strict: the text "61" for a number is a fault of the client, and guessing would hide it.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class AnswerModel(BaseModel):
    """Base of all answers: nothing but the declared fields, never changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ScoreAnswer(AnswerModel):
    """A decision that is already in the log. While a person has to decide, what the score suggests is withheld."""

    decision_id: str | None = Field(
        description="Null only where nothing was decided", examples=[CASE]
    )
    customer_id: CustomerId
    outcome: OutcomeName = Field(examples=["offer"])
    features_as_of: AsOf
    freshness: Freshness
    score: float | None = Field(
        description="Probability of what the model predicts: the card says what, and over how "
        "many days",
        examples=[0.74],
    )
    band: str | None = Field(examples=["high"])
    reasons: list[str] = Field(
        examples=[["61 days since the last purchase raises the risk strongly"]]
    )
    contributions: dict[str, float] = Field(
        description="Log-odds per feature against the average training customer",
        examples=[{"recency_days": 0.64}],
    )
    model_version: str = Field(examples=["acme-churn 3"])
    policy_version: str = Field(examples=["0a1b2c3d4e5f"])


class BatchAnswer(AnswerModel):
    """One answer per customer, in the order of the request."""

    decisions: list[ScoreAnswer]


class InputShown(AnswerModel):
    """One input that was used, and how it weighed."""

    feature: str = Field(examples=["recency_days"])
    label: str = Field(examples=["days since the last purchase"])
    value: float | str | None = Field(examples=[61.0])
    contribution: float = Field(description="Log-odds", examples=[0.64])
    share: float = Field(description="Of all influence", examples=[0.31])
    text: str = Field(examples=["61 days since the last purchase raises the risk strongly"])


class CaseStep(AnswerModel):
    """Something that happened to the decision later."""

    kind: Literal["contest", "review", "rectification"]
    at: str = Field(examples=["2026-11-24T08:30:00.000000Z"])
    outcome: OutcomeName | None = Field(examples=["no_offer"])
    text: str = Field(
        description="The view of the person, the reviewer's reason, or what was corrected"
    )


class DecisionAnswer(AnswerModel):
    """What was applied to one person (GDPR Art. 15(1)(h); C-203/22, paragraphs 58-62)."""

    decision_id: str = Field(examples=[CASE])
    customer_id: CustomerId
    decided_at: str = Field(examples=["2026-11-24T08:00:00.000000Z"])
    outcome: OutcomeName = Field(description="In force now, after any review", examples=["offer"])
    adverse: bool = Field(
        description="Whether this outcome is to the person's disadvantage", examples=[False]
    )
    score: float | None = Field(examples=[0.74])
    band: str | None = Field(examples=["high"])
    thresholds: dict[str, float] = Field(
        description="Score at which each band begins", examples=[{"high": 0.7}]
    )
    intercept: float | None = Field(
        description="Log-odds of the average training customer", examples=[0.28]
    )
    inputs: list[InputShown]
    source: str = Field(description="Who sent the inputs", examples=["request"])
    features_as_of: AsOf = None
    freshness: Freshness = None
    reasons: list[str]
    counterfactual: str | None = Field(
        examples=["With 20 days since the last purchase, the score would be 0.69."]
    )
    model_version: str = Field(examples=["acme-churn 3"])
    policy_version: str = Field(examples=["0a1b2c3d4e5f"])
    corrects: str | None = Field(
        description="The decision with a wrong input that this one replaces", examples=[None]
    )
    corrected_by: str | None = Field(
        description="The decision that replaces this one", examples=[None]
    )
    history: list[CaseStep]
    contest: str = Field(description="How to contest, and whom to ask")


class ContestRequest(_Request):
    """The person's own view (GDPR Art. 22(3)); free text, erased with the decision."""

    view: Text = Field(
        examples=["I was travelling for two months; please look at my orders before that."]
    )


class ContestAnswer(AnswerModel):
    """The contest is in the log, a person will decide."""

    decision_id: str = Field(examples=[CASE])
    status: Literal["open"]
    contact: str = Field(examples=["Customer care, care@shop.example"])


class ObjectionRequest(_Request):
    """Objection to direct marketing and the profiling for it (GDPR Art. 21(2)-(3))."""

    customer_id: CustomerId


class RestrictionRequest(_Request):
    """Restriction of processing: data is kept and nothing else is done with it (GDPR Art. 18(1)-(2)).

    Each ground stands on its own: another one is added, and the restriction lasts until all have ended.
    """

    customer_id: CustomerId
    ground: Ground = Field(description="Art. 18(1)(a) to (d)", examples=["accuracy_contested"])


class RestrictionLiftRequest(_Request):
    """End of a restriction. The person is told before it ends (GDPR Art. 18(3))."""

    customer_id: CustomerId
    reason: Text = Field(examples=["The disputed purchases were checked and corrected."])
    informed_on: date = Field(
        description="Day on which the person was told that it ends", examples=["2026-11-24"]
    )
    ground: Ground | None = Field(
        None, description="The one that ends, where several are in force", examples=["unlawful"]
    )


class WithdrawalRequest(_Request):
    """Withdrawal of consent, as easy as giving it (GDPR Art. 7(3))."""

    customer_id: CustomerId


class ConsentRequest(_Request):
    """New consent after a withdrawal; the controller must be able to show it (GDPR Art. 7(1))."""

    customer_id: CustomerId
    reference: Text = Field(examples=["Consent form of the shop, record 48213"])
    given_on: date = Field(examples=["2026-11-24"])


BAR_REQUESTS = (
    *(ObjectionRequest, RestrictionRequest, RestrictionLiftRequest),
    *(WithdrawalRequest, ConsentRequest),
)


class BarAnswer(AnswerModel):
    """In force from this moment: no score, no decision."""

    customer_id: CustomerId
    status: Literal["in_force"]


class LiftAnswer(AnswerModel):
    """Ended from this moment; other bars of the customer stay."""

    customer_id: CustomerId
    status: Literal["lifted"]


class OpenCase(AnswerModel):
    """A case that waits for a person. What the score suggests is not in it."""

    case_id: str = Field(examples=[CASE])
    because: Literal["pending_review", "contested"]
    opened_at: str = Field(examples=["2026-11-24T08:00:00.000000Z"])
    version: Version


class Evidence(AnswerModel):
    """What the card's human-review evidence needs (WP251, p. 21)."""

    cases: int = Field(examples=[40])
    overrides: int = Field(examples=[6])
    override_rate: float | None = Field(examples=[0.15])
    median_seconds: float | None = Field(examples=[95.0])
    seeded_errors: int = Field(examples=[2])
    seeded_errors_caught: int = Field(examples=[2])


class ReviewsAnswer(AnswerModel):
    """Open cases, oldest first (at most 100), and the evidence so far."""

    open: list[OpenCase]
    waiting: int = Field(description="How many cases are open, on all pages", examples=[1])
    next: int | None = Field(
        description="Send it as ``after`` for the next page; null on the last one", examples=[None]
    )
    evidence: Evidence


class ReviewRequest(_Request):
    """A reviewer's outcome; it may reverse what the score suggests. ``version`` is that of the list of open cases.

    Time and first view are seen by the desk alone: a client that could send them could make up the evidence.
    """

    outcome: OutcomeName
    version: Version
    reason: Text = Field(examples=["Regular seasonal buyer; the gap is normal, no offer needed."])


class ReviewAnswer(AnswerModel):
    """The review is in the log and in force."""

    case_id: str = Field(examples=[CASE])
    outcome: OutcomeName


BESIDE_OUTCOMES: dict[str, tuple[str | None, ...]] = {
    "ScoreAnswer": (*NO_DECISION, *NOBODY),
    "DecisionAnswer": NO_DECISION,
    "CaseStep": (None,),
    "ReviewAnswer": (),
}
"""Answers with an outcome, and the values allowed besides the outcomes of the policy."""


class Status(AnswerModel):
    """Alive or ready."""

    status: Literal["ok"] = "ok"


def score_request(contract: FeatureContract, *, looks_up: bool) -> type[BaseModel]:
    """Return the request for one customer, with every feature, unit and limit of ``contract``.

    Only a service that ``looks_up`` customers in a feature store takes a pseudonym without
    features.
    """
    fields: dict[str, Any] = {spec.name: _field(spec) for spec in contract.features}
    features = create_model(
        "Features", __base__=_Request, __doc__="Every feature; null says unknown.", **fields
    )
    customer = create_model(
        "Customer",
        __base__=_Request,
        __doc__="Features; or the pseudonym alone where this service is connected to a feature "
        "store.",
        customer_id=(CustomerId, ...),
        features=(features | None, None) if looks_up else (features, ...),
    )
    about = "The decision that this one replaces because an input was wrong (GDPR Art. 16)"
    corrects: Any = (CaseId | None, Field(default=None, description=about))
    return create_model(
        "ScoreRequest", __base__=customer, __doc__=customer.__doc__, corrects=corrects
    )


def review_request(policy: DecisionPolicy) -> type[BaseModel]:
    """Return the request of a reviewer, who chooses among the outcomes of ``policy``."""
    outcome: Any = (Literal[tuple(policy.choices)], ...)
    return create_model(
        "ReviewRequest", __base__=ReviewRequest, __doc__=ReviewRequest.__doc__, outcome=outcome
    )


def batch_request(score: type[BaseModel]) -> type[BaseModel]:
    """Return the request for up to 1,000 customers.

    Each is a ``score`` request that corrects nothing.
    """
    single = score.__base__
    many = Annotated[list[single], Field(min_length=1, max_length=MOST_IN_A_BATCH)]  # type: ignore[valid-type]
    return create_model(
        "BatchRequest", __base__=_Request, __doc__="Up to 1,000 customers.", customers=(many, ...)
    )


def _field(spec: FeatureSpec) -> Any:
    if spec.dtype == "string":
        base: Any = Annotated[str, Field(max_length=LONGEST_CATEGORY)]
        example: Any = "gifts"
    else:
        base = Annotated[float, Field(ge=spec.minimum, le=spec.maximum)]
        example = 0.2 if spec.unit in ("share", "ratio") else spec.minimum or 1.0
    kind = base | None if spec.missing_allowed else base
    return (kind, Field(description=f"{spec.label} ({spec.unit})", examples=[example]))
