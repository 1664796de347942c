"""An address at a place in the project."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sovereign_ml.audit._payloads import Payload, context


@dataclass(frozen=True, slots=True)
class Mention:
    """An address at a place in the project.

    ``address`` is as it stands in ``file`` (relative to the project) at ``line`` (from 1, or 0 for
    the environment).

    If ``kind`` is "name", a ``word`` stands there instead of an address. Where the file matches
    ``unless``, another endpoint is named and the word means nothing.
    """

    file: str
    line: int
    key: str
    address: str
    kind: str  # url, host, image, action, name
    component: str
    carries: tuple[Payload, ...]
    s3_endpoint: str | None = None
    word: str = ""
    unless: re.Pattern[str] | None = None
    source_line: str = ""  # the line as it stands in the file, for a waiver in its comment


def mention(file: str, line: int, key: str, address: str, *, kind: str = "url") -> Mention:
    """Return a mention whose component and payload follow from its place."""
    if kind in ("image", "action"):
        return Mention(
            file, line, key, address, kind, "registry" if kind == "image" else "ci", (Payload.CODE,)
        )
    component, carries = context(file, key, address)
    return Mention(file, line, key, address, kind, component, carries)
