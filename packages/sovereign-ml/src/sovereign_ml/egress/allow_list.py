"""Allow-list of the egress guard: the hosts that a profile and a command may reach."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sovereign_ml.egress import guard
from sovereign_ml.egress.telemetry import silence

ADDRESSES = (
    "DATABASE_URL",
    "CHURN_TRACKING_DATABASE_URL",
    "CHURN_FEATURE_REGISTRY_URL",
    "CHURN_ONLINE_STORE_URL",
    "FEATURE_STORE_URI",
)
"""Variables that hold the address of a server together with its password."""


def install(environ: MutableMapping[str, str], arguments: Sequence[str] = ()) -> None:
    """Guard this process and its Python children by config.toml and the profile of the call.

    A missing or broken config.toml allows loopback only. The command itself then reports it.
    """
    profile = _option(arguments) or environ.get("CHURN_PROFILE") or "local"
    path = Path(environ.get("CHURN_ROOT", "."), "config.toml")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        table = {}
    allowed = allowed_hosts(table, profile, environ, command=_command(arguments))
    allowed += _hosts_to_leave(arguments)
    record = guard.inherited_record(environ)
    guard.install(allowed, profile=profile, record=record)
    guard.extend_to_children(environ, allowed, profile=profile, record=record)


@contextmanager
def task(environ: MutableMapping[str, str], *, command: str = "") -> Iterator[None]:
    """Run a pipeline task without telemetry and under the guard. Print what was refused.

    Some hosts are for one ``command`` only, see `allowed_hosts`.
    """
    silence(environ)
    install(environ, (command,) if command else ())
    try:
        yield
    finally:
        for line in guard.summary():
            print(line, file=sys.stderr)  # noqa: T201


def allowed_hosts(
    table: Mapping[str, Any], profile: str, environ: Mapping[str, str], *, command: str = ""
) -> tuple[str, ...]:
    """Return the hosts that ``command`` may reach in ``profile``.

    Some are for one group of commands: the platform for `churn deploy`, the vulnerability database
    for `churn supply-chain vuln`, the channels of alarms for `churn monitor`.
    """
    from sovereign_ml.jurisdictions import hosts

    values = [v for v in _part(table, "profile", profile).values() if isinstance(v, str)]
    # The profile local works without any server.
    if profile != "local":
        values += [
            str(_part(table, "s3").get("endpoint", "")),
            str(_part(table, "pipeline").get("host", "")),
        ]
        if _part(table, "spark").get("master") == "operator":
            values.append(f"https://{environ.get('KUBERNETES_SERVICE_HOST', '')}")
        for name in ADDRESSES:
            values += _named_by(environ.get(name, ""), name)
    if command == "supply-chain vuln":
        values.append(str(_part(table, "audit").get("vulnerability_service", "")))
    group = command.partition(" ")[0]
    if group == "monitor":
        alarm = _part(table, "monitor", "alarm")
        values += [str(alarm.get("alertmanager", "")), str(alarm.get("webhook", ""))]
        values += [f"smtp://{alarm['smtp']}"] if alarm.get("smtp") else []
    if group in OTHER_PLATFORMS:
        values.append(str(_part(table, "clearml").get("api", "")))
        hopsworks = _part(table, "hopsworks")
        values += [f"https://{hopsworks['host']}"] if hopsworks.get("host") else []
        values.append(str(hopsworks.get("rest", "")))
    if group == "deploy":
        deploy = _part(table, "deploy")
        values += [
            str(deploy.get("api_url", "https://api.sota.io")),
            f"https://{deploy.get('slug', '')}.sota.io",
            str(deploy.get("service_url", "")),
        ]
    # An address names one host. With a star in it, it would open the guard for all below it.
    return tuple(host for host in hosts(values) if "*" not in host)


def _part(table: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """Return a table of config.toml, an empty one where something else stands in its place."""
    part: Any = table
    for name in names:
        # The command reports it, but only once the guard is there.
        part = part.get(name) if isinstance(part, Mapping) else None
    return part if isinstance(part, Mapping) else {}


OTHER_PLATFORMS = ("clearml", "servers", "retain", "data-subject")
"""Groups of commands that reach the servers of [clearml] and [hopsworks]."""
LEFT = ("api.sagemaker", "metrics.sagemaker", "featurestore-runtime.sagemaker")
"""Services of AWS that `churn leave fetch` reads from. No other command reaches them."""


def _hosts_to_leave(arguments: Sequence[str]) -> tuple[str, ...]:
    """Return the hosts of `churn leave fetch` in its region, none for any other command."""
    if tuple(arguments[:2]) != ("leave", "fetch"):
        return ()
    region = _option(arguments, "--region") or ""
    # The region becomes part of a host name, so nothing but a region may stand there.
    if not re.fullmatch(r"[a-z]{2,4}(-[a-z]+){1,3}-\d", region):
        return ()
    # AWS has other names for its partitions in the EU and in China.
    suffixes = {"eusc": "amazonaws.eu", "cn": "amazonaws.com.cn"}
    suffix = suffixes.get(region.partition("-")[0], "amazonaws.com")
    return tuple(f"{service}.{region}.{suffix}" for service in LEFT)


def _command(arguments: Sequence[str]) -> str:
    """Return the command, with its group: the first two words that are no options."""
    return " ".join([word for word in arguments if not word.startswith("-")][:2])


def _named_by(address: str, variable: str) -> list[str]:
    """Return a URL for each host of a database's address, and any other address unchanged."""
    from sovereign_ml.jurisdictions import DatabaseAddressError, read_postgres_address

    try:
        database = read_postgres_address(address, variable)
    except DatabaseAddressError:
        return [address]
    return [f"postgresql://{f'[{host}]' if ':' in host else host}" for host in database.hosts]


def _option(arguments: Sequence[str], name: str = "--profile") -> str | None:
    value = None
    # Of an option that is given twice the last value counts, as for the command itself.
    for position, word in enumerate(arguments):
        if word == name and position + 1 < len(arguments):
            value = arguments[position + 1]
        elif word.startswith(f"{name}="):
            value = word.partition("=")[2]
    return value
