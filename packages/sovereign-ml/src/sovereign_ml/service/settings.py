"""The environment, read once into one frozen object.

No other file of the service reads it.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from sovereign_ml.egress.telemetry import silence
from sovereign_ml.jurisdictions import (
    PLAINTEXT,
    DatabaseAddressError,
    PostgresAddress,
    parse,
    read_database_address,
)
from sovereign_ml.service.access.api_keys import Key, read_keys
from sovereign_ml.service.access.session import SHORTEST_SECRET

__all__ = ["ENVIRONMENT", "LOOPBACK", "NAMES", "ServiceSettings", "SettingsError", "quiet", "read"]

log = logging.getLogger("sovereign_ml.service")
ENVIRONMENT = os.environ  # noqa: TID251  the one place that reads it
LOOPBACK = ("127.0.0.1", "::1", "localhost")
NAMES = {
    "profile": "CHURN_PROFILE",
    "bundle": "BUNDLE_DIR",
    "host": "CHURN_HOST",
    "port": "PORT",
    "keys": "CHURN_KEYS",
    "session_secret": "CHURN_SESSION_SECRET",
    "log": "CHURN_LOG",
    "rate": "CHURN_RATE_PER_SECOND",
    "seed_share": "CHURN_SEED_SHARE",
    "feature_store": "FEATURE_STORE_URI",
    "feature_kind": "FEATURE_STORE_KIND",
    "feature_service": "FEATURE_STORE_SERVICE",
    "feature_store_name": "FEATURE_STORE_NAME",
    "feature_view": "FEATURE_STORE_VIEW",
    "feature_view_version": "FEATURE_STORE_VIEW_VERSION",
    "feature_timeout": "FEATURE_STORE_TIMEOUT_S",
    "feature_first": "FEATURE_STORE_FIRST",
    "feature_token": "FEATURE_STORE_TOKEN",
    "old_features": "CHURN_OLD_FEATURES",
    "database_owner": "CHURN_DATABASE_OWNER",
}


PLAIN = (
    *("profile", "host", "port", "rate", "seed_share"),
    *(
        "feature_kind",
        "feature_service",
        "feature_timeout",
        "feature_view_version",
        "database_owner",
    ),
)
"""Settings that a refusal may repeat."""


class SettingsError(ValueError):
    """Settings with which the service may not start. The message names the change in one line."""


class ServiceSettings(BaseModel):
    """Settings of the service, from its environment."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    profile: Literal["local", "eu"] = "local"
    bundle: Path = Path("data/7_bundle")
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8080
    keys: tuple[Key, ...] = ()
    session_secret: SecretStr = SecretStr("")
    log: Annotated[str, Field(repr=False)] = "decisions.db"
    rate: Annotated[float, Field(gt=0, description="customers scored per second and key")] = 1000.0
    seed_share: Annotated[
        float, Field(ge=0, le=1, description="share of reviews followed by a planted error")
    ] = 0.05
    feature_store: str = ""
    feature_kind: Literal["feast", "hopsworks"] = "feast"
    feature_service: str = "churn_v1"
    """Feast's name for the features to look up. Hopsworks has a store and a view instead."""
    feature_store_name: str = ""
    feature_view: str = "customer_snapshot"
    feature_view_version: Annotated[int, Field(ge=1)] = 1
    feature_timeout: Annotated[float, Field(gt=0, le=30, description="seconds")] = 1.0
    feature_first: Literal["no", "yes"] = "no"
    """Whether `/readyz` waits until the feature server has answered once, as `churn serve` does."""
    feature_token: SecretStr = SecretStr("")
    old_features: Literal["refuse", "allow"] = "refuse"
    database_owner: Literal["refuse", "allow"] = "refuse"
    """Permission for profile eu to start as the role that owns the log's tables."""

    @property
    def open_to_all(self) -> bool:
        """Return whether there are no keys: only ever on loopback in the profile local."""
        return not self.keys

    @property
    def hosts(self) -> tuple[str, ...]:
        """Return the only hosts outside this machine that the service may call.

        They are its database and the feature server.
        """
        log = read_database_address(self.log, "CHURN_LOG", plain_path=True)
        named = log.hosts if isinstance(log, PostgresAddress) else ()
        store = urlsplit(self.feature_store).hostname
        return (*named, store) if store else named


def read(environ: Mapping[str, str] = ENVIRONMENT, **arguments: object) -> ServiceSettings:
    """Return settings from ``environ``. ``arguments`` (host, port) wins over it.

    Raises SettingsError in one line.
    """
    values: dict[str, object] = {
        # A variable that comes from a file, as a Secret does, ends with its line break.
        field: value
        for field, name in NAMES.items()
        if (value := environ.get(name, "").strip("\r\n"))
    }
    # In profile local a DATABASE_URL is that of another application: only CHURN_LOG moves the log.
    server = environ.get("DATABASE_URL") if environ.get("CHURN_PROFILE") == "eu" else None
    if server:
        values["log"] = server
    elif environ.get("DATABASE_URL"):
        log.info("DATABASE_URL is not used in profile local: CHURN_LOG says where the log is")
    values.update({name: option for name, option in arguments.items() if option is not None})
    values["keys"] = _keys(environ.get("CHURN_KEYS", ""))
    try:
        settings = ServiceSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0])
        # What may hold a password stays out of the message.
        value = f" is {first['input']!r}" if field in PLAIN else ""
        raise SettingsError(f"{NAMES.get(field, field)}{value}: {first['msg']}") from None
    _check(settings, environ)
    private = environ.get(PLAINTEXT, "").split(",")
    return _addressed(settings, "DATABASE_URL" if server else "CHURN_LOG", private)


def _addressed(
    settings: ServiceSettings, variable: str, private: Collection[str]
) -> ServiceSettings:
    """Read the addresses. A wrong one stops the start and is not repeated."""
    tls, named = settings.profile == "eu", variable == "DATABASE_URL"
    try:
        place = read_database_address(
            settings.log, variable, tls=tls, plaintext=private, plain_path=not named
        )
    except DatabaseAddressError as error:
        raise SettingsError(str(error)) from None
    try:
        store = urlsplit(settings.feature_store)
        wrong = bool(settings.feature_store) and bool(
            store.scheme not in ("http", "https")
            or store.port == 0
            or store.query
            or store.fragment
            or parse(settings.feature_store).problem
        )
    except ValueError:
        wrong = True
    if wrong:
        raise SettingsError(
            "FEATURE_STORE_URI is no address of a feature server: write http://host:port or "
            "https://host, without ? and #"
        )
    where = place.conninfo if isinstance(place, PostgresAddress) else str(place.path)
    return settings.model_copy(update={"log": where})


def quiet() -> None:
    """Switch off the telemetry of BentoML and its libraries. Call it before they are imported.

    `bentoml serve` has imported them by then, and remembers the value that its switch had before.
    """
    silence(ENVIRONMENT)
    if usage := sys.modules.get("bentoml._internal.utils.analytics.usage_stats"):
        usage.do_not_track.cache_clear()


def _keys(text: str) -> tuple[Key, ...]:
    try:
        return read_keys(text)
    except ValueError as error:
        raise SettingsError(f"CHURN_KEYS: {error}") from None


def _check(settings: ServiceSettings, environ: Mapping[str, str]) -> None:
    # The hash of a key is no secret, because many people see it (see access/session.py).
    secret = settings.session_secret.get_secret_value()
    if secret and (
        len(secret) < SHORTEST_SECRET or secret.lower() in {key.digest for key in settings.keys}
    ):
        raise SettingsError(
            f"CHURN_SESSION_SECRET has to be {SHORTEST_SECRET} characters or more, and no hash of "
            "CHURN_KEYS: openssl rand -hex 32 makes one"
        )
    # No client sends another header, so that every look-up would fail.
    if not re.fullmatch("[!-~]*", settings.feature_token.get_secret_value()):
        raise SettingsError(
            "FEATURE_STORE_TOKEN holds a blank, a line break or a letter outside of ASCII: make one "
            "with openssl rand -hex 24"
        )
    if settings.feature_store and settings.feature_kind == "hopsworks":
        named = {
            "FEATURE_STORE_NAME": settings.feature_store_name,
            "FEATURE_STORE_TOKEN": settings.feature_token.get_secret_value(),
        }
        if absent := [name for name, value in named.items() if not value]:
            raise SettingsError(
                f"FEATURE_STORE_KIND is hopsworks: {' and '.join(absent)} has to say which feature "
                "store (NAME, as Hopsworks shows it) is opened by which API key (TOKEN)"
            )
    if settings.profile == "eu":
        if settings.old_features == "allow":
            raise SettingsError(
                "CHURN_OLD_FEATURES is allow: only profile local answers on features that are too "
                "old. Unset it, and give the feature store newer features"
            )
        if settings.open_to_all:
            raise SettingsError(
                "CHURN_KEYS is empty: profile eu does not start without keys; make one: churn "
                "keys new"
            )
        today = datetime.now(UTC).date()
        if not any(key.valid_on(today) for key in settings.keys):
            last = max(key.expires for key in settings.keys if key.expires)
            raise SettingsError(
                f"CHURN_KEYS: every key has expired, the last one on {last}, so nobody could call "
                "the service; make one: churn keys new"
            )
        if not (environ.get("DATABASE_URL") or environ.get("CHURN_LOG")):
            raise SettingsError(
                "Profile eu needs DATABASE_URL (postgresql://…), or CHURN_LOG with a file on a "
                "disk of this machine, no network drive, that outlives the container: the "
                "decision log must not be lost"
            )
    # Without keys everybody who reaches the port may do everything.
    elif settings.open_to_all and settings.host not in LOOPBACK:
        raise SettingsError(
            f"CHURN_KEYS is empty and CHURN_HOST is {settings.host}: without keys the service "
            "listens on 127.0.0.1 only"
        )
