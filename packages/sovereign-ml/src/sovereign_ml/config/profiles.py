"""The differences between `local` and `eu`: seven settings, object storage and secrets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from sovereign_ml.errors import Misuse
from sovereign_ml.jurisdictions import addressing_of

VARIABLES = {
    "pseudonym_key": "CHURN_PSEUDONYM_KEY",
    "sota_api_key": "SOTA_API_KEY",
    "s3_key": "AWS_SECRET_ACCESS_KEY",
    "tracking_user": "MLFLOW_TRACKING_USERNAME",
    "tracking_password": "MLFLOW_TRACKING_PASSWORD",
    "tracking_admin": "MLFLOW_AUTH_ADMIN_PASSWORD",
    "tracking_database": "CHURN_TRACKING_DATABASE_URL",
    "feature_registry": "CHURN_FEATURE_REGISTRY_URL",
    "online_store": "CHURN_ONLINE_STORE_URL",
    "feature_token": "FEATURE_STORE_TOKEN",
    "decision_log": "DATABASE_URL",
    "kubeflow_token": "CHURN_KUBEFLOW_TOKEN",
    "smtp_password": "CHURN_SMTP_PASSWORD",
    "hopsworks_key": "CHURN_HOPSWORKS_API_KEY",
    "clearml_key": "CLEARML_API_ACCESS_KEY",
    "clearml_secret": "CLEARML_API_SECRET_KEY",
    "spark_secret": "CHURN_SPARK_SECRET",
}
"""The variable of each secret, and of the user name that belongs to one."""
# An address without endpoint means AWS, so every client gets the endpoint of [s3] separately.
SCHEME = "s3://"
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(gt=0)]


def required(secret: SecretStr | None, field: str) -> str:
    """Return the value of a secret. Raises Misuse with the name of the variable to set."""
    if secret is None:
        raise Misuse(
            f"{VARIABLES[field]} is not set: it comes from the environment, never from config.toml."
        )
    return str(secret.get_secret_value())


class ConfigTable(BaseModel):
    """A table of config.toml: frozen, and closed to unknown keys."""

    # A misspelt key would otherwise keep its default without a word. No figure is above a limit of
    # inf, so a gate with such a limit would refuse nothing.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Storage(ConfigTable):
    """The object storage of the profile eu."""

    # The braces are the template's placeholder, which only the profile local tolerates.
    endpoint: Annotated[str, Field(pattern=r"^(https?://|\{\{)")]
    region: Annotated[str, Field(min_length=1)]
    bucket: Annotated[str, Field(min_length=3)]
    addressing: Literal["auto", "path", "virtual"] = "auto"

    @property
    def style(self) -> str:
        """Return ``path`` or ``virtual``: the place of the bucket's name in a request."""
        return addressing_of(self.endpoint) if self.addressing == "auto" else self.addressing


class Profile(ConfigTable):
    """The seven settings in which `local` and `eu` differ."""

    dvc_remote: str
    tracking_uri: str
    offline_store: Literal["file", "s3"]
    online_store: Literal["sqlite", "redis", "postgresql", "hopsworks"]
    runner: Literal["subprocess", "kubeflow"]
    service: Literal["bentoml", "sota", "kserve"]
    decision_log: str


class Secrets(ConfigTable):
    """Secrets, read from the environment and never from config.toml."""

    pseudonym_key: SecretStr | None = None
    key_file: Path
    sota_api_key: SecretStr | None = None
    s3_key: SecretStr | None = None
    tracking_user: str | None = None
    tracking_password: SecretStr | None = None
    tracking_admin: SecretStr | None = None
    tracking_database: SecretStr | None = None
    feature_registry: SecretStr | None = None
    online_store: SecretStr | None = None
    feature_token: SecretStr | None = None
    decision_log: SecretStr | None = None
    kubeflow_token: SecretStr | None = None
    smtp_password: SecretStr | None = None
    hopsworks_key: SecretStr | None = None
    clearml_key: SecretStr | None = None
    clearml_secret: SecretStr | None = None
    spark_secret: SecretStr | None = None

    @property
    def user(self) -> str:
        """Return the user name of the pipeline at MLflow's server."""
        return self.tracking_user or "churn"

    def need(self, field: str) -> str:
        """Return the secret ``field``. Raises Misuse with the name of the variable to set."""
        return required(getattr(self, field), field)
