"""S3: the project's client, and the settings for the clients of DVC, Feast and MLflow."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sovereign_ml.config.connections import ObjectStorage
from sovereign_ml.config.profiles import SCHEME
from sovereign_ml.config.settings import ENVIRONMENT
from sovereign_ml.errors import Misuse

_DENIED = "the key lacks the permission: ask the owner of the bucket"
_UNCLEAR = "without a reason: most often credentials have expired, or [s3] region is wrong"
ADVICE = {
    "ExpiredToken": "the credentials have expired: put fresh ones into the environment",
    "InvalidAccessKeyId": "the storage does not know this key: check AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": (
        "the secret or the region is wrong: check AWS_SECRET_ACCESS_KEY and [s3] region"
    ),
    **dict.fromkeys(("AccessDenied", "403"), _DENIED),
    # The answer to a HEAD request has no body, so only the status is known.
    **dict.fromkeys(("400", "Bad Request"), _UNCLEAR),
    "NoSuchBucket": "there is no such bucket: create it, or correct [s3] bucket",
    "NoSuchKey": "there is no such object",
    "404": "there is no such object or bucket",
}
ERRNO = re.compile(r"^\[Errno \d+\] ")
"""The beginning of a message that s3fs passes on from S3."""


def announce(storage: ObjectStorage) -> None:
    """Configure every S3 client of this process and its children: endpoint, region, addressing.

    The addressing style has no variable, so an AWS config file is written for DVC and MLflow.
    """
    storage.config_file.parent.mkdir(parents=True, exist_ok=True)
    storage.config_file.write_text(
        f"[default]\ns3 =\n    addressing_style = {storage.style}\n    signature_version = s3v4\n",
        encoding="utf-8",
    )
    ENVIRONMENT.update(_variables(storage) | {"AWS_CONFIG_FILE": str(storage.config_file)})


def _variables(storage: ObjectStorage) -> dict[str, str]:
    """Return the variables for S3 clients that are not ours: boto, s3fs (DVC) and Arrow."""
    return {
        "AWS_ENDPOINT_URL_S3": storage.endpoint,
        "AWS_REGION": storage.region,
        "AWS_DEFAULT_REGION": storage.region,
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
        # Otherwise boto asks an address of the cloud for credentials, outside the policy.
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def client(storage: ObjectStorage, *, attempts: int = 5) -> Any:
    """Return a boto client for the endpoint in ``[s3]``, with checksums only where required.

    Storages other than AWS refuse the checksums that boto adds by default.
    """
    import boto3
    from botocore.config import Config

    config = Config(
        signature_version="s3v4",
        s3={"addressing_style": storage.style},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        retries={"mode": "standard", "total_max_attempts": attempts},
        connect_timeout=10,
        read_timeout=60,
    )
    return boto3.client(
        "s3", endpoint_url=storage.endpoint, region_name=storage.region, config=config
    )


def arrow(endpoint: str, region: str, style: str) -> Any:
    """Return Arrow's filesystem for the same endpoint, on which Parquet is read."""
    from pyarrow.fs import S3FileSystem

    return S3FileSystem(
        endpoint_override=endpoint,
        region=region,
        force_virtual_addressing=style == "virtual",
        connect_timeout=10,
        request_timeout=60,
    )


def upload(storage: ObjectStorage, path: Path, key: str) -> str:
    """Upload ``path`` as ``key``, unless the key exists, and return its address."""
    address = storage.address(key)
    if fingerprint(storage, address) is None:
        with one_line(storage):
            client(storage).upload_file(str(path), storage.bucket, key)
    return address


def write_json(storage: ObjectStorage, key: str, value: dict[str, Any]) -> str:
    """Write ``value`` as JSON under ``key`` and return its address."""
    write(storage, key, json.dumps(value, indent=2).encode())
    return storage.address(key)


def write(storage: ObjectStorage, key: str, content: bytes) -> None:
    """Write ``content`` under ``key`` into the bucket."""
    with one_line(storage):
        client(storage).put_object(Bucket=storage.bucket, Key=key, Body=content)


def read(storage: ObjectStorage, key: str) -> bytes:
    """Return the bytes under ``key`` in the bucket."""
    with one_line(storage):
        return _body(storage, key)


def maybe(storage: ObjectStorage, key: str) -> bytes | None:
    """Return the bytes under ``key``, None if the key does not exist."""
    from botocore.exceptions import ClientError

    with one_line(storage):
        try:
            return _body(storage, key)
        except ClientError as error:
            if code(error) not in ("404", "NoSuchKey"):
                raise
    return None


def _body(storage: ObjectStorage, key: str) -> bytes:
    content: bytes = client(storage).get_object(Bucket=storage.bucket, Key=key)["Body"].read()
    return content


def keys(storage: ObjectStorage, prefix: str = "") -> list[str]:
    """Return every key in the bucket that begins with ``prefix``."""
    with one_line(storage):
        paginator = client(storage).get_paginator("list_objects_v2")
        pages = paginator.paginate(Bucket=storage.bucket, Prefix=prefix)
        return [item["Key"] for page in pages for item in page.get("Contents", ())]


def fingerprint(storage: ObjectStorage, address: str) -> dict[str, str] | None:
    """Return an object's ETag and version (if the bucket has any), None if it does not exist."""
    from botocore.exceptions import ClientError

    bucket, key = split(address)
    with one_line(storage):
        try:
            head = client(storage).head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if code(error) == "404":
                return None
            raise
    version = head.get("VersionId")
    return {"etag": head["ETag"].strip('"')} | ({"version": version} if version else {})


def download(storage: ObjectStorage, address: str, folder: Path) -> Path:
    """Download an object into ``folder`` and return the file."""
    bucket, key = split(address)
    path = folder / Path(key).name
    with one_line(storage):
        client(storage).download_file(bucket, key, str(path))
    return path


def split(address: str) -> tuple[str, str]:
    """Split ``s3://bucket/a/b`` into ``bucket`` and ``a/b``. Raises Misuse if one is missing."""
    # The key of an object may hold ? and #, which would end the path of another address.
    bucket, _, key = address.removeprefix(SCHEME).partition("/")
    if not address.startswith(SCHEME) or not bucket or not key.strip("/"):
        raise Misuse(f"{address} names no object: write {SCHEME}bucket/path/to/file.csv.")
    return bucket, key.lstrip("/")


def code(error: Any) -> str:
    """Return the storage's own code for an error."""
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def one_line(storage: ObjectStorage) -> Iterator[None]:
    """Turn errors of the storage into a Misuse of one line."""
    from boto3.exceptions import S3UploadFailedError
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        raise Misuse(f"{storage.endpoint}: {reason_of(error)}.") from None
    except (BotoCoreError, S3UploadFailedError) as error:
        raise Misuse(f"{storage.endpoint}: {reason_of(error)}. Repeat the command.") from None


def reason_of(error: Exception) -> str:
    """Return the error and the advice for it, in one line."""
    text = str(error).strip().splitlines()[0].rstrip(".")
    if "credentials" in text.lower() and "locate" in text.lower():
        return "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    text = ERRNO.sub("", text)
    key = code(error) if hasattr(error, "response") else text.partition(":")[0]
    return f"{key}, {ADVICE[key]}" if key in ADVICE else text
