"""Clocks that jump, stand still, or differ between machines: the log is not dated wrongly for good, nobody is locked out."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service_desk import CUSTOMER, KEYS, Desk
from sovereign_ml.decision_log import DecisionLog, Draft, entries, sqlite, verify
from sovereign_ml.decision_log.entries import LEAP, RandomPool, dated
from sovereign_ml.decision_log.sqlite import SQLite
from sovereign_ml.service.access.api_keys import read_keys
from sovereign_ml.service.access.rate_limit import Limiter
from sovereign_ml.service.access.session import VALID_S, Sessions
from sovereign_ml.service.api.bars import possible_days
from sovereign_ml.service.problems import ProblemError

TRUE = datetime(2026, 11, 24, 12, tzinfo=UTC)
YEARS = timedelta(days=3650)
WRONG = [
    -50 * YEARS / 10,
    -YEARS,
    -timedelta(days=2),
    timedelta(hours=20),
    timedelta(days=2),
    YEARS,
]
SHIFTS = [*WRONG, timedelta(0), timedelta(seconds=-90), timedelta(seconds=90), timedelta(hours=-3)]


def _text(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%S.%fZ}"


STEPS = st.lists(
    st.tuples(
        st.integers(1, 90_000),
        st.sampled_from(SHIFTS),
        st.booleans(),
    ),
    min_size=1,
    max_size=40,
)
"""Seconds since the entry before, the error of one clock, and whether it is the one of the database."""


@given(STEPS)
def test_one_wrong_clock_dates_no_entry_far_ahead_and_none_before_the_last(
    steps: list[tuple[int, timedelta, bool]],
) -> None:
    now, last = TRUE, ""
    for seconds, error, of_database in steps:
        now += timedelta(seconds=seconds)
        clocks = (now + error, now) if of_database else (now, now + error)
        at = dated(_text(clocks[0]), last, _text(clocks[1]))
        assert last <= at <= _text(now + LEAP)
        last = at
    # Once both are right again, entries are dated as they should be.
    now += LEAP
    assert dated(_text(now), last, _text(now)) == _text(now)


@given(STEPS)
def test_where_the_log_is_in_use_a_wrong_clock_of_one_instance_changes_no_date(
    steps: list[tuple[int, timedelta, bool]],
) -> None:
    now, last = TRUE, _text(TRUE)
    for seconds, error, _ in steps:
        now += timedelta(seconds=min(seconds, 3600))
        last = dated(_text(now), last, _text(now + error))
        assert last == _text(now)


@pytest.mark.parametrize("odd", ["", "~", "9", "2026-11-24", "9999-12-31T23:59:59.999999Z"])
def test_a_last_entry_with_an_odd_time_stops_nobody(odd: str) -> None:
    assert dated(_text(TRUE), odd, _text(TRUE)) == max(_text(TRUE), odd)


@pytest.mark.parametrize("clock", [0, -5, 2**60, 10**18])
def test_an_id_is_an_id_whatever_the_clock_says(
    clock: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entries.time, "time_ns", lambda: clock * 1_000_000)
    pool = RandomPool()
    names = {pool.ordered() for _ in range(100)}
    assert len(names) == 100
    assert all(re.fullmatch("[0-9a-f]{32}", name) for name in names)


def test_a_clock_that_stands_still_loses_no_entry(tmp_path: Path) -> None:
    still = _text(TRUE)
    with closing(DecisionLog(SQLite(tmp_path / "a.db"), lambda: still, lambda: still)) as log:
        for number in range(5):
            log.append([Draft("objection", f"objection-{number}", f"{number:016x}", "{}")])
        assert [one.seq for one in log.entries()] == [1, 2, 3, 4, 5]
        assert verify(log).problems == ()


@pytest.mark.parametrize("shift", SHIFTS, ids=str)
def test_a_restriction_can_be_lifted_whatever_the_logs_clock_says(
    shift: timedelta, desk: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = desk()
    monkeypatch.setattr(sqlite, "now", lambda: _text(datetime.now(UTC) + shift))
    assert service.bar("restrictions", ground="unlawful").status_code == 200
    told = {"reason": "Corrected.", "informed_on": f"{datetime.now(UTC):%Y-%m-%d}"}
    assert service.bar("restrictions/lift", "review", **told).status_code == 200
    assert service.score(CUSTOMER).json()["outcome"] == "offer"
    with closing(service.log()) as log:
        assert max(one.at for one in log.entries()) < _text(datetime.now(UTC) + LEAP)
        assert verify(log).problems == ()


@pytest.mark.parametrize(
    ("barred", "now", "stated", "fits"),
    [
        # 00:30 in Berlin, while the day before has not ended in UTC.
        ("2026-07-14T12:00:00", "2026-07-14T22:30:00", "2026-07-15", True),
        ("2026-12-31T12:00:00", "2026-12-31T23:30:00", "2027-01-01", True),
        ("2028-02-28T12:00:00", "2028-02-28T22:30:00", "2028-02-29", True),
        ("2026-07-14T12:00:00", "2026-07-14T20:30:00", "2026-07-15", False),
        ("2026-07-14T12:00:00", "2026-07-14T22:30:00", "2026-07-16", False),
        # 23:30 on the Azores, where the day of UTC has not begun.
        ("2026-12-02T00:20:00", "2026-12-02T00:30:00", "2026-12-01", True),
        ("2026-12-02T01:20:00", "2026-12-02T02:30:00", "2026-12-01", False),
        ("2026-12-02T00:20:00", "2026-12-05T00:30:00", "2026-11-30", False),
    ],
)
def test_a_day_is_one_of_the_calendar_of_whoever_states_it(
    barred: str, now: str, stated: str, fits: bool
) -> None:
    first, last = possible_days(f"{barred}.000000Z", datetime.fromisoformat(f"{now}+00:00"))
    assert (first <= stated <= last) == fits


@pytest.mark.parametrize("seconds", [-VALID_S, -3600, -61, -1, 0, 1, 61, 3600, VALID_S])
def test_a_session_holds_on_an_instance_whose_clock_differs(seconds: int) -> None:
    (key,) = read_keys(KEYS["review"][1])
    cookie = Sessions("s" * 32, clock=lambda: 1e9).new(key)
    other = Sessions("s" * 32, clock=lambda: 1e9 + seconds)
    assert other.key_of([key], cookie) == key
    stamp = other.read(key, "session", cookie)
    assert stamp
    assert 0 <= other.seconds_since(stamp) <= VALID_S


@pytest.mark.parametrize("seconds", [-VALID_S - 1, -(10**9), VALID_S + 1, 10**9])
def test_a_session_of_another_time_is_none_and_a_new_one_holds(seconds: int) -> None:
    (key,) = read_keys(KEYS["review"][1])
    cookie = Sessions("s" * 32, clock=lambda: 1e9).new(key)
    other = Sessions("s" * 32, clock=lambda: 1e9 + seconds)
    assert other.key_of([key], cookie) is None
    assert other.key_of([key], other.new(key)) == key


@pytest.mark.parametrize("jump", [-1e12, -3600.0, 0.0, 3600.0, 1e12])
def test_a_jump_of_the_clock_neither_locks_a_key_out_nor_gives_it_more(jump: float) -> None:
    clock = [1e6]
    limiter = Limiter(1000, clock=lambda: clock[0])
    limiter.spend("crm", 1500)
    clock[0] += jump
    limiter.spend("crm", 500)
    clock[0] += 1
    limiter.spend("crm", 1000)
    clock[0] += 3600
    limiter.spend("crm", 2000)
    with pytest.raises(ProblemError):
        limiter.spend("crm", 1)
    clock[0] += 0.01
    limiter.spend("crm", 1)
