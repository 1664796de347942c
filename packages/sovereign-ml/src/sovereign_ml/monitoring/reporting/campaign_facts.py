"""The newest measured campaign for the card: it shows whether scoring people does what it is for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sovereign_ml.audit.pii_scan import bucket
from sovereign_ml.config.connections import LogLocation
from sovereign_ml.errors import Refused
from sovereign_ml.monitoring import campaign
from sovereign_ml.monitoring.past_days import PastDays
from sovereign_ml.privacy.objections import decision_log


def campaign_facts(location: LogLocation, past: Callable[[], PastDays]) -> dict[str, Any]:
    """Return the effect of the newest campaign whose outcomes are known, empty without any.

    Counts of people are ranges, and rates have three digits. ``past`` is called only if there is a
    campaign, because it reads all transactions.
    """
    with decision_log(location) as log:
        entries = log.of_kind("campaign") if log else []
        if log is None or not entries:
            return {}
        known = past()
        for number, entry in enumerate(reversed(entries)):
            name = entry.case_id.removeprefix("campaign-")
            try:
                # The card states churn and no money, so both prices are zero.
                outcome = campaign.result(log, known, name, customer_value=0, cost=0)
            except Refused:
                # Too few horizons are over, so an older campaign is the newest that says anything.
                continue
            uplift = outcome.uplift
            return {
                "name": name,
                "listed_on": entry.at[:10],
                "treated": bucket(uplift.treated)[0],
                "control": bucket(uplift.control)[0],
                "prevented": round(uplift.adjusted, 3),
                "low": round(uplift.adjusted_low, 3),
                "high": round(uplift.adjusted_high, 3),
                "newer_open": number,
            }
    return {"newer_open": len(entries)}
