"""The card's JSON Schema (2020-12): ``python -m sovereign.card.export docs/card.schema.json``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from sovereign.card.schema.card import SCHEMA_VERSION, Card

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """The schema of ``card.json``; every field says who fills it, its source and when it is required."""
    return {
        "$schema": DIALECT,
        "$id": f"urn:sovereign:model-card:{SCHEMA_VERSION}",
        **Card.model_json_schema(mode="serialization"),
        "title": "Model card",
    }


def write(path: Path) -> None:
    """Write the schema, keys in the order of the models, so that a change is a readable diff."""
    path.write_text(json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
