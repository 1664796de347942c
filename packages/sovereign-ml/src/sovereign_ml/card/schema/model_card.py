"""The card: answers of people, facts of the pipeline, derived status, approvals, content hash."""

from __future__ import annotations

import hashlib
import json
from datetime import date
from pathlib import Path
from typing import Any, Literal

from pydantic import AwareDatetime, Field

from sovereign_ml.card.schema.answers import Answers
from sovereign_ml.card.schema.base import Group
from sovereign_ml.card.schema.derived import Derived
from sovereign_ml.card.schema.facts import Facts
from sovereign_ml.decisions.rule_policy import ApprovalRole

SCHEMA_VERSION = "1.0.0"
RULEPACK_VERSION = "2026.11.0"
LAW_SNAPSHOT = date(2026, 11, 24)

# An approval must not change the hash that it approves.
UNHASHED = {"status", "approvals", "content_hash"}


class Approval(Group):
    """One recorded decision of a named person about one content of the card."""

    role: ApprovalRole
    person: str
    decision: Literal["approve", "reject"]
    # Decisions are put in the order of time, so each time needs its zone.
    at: AwareDatetime
    card_hash: str
    comment: str = ""
    signed_by: str = Field(
        default="",
        description="Principal and key that signed the decision; empty where it is only recorded",
    )


class Card(Group):
    """The whole model card.

    ``typed_status`` keeps what someone typed where a status is computed (rule R04).
    """

    schema_version: str = SCHEMA_VERSION
    rulepack_version: str = RULEPACK_VERSION
    law_snapshot: date = LAW_SNAPSHOT
    id: str = Field(description="Project name of the model; stable over versions")
    status: Literal["draft", "in_review", "approved", "rejected", "retired"] = "draft"
    answers: Answers
    facts: Facts
    derived: Derived
    typed_status: dict[str, Any] = Field(default_factory=dict)
    unlisted: dict[str, bool] = Field(
        default_factory=dict,
        description=(
            "Required questions that model_card.toml does not list yet, "
            "and whether their table is there"
        ),
    )
    approvals: tuple[Approval, ...] = ()
    content_hash: str = ""

    def computed_hash(self) -> str:
        """Return the SHA-256 over everything that an approval covers.

        Left out are the status, the approvals, and the run that wrote the file.
        """
        content = self.model_dump(mode="json", exclude=UNHASHED)
        # The run differs each time, although nothing about the model changed.
        content["facts"].pop("run")
        # Sorted keys and fixed separators give the same content the same bytes.
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()


def read(path: Path) -> Card:
    """Read and check ``card.json``."""
    return Card.model_validate_json(path.read_bytes())
