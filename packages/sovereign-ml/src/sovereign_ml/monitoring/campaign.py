"""A campaign: the list for the CRM with a control group, and its effect.

The decision log has one entry for each person on the list. So objection, erasure, retention and
access cover the list like a decision. The transaction that writes the list refuses people who
objected.
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
import json
import math
import re
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from sovereign_ml.decision_log import DecisionLog, Draft, Entry, Rejection
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.model.scorecard import Floats
from sovereign_ml.monitoring.outcomes import Flags
from sovereign_ml.monitoring.past_days import PastDays

if TYPE_CHECKING:
    import pandas as pd

NAME = re.compile(r"[a-z0-9][a-z0-9-]{1,40}")
SMALLEST = 50
"""Smallest number of matured people in each group for which a result is shown."""


class Uplift(BaseModel):
    """Churn that the action prevented, as a difference of rates with a 95 % interval.

    ``adjusted`` removes the part that scores explain already (CUPED, Deng et al. 2013). That makes
    the interval narrower and changes nothing on average.
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
        """Return whether the adjusted interval excludes zero."""
        return self.adjusted_low > 0 or self.adjusted_high < 0


def uplift(churned: Floats, score: Floats, control: Flags) -> Uplift:
    """Return the churn of the control group less that of the treated, from arrays of shape (n,)."""
    theta = _slope(churned, score, control)
    difference, low, high = _difference(churned, control)
    # Centred, so that the adjustment leaves the mean over all people where it was.
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
    """Return the number of people that shows ``effect`` on ``rate`` with a power of 80 % at 5 %."""
    from scipy.stats import norm

    after = min(max(rate - effect, 0.0), 1.0)
    variance = rate * (1 - rate) / control_share + after * (1 - after) / (1 - control_share)
    spread = float(norm.ppf(0.975) + norm.ppf(0.8))
    return math.ceil(spread**2 * variance / effect**2)


def _slope(churned: Floats, score: Floats, control: Flags) -> float:
    """Return the slope of outcome on score within the groups."""
    x, y = score.astype(float), churned.astype(float)
    # Within each group, so that the effect of the offer is not part of the slope.
    for group in (control, ~control):
        x[group] -= x[group].mean()
        y[group] -= y[group].mean()
    spread = float(x @ x)
    return float(x @ y) / spread if spread else 0.0


def _difference(values: Floats, control: Flags) -> tuple[float, float, float]:
    """Return the difference of means with a 95 % interval, as the variances may differ.

    It is Welch's interval with one person more in each group who churned, and one who stayed
    (Agresti and Caffo 2000). Without them the interval is too narrow where nearly everybody, or
    nearly nobody, churned: 50 people without churn have no variance, and prove no rate of zero.
    """
    from scipy.stats import ttest_ind

    controls, treated = values[control], values[~control]
    both = (1.0, 0.0)
    test = ttest_ind(np.append(controls, both), np.append(treated, both), equal_var=False)
    low, high = np.clip(test.confidence_interval(0.95), -1, 1)
    return float(controls.mean() - treated.mean()), float(low), float(high)


class CampaignList(BaseModel):
    """The exported list. ``text`` is its CSV, which no log holds."""

    model_config = ConfigDict(frozen=True)

    name: str
    treated: int
    control: int
    left_out: int
    sha256: str
    needed: int
    text: str


class CampaignResult(BaseModel):
    """Effect of the campaign, and its value in EUR under stated assumptions."""

    model_config = ConfigDict(frozen=True)

    name: str
    open: int
    erased: int
    uplift: Uplift
    value: float
    value_low: float
    value_high: float


def is_control(key: bytes, campaign: str, customer: str, share: float) -> bool:
    """Return whether the keyed hash puts ``customer`` into the control group of ``share``.

    Nobody can choose its members, and the same campaign draws the same group again.
    """
    # Each campaign has its own key, so that nobody is always in the control group.
    own = hmac.digest(key, b"campaign " + campaign.encode(), "sha256")
    # Eight bytes of the hash are a uniform number below 2**64.
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
    """Choose ``size`` people of ``scores``, draw the control group, and write both into the log.

    People are ordered by score, or by score times the column ``value``. People who objected or were
    erased before this transaction are left out. Raises Misuse for a name that exists already, and
    Refused for a draw without both groups. Neither leaves anything in the log.
    """
    if not NAME.fullmatch(name):
        raise Misuse(
            f"The name of a campaign is '{name}': use 2 to 41 of a-z, 0-9 and -, such as "
            "spring-2027."
        )
    # Contacts without a campaign: a process was killed before it wrote the campaign. The first of
    # them may be absent, because that person objected.
    if log.of_case(f"campaign-{name}") or any(True for _ in _contacts(log, name)):
        raise Misuse(f"There is a campaign '{name}' already: give this one another name.")
    worth = scores["score"] * scores[value] if value else scores["score"]
    # A stable sort chooses the same people when the command is repeated.
    order = worth.sort_values(ascending=False, kind="stable").index
    chosen = scores.loc[order].head(size)
    control = [is_control(key, name, customer, share) for customer in chosen["customer_id"]]
    if len(set(control)) < 2:
        group = "controls" if all(control) else "treated"
        raise Refused(
            f"All {len(control):,} people drawn for '{name}' are {group}, so nothing can be "
            "compared: take a larger share of people, or another share of controls."
        )
    drafts = []
    people = zip(chosen.to_dict("records"), control, strict=True)
    for place, (row, is_held_back) in enumerate(people):
        body = {
            "campaign": name,
            "group": "control" if is_held_back else "treated",
            "score": row["score"],
            "model_version": row["model_version"],
        }
        case = f"contact-{name}-{place}"
        drafts.append(Draft("contact", case, row["customer_id"], json.dumps(body)))
    written = [not isinstance(entry, Rejection) for entry in log.append(drafts)] if drafts else []
    accepted = np.asarray(written, dtype=bool)
    in_control = np.asarray(control, dtype=bool)
    listed = chosen[accepted & ~in_control]
    text = _csv(listed)
    campaign = CampaignList(
        name=name,
        treated=len(listed),
        control=int((accepted & in_control).sum()),
        left_out=int((~accepted).sum()),
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        needed=people_needed(float(chosen["score"].mean()), effect, share) if len(chosen) else 0,
        text=text,
    )
    # The campaign comes after its contacts: it proves that all of them are in the log.
    record = campaign.model_dump_json(exclude={"text"})
    log.append([Draft("campaign", f"campaign-{name}", None, record)])
    return campaign


def result(
    log: DecisionLog,
    past: PastDays,
    name: str,
    *,
    customer_value: float,
    cost: float,
) -> CampaignResult:
    """Return the effect of campaign ``name`` on everybody whose horizon is over.

    ``customer_value`` is the value of a customer who stays, ``cost`` that of one contact, both in
    EUR. Everybody on the list counts, with or without use of the offer: who uses it is no accident.
    Raises Misuse for an unknown campaign, and Refused while too few outcomes are known.
    """
    import pandas as pd

    if not log.of_case(f"campaign-{name}"):
        names = [entry.case_id.removeprefix("campaign-") for entry in log.of_kind("campaign")]
        raise Misuse(f"There is no campaign '{name}'. On record are: {', '.join(names) or 'none'}.")
    rows: list[dict[str, Any]] = []
    erased = 0
    for entry in _contacts(log, name):
        body = json.loads(entry.body) if entry.body else {}
        if not body:
            erased += 1
        elif body["campaign"] == name:
            at = datetime.fromisoformat(entry.at).replace(tzinfo=None)
            rows.append({"customer_id": entry.subject, "event_timestamp": at, **body})
    people = pd.DataFrame(
        rows, columns=["customer_id", "event_timestamp", "group", "score", "model_version"]
    )
    people["event_timestamp"] = pd.to_datetime(people["event_timestamp"]).astype("datetime64[us]")
    churned = past.churned(people, past.horizon_days)
    over = ~np.isnan(churned)
    in_control = (people["group"] == "control").to_numpy()[over]
    treated, controls = int((~in_control).sum()), int(in_control.sum())
    if min(treated, controls) < SMALLEST:
        raise Refused(
            f"Campaign '{name}': {treated} treated and {controls} controls have a known outcome, "
            f"and each group needs {SMALLEST}. Horizons end {past.horizon_days} days after the "
            "list."
        )
    effects = uplift(churned[over], people["score"].to_numpy(dtype=float)[over], in_control)

    def worth(effect: float) -> float:
        return round(effects.treated * (effect * customer_value - cost), 2)

    return CampaignResult(
        name=name,
        open=int((~over).sum()),
        erased=erased,
        uplift=effects,
        value=worth(effects.adjusted),
        value_low=worth(effects.adjusted_low),
        value_high=worth(effects.adjusted_high),
    )


def _contacts(log: DecisionLog, name: str) -> Iterator[Entry]:
    """Yield the contacts of campaign ``name``, also the erased ones."""
    for entry in log.of_kind("contact"):
        # The name may be the beginning of another campaign's name.
        if entry.case_id.removeprefix(f"contact-{name}-").isdigit():
            yield entry


def _csv(rows: pd.DataFrame) -> str:
    names = ["customer_id", "score", *(n for n in rows.columns if n.startswith("reason_"))]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows[names].itertuples(index=False))
    return out.getvalue()
