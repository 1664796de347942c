"""The tables of config.toml, one class each, in its order: what may be set, in which range."""

from __future__ import annotations

import codecs
import re
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from sovereign_ml.config.profiles import ConfigTable
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

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(gt=0)]


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


def _needed(expression: str) -> str:
    if not expression.strip():
        raise ValueError(
            "this column is needed: give an SQL expression over the columns of your file"
        )
    return expression


def _text_encoding(name: str) -> str:
    """Return ``name`` if Python can read text in it. Empty means UTF-8, or the first bytes tell."""
    try:
        # Codecs such as base64 and zip are no encodings of text, and nothing else tells them apart.
        is_text = not name or codecs.lookup(name)._is_text_encoding
    except LookupError:
        is_text = False
    if not is_text:
        raise ValueError("no encoding of text that Python knows; such as utf-8, cp1252 or utf-16")
    # utf-8-sig also reads a file without a byte order mark.
    return "utf-8-sig" if name and codecs.lookup(name).name == "utf-8" else name


Needed = Annotated[str, AfterValidator(_needed)]
Duplicates = Literal["set_aside", "keep"]
Files = str | tuple[str, ...]
"""A file, a folder of Parquet files, a pattern such as ``sales-*.csv``, or a list of those."""
OneCharacter = Annotated[str, Field(max_length=1, pattern=r"^[^\r\n\x00]?$")]


# Words that shops write where no customer is known, in upper or lower case. 0 and guest stand for
# orders without an account.
NOBODY = (
    *("null", "(null)", "na", "n/a", "n.a.", "#n/a", "nan", "nat", "<na>", "none", "nil"),
    *("undefined", "\\N", "-", "--", "?", "0", "guest", "gast", "anonymous"),
    *("<null>", "(blank)", "not set", "(not set)", "unknown", "unbekannt", "inconnu"),
    *("#ref!", "#value!", "#name?", "#num!", "#div/0!", "#null!"),
    "00000000-0000-0000-0000-000000000000",
)


class ReaderSettings(ConfigTable):
    """The format of the team's files. An empty encoding or delimiter is detected from the file."""

    encoding: Annotated[str, AfterValidator(_text_encoding)] = ""
    delimiter: OneCharacter = ""
    quote: OneCharacter = '"'
    decimal: Literal[".", ","] = "."
    skip_lines: Annotated[int, Field(ge=0)] = 0
    names: tuple[str, ...] = ()
    """Names of the columns where the file has no header."""
    null_words: tuple[str, ...] = NOBODY

    @model_validator(mode="after")
    def _marks_differ(self) -> ReaderSettings:
        if self.delimiter and self.delimiter == self.quote:
            raise ValueError("delimiter and quote must be two characters")
        return self


class Columns(ConfigTable):
    """SQL expressions that map a team's transactions to the contract."""

    customer_id: Needed
    event_time: Needed
    amount_eur: Needed
    category: str = ""
    currency: str = ""
    order_id: str = ""


class CustomerColumns(ConfigTable):
    """SQL expressions that map a team's customers table. An empty one means "not there"."""

    customer_id: Needed
    consent: str = ""
    objected_at: str = ""
    restricted_at: str = ""
    withdrawn_at: str = ""
    erased_at: str = ""
    started_at: str = ""
    ended_at: str = ""
    birth_year: str = ""
    country: str = ""


class ShopSettings(ConfigTable):
    """The built-in shop."""

    customers: Count
    days: Annotated[int, Field(ge=400)]
    seed: int
    old_features: bool = False
    """Whether the shop, which ends on a fixed day, is scored although its features are too old."""


class CheckSettings(ConfigTable):
    """Limits of plausible input in step 1, a policy. Shares are of rows read or remaining."""

    max_unusable_share: Share = 0.02
    max_share_of_reason: dict[
        Literal[
            "no_customer_id",
            "unreadable_filter",
            "unreadable_customer_id",
            "unreadable_category",
            "unreadable_order_id",
            "unreadable_kind",
            "unreadable_time",
            "no_rate",
            "unreadable_amount",
            "unreadable_value",
            "in_future",
        ],
        Share,
    ] = Field(default={})
    min_matched_customers: Share = 0.5
    max_similar_ids: Annotated[int, Field(ge=0)] = 0
    max_unmet_objectors: Annotated[int, Field(ge=0)] = 9
    max_negative_share: Share = 0.334
    max_one_customer_share: Share = 0.01
    max_below_a_cent_share: Share = 0.02
    max_parts_of_a_cent_share: Share = 0.33
    min_recent_volume: Share = 0.3
    max_rate_age_days: Count = 31


def _some_file(files: Files) -> Files:
    if not files or not all(files):
        raise ValueError("name a file, a pattern, a folder of Parquet files or a list of files")
    return files


class EventTable(ConfigTable):
    """``[data.events.NAME]``: further events of the customers.

    The columns are SQL expressions over the file. Keys that ``reader`` and ``checks`` leave out
    are as in ``[data.reader]`` and ``[data.checks]``.
    """

    file: Annotated[Files, AfterValidator(_some_file)]
    customer_id: Needed
    event_time: Needed
    kind: str = ""
    value: str = ""
    where: str = ""
    duplicates: Duplicates = "set_aside"
    max_days_behind: Count = 7
    """Days from the newest event to the newest purchase; more look like a feed that lags."""
    reader: ReaderSettings = ReaderSettings()
    checks: CheckSettings = CheckSettings()


def event_table_name(name: str) -> str:
    """Return ``name`` if an event table may have it, else raise ValueError."""
    if name == "transactions" or not re.fullmatch(r"[a-z][a-z0-9_]{0,29}", name):
        raise ValueError(
            "name an event table in at most 30 small letters, digits and underscores, "
            "such as tickets; the transactions have a table already"
        )
    return name


class DataSettings(ConfigTable):
    """Input of step 1."""

    transactions: Files
    customers: Files
    lawful_basis: Literal[
        "", "consent", "contract", "legal_obligation", "legitimate_interests", "public_task"
    ]
    timezone: str
    as_of: date | Literal[""] = ""
    where: str = ""
    duplicates: Duplicates = "set_aside"
    reader: ReaderSettings = ReaderSettings()
    columns: Columns
    rates: dict[str, Annotated[float, Field(gt=0)]]
    rates_file: str = ""
    """A CSV file of rates that change: currency, date, rate."""
    customer_columns: CustomerColumns
    synthetic: ShopSettings
    checks: CheckSettings = CheckSettings()
    events: dict[Annotated[str, AfterValidator(event_table_name)], EventTable] = Field(default={})
    """Further events of the customers, each table under a name of its own."""

    @model_validator(mode="before")
    @classmethod
    def _events_follow(cls, content: Any) -> Any:
        """Give each event table what it does not say itself of ``reader`` and ``checks``."""
        tables = content.get("events")
        if not isinstance(tables, dict) or not all(isinstance(t, dict) for t in tables.values()):
            return content
        events = {
            name: table
            | {key: content.get(key, {}) | table.get(key, {}) for key in ("reader", "checks")}
            for name, table in tables.items()
        }
        return content | {"events": events}

    @property
    def asks_consent(self) -> bool:
        """Return whether the customers table has a column for consent, the lawful basis."""
        return bool(self.customers and self.customer_columns.consent)


class ValidateSettings(ConfigTable):
    """Limits of step 2."""

    max_rejected_share: Share = 0.02


FeatureEngine = Literal["duckdb", "spark"]
"""What computes snapshots and labels: DuckDB in the step's own process, or Spark by [spark]."""


class FeatureSettings(ConfigTable):
    """Cut-offs and windows of step 3, in days."""

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
