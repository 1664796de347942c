"""Suggested lines for ``model_card.toml`` from an imported card.

Everything else in the imported card becomes comments to read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tomlkit
from tomlkit import TOMLDocument
from tomlkit.items import Table

from sovereign_ml.card.importers.findings import mask, personal_data
from sovereign_ml.card.importers.leaves import Leaves, Suggestion, sentences
from sovereign_ml.card.schema.base import NOT_ANSWERED
from sovereign_ml.card.schema.facts import Imported

LONGEST_VALUE = 500
MOST_LINES = 500
# Entries of one suggested list. A person reads no more, and the writer of TOML takes long for
# thousands.
MOST_ROWS = 200
LISTS = (
    "purpose.specific_uses",
    "purpose.out_of_scope_uses",
    "evaluation.limitations",
    "dpia.risks",
    "dpia.measures",
)


def suggest(
    provenance: Imported, suggestions: Sequence[Suggestion], compare: Leaves, unmapped: Leaves
) -> str:
    """Return the TOML text.

    GDPR answers are never among the suggestions: nobody gave them.
    """
    document = tomlkit.document()
    _comment(
        document,
        f"Suggested by an imported {provenance.source} card, SHA-256 {provenance.raw_sha256}.",
    )
    _comment(
        document,
        "Read each line before you copy it into model_card.toml. Nothing here is an approval.",
    )
    for warning in provenance.warnings:
        _comment(document, f"Warning: {warning}")
    for target in dict.fromkeys(suggestion.target for suggestion in suggestions):
        _add(
            document,
            target,
            [suggestion for suggestion in suggestions if suggestion.target == target],
        )
    document.add(tomlkit.nl())
    _rest(document, "The pipeline records these itself; compare:", compare)
    _rest(document, "Without a place in this card:", unmapped)
    return tomlkit.dumps(document)


def _add(document: TOMLDocument, target: str, suggestions: list[Suggestion]) -> None:
    name, _, key = target.partition(".")
    if name not in document:
        document.add(tomlkit.nl())
        document.add(name, tomlkit.table())
    table = document[name]
    if not isinstance(table, Table):
        raise TypeError(f"[{name}] is not a table")
    origins = [suggestion.origin for suggestion in suggestions[:MOST_ROWS]]
    texts = [text for suggestion in suggestions for text in sentences(suggestion.value)]
    table.add(tomlkit.comment(f"from {_one_line(', '.join(origins))}"))
    if len(texts) > MOST_ROWS:
        remaining = len(texts) - MOST_ROWS
        table.add(tomlkit.comment(f"and {remaining:,} more values: see the file itself"))
    table.add(key, _value(target, texts[:MOST_ROWS]))


def _value(target: str, texts: list[str]) -> Any:
    if target == "data.sources":
        rows = tomlkit.array()
        for text in texts:
            # From whom the data came is a legal statement (GDPR 14), not one of a foreign card.
            rows.append(tomlkit.inline_table() | {"name": mask(text), "origin": NOT_ANSWERED})
        return rows.multiline(True)
    if target in LISTS:
        listed = tomlkit.array()
        listed.extend(mask(text) for text in texts)
        return listed.multiline(True)
    # An answer with somebody's e-mail address stays open: a role belongs there (GDPR 5(1)(c)).
    return NOT_ANSWERED if personal_data(texts) else " ".join(texts)


def _rest(document: TOMLDocument, title: str, leaves: Leaves) -> None:
    if leaves:
        _comment(document, title)
    for leaf, value in list(leaves.items())[:MOST_LINES]:
        text = str(value)
        more = f"… ({len(text):,} characters)" if len(text) > LONGEST_VALUE else ""
        _comment(document, f"  {leaf[:LONGEST_VALUE]} = {text[:LONGEST_VALUE]}{more}")
    if len(leaves) > MOST_LINES:
        _comment(document, f"  and {len(leaves) - MOST_LINES:,} more values: see the file itself")


def _comment(document: TOMLDocument, text: str) -> None:
    document.add(tomlkit.comment(mask(_one_line(text))))


def _one_line(text: str) -> str:
    # A line break would end the comment and make TOML of foreign text.
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
