"""E-mail addresses of people and cloud addresses in imported values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

# Every repetition is bounded: the text is foreign and may be long.
EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
IMAGE = re.compile(r"\b\d{12}\.dkr\.ecr\.[^\s\"',;]{1,300}")
ARN = re.compile(r"\barn:(aws[\w-]{0,20}):([\w-]{1,60}):([\w-]{0,40}):[^\s\"',;]{0,500}")
ADDRESS = re.compile(r"\b(?:s3[an]?|gs|abfss?|wasbs?|https?)://[^\s\"',;)\]]{1,500}")


def personal_data(value: Any) -> bool:
    """Return whether a value holds an e-mail address."""
    return EMAIL.search(str(value)) is not None


def mask(text: str) -> str:
    """Return ``text`` with the part of each e-mail address that names a person hidden."""
    return EMAIL.sub(lambda match: "***@" + match[0].partition("@")[2], text)


def addresses(value: Any) -> Iterator[tuple[str, str]]:
    """Yield each address in a value as it may be shown, with the URL that ``classify`` takes."""
    text = str(value)
    for match in IMAGE.finditer(text):
        yield match[0], f"https://{match[0]}"
    for match in ARN.finditer(text):
        yield match[0], _service(*match.groups())
    for match in ADDRESS.finditer(text):
        yield mask(match[0]), match[0]


def _service(partition: str, service: str, region: str) -> str:
    """Return the host that serves an ARN.

    The European Sovereign Cloud has its own suffix.
    """
    suffix = "amazonaws.eu" if partition == "aws-eusc" else "amazonaws.com"
    return f"https://{'.'.join(filter(None, (service, region, suffix)))}"
