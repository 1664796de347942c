"""Health checks for each server type: credentials, rights, version, encryption.

Each check returns notes, and raises Trouble where the server cannot be used. A note that starts
with "! " is a warning with advice.
"""

from __future__ import annotations

import secrets
import ssl
from importlib.metadata import version
from typing import Any

from sovereign_ml.config.connections import ObjectStorage, Tracking
from sovereign_ml.jurisdictions import PostgresAddress
from sovereign_ml.storage import s3 as bucket_api

TIMEOUT_S = 5.0
POSTGRES, REDIS = range(13, 19), range(6, 9)
"""Major versions that the flow was tested with."""


class Trouble(Exception):
    """Failed health check: the observation, and what to do about it."""

    def __init__(self, observation: str, do: str) -> None:
        super().__init__(observation)
        self.observation, self.do = observation, do


def s3(storage: ObjectStorage) -> list[str]:
    """Write, read and delete one probe object. Check versioning and encryption of the bucket."""
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, key = storage.bucket, f"churn-doctor-{secrets.token_hex(6)}"
    # One attempt, because a person waits, and a server that answers at times is trouble too.
    api = bucket_api.client(storage, attempts=1)
    try:
        version = api.put_object(Bucket=bucket, Key=key, Body=b"probe").get("VersionId")
        body = api.get_object(Bucket=bucket, Key=key)["Body"].read()
        # Without its VersionId a versioned object stays, with a delete marker on top.
        api.delete_object(Bucket=bucket, Key=key, **({"VersionId": version} if version else {}))
    except ClientError as error:
        code = bucket_api.code(error)
        advice = bucket_api.ADVICE.get(code, "ask the provider")
        raise Trouble(f"bucket {bucket}: {code}", advice) from None
    except BotoCoreError as error:
        raise Trouble(f"bucket {bucket}", bucket_api.reason_of(error)) from None
    if body != b"probe":
        raise Trouble(f"bucket {bucket} returns other bytes than were written", "use other storage")
    notes = [f"bucket {bucket} can be written, read and deleted from"]
    try:
        status = api.get_bucket_versioning(Bucket=bucket).get("Status")
    except ClientError:
        notes.append("! the storage does not answer about versioning: ask the provider")
    else:
        off = "! versioning is off, so an overwritten object is lost: switch it on"
        notes.append("versions are kept" if status == "Enabled" else off)
    try:
        api.get_bucket_encryption(Bucket=bucket)
        notes.append("encrypted at rest")
    except ClientError:
        notes.append(
            "! the bucket has no default encryption: switch on SSE, or ask the provider to confirm "
            "disk encryption"
        )
    return notes


def postgres(address: PostgresAddress) -> list[str]:
    """Log in, and check version, database, the CREATE privilege and encryption. Raises Trouble."""
    import psycopg

    try:
        with psycopg.connect(address.conninfo, connect_timeout=5) as connection:
            row = connection.execute(
                "SELECT current_database(), current_setting('server_version_num')::int / 10000, "
                "has_schema_privilege(current_schema(), 'CREATE')"
            ).fetchone()
            host = connection.info.host
            # What does not leave the machine needs no encryption.
            is_local = host in ("127.0.0.1", "::1", "localhost") or host.startswith("/")
            encrypted = is_local or bool(connection.pgconn.ssl_in_use)
    except psycopg.Error as error:
        do = "check user, password and database in the address"
        raise Trouble(_reason(error), do) from None
    database, version, may_create = row or ("", 0, False)
    if not may_create:
        wrong = f"database {database}: the user lacks the CREATE privilege"
        raise Trouble(wrong, "GRANT CREATE ON SCHEMA public")
    notes = [f"PostgreSQL {version}", f"database {database}", *_untested(version, POSTGRES)]
    if not encrypted:
        notes.append("! the connection is not encrypted: add ?sslmode=require")
    return notes


def redis(url: str) -> list[str]:
    """Log in, and check the version and that a password is required. Raises Trouble."""
    import redis as client

    try:
        connection = client.Redis.from_url(url, socket_timeout=5)
        answer: Any = connection.info("server")
        version = int(answer["redis_version"].split(".")[0])
    # An option or a scheme that the client does not know. Its message repeats parts of the address.
    except (ValueError, TypeError):
        do = "write CHURN_ONLINE_STORE_URL as rediss://:<password>@<host>:6379/0, with %2F for /"
        raise Trouble("an address that Redis' client cannot read", do) from None
    except client.AuthenticationError:
        raise Trouble("the password is refused", "check CHURN_ONLINE_STORE_URL") from None
    except client.RedisError as error:
        raise Trouble(_reason(error), "start Redis, or correct CHURN_ONLINE_STORE_URL") from None
    notes = [f"Redis {version}", *_untested(version, REDIS)]
    if not connection.get_connection_kwargs().get("password"):
        notes.append("! it accepts connections without a password: set requirepass")
    return notes


def _untested(version: int, tested: range) -> list[str]:
    return [] if version in tested else [f"! tested with {tested[0]} to {tested[-1]} only"]


def mlflow(tracking: Tracking) -> list[str]:
    """Check the version and the password, and that access needs a password. Raises Trouble."""
    import httpx

    address = f"{tracking.uri.rstrip('/')}/version"
    password = tracking.password
    login = (tracking.user, password.get_secret_value()) if password else None
    try:
        # The certificate was checked with this machine's trust store, so this uses it too.
        with httpx.Client(timeout=10, trust_env=False, verify=ssl.create_default_context()) as http:
            answer = http.get(address, auth=login)
            # Asked without the password on purpose: it must be refused.
            open_to_all = http.get(address).status_code == httpx.codes.OK
    except httpx.HTTPError as error:
        raise Trouble(f"no answer from MLflow: {error}", "read the server's log") from None
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        raise Trouble(
            f"the password of {tracking.user} is refused",
            "check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
        )
    if answer.status_code != httpx.codes.OK:
        wrong = f"answers {answer.status_code}, so it is no MLflow server"
        raise Trouble(wrong, "correct tracking_uri in config.toml")
    ours, theirs = version("mlflow"), answer.text.strip()
    notes = [f"MLflow {theirs}"]
    if ours.split(".")[:2] != theirs.split(".")[:2]:
        notes.append(f"! this project has MLflow {ours}: run the server from the same lock")
    if open_to_all:
        notes.append("! it answers without a password: run it with `churn servers tracking`")
    return notes


def _reason(error: Exception) -> str:
    """Return the last part of an error message. The parts before it can hold the address."""
    last_line = (str(error).strip().splitlines() or [""])[-1]
    return last_line.rpartition(":  ")[2].rpartition("FATAL: ")[2].strip() or "no answer"


def smtp(address: str) -> list[str]:
    """Check that a mail server (host:port) offers STARTTLS. Without it no alarm is sent."""
    import smtplib

    host, _, port = address.partition(":")
    try:
        with smtplib.SMTP(host, int(port), timeout=TIMEOUT_S) as server:
            server.ehlo()
            if not server.has_extn("starttls"):
                do = "switch TLS on at the mail server: alarms are sent over TLS only"
                raise Trouble("it offers no STARTTLS", do)
            server.starttls(context=ssl.create_default_context())
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", "") or error.reason
        raise Trouble(f"TLS: {reason}", "give it a certificate that this machine trusts") from None
    except (OSError, smtplib.SMTPException) as error:
        raise Trouble(f"no mail server: {error}", "correct [monitor.alarm] smtp") from None
    return ["STARTTLS"]


def alertmanager(url: str) -> list[str]:
    """Check that Alertmanager is ready. Raises Trouble."""
    import httpx

    try:
        status = httpx.get(f"{url.rstrip('/')}/-/ready", timeout=TIMEOUT_S).status_code
    except httpx.HTTPError as error:
        reason = str(error) or type(error).__name__
        do = "start it, or correct [monitor.alarm] alertmanager"
        raise Trouble(f"no answer: {reason}", do) from None
    if status != httpx.codes.OK:
        do = "read its log, or correct [monitor.alarm] alertmanager"
        raise Trouble(f"/-/ready answers {status}", do)
    return ["ready"]
