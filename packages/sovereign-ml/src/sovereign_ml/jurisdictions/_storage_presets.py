"""S3 storage by provider: the rows of ``s3_presets.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from sovereign_ml.jurisdictions._classify import classify


@cache
def storage_presets() -> Mapping[str, dict[str, Any]]:
    """Return the rows by name. The template's question about storage offers the same names."""
    table = tomllib.loads(Path(__file__).with_name("s3_presets.toml").read_text(encoding="utf-8"))
    return {row["name"]: row for row in table["preset"]}


def addressing_of(endpoint: str) -> str:
    """Return ``path`` or ``virtual`` as the provider of ``endpoint`` needs, else ``path``."""
    # Only `self-hosted` has no provider. An unknown endpoint is treated like it.
    styles = {row.get("provider", ""): str(row["addressing"]) for row in storage_presets().values()}
    return styles.get(classify(endpoint).provider, "path")
