"""Health checks of `churn doctor`: one line for each server of the active profile."""

from __future__ import annotations

import os
import socket
import ssl
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from sovereign_ml.audit import declaration_for, declarations
from sovereign_ml.config.connections import Tracking, database
from sovereign_ml.config.monitoring import AlarmSettings
from sovereign_ml.config.profiles import VARIABLES, Profile, Secrets
from sovereign_ml.errors import Misuse
from sovereign_ml.jurisdictions import Jurisdiction, classify
from sovereign_ml.servers import health_checks
from sovereign_ml.servers.health_checks import TIMEOUT_S, Trouble

SOON_DAYS = 21
"""Days before its end from which on a certificate gets a warning."""
SLOW_MS = 250
"""Milliseconds from which on a connection gets a warning: a flow opens thousands of them."""
UNDER_US_LAW = (Jurisdiction.US, Jurisdiction.US_PARENT_EU_REGION)
TLS_ADVICE = {
    "certificate has expired": "renew the certificate",
    "certificate is not yet valid": "correct the clock of this machine, or the certificate",
    "Hostname mismatch": "use the host name of the certificate",
}
UNTRUSTED = (
    "trust its issuer on this machine: set SSL_CERT_FILE, AWS_CA_BUNDLE and REQUESTS_CA_BUNDLE "
    "to the issuer's certificate"
)
SECURE = {"https": 443, "rediss": 6379}
PLAIN = {"http": 80, "redis": 6379, "postgresql": 5432, "smtp": 587}


@dataclass(frozen=True)
class HealthLine:
    """Result of the check of one server.

    ``state`` is ok, warn (it works, but something should be changed) or fail. ``found`` is the
    observation, ``do`` the advice. ``milliseconds`` is the time that one connection took.
    """

    name: str
    host: str
    state: str
    jurisdiction: str = ""
    milliseconds: int = 0
    found: str = ""
    do: str = ""


@dataclass(frozen=True)
class Server:
    """One server of the profile: its role, its address, and the check that logs in to it."""

    name: str
    url: str
    check: Callable[[], list[str]]


NO_ALARMS = AlarmSettings()


def examine(
    profile: Profile,
    secrets: Secrets,
    tracking: Tracking,
    card: Path,
    alarms: AlarmSettings = NO_ALARMS,
) -> Iterator[HealthLine]:
    """Check each server of the profile, and the channels of the monitor's alarms.

    ``card`` is the path of model_card.toml, which declares who owns a host. The only thing written
    is one probe object on S3, which is deleted again.
    """
    stores = {"runs and registry": profile.tracking_uri, "decision log": profile.decision_log}
    files = {name: address for name, address in stores.items() if address.startswith("sqlite:")}
    if profile.offline_store == "file":
        files["features"] = "data/3_features"
    for name, address in files.items():
        yield HealthLine(name, address, "ok", Jurisdiction.LOCAL, found="a file of this project")
    for name, make_server in _servers(profile, secrets, tracking).items():
        try:
            server = make_server()
        except Misuse as error:
            yield HealthLine(name, "", "fail", found="no address", do=str(error))
        else:
            yield _check(server, card)
    yield from channel_lines(alarms, card)


def channel_lines(alarms: AlarmSettings, card: Path) -> Iterator[HealthLine]:
    """Check the channels of alarms without sending anything. A webhook cannot be checked so."""
    if alarms.smtp:
        check = partial(health_checks.smtp, alarms.smtp)
        yield _check(Server("alarms by mail", f"smtp://{alarms.smtp}", check), card)
    if alarms.alertmanager:
        check = partial(health_checks.alertmanager, alarms.alertmanager)
        yield _check(Server("Alertmanager", alarms.alertmanager, check), card)
    if alarms.textfile:
        yield _metrics_folder(Path(alarms.textfile))


def _metrics_folder(folder: Path) -> HealthLine:
    """Check that the metrics of the monitor can be written where node_exporter reads them."""
    line = partial(HealthLine, "metrics of the monitor", str(folder))
    if folder.is_dir() and os.access(folder, os.W_OK):
        return line("ok", Jurisdiction.LOCAL, found="a folder of this machine")
    wrong = "this user may not write there" if folder.is_dir() else "there is no such folder"
    do = "make it, or correct [monitor.alarm] textfile"
    return line("fail", Jurisdiction.LOCAL, found=wrong, do=do)


def _servers(
    profile: Profile, secrets: Secrets, tracking: Tracking
) -> dict[str, Callable[[], Server]]:
    """Return a function for each server, which raises Misuse where the secret is not set."""
    storage, uri = tracking.storage, profile.tracking_uri

    def redis() -> Server:
        url = secrets.need("online_store")
        title = f"online features ({VARIABLES['online_store']})"
        return Server(title, url, lambda: health_checks.redis(url))

    def postgres(name: str, field: str) -> Server:
        address = database(getattr(secrets, field), field)
        host = next(iter(address.hosts), "")
        url = f"postgresql://{f'[{host}]' if ':' in host else host}:{address.port}"
        title = f"{name} ({VARIABLES[field]})"
        return Server(title, url, lambda: health_checks.postgres(address))

    servers: dict[str, Callable[[], Server]] = {}
    if profile.offline_store == "s3":
        check_bucket = partial(health_checks.s3, storage)
        servers["object storage"] = lambda: Server("object storage", storage.endpoint, check_bucket)
        servers["feature registry"] = partial(postgres, "feature registry", "feature_registry")
    if uri.startswith("http"):
        check_mlflow = partial(health_checks.mlflow, tracking)
        servers["runs and registry"] = lambda: Server("runs and registry", uri, check_mlflow)
    if profile.online_store == "redis":
        servers["online features"] = redis
    elif profile.online_store == "postgresql":
        servers["online features"] = partial(postgres, "online features", "online_store")
    if profile.decision_log == "postgresql":
        servers["decision log"] = partial(postgres, "decision log", "decision_log")
    return servers


def _check(server: Server, card: Path) -> HealthLine:
    try:
        parts = urlsplit(server.url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        do = "write it as scheme://<user>:<password>@<host>:<port>, with %2F for / in the password"
        return HealthLine(server.name, "", "fail", found="an address that cannot be read", do=do)
    law, concern = _jurisdiction(host, card) if host else (Jurisdiction.LOCAL, "")
    if law in UNDER_US_LAW:
        # The check logs in: such a host gets neither the password nor the address of this machine.
        return HealthLine(server.name, host, "fail", law, found="not connected", do=concern)
    start = time.perf_counter()
    try:
        # An address without a host is a Unix socket of this machine.
        notes = _connect(host, parts.scheme, port) if host else []
        elapsed = round((time.perf_counter() - start) * 1000)
        if elapsed > SLOW_MS:
            notes.append(f"! slow, {elapsed} ms for one connection: put it where the pipeline runs")
        notes += server.check()
    except Trouble as trouble:
        do = ". ".join(part for part in (trouble.do, concern) if part)
        return HealthLine(server.name, host, "fail", law, 0, trouble.observation, do)
    notes += [f"! {concern}"] if concern else []
    todo = [note.removeprefix("! ") for note in notes if note.startswith("! ")]
    facts = "; ".join(note for note in notes if not note.startswith("! "))
    state = "warn" if todo else "ok"
    return HealthLine(server.name, host, state, law, elapsed, facts, ". ".join(todo))


def _connect(host: str, scheme: str, port: int | None) -> list[str]:
    """Resolve the host, connect to it and check its certificate. Raises Trouble."""
    port = port or (SECURE | PLAIN).get(scheme, 443)
    try:
        connection = socket.create_connection((host, port), timeout=TIMEOUT_S)
    # A name with an empty or too long part has no form in which it could be asked for.
    except (socket.gaierror, UnicodeError):
        raise Trouble(
            f"{host} does not resolve", "correct the name, or ask who runs the DNS"
        ) from None
    except OSError as error:
        reason = (error.strerror or "no answer").lower()
        raise Trouble(f"port {port}: {reason}", "start the server, or open the firewall") from None
    with connection:
        if scheme in SECURE:
            return _certificate(connection, host)
    # PostgreSQL and SMTP switch to TLS after they have answered, so their own checks look at it.
    if scheme in ("postgresql", "smtp") or classify(host).jurisdiction is Jurisdiction.LOCAL:
        return []
    return ["! no TLS: use https or rediss, or a private network"]


def _certificate(connection: socket.socket, host: str) -> list[str]:
    """Return when the server's certificate ends. Raises Trouble where it is not valid here."""
    try:
        with ssl.create_default_context().wrap_socket(connection, server_hostname=host) as secure:
            ends = ssl.cert_time_to_seconds(str((secure.getpeercert() or {}).get("notAfter")))
    # This one is an SSLError too, so it is caught first.
    except ssl.SSLCertVerificationError as error:
        reason = error.verify_message
        do = next(
            (TLS_ADVICE[words] for words in TLS_ADVICE if reason.startswith(words)), UNTRUSTED
        )
        raise Trouble(f"TLS: {reason}", do) from None
    except (ssl.SSLError, OSError) as error:
        reason = getattr(error, "reason", None) or error.strerror or "no answer"
        do = "switch TLS on at the server, or use the scheme http or redis"
        raise Trouble(f"no TLS: {reason}", do) from None
    days = int((ends - time.time()) / 86400)
    notes = [f"TLS until {datetime.fromtimestamp(ends, UTC):%Y-%m-%d}"]
    if days < SOON_DAYS:
        notes.append(f"! the certificate ends in {days} days: renew it")
    return notes


def _jurisdiction(host: str, card: Path) -> tuple[Jurisdiction, str]:
    """Return whose law reaches ``host``, and what to do about it (empty for nothing).

    A declaration in the card counts only for a host that the provider table does not know.
    """
    provider = classify(host)
    if provider.jurisdiction in UNDER_US_LAW:
        return provider.jurisdiction, f"{provider.provider} is under US law: choose another one"
    if provider.jurisdiction is not Jurisdiction.SELF_DECLARED:
        return provider.jurisdiction, ""
    try:
        answers = tomllib.loads(card.read_text(encoding="utf-8")) if card.is_file() else {}
    except ValueError as error:
        return provider.jurisdiction, f"{card.name} cannot be read ({error}): correct it"
    owner = declaration_for(host, declarations(answers))
    if owner is None or not owner.complete:
        return provider.jurisdiction, (
            f"the owner of {host} is unknown: declare it in model_card.toml, "
            "[[hosting.owner_declarations]]"
        )
    if owner.jurisdiction not in UNDER_US_LAW:
        return owner.jurisdiction, ""
    return owner.jurisdiction, (
        f"{owner.provider} is under US law by its declaration: choose another one"
    )
