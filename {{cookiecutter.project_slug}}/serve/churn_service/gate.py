"""Whether a bundle may be served here at all: read it whole, ask its card, say why not."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime

from churn_service.settings import Settings, SettingsError
from sovereign.bundle import Bundle, read_bundle

log = logging.getLogger("churn_service")


def admit(settings: Settings) -> Bundle:
    """The bundle to serve. In profile eu anything against it stops the start; in local it is a warning.

    Raises SettingsError with one line that lists every reason.
    """
    try:
        bundle = read_bundle(settings.bundle)
    except ValueError as error:
        raise SettingsError(str(error)) from None
    reasons = list(objections_to(bundle))
    if reasons and settings.profile == "eu":
        raise SettingsError(f"{settings.bundle} may not be served in profile eu: {'; '.join(reasons)}")
    for reason in reasons:
        log.warning("this bundle would not start in profile eu: %s", reason)
    return bundle


def objections_to(bundle: Bundle) -> Iterator[str]:
    """Everything that speaks against serving ``bundle`` to real people."""
    from sovereign.card.schema import is_open

    if is_open(bundle.policy.reviewer_contact) or "example." in bundle.policy.reviewer_contact:
        yield "policy.json has no reviewer_contact that a person can reach (model_card.toml)"
    if bundle.manifest.profile != "eu":
        yield f"the bundle was made with profile {bundle.manifest.profile}"
    yield from _card(bundle)


def _card(bundle: Bundle) -> Iterator[str]:
    """What the rules say about the card today: answers that are open, rules that refuse, dates that have passed."""
    from pydantic import ValidationError

    from sovereign.card.rules import RulePolicy, blocks, check
    from sovereign.card.schema import Card

    try:
        card = Card.model_validate(bundle.card)
    except ValidationError as error:
        first = error.errors()[0]
        yield f"card.json is no model card: {'.'.join(map(str, first['loc']))}: {first['msg']}"
        return
    for finding in blocks(check(card, RulePolicy(), datetime.now(UTC).date())):
        yield f"{finding.rule}: {finding.found}"
