import socket
from collections.abc import Callable
from typing import Any

import pytest

from feature_server import answer, feature_server
from service_desk import CUSTOMER, FEATURES, OTHER, Desk
from sovereign_ml.decision_log import verify


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


NONSENSE: dict[str, tuple[int, bytes]] = {
    "an error": (500, b"{}"),
    "a redirect": (302, b""),
    "a page": (200, b"<html>"),
    "a list": (200, b"[]"),
    "another shape": (200, b'{"metadata": {}, "results": []}'),
    "features are missing": (
        200,
        b'{"metadata": {"feature_names": ["recency_days"]}, "results": [{"values": [1], "statuses": ["PRESENT"]}]}',
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
