"""churn doctor: every server of the active profile, asked whether it will do; one line each."""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
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
"""A certificate that ends within this is worth a word."""
SLOW_MS = 250
"""A connection that takes longer: a flow makes thousands of them."""
TLS_ADVICE = {
    "certificate has expired": "renew the certificate",
    "certificate is not yet valid": "correct the clock of this machine, or the certificate",
    "Hostname mismatch": "write the name that the certificate has",
}
UNTRUSTED = "trust its issuer on this machine: SSL_CERT_FILE, AWS_CA_BUNDLE and REQUESTS_CA_BUNDLE name its file"
SECURE = {"https": 443, "rediss": 6379}
PLAIN = {"http": 80, "redis": 6379, "postgresql": 5432, "smtp": 587}


@dataclass(frozen=True)
class HealthLine:
    """What was found about one server. ``state``: ok, warn (works, but look at it) or fail."""

    name: str
    host: str
    state: str
    jurisdiction: str
    milliseconds: int
    found: str
    do: str


@dataclass(frozen=True)
class Server:
    """One server of the profile: what carries personal data there, where it is, and how to ask it."""

    name: str
    url: str
    ask: Callable[[], list[str]]


NO_ALARMS = AlarmSettings()


def examine(
    profile: Profile,
    secrets: Secrets,
    tracking: Tracking,
    card: Path,
    alarms: AlarmSettings = NO_ALARMS,
) -> Iterator[HealthLine]:
    """Check each server of the profile, and the channels of the monitor's alarms.

    ``card`` is model_card.toml, which declares owners.

    Nothing is written but one probe object on S3, which is deleted again.
    """
    for name, address in _here(profile):
        yield HealthLine(name, address, "ok", Jurisdiction.LOCAL, 0, "a file of this project", "")
    for name, find in _servers(profile, secrets, tracking):
        try:
            server = find()
        except Misuse as error:
            yield HealthLine(name, "", "fail", "", 0, "no address", str(error))
            continue
        yield _look(server, card)
    yield from channel_lines(alarms, card)


def channel_lines(alarms: AlarmSettings, card: Path) -> Iterator[HealthLine]:
    """Check the channels of alarms without sending anything."""
    for server in _receivers(alarms):
        yield _look(server, card)
    if alarms.textfile:
        yield _text_folder(Path(alarms.textfile))


def _receivers(alarms: AlarmSettings) -> Iterator[Server]:
    """Yield what can be asked without sending anything. A webhook cannot."""
    if alarms.smtp:
        yield Server(
            "alarms by mail", f"smtp://{alarms.smtp}", lambda: health_checks.smtp(alarms.smtp)
        )
    if alarms.alertmanager:
        url = alarms.alertmanager
        yield Server("Alertmanager", url, lambda: health_checks.alertmanager(url))


def _text_folder(folder: Path) -> HealthLine:
    """Check that the metrics of the monitor can be written where node_exporter reads them."""
    name, writable = "metrics of the monitor", folder.is_dir() and os.access(folder, os.W_OK)
    if writable:
        return HealthLine(
            name, str(folder), "ok", Jurisdiction.LOCAL, 0, "a folder of this machine", ""
        )
    wrong = "this user may not write there" if folder.is_dir() else "there is no such folder"
    return HealthLine(
        name,
        str(folder),
        "fail",
        Jurisdiction.LOCAL,
        0,
        wrong,
        "make it, or correct [monitor.alarm] textfile",
    )


def _here(profile: Profile) -> list[tuple[str, str]]:
    stores = [("runs and registry", profile.tracking_uri), ("decision log", profile.decision_log)]
    files = [(name, address) for name, address in stores if address.startswith("sqlite:")]
    return files + ([("features", "data/3_features")] if profile.offline_store == "file" else [])


def _servers(
    profile: Profile, secrets: Secrets, tracking: Tracking
) -> Iterator[tuple[str, Callable[[], Server]]]:
    """Give each server with a function that makes it: its address may be a secret not set."""
    storage = tracking.storage

    def at(
        name: str, field: str, ask: Callable[[str], list[str]]
    ) -> tuple[str, Callable[[], Server]]:
        def find() -> Server:
            url = secrets.need(field)
            return Server(f"{name} ({VARIABLES[field]})", url, lambda: ask(url))

        return name, find

    def in_postgres(name: str, field: str) -> tuple[str, Callable[[], Server]]:
        def find() -> Server:
            address = database(getattr(secrets, field), field)
            host = next(iter(address.hosts), "")
            url = f"postgresql://{f'[{host}]' if ':' in host else host}:{address.port}"
            title = f"{name} ({VARIABLES[field]})"
            return Server(title, url, lambda: health_checks.postgres(address))

        return name, find

    if profile.offline_store == "s3":
        yield (
            "object storage",
            lambda: Server("object storage", storage.endpoint, lambda: health_checks.s3(storage)),
        )
        yield in_postgres("feature registry", "feature_registry")
    if profile.tracking_uri.startswith("http"):
        where = profile.tracking_uri
        yield (
            "runs and registry",
            lambda: Server("runs and registry", where, lambda: health_checks.mlflow(tracking)),
        )
    if profile.online_store == "redis":
        yield at("online features", "online_store", health_checks.redis)
    elif profile.online_store != "sqlite":
        yield in_postgres("online features", "online_store")
    if profile.decision_log == "postgresql":
        yield in_postgres("decision log", "decision_log")


def _look(server: Server, card: Path) -> HealthLine:
    try:
        parts = urlsplit(server.url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        do = "write it as scheme://<user>:<password>@<host>:<port>, with %2F for / in the password"
        return HealthLine(server.name, "", "fail", "", 0, "no address that can be read", do)
    law, concern = _jurisdiction(host, card) if host else (Jurisdiction.LOCAL, "")
    start = time.perf_counter()
    try:
        # Without a host it is a socket of this machine.
        notes = _reach(host, parts.scheme, port) if host else []
        elapsed = round((time.perf_counter() - start) * 1000)
        notes += (
            [f"! slow, {elapsed} ms for one connection: put it where the pipeline runs"]
            if elapsed > SLOW_MS
            else []
        )
        notes += server.ask()
    except Trouble as trouble:
        do = ". ".join(part for part in (trouble.do, concern) if part)
        return HealthLine(server.name, host, "fail", law, 0, trouble.found, do)
    notes += [f"! {concern}"] if concern else []
    todo = [note.removeprefix("! ") for note in notes if note.startswith("! ")]
    found = "; ".join(note for note in notes if not note.startswith("! "))
    state = (
        "fail"
        if law in (Jurisdiction.US, Jurisdiction.US_PARENT_EU_REGION)
        else "warn"
        if todo
        else "ok"
    )
    return HealthLine(server.name, host, state, law, elapsed, found, ". ".join(todo))


def _reach(host: str, scheme: str, port: int | None) -> list[str]:
    """Resolve, connect, and look at the certificate. Raises Trouble."""
    port = port or (SECURE | PLAIN).get(scheme, 443)
    try:
        connection = socket.create_connection((host, port), timeout=TIMEOUT_S)
    except socket.gaierror:
        raise Trouble(
            f"{host} does not resolve", "correct the name, or ask who runs the DNS"
        ) from None
    except OSError as error:
        said = error.strerror or "no answer"
        raise Trouble(
            f"port {port}: {said.lower()}", "start the server, or open the firewall"
        ) from None
    with connection:
        if scheme in SECURE:
            return _certificate(connection, host)
    near = classify(host).jurisdiction is Jurisdiction.LOCAL
    return (
        []
        if near or scheme in ("postgresql", "smtp")
        else ["! no TLS: use the scheme with s, or a private network"]
    )


def _certificate(connection: socket.socket, host: str) -> list[str]:
    try:
        with ssl.create_default_context().wrap_socket(connection, server_hostname=host) as secure:
            ends = ssl.cert_time_to_seconds(str((secure.getpeercert() or {}).get("notAfter")))
    except ssl.SSLCertVerificationError as error:
        why = error.verify_message
        do = next(
            (advice for words, advice in TLS_ADVICE.items() if why.startswith(words)), UNTRUSTED
        )
        raise Trouble(f"TLS: {why}", do) from None
    except (ssl.SSLError, OSError) as error:
        said = getattr(error, "reason", None) or error.strerror or "no answer"
        raise Trouble(
            f"no TLS there: {said}", "write http: if it speaks no TLS, and put TLS before it"
        ) from None
    days = int((ends - time.time()) / 86400)
    until = f"TLS until {datetime.fromtimestamp(ends, UTC):%Y-%m-%d}"
    return (
        [until, f"! the certificate ends in {days} days: renew it"] if days < SOON_DAYS else [until]
    )


def _jurisdiction(host: str, card: Path) -> tuple[Jurisdiction, str]:
    import tomllib

    seen = classify(host)
    if seen.jurisdiction in (Jurisdiction.US, Jurisdiction.US_PARENT_EU_REGION):
        return seen.jurisdiction, f"{seen.provider} is under US law: choose another one"
    if seen.jurisdiction is not Jurisdiction.SELF_DECLARED:
        return seen.jurisdiction, ""
    answers = tomllib.loads(card.read_text(encoding="utf-8")) if card.is_file() else {}
    known = declaration_for(host, declarations(answers))
    missing = f"nobody knows who owns {host}: declare it in model_card.toml, [[hosting.owner_declarations]]"
    if known is None or not known.complete:
        return seen.jurisdiction, missing
    under_us_law = known.jurisdiction in (Jurisdiction.US, Jurisdiction.US_PARENT_EU_REGION)
    concern = f"{known.provider} is under US law by its declaration: choose another one"
    return known.jurisdiction, concern if under_us_law else ""
