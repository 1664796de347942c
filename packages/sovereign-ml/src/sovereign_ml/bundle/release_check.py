"""Whether a bundle may decide about real people: its origin, its reviewer, its card under its own rules, today."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sovereign_ml.bundle.sealed import Bundle


def objections_to(bundle: Bundle) -> Iterator[str]:
    """Everything that speaks against serving ``bundle`` in profile eu, one sentence each."""
    from sovereign_ml.card.schema import is_open

    if is_open(bundle.policy.reviewer_contact) or "example." in bundle.policy.reviewer_contact:
        yield "policy.json has no reviewer_contact that a person can reach (model_card.toml)"
    if bundle.manifest.profile != "eu":
        yield f"the bundle was made with profile {bundle.manifest.profile}; register it with CHURN_PROFILE=eu"
    yield from _card(bundle)


def _card(bundle: Bundle) -> Iterator[str]:
    """What the rules say as strictly as at promotion: open answers, rules that refuse, approvals, dates passed."""
    from pydantic import ValidationError

    from sovereign_ml.card.rules import blocks, check
    from sovereign_ml.card.schema import Card

    try:
        card = Card.model_validate(bundle.card)
    except ValidationError as error:
        first = error.errors()[0]
        yield f"card.json is no model card: {'.'.join(map(str, first['loc']))}: {first['msg']}"
        return
    today = datetime.now(UTC).date()
    # The team's own rules are not here: they ran when the bundle was registered and promoted.
    found = blocks(check(card, bundle.rules, today, at="promote", own=None))
    yield from (f"{finding.rule}: {finding.found}" for finding in found if not finding.open_answers)
    if sections := sum(finding.open_answers for finding in found):
        yield f"R01: open answers in {sections} sections of model_card.toml; `churn card --open` lists them"
