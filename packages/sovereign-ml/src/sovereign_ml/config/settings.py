"""config.toml, the profile and the environment, read once into one frozen object."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, model_validator

from sovereign_ml.audit import AuditPolicy
from sovereign_ml.config import config_file
from sovereign_ml.config.connections import (
    ClearmlServer,
    DataVersions,
    FeatureStores,
    HopsworksPlatform,
    LogLocation,
    ObjectStorage,
    SparkCluster,
    SuppressionFiles,
    Tracking,
)
from sovereign_ml.config.data_tables import DataSettings
from sovereign_ml.config.deployment import Deploy
from sovereign_ml.config.leaving import LeaveSettings
from sovereign_ml.config.monitoring import MonitorSettings
from sovereign_ml.config.other_platforms import ClearmlSettings, HopsworksSettings, SparkSettings
from sovereign_ml.config.profiles import ConfigTable, Profile, Secrets, Storage
from sovereign_ml.config.retention_periods import RetentionSettings
from sovereign_ml.config.tables import (
    CardSettings,
    DecisionSettings,
    EvaluateSettings,
    FeatureSettings,
    LabelSettings,
    PathSettings,
    PipelineSettings,
    ProjectSettings,
    RegisterSettings,
    ScoreSettings,
    ServeSettings,
    TeamSettings,
    TrainSettings,
    UpkeepSettings,
    ValidateSettings,
)
from sovereign_ml.decisions.decision_policy import faults
from sovereign_ml.decisions.rule_policy import RulePolicy
from sovereign_ml.errors import Misuse
from sovereign_ml.pseudonyms import parse_keys, read_or_make_keys

__all__ = ["ENVIRONMENT", "EXAMPLES", "Settings", "check_text", "load", "pass_on"]

ENVIRONMENT = os.environ  # noqa: TID251  the one place that reads it
EXAMPLES = ("example.eu", "example.internal", "instance-id.", "{{")
"""What the template's own values contain."""


class Settings(ConfigTable):
    """All settings of one profile. Made by :func:`load`, never changed afterwards."""

    root: Path
    profile_name: str
    project: ProjectSettings
    paths: PathSettings
    data: DataSettings
    # Pydantic's models have a method `validate`, so the attribute needs another name.
    validate_: Annotated[ValidateSettings, Field(alias="validate")]
    features: FeatureSettings
    label: LabelSettings = LabelSettings()
    train: TrainSettings
    evaluate: EvaluateSettings
    card: CardSettings
    register_: Annotated[RegisterSettings, Field(alias="register")]
    score: ScoreSettings
    decision: DecisionSettings = DecisionSettings()
    monitor: MonitorSettings = MonitorSettings()
    serve: ServeSettings
    pipeline: PipelineSettings
    deploy: Deploy
    audit: AuditPolicy = AuditPolicy()
    retention: RetentionSettings = RetentionSettings()
    upkeep: UpkeepSettings = UpkeepSettings()
    leave: LeaveSettings = LeaveSettings()
    team: TeamSettings = TeamSettings()
    hopsworks: HopsworksSettings = HopsworksSettings()
    clearml: ClearmlSettings = ClearmlSettings()
    spark: SparkSettings = SparkSettings()
    s3: Storage
    profile: Profile
    old_features_asked: bool = False
    """Whether the call allows scores on features that are older than the policy."""
    # A traceback that prints the settings must not print these.
    secrets: Annotated[Secrets, Field(repr=False)]

    @model_validator(mode="after")
    def _outcomes_fit_the_bands(self) -> Settings:
        """Refuse outcomes that begin at no band of [score], or leave the lowest one without any."""
        outcomes = self.decision.outcomes
        # Misuse is no ValueError, so pydantic passes it on with its own text.
        if outcomes and (wrong := faults(outcomes, tuple(self.score.bands))):
            raise Misuse(f"config.toml [decision] outcomes: {wrong}.")
        return self

    @model_validator(mode="after")
    def _label_fits_the_customers(self) -> Settings:
        """Refuse contracts without their end, and ends of contracts that no label looks at."""
        columns = self.data.customer_columns
        if self.label.kind == "no_purchase":
            for name in ("ended_at", "started_at"):
                if getattr(columns, name):
                    raise Misuse(
                        f"config.toml [data.customer_columns] {name} is set, and [label] kind is "
                        "'no_purchase', which looks at purchases only: set kind = \"ended\" for "
                        f'contracts, or {name} = "".'
                    )
        elif self.data.transactions and not (self.data.customers and columns.ended_at):
            lacking = (
                "ended_at in [data.customer_columns]"
                if self.data.customers
                else "customers in [data]"
            )
            raise Misuse(
                f"config.toml [label] kind is 'ended', and {lacking} is empty: name the customers "
                "table and the expression for the end of each contract, "
                'or set kind = "no_purchase".'
            )
        return self

    def pseudonym_key(self) -> bytes:
        """Return the key in use, which makes new pseudonyms."""
        return self.pseudonym_keys()[0]

    def pseudonym_keys(self) -> tuple[bytes, ...]:
        """Return the key in use, then former keys.

        They come from ``CHURN_PSEUDONYM_KEY`` (hex), else from the key file of this
        project.
        """
        try:
            if self.secrets.pseudonym_key:
                return parse_keys(self.secrets.pseudonym_key.get_secret_value())
            # Only the profile local makes a key by itself: elsewhere a new key would split every
            # customer in two.
            if self.profile_name != "local" and not self.secrets.key_file.exists():
                raise Misuse(
                    "No pseudonym key: set CHURN_PSEUDONYM_KEY, or put the key into "
                    f"{self.secrets.key_file}."
                )
            return read_or_make_keys(self.secrets.key_file)
        except OSError as error:
            raise Misuse(
                f"The pseudonym key {self.secrets.key_file} can be neither read nor made "
                f"({error.strerror}): set CHURN_PSEUDONYM_KEY (hex), or HOME to a folder of yours."
            ) from None
        except ValueError as error:
            raise Misuse(str(error)) from None

    def path(self, noun: str) -> Path:
        """Return the absolute path of an artifact such as ``raw`` or ``model``."""
        named = getattr(self.paths, noun, None)
        if named is None:
            raise Misuse(
                f"[paths] in config.toml has no '{noun}': add the folder that the step writes."
            )
        return self.root / Path(named)

    @property
    def storage(self) -> ObjectStorage:
        """Return the bucket of ``[s3]`` as the S3 clients need it."""
        return ObjectStorage(
            endpoint=self.s3.endpoint,
            region=self.s3.region,
            bucket=self.s3.bucket,
            style=self.s3.style,
            config_file=self.root / ".churn" / f"aws-{self.profile_name}.config",
        )

    @property
    def tracking(self) -> Tracking:
        """Return the tracking store and registry of the profile."""
        return Tracking(
            project=self.project.name,
            profile=self.profile_name,
            uri=self.profile.tracking_uri,
            root=self.root,
            user=self.secrets.user,
            storage=self.storage,
            password=self.secrets.tracking_password,
            database=self.secrets.tracking_database,
        )

    @property
    def clearml_server(self) -> ClearmlServer:
        """Return ClearML's server, if config.toml names one."""
        return ClearmlServer(
            project=self.project.name,
            api=self.clearml.api,
            parameters=self.clearml.parameters,
            key=self.secrets.clearml_key,
            secret=self.secrets.clearml_secret,
        )

    @property
    def feature_stores(self) -> FeatureStores:
        """Return Feast's stores of the profile."""
        return FeatureStores(
            project=self.project.name,
            profile=self.profile_name,
            offline=self.profile.offline_store,
            online=self.profile.online_store,
            ttl_days=self.features.every_days,
            storage=self.storage,
            registry=self.secrets.feature_registry,
            online_url=self.secrets.online_store,
            token=self.secrets.feature_token,
            hopsworks=self._hopsworks if self.profile.online_store == "hopsworks" else None,
        )

    @property
    def _hopsworks(self) -> HopsworksPlatform:
        table = self.hopsworks
        return HopsworksPlatform(
            host=table.host,
            port=table.port,
            project=table.project,
            rest=table.rest,
            trust_store=table.trust_store,
            view=table.view,
            # Outside the project, because the files hold keys.
            private=self.secrets.key_file.parent / "hopsworks",
            key=self.secrets.hopsworks_key,
        )

    @property
    def spark_cluster(self) -> SparkCluster:
        """Return Spark as [spark] names it."""
        table = self.spark
        return SparkCluster(
            master=table.master,
            host=table.host,
            memory=table.memory,
            partitions=table.partitions,
            properties=table.properties,
            root=self.root,
            secret=self.secrets.spark_secret,
            namespace=self.pipeline.namespace,
            image=table.image,
            claim=self.pipeline.spark_claim,
        )

    @property
    def data_versions(self) -> DataVersions:
        """Return the data versions of the project and the remote of the profile."""
        return DataVersions(
            root=self.root,
            profile=self.profile_name,
            remote=self.profile.dvc_remote,
            storage=self.storage,
        )

    @property
    def log_location(self) -> LogLocation:
        """Return the place of the decision log: its file once it exists, or its server."""
        setting = self.profile.decision_log
        if not setting.startswith("sqlite:///"):
            secret = self.secrets.decision_log
            return LogLocation(setting, secret.get_secret_value() if secret else "")
        path = self.root / setting.removeprefix("sqlite:///")
        return LogLocation(setting, f"sqlite:///{path}" if path.is_file() else "")

    @property
    def suppression(self) -> SuppressionFiles:
        """Return the files of the suppression list, with the keys that recognise people."""
        # Outside the project: a restored backup of the folder must not bring erased people back.
        copy = self.secrets.key_file.with_suffix(".tombstones")
        return SuppressionFiles(self.root / "governance", copy, self.pseudonym_keys)

    @property
    def rule_policy(self) -> RulePolicy:
        """Return the figures of the rules."""
        # Open answers only warn while trying out locally. They block wherever real data is used.
        open_answers = "warn" if self.profile_name == "local" else "block"
        return self.card.policy.model_copy(update={"open_answers": open_answers})

    @property
    def placeholders(self) -> tuple[str, ...]:
        """Return settings of the active profile that still hold the template's example values."""
        values = {
            "pipeline.image": self.pipeline.image,
            **{f"profile.{k}": v for k, v in self.profile},
        }
        if self.profile.offline_store == "s3":
            values["s3.endpoint"] = self.s3.endpoint
        return tuple(
            key for key, value in values.items() if any(example in value for example in EXAMPLES)
        )


def load(
    profile: str | None = None, root: Path | None = None, environ: Mapping[str, str] = ENVIRONMENT
) -> Settings:
    """Read ``config.toml`` below ``root`` (default: ``CHURN_ROOT`` or the current folder).

    Raises Misuse with one line for a missing file, broken TOML, an unknown key or a wrong value.
    """
    root = (root or Path(environ.get("CHURN_ROOT", "."))).resolve()
    table = config_file.read(root / "config.toml")
    profiles = table.pop("profile", {})
    name = profile or environ.get("CHURN_PROFILE") or "local"
    if name not in profiles:
        raise Misuse(
            f"Unknown profile '{name}': config.toml defines "
            f"{', '.join(sorted(profiles)) or 'none'}."
        )
    config_file.check_same_keys(profiles)
    old_features = environ.get("CHURN_OLD_FEATURES") or "refuse"
    if old_features not in ("allow", "refuse"):
        raise Misuse(f"CHURN_OLD_FEATURES is '{old_features}': it may be allow or refuse.")
    config_file.override(table, environ)
    call = {
        "root": root,
        "profile_name": name,
        "profile": profiles[name],
        "secrets": config_file.secrets_of(table, name, environ),
        "old_features_asked": old_features == "allow",
    }
    try:
        settings = Settings.model_validate({**table, **call})
    except ValidationError as error:
        raise Misuse(config_file.explain(error, Settings)) from None
    if name != "local" and settings.placeholders:
        raise Misuse(
            f"Profile '{name}' still holds example values: {', '.join(settings.placeholders)}. "
            "Put your own into config.toml, or use the profile local."
        )
    return settings


def check_text(text: str, profile: str | None = None) -> None:
    """Refuse a text that would not be read as ``config.toml``. Raises Misuse with one line."""
    with tempfile.TemporaryDirectory() as folder:
        # Read from a file, so that it is judged exactly as the real one.
        (Path(folder) / "config.toml").write_text(text, encoding="utf-8")
        load(profile, Path(folder))


def pass_on(**values: str | int | None) -> None:
    """Put values of the call (``data="x.csv"``) into the environment of this process tree."""
    ENVIRONMENT.update(
        {f"CHURN_{name.upper()}": str(value) for name, value in values.items() if value is not None}
    )
