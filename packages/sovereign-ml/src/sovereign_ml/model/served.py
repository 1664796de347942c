"""Reading of ``model.json``: a scorecard, or boosted trees with the interface of one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sovereign_ml.model.scorecard import Scorecard
from sovereign_ml.model.trees import Forest

__all__ = ["of_content", "parse", "read"]


def of_content(content: Any) -> Scorecard:
    """Return the model that the parsed ``model.json`` describes.

    Raises ValidationError for another shape.
    """
    trees = isinstance(content, Mapping) and content.get("kind") == "trees"
    return (Forest if trees else Scorecard).model_validate(content)


def parse(content: bytes) -> Scorecard:
    """Return the model of the text of ``model.json``. Raises ValueError for another shape."""
    return of_content(json.loads(content))


def read(path: Path) -> Scorecard:
    """Read and check ``model.json``."""
    return parse(path.read_bytes())
