"""Bars on scoring a person, and the documented acts that end them (GDPR Art. 21(3), 18, 7(3))."""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta

from sovereign_ml.decision_log import Draft, Entry, Rejection
from sovereign_ml.decision_log.entries import BARS, LIFTS, Bar, Lift
from sovereign_ml.decision_log.reading import fields_of
from sovereign_ml.service.http import Answer, Call, reply_json
from sovereign_ml.service.problems import ProblemError
from sovereign_ml.service.schemas import BarAnswer, LiftAnswer

Handler = Callable[[Call], Awaitable[Answer]]
WEST, EAST = timedelta(hours=-1), timedelta(hours=3)
"""The least and the most that clocks in Europe differ from UTC, from the Azores to Cyprus.

Whoever writes down a day means that of the own calendar.
"""


def bar(kind: Bar) -> Handler:
    """Return the handler that puts a person on the list of ``kind``.

    The bar is in force on the next call, on every instance. The log checks it in the transaction
    that writes a decision.
    """

    async def handle(call: Call) -> Answer:
        customer = call.body.customer_id
        body = call.body.model_dump(mode="json", exclude={"customer_id"}) | {"key": call.key.name}
        case = f"{kind}-{secrets.token_hex(16)}"
        await call.runtime.write(Draft(kind, case, customer, json.dumps(body)))
        # The log decides. This copy only saves the look-up of features for people who are barred.
        call.runtime.barred.setdefault(customer, BARS[kind])
        return reply_json(BarAnswer(customer_id=customer, status="in_force"))

    return handle


def lift(act: Lift, day: str) -> Handler:
    """Return the handler that writes ``act``, which ends a bar.

    ``day`` names the field with the day of the act. The day lies between the bar and today: a
    notice to the person comes before the end of a restriction (Art. 18(3)), and a consent from
    before the withdrawal is no new one.
    """
    kind = LIFTS[act]

    async def handle(call: Call) -> Answer:
        customer = call.body.customer_id
        standing = await call.runtime.read(lambda log: log.in_force(customer, kind))
        case, since = _to_end(standing, kind, getattr(call.body, "ground", None))
        stated: date = getattr(call.body, day)
        first, last = possible_days(since, datetime.now(UTC))
        if not first <= stated.isoformat() <= last:
            # 409: whether a day fits depends on what is on record, so no schema can say it.
            raise ProblemError(
                409,
                f"{day} is {stated}: it lies between the day of the {kind} and today, {first} to "
                f"{last}.",
            )
        body = call.body.model_dump(mode="json", exclude={"customer_id"}) | {"key": call.key.name}
        (written,) = await call.runtime.write(Draft(act, case, customer, json.dumps(body)))
        # Another instance may have ended the bar since it was read above.
        if isinstance(written, Rejection):
            raise _no_bar(kind)
        return reply_json(LiftAnswer(customer_id=customer, status="lifted"))

    return handle


def _to_end(standing: list[Entry], kind: Bar, ground: str | None) -> tuple[str, str]:
    """Return case id and time of the bar that is to end.

    Raises ProblemError 409 where there is none or there are several.
    """
    grounds = {entry.case_id: fields_of(entry.body).get("ground") for entry in standing}
    ending = [entry for entry in standing if ground in (None, grounds[entry.case_id])]
    if not standing:
        raise _no_bar(kind)
    if len(ending) != 1:
        names = ", ".join(sorted(name or "no ground on record" for name in grounds.values()))
        raise ProblemError(409, f"In force for this customer: {names}. Name the ground that ends.")
    return ending[0].case_id, ending[0].at


def possible_days(at: str, now: datetime) -> tuple[str, str]:
    """Return the first and the last day on which a bar of the time ``at`` may have ended by now.

    The bar is dated by the log's clock. Where ours is behind it, the days in between are all
    possible.
    """
    try:
        since = f"{datetime.fromisoformat(at) + WEST:%Y-%m-%d}"
    except (ValueError, OverflowError):
        since = at[:10]
    return min(since, f"{now + WEST:%Y-%m-%d}"), max(since, f"{now + EAST:%Y-%m-%d}")


def _no_bar(kind: Bar) -> ProblemError:
    return ProblemError(409, f"There is no {kind} of this customer in force, so none can end.")
