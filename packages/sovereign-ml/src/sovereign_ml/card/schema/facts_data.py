"""Facts about data that the pipeline fills (groups C, G, H, I, J, M, O).

They are about data, features, consent, retention and hosts.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from pydantic import Field

from sovereign_ml.card.schema.base import Group, fill

FeatureCategory = Literal[
    "identifier",
    "behavioural",
    "transactional",
    "demographic",
    "inferred",
    "consent_status",
    "special",
    "free_text",
]


class Snapshot(Group):
    """One version of a data set (AI Act Annex IV 2).

    Row and person counts are bucketed lower bounds.
    """

    role: Literal["train", "validation", "test", "score"]
    # DVC names a version by its MD5. It is an address here and protects nothing.
    dvc_md5: str
    # A small exact count could point to single people, so the card shows ranges.
    rows: str = Field(description='Bucket, e.g. "10,000-99,999"')
    subjects: str = Field(description="Bucket of distinct persons")
    from_date: date
    to_date: date
    hostname: str = "localhost"


class FeatureFact(Group):
    """One model input: why it is needed and what it is worth.

    Sources: GDPR 5(1)(c); C-203/22 para. 61.
    """

    name: str
    dtype: str
    unit: str = ""
    label: str = ""
    category: FeatureCategory
    source: str = Field(default="transactions", description="The table that it is made from")
    necessity_reason: str = ""
    importance: float | None = None
    ablation_delta: float | None = fill(
        "Loss of ROC AUC when the feature is left out", "GDPR 5(1)(c)"
    )
    missing_share: float | None = None
    changeable: bool = False


class Elimination(Group):
    """One input left out after those before it, and what the model loses against all inputs."""

    name: str
    inputs_left: int
    loss: float = Field(description="Loss of ROC AUC")
    loss_low: float = Field(description="Lower end of the paired 95 % interval")
    loss_high: float = Field(description="Upper end of the paired 95 % interval")


class DroppedFeature(Group):
    """A column that was available and is not used."""

    name: str
    why: str


class Association(Group):
    """Measure of how well a feature predicts a special category.

    Sources: GDPR 9(1); C-184/20.
    """

    feature: str
    category: str
    metric: str
    value: float
    group: str = ""


class GroupAssociation(Group):
    """Measure of how well one input, or the score, tells groups apart (Cramer's V, 0 to 1).

    The groups are those of a protected column.
    """

    feature: str
    group: str
    value: float


class PiiScan(Group):
    """The scan for direct identifiers and free text."""

    tool: str
    hits: int
    direct_identifiers: tuple[str, ...] = ()
    free_text: tuple[str, ...] = ()


class SpecialScan(Group):
    """Names that are in the special-category lexicon, and inputs that give a protected group away.

    ``proxies`` are the associations above the policy's limit with a column that a special category
    may stand behind.
    """

    lexicon_hits: tuple[str, ...] = ()
    proxies: tuple[Association, ...] = ()
    associations: tuple[GroupAssociation, ...] = ()
    not_measured_because: str = ""


class CustomersMet(Group):
    """People of the customers table who were met among the buyers (GDPR 17, 21).

    Counts are bucketed. A share of None means that there is nobody of that kind.
    """

    customers: str
    customers_met_share: float | None = None
    buyers: str
    buyers_met_share: float | None = None
    objected: str
    objected_met_share: float | None = None
    restricted: str = "0"
    restricted_met_share: float | None = None
    refused_consent: str
    refused_consent_met_share: float | None = None
    erased: str
    erased_met_share: float | None = None


class Quality(Group):
    """Data quality (GDPR 5(1)(d))."""

    accuracy_checks: tuple[str, ...] = ()
    newest_event: date | None = fill("Day of the newest row", "GDPR 5(1)(d)")
    duplicates: int = 0
    rejected_share: float = 0.0
    customers_met: CustomersMet | None = None


class Representation(Group):
    """A group's share in training and among the people scored (GDPR rec. 71).

    It is None where the group is too small to show.
    """

    group: str
    train_share: float | None = None
    population_share: float | None = None


class Shift(Group):
    """Distance of the people scored now from the training rows in one column.

    It is the total variation, 0 to 1.
    """

    name: str
    kind: Literal["input", "group"]
    value: float


class EventTableFact(Group):
    """A table of events that is read beside the transactions (GDPR 5(1)(c), 14(1)(d)).

    Counts are bucketed.
    """

    name: str
    rows: str = Field(description="Bucket of the rows that are kept")
    subjects: str = Field(description="Bucket of the customers whom they are about")
    from_date: date
    to_date: date
    rejected_share: float = 0.0


class LeftOut(Group):
    """Features of the contract that the model does not get, and the ROC AUC lost without them.

    The interval is the paired 95 % interval.
    """

    names: tuple[str, ...]
    cutoffs: int
    loss: float
    loss_low: float
    loss_high: float


class DataFacts(Group):
    """Data, features and minimisation (I)."""

    label_window: str | None = fill(
        "The span the label looks at", "AI Act Annex IV 2", when="always"
    )
    cutoffs: tuple[date, ...] = ()
    snapshots: tuple[Snapshot, ...] = fill(
        "Data versions", "AI Act Annex IV 2; GDPR 5(2)", when="always", default=()
    )
    event_tables: tuple[EventTableFact, ...] = fill(
        "Events read beside the transactions", "GDPR 5(1)(c), 14(1)(d)", default=()
    )
    features: tuple[FeatureFact, ...] = fill(
        "Model inputs", "GDPR 5(1)(c)", when="always", default=()
    )
    # One after the other, because of two inputs that say the same only one can go.
    elimination: tuple[Elimination, ...] = fill(
        "How few inputs are enough: the least needed left out first", "GDPR 5(1)(c)", default=()
    )
    left_out: LeftOut | None = fill(
        "What the features would add that are computed by nobody's model",
        "GDPR 5(1)(c)",
        default=None,
    )
    dropped: tuple[DroppedFeature, ...] = ()
    features_before: int | None = None
    pii_scan: PiiScan | None = fill(
        "Identifier and free-text scan", "GDPR 5(1)(c), 25", when="always"
    )
    special_scan: SpecialScan | None = fill("Special-category scan", "GDPR 9(1)", when="always")
    quality: Quality | None = fill("Data quality", "GDPR 5(1)(d)", when="always")
    representativeness: tuple[Representation, ...] = fill(
        "Groups in training and among the people scored",
        "GDPR rec. 71; AI Act 10(3)-(4)",
        when="always",
        default=(),
    )
    shifts: tuple[Shift, ...] = fill(
        "Distance of the people scored from the training rows",
        "GDPR rec. 71; AI Act 10(3)-(4)",
        default=(),
    )
    minors_found: bool | None = fill(
        "Whether a birth year in the data is that of a minor", "GDPR rec. 38, 71"
    )
    minors_possible: bool | None = fill(
        "Whether a birth year in the data may be that of a person who is still 17",
        "GDPR rec. 38, 71",
    )
    subjects: str | None = fill("Bucket of people in the data", "GDPR 30(1)(c), 35", when="always")
    subjects_at_least: int | None = fill(
        "Lower bound of that bucket", "GDPR 35; WP248", when="always"
    )


class ConsentFacts(Group):
    """Consent and suppression as found in the data (G, M)."""

    valid_share_of_rows: float | None = fill(
        "Rows with valid consent", "GDPR 6(1)(a), 7(1)", when="consent_used"
    )
    withdrawn_rows_found: int | None = fill(
        "Rows of people who withdrew", "GDPR 7(3)", when="consent_used"
    )
    suppression_applied_to: tuple[Literal["score", "act", "train"], ...] = fill(
        "Where no objector was found among the rows; sending happens elsewhere and is not measured",
        "GDPR 21(3)",
        when="direct_marketing",
        default=(),
    )
    suppression_applied_at: datetime | None = None
    # The basis in config.toml chose the rows, so it is compared with what people answered.
    configured_basis: str = fill("The basis on which the rows were chosen", "GDPR 6(1)", default="")
    leak_count: int | None = fill(
        "Objectors found among the scored", "GDPR 21(3)", when="direct_marketing"
    )


class StorageObject(Group):
    """A stored object that exists, and its last purge (GDPR 5(1)(e))."""

    object: str
    period: str | None = fill("The period in the configuration", "GDPR 5(1)(e)")
    last_purge_at: datetime | None = None
    overdue_objects: int = 0
    versions_exist: bool = False


class RetentionFacts(Group):
    """Storage, purges and erasure leftovers (J)."""

    objects: tuple[StorageObject, ...] = fill(
        "What is stored", "GDPR 5(1)(e)", when="always", default=()
    )
    tombstones_applied: int | None = None
    erased_subjects_still_in_snapshot: int | None = fill(
        "Erased people found in data", "GDPR 17", when="always"
    )
    open_requests_overdue: int | None = fill(
        "Erasure requests past their date; empty, because no step records them", "GDPR 12(3)"
    )


class Host(Group):
    """One endpoint found by the audit (O)."""

    component: str
    hostname: str
    scheme: str = ""
    provider: str = ""
    region: str = ""
    config: str = Field(default="", description="file:line where it is configured")
    jurisdiction_class: str
    us_nexus: bool = False
    carries: tuple[Literal["personal_data", "model", "metadata", "code"], ...] = ()
    allowed: bool = Field(
        default=True, description="Whether the project's endpoint policy allows it"
    )
