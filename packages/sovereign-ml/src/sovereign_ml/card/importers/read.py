"""Reader of foreign cards: hash, provenance, suggestions for ``model_card.toml``, warnings.

The status of a foreign card approves nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sovereign_ml.card.importers import cyclonedx, huggingface, sagemaker
from sovereign_ml.card.importers.findings import addresses, mask, personal_data
from sovereign_ml.card.importers.front_matter import read_yaml
from sovereign_ml.card.importers.leaves import (
    DuplicateKeyError,
    HalfCharacterError,
    Leaves,
    Parsed,
    Suggestion,
    read_json,
    target_of,
)
from sovereign_ml.card.schema.facts import Imported
from sovereign_ml.jurisdictions import classify

# In bytes. The largest of the formats (SageMaker) stops at 100,000 characters.
LARGEST = 5_000_000


@dataclass(frozen=True)
class ImportedCard:
    """A foreign card.

    ``provenance`` goes into the card's facts, the rest to the person who fills the answers.
    """

    provenance: Imported
    suggestions: tuple[Suggestion, ...]
    compare: Leaves
    unmapped: Leaves

    def toml(self) -> str:
        """Return suggested lines for ``model_card.toml``.

        Values that are left over become comments. E-mail addresses are masked.
        """
        from sovereign_ml.card.importers.suggest import suggest

        return suggest(self.provenance, self.suggestions, self.compare, self.unmapped)


def import_card(path: Path) -> ImportedCard:
    """Return a SageMaker, Hugging Face or CycloneDX card, sorted into suggestions.

    Every value of the file ends up in ``suggestions``, ``compare`` (what the pipeline records
    itself) or ``unmapped``. Raises ValueError in one line when the file is none of these.
    """
    raw = _bytes(path)
    try:
        parsed = _parse(raw)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    except (TypeError, AttributeError, KeyError, IndexError, RecursionError):
        # A foreign file may have any shape, so these are no errors of the program.
        raise ValueError(
            f"{path}: a part of the card has another shape than its format says, "
            "such as a number for a list"
        ) from None
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
            # A key of a foreign card may hold somebody's address too.
            "unmapped": tuple(mask(leaf) for leaf in unmapped),
            "warnings": tuple(_warnings(parsed)),
        }
    )
    mapped = {
        leaf: target for leaf, target in sorted_out.items() if target not in (None, "compare")
    }
    return ImportedCard(
        provenance=provenance,
        suggestions=tuple(
            Suggestion(str(target), parsed.leaves[leaf], leaf) for leaf, target in mapped.items()
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
    # Markdown comes first: the other formats are parsed as data.
    if huggingface.recognises(text):
        return huggingface.parse(text)
    content = _content(text)
    if cyclonedx.recognises(content):
        return cyclonedx.parse(content)
    if sagemaker.recognises(content):
        return sagemaker.parse(content)
    raise ValueError("no SageMaker, Hugging Face or CycloneDX card: none of their keys is in it")


def _content(text: str) -> Any:
    try:
        return read_json(text)
    except (DuplicateKeyError, HalfCharacterError):
        raise
    except (ValueError, RecursionError):
        pass
    # Known formats that are not read get a refusal that names the way out.
    head = text[:4000]
    if "cyclonedx.org" in head and head.lstrip().startswith("<"):
        raise ValueError("CycloneDX as XML: convert it to JSON, as cyclonedx-cli does")
    if re.search(r"^\s{0,10}(?:spec_version|bom_format)\s{0,5}:", head, re.MULTILINE):
        raise ValueError("CycloneDX as textproto: convert it to JSON, as cyclonedx-cli does")
    if sagemaker.RESOURCE in text:
        return read_yaml(text)
    raise ValueError(
        "neither JSON nor Markdown with front matter (---) at its top "
        "or a chapter that cards have, such as ## Direct Use"
    )


MOST_WARNINGS = 50


def _warnings(parsed: Parsed) -> Iterator[str]:
    if parsed.foreign_status:
        yield (
            f"status {mask(parsed.foreign_status)!r} is not an approval: "
            "approve with `churn approve`"
        )
    yield from parsed.notes
    for leaf, value in parsed.leaves.items():
        if personal_data(value):
            yield (
                f"{mask(leaf)}: holds an e-mail address, which is personal data; "
                "name a role instead (GDPR 5(1)(c))"
            )
    # one line per address: a card repeats its links
    places: dict[str, list[str]] = {}
    urls: dict[str, str] = {}
    for leaf, value in parsed.leaves.items():
        for address, url in addresses(value):
            places.setdefault(address, []).append(leaf)
            urls.setdefault(address, url)
    for address, names in list(places.items())[:MOST_WARNINGS]:
        more = f" (and {len(names) - 1} more places)" if len(names) > 1 else ""
        yield (
            f"{mask(names[0])}: "
            f"{address} classifies as {classify(urls[address]).jurisdiction}{more}; "
            "look at it with `churn audit`"
        )
    if len(places) > MOST_WARNINGS:
        yield f"{len(places) - MOST_WARNINGS} more addresses are in the card"
