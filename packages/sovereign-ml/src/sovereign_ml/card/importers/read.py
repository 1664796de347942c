"""Read a foreign card: hash, provenance, suggestions for ``model_card.toml``, warnings. Its status approves nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sovereign_ml.card.importers import cyclonedx, huggingface, sagemaker, toolkit
from sovereign_ml.card.importers.findings import addresses, mask, personal_data
from sovereign_ml.card.importers.leaves import Leaves, Parsed, Suggestion, target_of
from sovereign_ml.card.schema.facts import Imported

LARGEST = 5_000_000
"""Bytes; the largest of the formats (SageMaker) stops at 100,000 characters."""


@dataclass(frozen=True)
class ImportedCard:
    """A foreign card: ``provenance`` goes into the card's facts, the rest to the person who fills the answers."""

    provenance: Imported
    suggestions: tuple[Suggestion, ...]
    compare: Leaves
    unmapped: Leaves

    def toml(self) -> str:
        """Suggested lines for ``model_card.toml``, with what is left over as comments; e-mail addresses are masked."""
        from sovereign_ml.card.importers.suggest import suggest

        return suggest(self.provenance, self.suggestions, self.compare, self.unmapped)


def import_card(path: Path) -> ImportedCard:
    """Read a SageMaker, Hugging Face, Model Card Toolkit or CycloneDX card.

    Every value of the file ends up in ``suggestions``, ``compare`` (what the pipeline records itself) or
    ``unmapped``. Raises ValueError in one line when the file is none of these.
    """
    raw = _bytes(path)
    try:
        parsed = _parse(raw)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    sorted_out = {
        leaf: target_of(leaf, parsed.mapping)
        for leaf in parsed.leaves
        if leaf not in parsed.handled
    }
    unmapped = {leaf: parsed.leaves[leaf] for leaf, target in sorted_out.items() if target is None}
    provenance = Imported.model_validate(
        {
            "source": parsed.source,
            "schema_version": parsed.schema_version,
            "raw_sha256": hashlib.sha256(raw).hexdigest(),
            "foreign_status": mask(parsed.foreign_status),
            "unmapped": tuple(mask(leaf) for leaf in unmapped),
            "warnings": tuple(_warnings(parsed)),
        }
    )
    wanted = {
        leaf: target for leaf, target in sorted_out.items() if target not in (None, "compare")
    }
    return ImportedCard(
        provenance=provenance,
        suggestions=tuple(
            Suggestion(str(target), parsed.leaves[leaf], leaf) for leaf, target in wanted.items()
        ),
        compare={
            leaf: parsed.leaves[leaf] for leaf, target in sorted_out.items() if target == "compare"
        },
        unmapped=unmapped,
    )


def _bytes(path: Path) -> bytes:
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    if path.stat().st_size > LARGEST:
        raise ValueError(f"{path}: larger than {LARGEST:,} bytes; a model card is not")
    return path.read_bytes()


def _parse(raw: bytes) -> Parsed:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("not UTF-8 text") from None
    if huggingface.recognises(text):
        return huggingface.parse(text)
    content = _json(text)
    if cyclonedx.recognises(content):
        return cyclonedx.parse(content)
    if sagemaker.recognises(content):
        return sagemaker.parse(content)
    if toolkit.recognises(content):
        return toolkit.parse(content)
    raise ValueError(
        "no SageMaker, Hugging Face, Model Card Toolkit or CycloneDX card: none of their keys is in it"
    )


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("neither JSON nor Markdown with front matter (---) at its top") from None


def _warnings(parsed: Parsed) -> Iterator[str]:
    if parsed.foreign_status:
        yield f"status {mask(parsed.foreign_status)!r} is not an approval: approve with `churn approve`"
    for leaf, value in parsed.leaves.items():
        if personal_data(value):
            yield f"{mask(leaf)}: holds an e-mail address, which is personal data; name a role instead (GDPR 5(1)(c))"
        for address, jurisdiction in addresses(value):
            yield f"{mask(leaf)}: {address} classifies as {jurisdiction}; look at it with `churn audit`"
