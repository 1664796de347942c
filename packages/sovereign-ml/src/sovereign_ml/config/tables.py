"""The tables of config.toml, one class each, in its order: what may be set, in which range."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from sovereign_ml.config.profiles import ConfigTable, Count, Share
from sovereign_ml.decisions.decision_policy import Outcome, OutcomeName
from sovereign_ml.decisions.rule_policy import RulePolicy
from sovereign_ml.errors import Misuse
from sovereign_ml.texts import PACKAGED, catalogue

# These names are public. The library itself imports the others too.
__all__ = [
    "DecisionSettings",
    "EvaluateSettings",
    "FeatureEngine",
    "FeatureSettings",
    "LabelKind",
    "LabelSettings",
    "ProjectSettings",
    "ScoreSettings",
    "TeamSettings",
    "TrainSettings",
    "ValidateSettings",
]


class ProjectSettings(ConfigTable):
    """Names and contacts of the project's owner."""

    name: str
    title: str
    organisation: str
    contact: str
    dpo_contact: str


class PathSettings(ConfigTable):
    """Output folder of each step. A team's own steps add a name of their own."""

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, Path]

    source: Path
    raw: Path
    valid: Path
    features: Path
    model: Path
    metrics: Path
    card: Path
    bundle: Path
    scores: Path


class ValidateSettings(ConfigTable):
    """Limits of step 2."""

    max_rejected_share: Share = 0.02


FeatureEngine = Literal["duckdb", "spark"]
"""What computes snapshots and labels: DuckDB in the step's own process, or Spark by [spark]."""


class FeatureSettings(ConfigTable):
    """Cut-offs and windows of step 3, in days."""

    # The evaluation learns from two cut-offs at least, and tests on a later one.
    cutoffs: Annotated[int, Field(ge=3)]
    every_days: Count
    horizon_days: Count
    active_within_days: Count
    lookback_days: Count
    max_base_rate_gap: Share = 0.12
    engine: FeatureEngine = "duckdb"
    inputs: tuple[str, ...] = ()
    """Features that are stored, learned from and served; none named for all of the contract."""

    @field_validator("inputs")
    @classmethod
    def _named_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"inputs names {', '.join(twice)} twice")
        return names

    @model_validator(mode="after")
    def _labels_end_before_the_next_cutoff(self) -> FeatureSettings:
        if self.every_days < self.horizon_days:
            raise ValueError(
                "every_days must be at least horizon_days: else training labels reach into "
                "the test set"
            )
        return self


LabelKind = Literal["no_purchase", "ended"]
"""What churn means: no purchase in the horizon, or a contract that ended in it."""


class LabelSettings(ConfigTable):
    """The meaning of churn."""

    kind: LabelKind = "no_purchase"


class TrainSettings(ConfigTable):
    """The fit in step 4."""

    knots: Annotated[int, Field(ge=2, le=20)]
    regularisation: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)]
    folds: Annotated[int, Field(ge=1)]
    max_categories: Count
    min_customers: Count
    seed: int
    model: str = "scorecard"
    """The kind of model: "scorecard", "boosting", or a class such as "churn.model:Own"."""
    monotone: bool = True
    """Whether the model keeps to the directions that the features declare as expected."""


class EvaluateSettings(ConfigTable):
    """The test in step 5."""

    bootstrap: Count
    contact_budget: Share
    groups: tuple[Literal["country", "age_band"], ...]
    min_group: Count
    seed: int


class CardSettings(ConfigTable):
    """Step 6: the numbers of the rules that are policy and not law."""

    policy: RulePolicy


class RegisterSettings(ConfigTable):
    """Step 7: the quality gate."""

    min_roc_auc: Share = 0.65
    max_brier_share: Annotated[float, Field(gt=0)] = 1.0
    calibration_slope: tuple[float, float] = (0.7, 1.4)
    max_fairness_gap: Share = 0.25
    # A larger limit would ship another model than the one that was measured.
    max_fidelity_gap: Annotated[float, Field(ge=0, le=1e-6)] = 1e-9
    """Largest difference in probability between the fitted pipeline and the scorecard."""


class UpkeepSettings(ConfigTable):
    """Limits of age in days for `churn check --project`."""

    max_lock_age_days: Count = 180
    max_library_age_days: Count = 180
    max_template_age_days: Count = 365
    max_provider_age_days: Count = 365
    max_retention_gap_days: Count = 31
    max_idle_signer_days: Count = 365
    accepted: dict[str, date] = Field(default={})
    """Settings that may be looser than the release's, each until a day within a year."""


class ScoreSettings(ConfigTable):
    """Step 8: bands by the upper limit of the churn probability, lowest first."""

    bands: Annotated[dict[str, Share], Field(min_length=2)]
    action_band: str
    max_feature_age_days: Count | None = None
    """Nobody is scored on older features; the default is ``horizon_days``."""

    @model_validator(mode="after")
    def _bands_cover_all(self) -> ScoreSettings:
        limits = list(self.bands.values())
        if limits != sorted(set(limits)) or limits[-1] != 1:
            raise ValueError("the upper limits of the bands must rise and end at 1")
        if self.action_band not in self.bands:
            raise ValueError(f"action_band must be one of {', '.join(self.bands)}")
        return self

    def oldest_features(self, horizon_days: int) -> int:
        """Return the age of features, in days, up to which people are scored.

        A score predicts the ``horizon_days`` after the date of its features, so features may be
        that old at most, unless an age is set.
        """
        return self.max_feature_age_days or horizon_days

    @property
    def action_threshold(self) -> float:
        """Return the lowest probability of the band in which customers are contacted."""
        below = [0.0, *self.bands.values()]
        return below[list(self.bands).index(self.action_band)]


class DecisionSettings(ConfigTable):
    """What people get: an offer or none, unless ``outcomes`` names others."""

    outcomes: dict[OutcomeName, Outcome] = Field(default={})
    """Such as `credit_refused = { from_band = "high", adverse = true }`; docs/extending.md."""

    @field_validator("outcomes")
    @classmethod
    def _each_has_words(cls, outcomes: dict[str, Outcome]) -> dict[str, Outcome]:
        for name, outcome in outcomes.items():
            translated = {code for code in PACKAGED if catalogue(code).knows(name)}
            if lacking := sorted({*PACKAGED} - translated - outcome.words.keys()):
                raise ValueError(
                    f"'{name}' has no words in {', '.join(lacking)}: add words = "
                    '{ en = "...", de = "..." }, as they complete \'The result in force is: ...\''
                )
        return outcomes


class ServeSettings(ConfigTable):
    """The address of `churn serve`."""

    host: str
    port: Annotated[int, Field(ge=1, le=65535)]


class PipelineSettings(ConfigTable):
    """The flow on Kubeflow: image by digest, server, resources, schedules (cron with seconds)."""

    image: str
    host: str
    namespace: str
    secret: str
    config_map: str
    cpu: str
    memory: str
    retries: Annotated[int, Field(ge=0, le=10)]
    timeout_minutes: Count
    score_schedule: str
    train_schedule: str
    retain_schedule: str
    monitor_schedule: str = ""
    spark_claim: str = ""
    """Claim of a volume that step 3 and the pods of Spark's operator share."""


# With AttributeError, `hasattr` and `getattr` with a default work as usual.
class MissingSetting(Misuse, AttributeError):
    """A key of ``[team]`` that a step reads and config.toml does not have."""


class TeamSettings(BaseModel):
    """``[team]``: settings of the team's own steps, with any keys."""

    model_config = ConfigDict(frozen=True, extra="allow")

    def __getattr__(self, name: str) -> Any:
        """Return the key ``name``. Raises MissingSetting that names it."""
        # Pydantic would raise a plain AttributeError without the place of the key.
        values = object.__getattribute__(self, "__pydantic_extra__") or {}
        if name in values:
            return values[name]
        raise MissingSetting(f"config.toml lacks 'team.{name}'.")
