"""Two instances on one PostgreSQL: every rule about a case holds on the other one too, whatever comes in between."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from servers import Postgres, postgres_or_skip
from service_desk import CUSTOMER, FEATURES, KEYS, LOYAL, Desk, open_desk
from sovereign_ml.decision_log import Draft, open_log, rectification, verify

pytestmark = pytest.mark.servers
ORIGIN = {"origin": "http://127.0.0.1"}
NAMES = (f"log{number}" for number in count())


class Pair(NamedTuple):
    """Two instances of one service, and the address of their log."""

    one: Desk
    two: Desk
    log: str


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres_or_skip() as running:
        yield running


@pytest.fixture
def pair(server: Postgres, tmp_path: Path) -> Iterator[Pair]:
    name = next(NAMES)
    server.create(name)
    settings = {"log": server.url(name), "session_secret": "s" * 32}
    first, second = (
        open_desk(tmp_path / side, settings=settings, significant_effect=True) for side in "ab"
    )
    with first as one, second as two:
        yield Pair(one, two, server.url(name))
    with closing(open_log(server.url(name))) as log:
        assert verify(log).problems == ()


def _sign_in(desk: Desk) -> None:
    answer = desk.client.post(
        "/reviews/sign-in",
        data={"key": KEYS["review"][0]},
        headers=ORIGIN,
        follow_redirects=False,
    )
    assert answer.status_code == 303


def _page(desk: Desk, case: str) -> dict[str, str]:
    """What the second page carries, after the reviewer's own view on the first."""
    first = _started(desk.client.get(f"/reviews/{case}").text)
    return {"started": _started(_judge(desk, case, started=first, first_view="no_offer").text)}


def _started(page: str) -> str:
    found = re.search(r'name="started" value="([^"]+)"', page)
    assert found
    return found[1]


def _judge(desk: Desk, case: str, **form: str) -> Any:
    return desk.client.post(f"/reviews/{case}", data=form, headers=ORIGIN, follow_redirects=False)


FINAL = {"outcome": "no_offer", "reason": "Looks like a seasonal buyer."}


def test_an_objection_on_one_stops_an_offer_by_a_reviewer_on_the_other(pair: Pair) -> None:
    case = pair.one.score().json()["decision_id"]
    assert pair.one.contest(case).status_code == 202
    assert pair.one.object().status_code == 200
    assert not pair.two.runtime.barred
    assert pair.two.review(case, "offer").status_code == 409
    assert pair.one.review(case, "offer").status_code == 409
    assert pair.two.review(case, "no_offer").status_code == 200
    assert pair.one.decision(case).json()["outcome"] == "no_offer"


def test_an_objection_on_one_takes_a_pending_offer_off_the_desk_of_the_other(pair: Pair) -> None:
    case = pair.one.score().json()["decision_id"]
    read = pair.two.version(case)
    pair.one.object()
    assert pair.two.review(case, "offer", version=read).status_code == 409
    assert pair.two.call("GET", "/v1/reviews", "review").json()["open"] == []


def test_a_restriction_and_its_end_on_one_count_on_the_other(pair: Pair) -> None:
    told = {
        "reason": "The purchases were corrected.",
        "informed_on": f"{datetime.now(UTC):%Y-%m-%d}",
    }
    case = pair.one.score().json()["decision_id"]
    assert pair.one.bar("restrictions", ground="accuracy_contested").status_code == 200
    assert pair.two.score().json()["outcome"] == "restricted"
    assert pair.two.review(case, "offer").status_code == 409
    assert pair.two.score().json()["outcome"] == "restricted"
    assert pair.one.bar("restrictions/lift", "review", **told).json()["status"] == "lifted"
    assert {desk.score().json()["outcome"] for desk in (pair.one, pair.two)} == {"pending_review"}


def test_a_contest_that_arrives_while_the_case_is_open_on_the_desk_is_heard(pair: Pair) -> None:
    case = pair.one.score().json()["decision_id"]
    _sign_in(pair.two)
    form = _page(pair.two, case)
    assert _judge(pair.two, case, **form).status_code == 200
    assert pair.one.contest(case, "I was in hospital in spring.").status_code == 202
    answer = _judge(pair.two, case, **form, **FINAL)
    assert answer.status_code == 409
    assert "Read it again" in answer.text and FINAL["reason"] in answer.text
    (waiting,) = pair.one.call("GET", "/v1/reviews", "review").json()["open"]
    assert waiting["because"] == "contested"
    assert "in hospital" in pair.two.client.get(f"/reviews/{case}").text
    assert _judge(pair.two, case, **_page(pair.two, case), **FINAL).status_code == 303


def test_a_review_through_the_api_names_what_was_read(pair: Pair) -> None:
    case = pair.one.score().json()["decision_id"]
    read = pair.two.version(case)
    pair.one.contest(case)
    assert pair.two.review(case, version=read).status_code == 409
    assert pair.two.review(case).status_code == 200
    unnamed = {"outcome": "no_offer", "reason": "A seasonal buyer, nothing unusual."}
    second = pair.one.score().json()["decision_id"]
    answer = pair.two.call("POST", f"/v1/reviews/{second}", "review", json=unnamed)
    assert answer.status_code == 422


def test_a_session_and_a_page_of_one_instance_hold_on_the_other(pair: Pair) -> None:
    case = pair.one.score().json()["decision_id"]
    _sign_in(pair.one)
    form = _page(pair.one, case)
    pair.two.client.cookies.update(pair.one.client.cookies)
    assert _judge(pair.two, case, **form, **FINAL).status_code == 303
    assert _judge(pair.one, case, **form, **FINAL).status_code == 409


def test_one_contest_of_a_case_waits_at_a_time(pair: Pair) -> None:
    case = pair.one.score().json()["decision_id"]
    with ThreadPoolExecutor(8) as pool:
        sides = [pair.one, pair.two] * 4
        answers = [answer.status_code for answer in pool.map(lambda s: s.contest(case), sides)]
    assert sorted(answers) == [202] + [409] * 7
    assert pair.one.review(case).status_code == 200
    assert pair.two.contest(case).status_code == 202


def test_a_decision_is_corrected_once(pair: Pair) -> None:
    wrong = pair.one.score().json()["decision_id"]
    content = {"customer_id": CUSTOMER, "features": LOYAL, "corrects": wrong}

    def correct(desk: Desk) -> Any:
        return desk.call("POST", "/v1/score", "score", json=content)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(correct, [pair.one, pair.two] * 4))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7
    (right,) = [one.json()["decision_id"] for one in answers if one.status_code == 200]
    assert pair.two.decision(wrong).json()["corrected_by"] == right
    again = {**content, "features": FEATURES, "corrects": right}
    assert pair.one.call("POST", "/v1/score", "score", json=again).status_code == 200


def test_a_case_that_was_corrected_meanwhile_is_not_decided(pair: Pair) -> None:
    wrong = pair.one.score().json()["decision_id"]
    read = pair.two.version(wrong)
    content = {"customer_id": CUSTOMER, "features": LOYAL, "corrects": wrong}
    assert pair.one.call("POST", "/v1/score", "score", json=content).status_code == 200
    assert pair.two.review(wrong, version=read).status_code == 409


def test_two_reviewers_at_once_decide_a_case_once(pair: Pair) -> None:
    case = pair.one.score().json()["decision_id"]
    read = pair.one.version(case)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda s: s.review(case, version=read), [pair.one, pair.two] * 2))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]


@pytest.mark.parametrize("odd", ["%00", "a%00b", "x" * 3000, "%F0%9F%92%A9", "0" * 31, "A" * 32])
def test_what_no_case_is_called_is_not_found_whatever_the_database(pair: Pair, odd: str) -> None:
    headers = {"customer-id": CUSTOMER}
    found = pair.one.call("GET", f"/v1/decisions/{odd}", "subject", headers=headers)
    assert found.status_code == 404
    assert pair.one.review(odd).status_code == 404


@pytest.mark.parametrize("what", ["contest", "review", "corrects"])
def test_nothing_follows_a_decision_whose_time_on_record_is_over(pair: Pair, what: str) -> None:
    """The other instance read the case just before it was blanked."""
    case = pair.one.score().json()["decision_id"]
    entries = pair.two.client.portal.call(pair.two.runtime.read, lambda log: log.of_case(case))
    with closing(open_log(pair.log)) as log:
        assert log.expire("9999") == 1
        drafts = _late_drafts(case, entries[-1].seal)
        assert {getattr(one, "reason", "") for one in log.append(drafts[what])} == {"gone"}


def _late_drafts(case: str, seen: str) -> dict[str, Any]:
    fixed = Draft("decision", "new", CUSTOMER, '{"outcome": "offer"}', corrects=case)
    return {
        "contest": [Draft("contest", case, CUSTOMER, '{"view": "x"}', opens_review=True)],
        "review": [Draft("review", case, CUSTOMER, '{"outcome": "no_offer"}', reviewed_seal=seen)],
        "corrects": [fixed, rectification(case, CUSTOMER, "again", corrected_by="new")],
    }
