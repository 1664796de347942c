"""S3: the project's one client, and the settings that DVC, Feast and MLflow's own clients take over."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sovereign_ml.config.connections import ObjectStorage
from sovereign_ml.config.profiles import SCHEME
from sovereign_ml.config.settings import ENVIRONMENT
from sovereign_ml.errors import Misuse

ADVICE = {
    "ExpiredToken": "the credentials have expired: put fresh ones into the environment",
    "InvalidAccessKeyId": "the storage does not know this key: check AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "the secret or the region is wrong: check AWS_SECRET_ACCESS_KEY and [s3] region",
    "AccessDenied": "the key has no right to this: ask the owner of the bucket",
    "403": "the key has no right to this: ask the owner of the bucket",
    "400": "the storage does not say why: most often credentials have expired, or [s3] region is wrong",
    "Bad Request": "the storage does not say why: most often credentials have expired, or [s3] region is wrong",
    "NoSuchBucket": "there is no such bucket: create it, or correct [s3] bucket",
    "NoSuchKey": "there is no such object",
    "404": "there is no such object or bucket",
}
ERRNO = re.compile(r"^\[Errno \d+\] ")
"""How s3fs begins what S3 said. A HEAD has no body, so that only the status' own words are left."""


def announce(storage: ObjectStorage) -> None:
    """Tell every S3 client of this process and its children endpoint, region, signature and addressing.

    The addressing style has no variable: DVC and MLflow read it from an AWS config file, which is written for them.
    """
    storage.config_file.parent.mkdir(parents=True, exist_ok=True)
    storage.config_file.write_text(
        f"[default]\ns3 =\n    addressing_style = {storage.style}\n    signature_version = s3v4\n",
        encoding="utf-8",
    )
    ENVIRONMENT.update(_variables(storage) | {"AWS_CONFIG_FILE": str(storage.config_file)})


def _variables(storage: ObjectStorage) -> dict[str, str]:
    """Return the variables for every S3 client that is not ours: boto, s3fs (DVC) and Arrow."""
    return {
        "AWS_ENDPOINT_URL_S3": storage.endpoint,
        "AWS_REGION": storage.region,
        "AWS_DEFAULT_REGION": storage.region,
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def client(storage: ObjectStorage, *, attempts: int = 5) -> Any:
    """A boto client for the endpoint in ``[s3]``: SigV4, the endpoint's region, checksums only where required."""
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
    """The same for Arrow: a filesystem on which Parquet is read."""
    from pyarrow.fs import S3FileSystem

    return S3FileSystem(
        endpoint_override=endpoint,
        region=region,
        force_virtual_addressing=style == "virtual",
        connect_timeout=10,
        request_timeout=60,
    )


def upload(storage: ObjectStorage, path: Path, key: str) -> str:
    """Put ``path`` under ``key`` into the bucket unless the key is there already; return its address."""
    from botocore.exceptions import ClientError

    bucket = storage.bucket
    with one_line(storage):
        api = client(storage)
        try:
            api.head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if code(error) != "404":
                raise
            api.upload_file(str(path), bucket, key)
    return storage.address(key)


def write_json(storage: ObjectStorage, key: str, value: dict[str, Any]) -> str:
    """Put ``value`` under ``key`` into the bucket; return its address."""
    import json

    write(storage, key, json.dumps(value, indent=2).encode())
    return storage.address(key)


def write(storage: ObjectStorage, key: str, content: bytes) -> None:
    """Put ``content`` under ``key`` into the bucket."""
    with one_line(storage):
        client(storage).put_object(Bucket=storage.bucket, Key=key, Body=content)


def read(storage: ObjectStorage, key: str) -> bytes:
    """The bytes under ``key`` in the bucket."""
    with one_line(storage):
        return _body(storage, key)


def maybe(storage: ObjectStorage, key: str) -> bytes | None:
    """The same; None if it is not there."""
    from botocore.exceptions import ClientError

    with one_line(storage):
        try:
            return _body(storage, key)
        except ClientError as error:
            if code(error) not in ("404", "NoSuchKey"):
                raise
    return None


def _body(storage: ObjectStorage, key: str) -> bytes:
    found: bytes = client(storage).get_object(Bucket=storage.bucket, Key=key)["Body"].read()
    return found


def keys(storage: ObjectStorage) -> list[str]:
    """Every key in the bucket."""
    with one_line(storage):
        pages = client(storage).get_paginator("list_objects_v2").paginate(Bucket=storage.bucket)
        return [item["Key"] for page in pages for item in page.get("Contents", ())]


def fingerprint(storage: ObjectStorage, address: str) -> dict[str, str] | None:
    """ETag and, where the bucket keeps versions, the version of an object; None if it is not there."""
    from botocore.exceptions import ClientError

    bucket, key = split(address)
    with one_line(storage):
        try:
            found = client(storage).head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if code(error) == "404":
                return None
            raise
    version = found.get("VersionId")
    return {"etag": found["ETag"].strip('"')} | ({"version": version} if version else {})


def download(storage: ObjectStorage, address: str, folder: Path) -> Path:
    """Fetch an object into ``folder``; return the file."""
    bucket, key = split(address)
    path = folder / Path(key).name
    with one_line(storage):
        client(storage).download_file(bucket, key, str(path))
    return path


def split(address: str) -> tuple[str, str]:
    """``s3://bucket/a/b`` -> ``bucket``, ``a/b``. Raises Misuse if one is missing."""
    parts = urlsplit(address)
    if not parts.netloc or not parts.path.strip("/"):
        raise Misuse(f"{address} names no object: write {SCHEME}bucket/path/to/file.csv.")
    return parts.netloc, parts.path.lstrip("/")


def code(error: Any) -> str:
    """The storage's own word for an error."""
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def one_line(storage: ObjectStorage) -> Iterator[None]:
    """What the storage refuses, or that it does not answer, as a Misuse of one line."""
    from boto3.exceptions import S3UploadFailedError
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        raise Misuse(f"{storage.endpoint}: {said(error)}.") from None
    except (BotoCoreError, S3UploadFailedError) as error:
        raise Misuse(
            f"{storage.endpoint}: {said(error)}. The same command goes on from here."
        ) from None


def said(error: Exception) -> str:
    """What went wrong and what to do, in one line."""
    text = str(error).strip().splitlines()[0].rstrip(".")
    if "credentials" in text.lower() and "locate" in text.lower():
        return "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    text = ERRNO.sub("", text)
    known = code(error) if hasattr(error, "response") else text.partition(":")[0]
    return f"{known}, {ADVICE[known]}" if known in ADVICE else text
