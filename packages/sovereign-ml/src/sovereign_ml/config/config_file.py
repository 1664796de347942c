"""config.toml as it was written, with what the call and the environment say beside it."""

from __future__ import annotations

import codecs
import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from sovereign_ml.config.profiles import VARIABLES
from sovereign_ml.errors import Misuse
from sovereign_ml.jurisdictions import (
    PLAINTEXT,
    DatabaseAddressError,
    PostgresAddress,
    read_database_address,
)

__all__ = ["check_same_keys", "explain", "override", "read", "secrets_of"]

ENCRYPTED = ("decision_log", "online_store", "tracking_database", "feature_registry")
"""Databases to which the way is encrypted in every profile but local.

The first two have rows about people. MLflow's and Feast's decide which model is served and which
features are looked up, and their passwords travel too.
"""


def read(path: Path) -> dict[str, Any]:
    """Return the tables of the file.

    Raises Misuse for a missing file, broken TOML, and a key at the top that is no table.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Misuse(
            f"No config.toml in {path.parent}: run this in the project's folder, or set CHURN_ROOT."
        ) from None
    except UnicodeDecodeError as error:
        raise Misuse(
            f"config.toml is not UTF-8 (byte {error.start + 1}): save it as UTF-8 without a byte "
            "order mark."
        ) from None
    except tomllib.TOMLDecodeError as error:
        # An editor on Windows may begin the file with a mark that nobody sees.
        hint = " Save it as UTF-8 without a byte order mark." if _has_mark(path) else ""
        raise Misuse(f"config.toml is not valid TOML: {error}.{hint}") from None
    profiles = tables.get("profile", {})
    inner = {f"profile.{k}": v for k, v in profiles.items()} if isinstance(profiles, dict) else {}
    for name, value in (tables | inner).items():
        if not isinstance(value, dict):
            raise Misuse(
                f"config.toml: {name} is {value!r}: it has to be a table, [{name}] with its keys "
                "below."
            )
    return tables


def _has_mark(path: Path) -> bool:
    return path.read_bytes().startswith(codecs.BOM_UTF8)


def check_same_keys(profiles: dict[str, dict[str, Any]]) -> None:
    """Raise Misuse where one profile lacks a key of another."""
    # A key that one profile lacks would make the flow differ in more than the seven settings.
    every = set().union(*profiles.values())
    for name, table in profiles.items():
        if missing := sorted(every - set(table)):
            raise Misuse(
                f"[profile.{name}] in config.toml lacks {', '.join(missing)}; "
                "all profiles have the same keys."
            )


def override(table: dict[str, Any], environ: Mapping[str, str]) -> None:
    """Put the files of `make run DATA=… CUSTOMERS=…` in the place of those in config.toml."""
    data = table.get("data", {})
    if path := environ.get("CHURN_DATA"):
        data["transactions"] = path
        # Customers of the built-in shop do not belong to another file.
        if data.get("customers") == "synthetic":
            data["customers"] = ""
    # An empty text means no customers table. It must not count as not set.
    if (path := environ.get("CHURN_CUSTOMERS_FILE")) is not None:
        data["customers"] = path
    shop = data.get("synthetic")
    if (count := environ.get("CHURN_SYNTHETIC_CUSTOMERS")) and isinstance(shop, dict):
        # Any other text is left to the check of the settings, whose message names the key.
        shop["customers"] = int(count) if count.isdecimal() else count


def secrets_of(table: dict[str, Any], profile: str, environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the secrets of the environment, and the file of this project's pseudonym key.

    Raises Misuse where ``profile`` demands TLS of a database and its address forbids it.
    """
    base = _user_settings(environ)
    name = str(table.get("project", {}).get("name", "churn"))
    # An empty variable counts as not set. One that comes from a file ends with its line break.
    secrets = {
        field: environ.get(variable, "").strip("\r\n") or None
        for field, variable in VARIABLES.items()
    }
    if profile != "local":
        # Demanded of the secret itself, so that no reader of the address can forget it.
        for field in ENCRYPTED:
            if address := secrets[field]:
                secrets[field] = _encrypted(address, VARIABLES[field], environ)
    return {"key_file": base / "churn" / f"{name}.key", **secrets}


def _encrypted(text: str, variable: str, environ: Mapping[str, str]) -> str:
    """Return the address of a database with its demand for TLS, and any other text unchanged."""
    try:
        written = read_database_address(text, variable)
    except DatabaseAddressError:
        # Redis, or an address that nobody can read: who connects names what is wrong with it.
        return text
    private = environ.get(PLAINTEXT, "").split(",")
    try:
        place = read_database_address(text, variable, tls=True, plaintext=private)
    except DatabaseAddressError as error:
        raise Misuse(str(error)) from None
    if isinstance(place, PostgresAddress) and place != written:
        return place.sqlalchemy
    return text


def _user_settings(environ: Mapping[str, str]) -> Path:
    """Return the folder of this user's settings, always an absolute path."""
    # A relative path would put the key into the project.
    for path in (
        Path(environ.get("XDG_CONFIG_HOME", "")),
        Path(environ.get("HOME", ""), ".config"),
    ):
        if path.is_absolute():
            return path
    try:
        return Path.home() / ".config"
    except RuntimeError:  # no HOME, and a user whom the machine does not know, as in a container
        return Path("/nonexistent")


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Return the first problem of a pydantic error of ``model`` as one line for the reader of config.toml."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"config.toml has no key '{where}'.{_did_you_mean(first['loc'], model)}"
    if first["type"] == "missing":
        return f"config.toml lacks '{where}'."
    message = first["msg"].removeprefix("Value error, ")
    return f"config.toml: {where} is {first['input']!r}: {message[0].lower()}{message[1:]}."


def _did_you_mean(where: tuple[int | str, ...], model: Any) -> str:
    for part in where[:-1]:
        field = next((f for n, f in model.model_fields.items() if part in (n, f.alias)), None)
        model = field.annotation if field else None
        if not hasattr(model, "model_fields"):
            return ""
    names = [f.alias or n for n, f in model.model_fields.items()]
    close = difflib.get_close_matches(str(where[-1]), names, n=1)
    return f" Did you mean '{close[0]}'?" if close else f" Known there: {', '.join(names)}."
