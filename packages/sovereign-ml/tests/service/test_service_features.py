import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from feature_server import answer, feature_server
from service_desk import CUSTOMER, FEATURES, OTHER, Desk
from sovereign_ml.decision_log import Draft, verify

LIFTED = '{"reason": "The purchases were checked.", "informed_on": "2026-11-24"}'


def _asked(desk: Desk, *customers: str) -> Any:
    if len(customers) == 1:
        return desk.call("POST", "/v1/score", "score", json={"customer_id": customers[0]})
    content = {"customers": [{"customer_id": customer} for customer in customers]}
    return desk.call("POST", "/v1/score/batch", "score", json=content)


def _service(desk: Callable[..., Desk], uri: str) -> Desk:
    return desk(settings={"feature_store": uri, "feature_timeout": 0.4})


def _nothing_was_decided(service: Desk, response: Any) -> None:
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) > 0
    assert response.headers["content-type"] == "application/problem+json"
    assert verify(service.log()).entries == 1


def test_looked_up_features_give_the_decision_that_sent_ones_give(
    desk: Callable[..., Desk],
) -> None:
    with feature_server(answer({CUSTOMER: FEATURES})) as uri:
        service = _service(desk, uri)
        looked_up, sent = _asked(service, CUSTOMER).json(), service.score().json()
        assert looked_up["contributions"] == sent["contributions"]
        assert service.decision(looked_up["decision_id"]).json()["source"] == "feature_server"


def test_a_missing_value_is_scored_as_missing_when_the_contract_allows_it(
    desk: Callable[..., Desk],
) -> None:
    with feature_server(answer({CUSTOMER: {**FEATURES, "mean_gap_days": None}})) as uri:
        assert (
            _asked(_service(desk, uri), CUSTOMER).json()["contributions"]["mean_gap_days"] == 0.25
        )


@pytest.mark.parametrize(
    "redis", [False, True], ids=["as Feast says it", "as Feast says it over Redis"]
)
def test_a_customer_nobody_knows_is_not_scored(desk: Callable[..., Desk], redis: bool) -> None:
    with feature_server(answer({CUSTOMER: FEATURES}, redis=redis)) as uri:
        service = _service(desk, uri)
        assert _asked(service, OTHER).status_code == 404
        known, unknown = _asked(service, CUSTOMER, OTHER).json()["decisions"]
    assert known["outcome"] == "offer"
    assert (unknown["outcome"], unknown["decision_id"], unknown["score"]) == (
        "unknown_customer",
        None,
        None,
    )


def test_a_restriction_that_ends_during_a_look_up_is_never_taken_for_an_objection(
    desk: Callable[..., Desk],
) -> None:
    def reply(customers: list[str]) -> tuple[int, bytes]:
        if OTHER in customers:
            log = service.log()
            (bar,) = log.in_force(CUSTOMER, "restriction")
            log.append([Draft("restriction_lifted", bar.case_id, CUSTOMER, LIFTED)])
            # As the next request about this customer does.
            service.runtime.barred.pop(CUSTOMER)
        return answer({CUSTOMER: FEATURES, OTHER: FEATURES})(customers)

    with feature_server(reply) as uri:
        service = _service(desk, uri)
        service.bar("restrictions", ground="unlawful")
        outcomes = [one["outcome"] for one in _asked(service, CUSTOMER, OTHER).json()["decisions"]]
        assert outcomes == ["restricted", "offer"]
        assert _asked(service, CUSTOMER).json()["outcome"] == "offer"


def test_nothing_is_looked_up_about_an_objector(desk: Callable[..., Desk]) -> None:
    asked: list[str] = []

    def reply(customers: list[str]) -> tuple[int, bytes]:
        asked.extend(customers)
        return answer({OTHER: FEATURES})(customers)

    with feature_server(reply) as uri:
        service = _service(desk, uri)
        service.object()
        outcomes = [one["outcome"] for one in _asked(service, CUSTOMER, OTHER).json()["decisions"]]
    assert (outcomes, asked) == (["objected", "offer"], [OTHER])


@pytest.mark.parametrize(
    "how", [{"delay_s": 1.0}, {"drip": True}], ids=["slow to start", "a byte at a time"]
)
def test_a_slow_feature_server_means_no_decision(
    desk: Callable[..., Desk], how: dict[str, Any]
) -> None:
    with feature_server(answer({CUSTOMER: FEATURES}), **how) as uri:
        service = _service(desk, uri)
        _nothing_was_decided(service, _asked(service, CUSTOMER))


def test_a_feature_server_that_is_down_means_no_decision_and_it_may_come_back(
    desk: Callable[..., Desk],
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    service = _service(desk, f"http://127.0.0.1:{port}")
    _nothing_was_decided(service, _asked(service, CUSTOMER))
    assert service.score().status_code == 200


def test_ready_waits_for_the_first_answer_of_the_feature_server_where_it_is_told_to_and_not_longer(
    desk: Callable[..., Desk],
) -> None:
    replies = iter([(503, b"{}"), (200, b"{}"), (503, b"{}")])
    with feature_server(lambda _: next(replies)) as uri:
        waits = desk(settings={"feature_store": uri, "feature_first": "yes"})
        first, *later = (waits.call("GET", "/readyz", "") for _ in range(3))
        assert first.status_code == 503
        assert "feature server has not answered" in first.json()["detail"]
        assert [answer.status_code for answer in later] == [200, 200]
    assert _service(desk, "http://127.0.0.1:9").call("GET", "/readyz", "").status_code == 200


NONSENSE: dict[str, tuple[int, bytes]] = {
    "an error": (500, b"{}"),
    "a redirect": (302, b""),
    "a page": (200, b"<html>"),
    "a list": (200, b"[]"),
    "brackets without end": (200, b"[" * 100_000),
    "another shape": (200, b'{"metadata": {}, "results": []}'),
    "features are missing": (
        200,
        b'{"metadata": {"feature_names": ["recency_days"]}, "results": [{"values": [1], "statuses": ["PRESENT"]}]}',
    ),
    "values without a date": answer({CUSTOMER: FEATURES}, dates={CUSTOMER: ""})([CUSTOMER]),
    "a date that is none": answer({CUSTOMER: FEATURES}, dates={CUSTOMER: "soon"})([CUSTOMER]),
    "one value without a date": answer({CUSTOMER: FEATURES}, dates={"recency_days": ""})(
        [CUSTOMER]
    ),
    "more rows than asked": answer({CUSTOMER: FEATURES})([CUSTOMER, OTHER]),
}


@pytest.mark.parametrize("reply", NONSENSE.values(), ids=NONSENSE)
def test_nonsense_from_the_feature_server_means_no_decision(
    desk: Callable[..., Desk], reply: tuple[int, bytes]
) -> None:
    with feature_server(lambda _: reply) as uri:
        service = _service(desk, uri)
        _nothing_was_decided(service, _asked(service, CUSTOMER))


@pytest.mark.parametrize("wrong", [-4.0, "soon", 1e999, [1], True])
def test_a_looked_up_value_outside_the_contract_means_no_decision(
    desk: Callable[..., Desk], wrong: object
) -> None:
    with feature_server(answer({CUSTOMER: {**FEATURES, "recency_days": wrong}})) as uri:
        service = _service(desk, uri)
        _nothing_was_decided(service, _asked(service, CUSTOMER))


@pytest.mark.parametrize("status", ["OUTSIDE_MAX_AGE", "NOT_FOUND", "INVALID"])
def test_a_value_that_is_too_old_or_absent_is_not_replaced_by_a_guess(
    desk: Callable[..., Desk], status: str
) -> None:
    with feature_server(answer({CUSTOMER: FEATURES}, recency_days=status)) as uri:
        service = _service(desk, uri)
        _nothing_was_decided(service, _asked(service, CUSTOMER))


@pytest.mark.parametrize(
    "date", ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+10:00", "0001-01-01T00:00:00Z"]
)
def test_a_date_at_the_end_of_the_calendar_means_no_decision(
    desk: Callable[..., Desk], date: str
) -> None:
    """Go's zero time in another zone has no form in UTC."""
    with feature_server(answer({CUSTOMER: FEATURES}, dates={"recency_days": date})) as uri:
        service = _service(desk, uri)
        _nothing_was_decided(service, _asked(service, CUSTOMER))


# Feast says PRESENT however old a value is: the service looks at the date itself.


def ago(**time: float) -> str:
    return (datetime.now(UTC) - timedelta(**time)).isoformat()


def _dated(desk: Callable[..., Desk], uri: str, **more: Any) -> Desk:
    return desk(settings={"feature_store": uri, "feature_timeout": 2.0, **more})


@pytest.mark.parametrize(
    "date",
    [
        ago(days=31),
        ago(days=148),
        "2020-07-01T00:00:00+02:00",
        "2020-07-01",
        (datetime.now(UTC) + timedelta(days=2)).isoformat(),
        "2199-01-01T00:00:00Z",
    ],
    ids=["a day too old", "months", "another zone", "no zone", "two days ahead", "far ahead"],
)
def test_values_that_are_too_old_or_from_the_future_mean_no_decision(
    desk: Callable[..., Desk], date: str
) -> None:
    with feature_server(answer({CUSTOMER: FEATURES}, dates={CUSTOMER: date})) as uri:
        service = _dated(desk, uri)
        response = _asked(service, CUSTOMER)
        _nothing_was_decided(service, response)
    said = response.json()["detail"]
    assert "the features are as of 2" in said
    assert "may be 30 days old" in said
    assert int(response.headers["retry-after"]) >= 3600


def test_one_old_value_makes_the_row_old(desk: Callable[..., Desk]) -> None:
    old = {"recency_days": ago(days=31)}
    with feature_server(answer({CUSTOMER: FEATURES}, dates=old)) as uri:
        service = _dated(desk, uri)
        _nothing_was_decided(service, _asked(service, CUSTOMER))


@pytest.mark.parametrize(
    "date",
    [ago(days=29, hours=23), ago(hours=-23), ago(minutes=-4), ago(days=1)[:-6]],
    ids=["nearly too old", "midnight of today", "a clock that is late", "no zone"],
)
def test_current_values_are_answered_with_their_date(desk: Callable[..., Desk], date: str) -> None:
    with feature_server(answer({CUSTOMER: FEATURES}, dates={CUSTOMER: date})) as uri:
        service = _dated(desk, uri)
        found = _asked(service, CUSTOMER).json()
        kept = service.decision(found["decision_id"]).json()
    assert found["freshness"] == "current"
    assert found["features_as_of"] == date[:19] + "Z"
    assert {name: kept[name] for name in ("features_as_of", "freshness")} == {
        name: found[name] for name in ("features_as_of", "freshness")
    }


def test_the_age_is_what_the_policy_of_the_bundle_says(desk: Callable[..., Desk]) -> None:
    with feature_server(answer({CUSTOMER: FEATURES}, dates={CUSTOMER: ago(days=31)})) as uri:
        service = desk(
            settings={"feature_store": uri, "feature_timeout": 2.0}, max_feature_age_days=60
        )
        assert _asked(service, CUSTOMER).json()["freshness"] == "current"


def test_in_a_batch_who_has_old_values_is_named_and_the_others_are_decided(
    desk: Callable[..., Desk],
) -> None:
    known = {CUSTOMER: FEATURES, OTHER: FEATURES}
    with feature_server(answer(known, dates={OTHER: ago(days=40)})) as uri:
        service = _dated(desk, uri)
        first, second = _asked(service, CUSTOMER, OTHER).json()["decisions"]
        assert (first["outcome"], first["freshness"]) == ("offer", "current")
        assert (second["outcome"], second["decision_id"], second["score"]) == (
            "features_not_current",
            None,
            None,
        )
        assert len(service.log().of_case(first["decision_id"])) == 1


def test_a_batch_of_old_values_alone_means_no_decision(desk: Callable[..., Desk]) -> None:
    known = {CUSTOMER: FEATURES, OTHER: FEATURES}
    old = {CUSTOMER: ago(days=41), OTHER: ago(days=40)}
    with feature_server(answer(known, dates=old)) as uri:
        service = _dated(desk, uri)
        _nothing_was_decided(service, _asked(service, CUSTOMER, OTHER))


def test_the_switch_answers_old_values_and_says_so_but_never_those_of_the_future(
    desk: Callable[..., Desk],
) -> None:
    with feature_server(answer({CUSTOMER: FEATURES}, dates={CUSTOMER: ago(days=148)})) as uri:
        service = _dated(desk, uri, old_features="allow")
        found = _asked(service, CUSTOMER).json()
        assert (found["outcome"], found["freshness"]) == ("offer", "too_old")
        assert found["features_as_of"] == ago(days=148)[:10] + found["features_as_of"][10:]
        assert service.decision(found["decision_id"]).json()["freshness"] == "too_old"
    with feature_server(answer({CUSTOMER: FEATURES}, dates={CUSTOMER: ago(days=-3)})) as uri:
        service = _dated(desk, uri, old_features="allow")
        assert _asked(service, CUSTOMER).status_code == 503


def test_features_of_the_request_carry_no_date_and_the_answer_says_so(
    desk: Callable[..., Desk],
) -> None:
    found = desk().score().json()
    assert (found["features_as_of"], found["freshness"]) == (None, "not_dated")


def test_who_objected_has_no_features_and_no_date(desk: Callable[..., Desk]) -> None:
    with feature_server(answer({CUSTOMER: FEATURES})) as uri:
        service = _dated(desk, uri)
        service.object()
        found = _asked(service, CUSTOMER).json()
    assert (found["outcome"], found["features_as_of"], found["freshness"]) == (
        "objected",
        None,
        None,
    )
