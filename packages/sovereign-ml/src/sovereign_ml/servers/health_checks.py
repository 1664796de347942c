"""What doctor asks each kind of server: credentials, rights, version. A note that starts with "! " asks for an act."""

from __future__ import annotations

import secrets
import ssl
from typing import Any

from sovereign_ml.config.connections import ObjectStorage, Tracking
from sovereign_ml.jurisdictions import PostgresAddress
from sovereign_ml.storage import s3 as bucket_api

TIMEOUT_S = 5.0
POSTGRES, REDIS = range(13, 19), range(6, 9)
"""Major versions that the flow was tried with."""


class Trouble(Exception):
    """A server that will not do: what was found, and what to do."""

    def __init__(self, found: str, do: str) -> None:
        super().__init__(found)
        self.found, self.do = found, do


def s3(storage: ObjectStorage) -> list[str]:
    """Write, read and delete one probe object; then versioning and encryption of the bucket."""
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, key = storage.bucket, f"churn-doctor-{secrets.token_hex(6)}"
    api = bucket_api.client(storage, attempts=1)
    try:
        version = api.put_object(Bucket=bucket, Key=key, Body=b"probe").get("VersionId")
        body = api.get_object(Bucket=bucket, Key=key)["Body"].read()
        # Where versions are kept, only the version itself goes without leaving itself and a marker behind.
        api.delete_object(Bucket=bucket, Key=key, **({"VersionId": version} if version else {}))
    except ClientError as error:
        word = bucket_api.code(error)
        raise Trouble(
            f"bucket {bucket}: {word}", bucket_api.ADVICE.get(word, "ask the provider")
        ) from None
    except BotoCoreError as error:
        raise Trouble(f"bucket {bucket}", bucket_api.reason_of(error)) from None
    if body != b"probe":
        raise Trouble(
            f"bucket {bucket} gives back other bytes than it was given", "do not use this storage"
        )
    return [f"bucket {bucket} can be written, read and deleted from", *_kept_safe(api, bucket)]


def _kept_safe(api: Any, bucket: str) -> list[str]:
    from botocore.exceptions import ClientError

    notes = []
    try:
        on = api.get_bucket_versioning(Bucket=bucket).get("Status") == "Enabled"
        notes.append(
            "versions are kept"
            if on
            else "! versioning is off: an overwritten object is gone; switch it on"
        )
    except ClientError:
        notes.append("! the storage does not say whether it keeps versions: ask the provider")
    try:
        api.get_bucket_encryption(Bucket=bucket)
        notes.append("encrypted at rest")
    except ClientError:
        notes.append(
            "! no default encryption of the bucket: switch on SSE, or have disk encryption confirmed"
        )
    return notes


def postgres(address: PostgresAddress) -> list[str]:
    """Log in; version, database, the right to make tables, and encryption on the way. Raises Trouble."""
    import psycopg

    try:
        with psycopg.connect(address.conninfo, connect_timeout=5) as connection:
            row = connection.execute(
                "SELECT current_database(), current_setting('server_version_num')::int / 10000, "
                "has_schema_privilege(current_schema(), 'CREATE')"
            ).fetchone()
            local = connection.info.host in (
                "127.0.0.1",
                "::1",
                "localhost",
            ) or connection.info.host.startswith("/")
            encrypted = local or bool(connection.pgconn.ssl_in_use)
    except psycopg.Error as error:
        raise Trouble(_last(error), "check user, password and database in the address") from None
    database, version, create = row or ("", 0, False)
    if not create:
        raise Trouble(
            f"database {database}: this user may make no tables", "GRANT CREATE ON SCHEMA public"
        )
    notes = [f"PostgreSQL {version}", f"database {database}"]
    notes += [] if version in POSTGRES else [f"! tried with {POSTGRES[0]} to {POSTGRES[-1]} only"]
    return (
        notes if encrypted else [*notes, "! the connection is not encrypted: add ?sslmode=require"]
    )


def redis(url: str) -> list[str]:
    """Log in; version, and whether it asked for the password. Raises Trouble."""
    import redis as client

    try:
        found = client.Redis.from_url(url, socket_timeout=5)
        answer: Any = found.info("server")
        version = int(answer["redis_version"].split(".")[0])
    except client.AuthenticationError:
        raise Trouble("the password is refused", "check CHURN_ONLINE_STORE_URL") from None
    except client.RedisError as error:
        raise Trouble(_last(error), "start Redis, or correct CHURN_ONLINE_STORE_URL") from None
    notes = [f"Redis {version}"] + (
        [] if version in REDIS else [f"! tried with {REDIS[0]} to {REDIS[-1]} only"]
    )
    if not found.get_connection_kwargs().get("password"):
        notes.append("! it lets everybody in: set requirepass")
    return notes


def mlflow(tracking: Tracking) -> list[str]:
    """Check version and password, and that nobody gets in without it. Raises Trouble."""
    from importlib.metadata import version

    import httpx

    where = tracking.uri.rstrip("/")
    password = tracking.password
    login = (tracking.user, password.get_secret_value()) if password else None
    try:
        # The machine's own trust, not certifi's: doctor has just looked at the certificate with it.
        with httpx.Client(timeout=10, trust_env=False, verify=ssl.create_default_context()) as http:
            answer = http.get(f"{where}/version", auth=login)
            open_to_all = http.get(f"{where}/version").status_code == httpx.codes.OK
    except httpx.HTTPError as error:
        raise Trouble(
            f"does not answer as MLflow does: {error}", "look at the server's log"
        ) from None
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        raise Trouble(
            f"the password of {tracking.user} is refused",
            "check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
        )
    if answer.status_code != httpx.codes.OK:
        raise Trouble(
            f"answers {answer.status_code}, so it is no MLflow server",
            "correct tracking_uri in config.toml",
        )
    ours, theirs = version("mlflow"), answer.text.strip()
    notes = [f"MLflow {theirs}"]
    if ours.split(".")[:2] != theirs.split(".")[:2]:
        notes.append(f"! this project has MLflow {ours}: run the server from the same lock")
    return (
        [*notes, "! it answers without a password: run it with `churn servers tracking`"]
        if open_to_all
        else notes
    )


def _last(error: Exception) -> str:
    """The last part of a message, which says why; the first part holds the address."""
    return (
        str(error).strip().splitlines()[-1].rpartition(":  ")[2].rpartition("FATAL: ")[2].strip()
        or "no answer"
    )


def smtp(address: str) -> list[str]:
    """Ask a mail server (host:port) for STARTTLS, without which no alarm is sent to it."""
    import smtplib

    host, _, port = address.partition(":")
    try:
        with smtplib.SMTP(host, int(port), timeout=TIMEOUT_S) as server:
            server.ehlo()
            if not server.has_extn("starttls"):
                raise Trouble(
                    "it offers no STARTTLS", "switch TLS on there: mail is sent over TLS only"
                )
            server.starttls(context=ssl.create_default_context())
    except ssl.SSLError as error:
        why = getattr(error, "verify_message", "") or error.reason
        raise Trouble(f"TLS: {why}", "give it a certificate that this machine trusts") from None
    except (OSError, smtplib.SMTPException) as error:
        raise Trouble(f"no mail server: {error}", "correct [monitor.alarm] smtp") from None
    return ["STARTTLS"]


def alertmanager(url: str) -> list[str]:
    """Ask Alertmanager whether it is ready."""
    import httpx

    try:
        status = httpx.get(f"{url.rstrip('/')}/-/ready", timeout=TIMEOUT_S).status_code
    except httpx.HTTPError as error:
        said = str(error) or type(error).__name__
        raise Trouble(
            f"no answer: {said}", "start it, or correct [monitor.alarm] alertmanager"
        ) from None
    if status != httpx.codes.OK:
        raise Trouble(
            f"/-/ready answers {status}", "look at its log, or correct [monitor.alarm] alertmanager"
        )
    return ["ready"]
