"""Export of the card's JSON Schema (2020-12) and of the table of its rules.

Run it with ``python -m sovereign_ml.card.export docs``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from sovereign_ml.card.rules import RULES, RulePolicy
from sovereign_ml.card.schema.model_card import LAW_SNAPSHOT, RULEPACK_VERSION, SCHEMA_VERSION, Card

INTRODUCTION = f"""# The rules of the model card

Rule pack {RULEPACK_VERSION}, law as of {LAW_SNAPSHOT}. Engineering facts, not legal advice. `churn check` runs all.
A rule that blocks stops registering or promoting; a warning can be waived for a time in `[[sign_off.waivers]]`, a block
cannot. Some rules block in grave cases and warn in others. The numbers at the end are policy of the project, not law.

Three rules read words, in English and German, because nothing else in a card could tell. R12 reads the names of columns
and categories; what it finds is a question, and `special.proxies_cleared` answers it. R24 reads the interest and the
mitigations; a person named in `legitimate_interest.wording_checked_by` overrules it. R56 reads the answers that name
proof; elsewhere it only warns. A list of words proves nothing when it finds nothing.
"""
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """Return the schema of ``card.json``.

    Every field says who fills it, its source and when it is required.
    """
    return {
        "$schema": DIALECT,
        "$id": f"urn:sovereign:model-card:{SCHEMA_VERSION}",
        **Card.model_json_schema(mode="serialization"),
        "title": "Model card",
    }


def rules_table() -> str:
    """Return every rule as a Markdown table, for people who read the card and not the code."""
    head = (
        "| rule | severity | refuses or warns when | article | what to do "
        "|\n|---|---|---|---|---|\n"
    )
    rows = (
        f"| {r.id} | {r.severity} | {r.refuses} | {r.article} | {r.do} |\n"
        for _, r in sorted(RULES.items())
    )
    return f"{INTRODUCTION}\n{head}{''.join(rows)}\n{_policy_table()}"


def _policy_table() -> str:
    head = "| number in `[card.policy]` | default | what it means |\n|---|---|---|\n"
    fields = RulePolicy.model_fields.items()
    return head + "".join(
        f"| {name} | {_said(info.get_default())} | {info.description} |\n" for name, info in fields
    )


def _said(value: object) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def write(folder: Path) -> None:
    """Write ``card.schema.json`` and ``card-rules.md`` into ``folder``.

    Both keep the order of the code, so that a change is a readable diff.
    """
    schema = json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
    (folder / "card.schema.json").write_text(schema, encoding="utf-8")
    (folder / "card-rules.md").write_text(rules_table(), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
