"""A card that was edited between two steps of one run differs from what is measured."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from cards import TODAY, card
from sovereign_ml.pipeline.card_facts.compare import differences

BEFORE, AFTER = TODAY - timedelta(days=3), TODAY + timedelta(days=1)


@pytest.mark.parametrize(
    ("path", "stated", "measured", "accepted"),
    [
        # The service goes on between `churn card` and `churn register`.
        ("monitoring.last_run_on", BEFORE, TODAY, True),
        ("decision.first_scoring_on", None, TODAY, True),
        ("monitoring.oldest_unanswered_on", None, AFTER, True),
        # A later day than the measured one was typed, or an earlier one was taken out.
        ("review.tested_on", TODAY, BEFORE, False),
        ("monitoring.last_run_on", AFTER, TODAY, False),
        ("monitoring.oldest_unanswered_on", None, BEFORE, False),
        ("decision.first_scoring_on", None, BEFORE, False),
    ],
)
def test_a_day_of_the_running_service_only_becomes_later(
    path: str, stated: date | None, measured: date, accepted: bool
) -> None:
    def with_day(day: Any) -> Any:
        return card(facts={path: day}).facts

    lines = differences(with_day(stated), with_day(measured))
    assert [line.partition(":")[0] for line in lines] == ([] if accepted else [path])
