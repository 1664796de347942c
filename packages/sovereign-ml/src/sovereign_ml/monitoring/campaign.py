"""A campaign: the list for the CRM with a control group, and what it changed.

Who is on it stands in the decision log, one entry a person. Objection, erasure, retention and access therefore
reach it as they reach a decision, and somebody who objected is refused in the transaction that makes the list.
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
import json
import math
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from sovereign_ml.decision_log import DecisionLog, Draft, Rejection
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.model.scorecard import Floats
from sovereign_ml.monitoring.past_days import PastDays

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "CampaignList",
    "CampaignResult",
    "Uplift",
    "draw",
    "is_control",
    "people_needed",
    "result",
    "uplift",
]

NAME = re.compile(r"[a-z0-9][a-z0-9-]{1,40}")
SMALLEST = 50
"""Each group has at least so many matured people before a result is told."""


Flags = NDArray[np.bool_]


class Uplift(BaseModel):
    """Churn that the action prevented, as a difference of rates with a 95 % interval.

    ``adjusted`` uses what the scores explain already (CUPED, Deng et al. 2013), which makes the
    interval narrower and moves nothing on average.
    """

    model_config = ConfigDict(frozen=True)

    treated: int
    control: int
    treated_rate: float
    control_rate: float
    difference: float
    low: float
    high: float
    adjusted: float
    adjusted_low: float
    adjusted_high: float

    @property
    def is_shown(self) -> bool:
        """Whether the adjusted interval leaves zero out."""
        return self.adjusted_low > 0 or self.adjusted_high < 0


def uplift(churned: Floats, score: Floats, control: Flags) -> Uplift:
    """Return the churn of the control group less that of the treated; all arrays have shape (n,)."""
    theta = _slope(churned, score, control)
    difference, low, high = _difference(churned, control)
    adjusted = _difference(churned - theta * (score - score.mean()), control)
    return Uplift(
        treated=int((~control).sum()),
        control=int(control.sum()),
        treated_rate=float(churned[~control].mean()),
        control_rate=float(churned[control].mean()),
        difference=difference,
        low=low,
        high=high,
        adjusted=adjusted[0],
        adjusted_low=adjusted[1],
        adjusted_high=adjusted[2],
    )


def people_needed(rate: float, effect: float, control_share: float) -> int:
    """Return how many people show an ``effect`` on a churn ``rate`` with a power of 80 % at 5 %."""
    from scipy.stats import norm

    after = min(max(rate - effect, 0.0), 1.0)
    variance = rate * (1 - rate) / control_share + after * (1 - after) / (1 - control_share)
    spread = float(norm.ppf(0.975) + norm.ppf(0.8))
    return math.ceil(spread**2 * variance / effect**2)


def _slope(churned: Floats, score: Floats, control: Flags) -> float:
    """Return the slope of outcome on score within the groups."""
    x, y = score.astype(float), churned.astype(float)
    for group in (control, ~control):
        x[group] -= x[group].mean()
        y[group] -= y[group].mean()
    spread = float(x @ x)
    return float(x @ y) / spread if spread else 0.0


def _difference(values: Floats, control: Flags) -> tuple[float, float, float]:
    """Return the difference of means with its 95 % interval, for groups of unlike spread (Welch)."""
    from scipy.stats import ttest_ind

    one, other = values[control], values[~control]
    low, high = ttest_ind(one, other, equal_var=False).confidence_interval(0.95)
    return float(one.mean() - other.mean()), float(low), float(high)


class CampaignList(BaseModel):
    """What was exported. ``text`` is the list as CSV and stands in no log."""

    model_config = ConfigDict(frozen=True)

    name: str
    treated: int
    control: int
    left_out: int
    sha256: str
    needed: int
    text: str


class CampaignResult(BaseModel):
    """What the campaign changed, and its value under stated assumptions (EUR)."""

    model_config = ConfigDict(frozen=True)

    name: str
    open: int
    gone: int
    uplift: Uplift
    value: float
    value_low: float
    value_high: float


def is_control(key: bytes, campaign: str, customer: str, share: float) -> bool:
    """Return whether the keyed hash puts ``customer`` into the control group of ``share``.

    Nobody can choose who is in it, and the same campaign draws the same group again.
    """
    own = hmac.digest(key, b"campaign " + campaign.encode(), "sha256")
    drawn = int.from_bytes(hmac.digest(own, customer.encode(), "sha256")[:8], "big")
    return drawn < share * 2**64


def draw(
    log: DecisionLog,
    scores: pd.DataFrame,
    *,
    name: str,
    size: int,
    value: str,
    share: float,
    effect: float,
    key: bytes,
) -> CampaignList:
    """Take the ``size`` people of ``scores`` who come first, draw the control group, and write both into the log.

    First come high scores, or high score times the column ``value``. Whoever objected or was erased
    until this transaction is left out. Raises Misuse for a name that is taken.
    """
    if not NAME.fullmatch(name):
        raise Misuse(
            f"The name of a campaign is '{name}': use a-z, 0-9 and -, such as spring-2027."
        )
    # The first contact without the campaign: a process was killed in between.
    if log.of_case(f"campaign-{name}") or log.of_case(f"contact-{name}-0"):
        raise Misuse(f"There is a campaign '{name}' already: give this one another name.")
    worth = scores["score"] * scores[value] if value else scores["score"]
    order = worth.sort_values(ascending=False, kind="stable").index
    chosen = scores.loc[order].head(size)
    control = [is_control(key, name, customer, share) for customer in chosen["customer_id"]]
    drafts = [
        Draft(
            "contact",
            f"contact-{name}-{place}",
            row["customer_id"],
            json.dumps(
                {
                    "campaign": name,
                    "group": "control" if held else "treated",
                    "score": row["score"],
                    "model_version": row["model_version"],
                }
            ),
        )
        for place, (row, held) in enumerate(zip(chosen.to_dict("records"), control, strict=True))
    ]
    written = [not isinstance(entry, Rejection) for entry in log.append(drafts)] if drafts else []
    kept = np.asarray(written, dtype=bool)
    held = np.asarray(control, dtype=bool)
    listed = chosen[kept & ~held]
    text = _csv(listed)
    made = CampaignList(
        name=name,
        treated=len(listed),
        control=int((kept & held).sum()),
        left_out=int((~kept).sum()),
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        needed=people_needed(float(chosen["score"].mean()), effect, share) if len(chosen) else 0,
        text=text,
    )
    log.append(
        [Draft("campaign", f"campaign-{name}", None, made.model_dump_json(exclude={"text"}))]
    )
    return made


def result(
    log: DecisionLog,
    past: PastDays,
    name: str,
    *,
    customer_value: float,
    cost: float,
) -> CampaignResult:
    """Return what campaign ``name`` changed, on everybody whose horizon is over.

    ``customer_value`` is what a customer who stays is worth, ``cost`` what one contact costs (EUR).
    Everybody on the list counts, whether they used the offer or not.
    """
    import pandas as pd

    if not log.of_case(f"campaign-{name}"):
        known = [entry.case_id.removeprefix("campaign-") for entry in log.of_kind("campaign")]
        raise Misuse(f"There is no campaign '{name}'. On record are: {', '.join(known) or 'none'}.")
    rows: list[dict[str, Any]] = []
    gone = 0
    for entry in log.of_kind("contact"):
        if not entry.case_id.removeprefix(f"contact-{name}-").isdigit():
            continue
        body = json.loads(entry.body) if entry.body else {}
        if not body:
            gone += 1
        elif body["campaign"] == name:
            at = datetime.fromisoformat(entry.at).replace(tzinfo=None)
            rows.append({"customer_id": entry.subject, "event_timestamp": at, **body})
    people = pd.DataFrame(
        rows, columns=["customer_id", "event_timestamp", "group", "score", "model_version"]
    )
    people["event_timestamp"] = pd.to_datetime(people["event_timestamp"]).astype("datetime64[us]")
    churned = past.churned(people, past.horizon_days)
    over = ~np.isnan(churned)
    held = (people["group"] == "control").to_numpy()[over]
    if min(held.sum(), (~held).sum()) < SMALLEST:
        raise Refused(
            f"Campaign '{name}': {int((~held).sum())} treated and {int(held.sum())} controls have a known outcome, "
            f"and each group needs {SMALLEST}. Horizons end {past.horizon_days} days after the list."
        )
    found = uplift(churned[over], people["score"].to_numpy(dtype=float)[over], held)

    def worth(effect: float) -> float:
        return round(found.treated * (effect * customer_value - cost), 2)

    return CampaignResult(
        name=name,
        open=int((~over).sum()),
        gone=gone,
        uplift=found,
        value=worth(found.adjusted),
        value_low=worth(found.adjusted_low),
        value_high=worth(found.adjusted_high),
    )


def _csv(rows: pd.DataFrame) -> str:
    names = ["customer_id", "score", *(n for n in rows.columns if n.startswith("reason_"))]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows[names].itertuples(index=False))
    return out.getvalue()
