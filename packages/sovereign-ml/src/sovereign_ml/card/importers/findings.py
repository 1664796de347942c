"""What an imported value gives away: e-mail addresses of people, and addresses in somebody's cloud."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
IMAGE = re.compile(r"\b\d{12}\.dkr\.ecr\.[^\s\"',;]{1,300}")
ARN = re.compile(r"\barn:(aws[\w-]{0,20}):([\w-]{1,60}):([\w-]{0,40}):[^\s\"',;]{0,500}")
ADDRESS = re.compile(r"\b(?:s3[an]?|gs|abfss?|wasbs?|https?)://[^\s\"',;)\]]{1,500}")


def personal_data(value: Any) -> bool:
    """Whether a value holds an e-mail address."""
    return EMAIL.search(str(value)) is not None


def mask(text: str) -> str:
    """``text`` with the part of each e-mail address that names a person hidden."""
    return EMAIL.sub(lambda match: "***@" + match[0].partition("@")[2], text)


def addresses(value: Any) -> Iterator[tuple[str, str]]:
    """Yield the addresses in a value as they may be shown, each with the URL that `classify` takes."""
    text = str(value)
    for match in IMAGE.finditer(text):
        yield match[0], f"https://{match[0]}"
    for match in ARN.finditer(text):
        yield match[0], _service(*match.groups())
    for match in ADDRESS.finditer(text):
        yield mask(match[0]), match[0]


def _service(partition: str, service: str, region: str) -> str:
    """The host that an ARN is served by; the European Sovereign Cloud has its own suffix."""
    suffix = "amazonaws.eu" if partition == "aws-eusc" else "amazonaws.com"
    return f"https://{'.'.join(filter(None, (service, region, suffix)))}"
