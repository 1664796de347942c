"""Addresses of objects, and errors of the storage in one line."""

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    ReadTimeoutError,
)

from sovereign_ml.errors import Misuse
from sovereign_ml.storage import s3


@pytest.mark.parametrize(
    "key", ["sales.csv", "a/b c.csv", "sales#1.csv", "a?b.csv", "a//b", "ü%20"]
)
def test_the_key_of_an_object_is_taken_as_it_is_written(key: str) -> None:
    assert s3.split(f"s3://bucket/{key}") == ("bucket", key)


@pytest.mark.parametrize("address", ["s3://bucket", "s3://bucket/", "s3:///key", "bucket/key", ""])
def test_an_address_without_an_object_is_refused(address: str) -> None:
    with pytest.raises(Misuse, match="names no object"):
        s3.split(address)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ReadTimeoutError(endpoint_url="https://s3.eu"), "Read timeout on endpoint URL"),
        (ConnectionClosedError(endpoint_url="https://s3.eu"), "Connection was closed before"),
        (EndpointConnectionError(endpoint_url="https://s3.eu"), "Could not connect"),
        (TimeoutError(), "TimeoutError"),
        (OSError("[Errno 5] AccessDenied: no"), "AccessDenied, the key lacks the permission"),
        (ClientError({"Error": {"Code": "403"}}, "HeadObject"), "403, the key lacks"),
        (ClientError({}, "HeadObject"), "An error occurred"),
    ],
)
def test_every_error_of_the_storage_has_a_reason(error: Exception, reason: str) -> None:
    assert s3.reason_of(error).startswith(reason)
