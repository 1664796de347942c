"""Facts about the model that the pipeline fills (groups A, D, F, K, L, P).

They are about the model, its figures, its privacy and its explanations.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal

from pydantic import Field

from sovereign_ml.card.schema.base import Group, fill


class Run(Group):
    """The run that wrote the card.

    It is left out of the content hash, so that a repeated run changes nothing.
    """

    generated_at: datetime | None = fill(
        "When the card was built (UTC)", "GDPR 5(2)", when="always"
    )
    git_commit: str | None = fill("Commit of the repository", "AI Act Annex IV 1, 6", when="always")
    pipeline_run_id: str | None = None
    profile: str | None = None


class ModelFacts(Group):
    """Identity of the model (A)."""

    name: str | None = fill("Registered name", "AI Act Annex IV 1", when="always")
    # The registry numbers a version at registration, after this card was written.
    version: str | None = fill(
        "Registry version, or candidate before registration", "AI Act Annex IV 1"
    )
    algorithm: str | None = fill("Algorithm", "AI Act Annex IV 2", when="always")
    framework: str | None = None
    framework_version: str | None = None
    library_versions: dict[str, str] = Field(default_factory=dict)
    artifact_uri: str | None = None
    artifact_sha256: str | None = fill(
        "Hash of model.json", "AI Act Annex IV 1; GDPR 32", when="always"
    )
    size_bytes: int | None = None
    hyperparameters: dict[str, Any] = Field(default_factory=dict)
    random_seed: int | None = None
    training_code_commit: str | None = fill(
        "Commit of the training code", "AI Act Annex IV 2", when="always"
    )
    container_image_digest: str | None = None
    dependency_lock_sha256: str | None = fill(
        "Hash of the lock file", "AI Act Annex IV 2", when="always"
    )
    authors: tuple[str, ...] = fill(
        "Who committed model, features or card ('Name <mail>'); they may not approve it",
        "GDPR 5(2), 24",
        when="always",
        default=(),
    )
    authors_unknown_because: str = fill(
        "What git says where it does not tell", "GDPR 5(2), 24", default=""
    )
    supersedes: str | None = None


class LibraryFacts(Group):
    """The release of the library whose rules judged the card."""

    name: str = "sovereign-ml"
    version: str | None = fill("Release of the library", "GDPR 5(2), 24", when="always")
    wheel_sha256: str = fill(
        "SHA-256 of its wheel, empty where it was not installed from one",
        "GDPR 5(2), 24",
        default="",
    )
    rule_digest: str | None = fill(
        "SHA-256 over the code of the rules", "GDPR 5(2), 24", when="always"
    )
    state: Literal["released", "development", "changed"] | None = fill(
        "Installed as released, a development version, or changed since", "GDPR 5(2), 24"
    )


class BandFact(Group):
    """A band of the score and its upper limit."""

    name: str
    below: float


class OutcomeFact(Group):
    """An outcome for a person, where it is another thing than an offer or none."""

    name: str
    from_band: str | None = None
    adverse: bool = False
    changes_nothing: bool = False
    words: dict[str, str] = Field(default_factory=dict)


class DecisionFacts(Group):
    """Thresholds, and how far outcomes follow the score (D)."""

    output_kind: Literal["score", "rank", "class", "action"] = "score"
    bands: tuple[BandFact, ...] = fill(
        "Score bands", "GDPR 13(2)(f); C-203/22 para. 61", when="always", default=()
    )
    action_band: str | None = fill(
        "The band in which the action is taken", "GDPR 13(2)(f)", when="always"
    )
    outcomes: tuple[OutcomeFact, ...] = fill(
        "What people may get, and which of it is to their disadvantage",
        "GDPR 13(2)(f), 15(1)(h), 22(1)",
        default=(),
    )
    max_feature_age_days: int | None = fill(
        "Age of features, in days, after which nobody is scored on them", "GDPR 5(1)(d)"
    )
    policy_version: str | None = None
    # Outcomes that always follow the score mean that the score decides, whoever signs (rule R19).
    score_outcome_agreement: float | None = fill(
        "Outcomes equal to the score's", "C-634/21 para. 48"
    )
    # A range and no number, so that the card may be shown to anybody.
    outcomes_on_record: str | None = fill(
        "Bucket of outcomes it was counted on", "C-634/21 para. 48"
    )
    agreement_not_measured_because: str = ""
    first_scoring_on: date | None = None
    log_head: str | None = Field(default=None, pattern=r"^[0-9]+:[0-9a-f]{64}$")
    """Number and seal of the newest entry of the decision log: a later cut of the log shows."""
    explanation_stored_with_decision: bool | None = fill(
        "Reasons logged per decision", "GDPR 15(1)(h)"
    )


class ReviewFacts(Group):
    """Actual work of the reviewers (F).

    Source: WP251 p. 21.
    """

    live: bool = False
    cases: int | None = None
    override_rate: float | None = None
    median_seconds: float | None = None
    cases_per_reviewer_day: float | None = None
    seeded_error_catch_rate: float | None = fill(
        "Planted errors caught", "engineering proof", when="review_claimed"
    )
    tested_on: date | None = fill("Day of that test", "engineering proof", when="review_claimed")


class AttackTest(Group):
    """One attempt to get training data out of the model (Opinion 28/2024 section 3.2.2)."""

    attack: Literal["membership", "attribute", "inversion", "reconstruction", "exact_row"]
    metric: str
    value: float
    limit: float
    passed: bool
    at: date | None = None


class ModelPrivacyFacts(Group):
    """Storage of people's rows in the model (K)."""

    stores_training_rows: bool | None = fill(
        "Whether rows can be read off", "Opinion 28/2024 s. 3.2", when="always"
    )
    stores_training_rows_proof: str = ""
    tests: tuple[AttackTest, ...] = fill(
        "Attacks tried", "Opinion 28/2024 s. 3.2.2", when="claims_anonymous", default=()
    )
    controls: dict[str, Any] = Field(default_factory=dict)


class FeatureCurve(Group):
    """One feature's part of the score: log-odds at its knots, or per category."""

    name: str
    label: str = ""
    unit: str = ""
    transform: Literal["identity", "asinh"] = "identity"
    knots: tuple[float, ...] = ()
    log_odds: tuple[float, ...] = ()
    categories: dict[str, float] = Field(default_factory=dict)
    missing_log_odds: float | None = None
    expected: Literal["raises", "lowers"] | None = fill(
        "What more of it may do to the score", "GDPR rec. 71"
    )


class ExplanationFacts(Group):
    """Explanation of the model, global and to one person (L).

    Source: C-203/22 paras 58-62.
    """

    main_factors: tuple[str, ...] = fill(
        "Main factors", "GDPR 13(2)(f); C-203/22", when="always", default=()
    )
    curves: tuple[FeatureCurve, ...] = ()
    intercept: float | None = None
    individual_method: (
        Literal[
            "additive", "exact_shapley", "reason_codes", "shap", "formula", "source_code", "generic"
        ]
        | None
    ) = fill(
        "How the library explains one score, by construction",
        "GDPR 15(1)(h); C-203/22",
        when="always",
    )
    individual_returns: tuple[
        Literal[
            "inputs_used", "influence_of_each", "score", "group", "counterfactual", "consequence"
        ],
        ...,
    ] = fill(
        "What its explanation gives a person, by construction",
        "C-203/22 paras 58-62",
        when="always",
        default=(),
    )
    counterfactual_coverage: float | None = None
    fidelity: float | None = fill("Largest gap of explained and fitted probability", "GDPR rec. 71")
    stability: float | None = None


class Estimate(Group):
    """A figure with its interval, where one was computed."""

    value: float
    low: float | None = None
    high: float | None = None


class SliceMetrics(Group):
    """The figures of one slice.

    A suppressed slice is too small to show. ``n`` is bucketed.
    """

    slice: str
    n: int
    suppressed: bool = False
    metrics: dict[str, float | None] = Field(default_factory=dict)


class FairnessGap(Group):
    """The largest gap of one metric between groups."""

    group: str
    metric: str
    value: float
    n_smallest: int
    groups_suppressed: tuple[str, ...] = ()


class CalibrationBin(Group):
    """Mean score against observed rate."""

    mean_score: float
    observed: float
    n: int


class Robustness(Group):
    """One robustness test and its result (AI Act 15)."""

    test: str
    result: str


class EvaluationFacts(Group):
    """Figures on the test snapshot (P)."""

    test_cutoff: date | None = fill("Cut-off of the test data", "AI Act Annex IV 4", when="always")
    customers: int | None = None
    base_rate: float | None = None
    metrics: dict[str, Estimate] = fill("Figures", "GDPR 5(1)(d)", when="always", default={})
    baselines: dict[str, dict[str, float]] = Field(default_factory=dict)
    benchmark_name: str | None = None
    benchmark: dict[str, Estimate] = Field(default_factory=dict)
    constraints: dict[str, Estimate] = fill(
        "Figures without the expected directions minus figures with them",
        "AI Act Annex IV 2",
        default={},
    )
    at_threshold: dict[str, float] = fill(
        "Figures at the action band", "AI Act Annex IV 4", default={}
    )
    at_budget: dict[str, float] = fill(
        "Figures when only the contact budget is used", "AI Act Annex IV 4", default={}
    )
    slices: tuple[SliceMetrics, ...] = ()
    calibration_bins: tuple[CalibrationBin, ...] = ()
    fairness: tuple[FairnessGap, ...] = fill(
        "Gaps between groups", "GDPR rec. 71", when="always", default=()
    )
    fairness_not_measured_because: str = ""
    robustness: tuple[Robustness, ...] = ()
    monitoring: dict[str, float] = fill(
        "Newest figures of the monitor: shift in log-odds, observed and predicted rate, evidence",
        "GDPR 5(1)(d); AI Act 72",
        default={},
    )


class MonitoringFacts(Group):
    """Monitoring of the model in use, and alarms that wait for an answer (P)."""

    last_run_on: date | None = fill("Last run of the monitor", "GDPR 24(1), 25(1); AI Act 72")
    status: str = ""
    model_version: str = ""
    unanswered: tuple[str, ...] = fill("Alarms that nobody answered", "GDPR 5(2)", default=())
    oldest_unanswered_on: date | None = None
