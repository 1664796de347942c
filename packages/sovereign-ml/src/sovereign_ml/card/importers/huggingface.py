"""Hugging Face model cards: YAML front matter and the headings of the hub's template."""

from __future__ import annotations

import re
from typing import Any, Final

from sovereign_ml.card.importers.leaves import Parsed, leaves_of

FRONT: Final = re.compile(r"^\s*---\r?\n(.*?)\r?\n---\s*?(?:\r?\n|$)", re.DOTALL)
HEADING: Final = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
PLACEHOLDER: Final = "[More Information Needed]"

MAPPING: Final = {
    "model_name": "compare",
    "library_name": "compare",
    "pipeline_tag": "compare",
    "metrics": "compare",
    "model-index*": "compare",
    "base_model": "model.base_model",
    "datasets": "data.sources",
    "body.Model Description": "purpose.statement",
    "body.Direct Use": "purpose.specific_uses",
    "body.Out-of-Scope Use": "purpose.out_of_scope_uses",
    "body.Bias, Risks, and Limitations": "evaluation.limitations",
    "body.Training Data": "data.sources",
    "body.Training Hyperparameters": "compare",
    "body.Metrics": "compare",
    "body.Results": "compare",
    "body.Model Card Contact": "roles.owner_model",
}


def recognises(text: str) -> bool:
    """Whether ``text`` opens with YAML front matter."""
    return FRONT.match(text) is not None


def parse(text: str) -> Parsed:
    """Read front matter and sections; ValueError when the front matter is not a YAML mapping."""
    import yaml

    match = FRONT.match(text)
    try:
        front = yaml.safe_load(match[1]) if match else {}
    except yaml.YAMLError as error:
        raise ValueError(f"the front matter is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(front, dict):
        raise ValueError(f"the front matter must be a YAML mapping, seen {type(front).__name__}")
    body = text[match.end() :] if match else text
    leaves = leaves_of(front) | _sections(body)
    tags = [str(tag) for tag in front.get("tags") or () if str(tag).startswith("card-status-")]
    return Parsed("hf", leaves, MAPPING, foreign_status=", ".join(tags))


def _sections(body: str) -> dict[str, Any]:
    pieces = HEADING.split(body)
    found = {"body": pieces[0].strip()}
    for name, text in zip(pieces[1::2], pieces[2::2], strict=True):
        key = f"body.{name}"
        found[key] = "\n".join(filter(None, (found.get(key, ""), text.strip())))
    return {key: text for key, text in found.items() if text and text != PLACEHOLDER}
