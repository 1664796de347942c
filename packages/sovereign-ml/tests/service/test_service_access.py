import json
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service_desk import CUSTOMER, FEATURES, KEYS, Desk
from sovereign_ml.service.access.api_keys import SCOPES, find, new_key, read_keys
from sovereign_ml.service.access.rate_limit import Limiter
from sovereign_ml.service.http import SAFE, Route
from sovereign_ml.service.problems import ProblemError
from sovereign_ml.service.routes import ROUTES

PUBLIC = {"/", "/healthz", "/livez", "/readyz", "/openapi.json", "/reviews", "/reviews/sign-in"}
PUBLIC |= {"/v2/health/live", "/v2/health/ready", "/v2/models/{name}/ready"}
GUARDED = [route for route in ROUTES if route.path not in PUBLIC]
API = [route for route in GUARDED if not route.page]


def _name(route: Route) -> str:
    return f"{route.method} {route.path}"


def _path(route: Route) -> str:
    return route.path.replace("{id}", "0" * 32).replace("{name}", "acme-churn")


@pytest.mark.parametrize("route", ROUTES, ids=_name)
def test_every_route_has_a_scope_unless_it_is_on_the_public_list(route: Route) -> None:
    assert bool(route.scopes) is (route.path not in PUBLIC)
    assert route.scopes <= set(SCOPES)


@pytest.mark.parametrize("route", GUARDED, ids=_name)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer "},
        {"authorization": "Bearer churn_" + "A" * 43},
        {"authorization": "Basic " + KEYS["admin"][0]},
        {"authorization": KEYS["score"][0]},
        {"x-forwarded-for": "127.0.0.1", "x-real-ip": "127.0.0.1", "x-original-url": "/healthz"},
        {"cookie": "reviewer=1764000000." + "0" * 64},
    ],
    ids=["none", "empty", "wrong", "basic", "bare", "forwarded", "forged cookie"],
)
def test_nobody_gets_in_without_a_valid_key(
    open_service: Desk, route: Route, headers: dict[str, str]
) -> None:
    response = open_service.call(route.method, _path(route), headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("route", API, ids=_name)
def test_a_key_does_only_what_its_scope_says(open_service: Desk, route: Route) -> None:
    for scope in SCOPES:
        status = open_service.call(route.method, _path(route), scope).status_code
        assert (status != 403) is (scope in route.scopes), f"{scope} got {status}"


def test_a_new_route_without_a_scope_fails_the_test_above() -> None:
    forgotten = Route("GET", "/v1/forgotten", ROUTES[-1].handler, frozenset(), "", {})
    with pytest.raises(AssertionError):
        test_every_route_has_a_scope_unless_it_is_on_the_public_list(forgotten)


def test_two_authorization_headers_are_no_key(open_service: Desk) -> None:
    headers = [
        ("authorization", f"Bearer {KEYS['admin'][0]}"),
        ("authorization", f"Bearer {KEYS['score'][0]}"),
    ]
    assert open_service.client.get("/metrics", headers=headers).status_code == 401


@pytest.mark.parametrize(
    "path",
    [
        "/metrics/",
        "//metrics",
        "/METRICS",
        "/healthz/%2e%2e/metrics",
        "/v1/decisions/",
        "/docs",
        "/schema.json",
        "/.env",
    ],
)
def test_no_other_spelling_of_a_path_leads_anywhere(open_service: Desk, path: str) -> None:
    response = open_service.call("GET", "http://127.0.0.1" + path, "admin")
    assert response.status_code in (404, 405)
    assert response.headers["content-type"] == "application/problem+json"


def test_a_method_override_header_changes_nothing(open_service: Desk) -> None:
    response = open_service.call(
        "GET", "/v1/score", "score", headers={"x-http-method-override": "POST"}
    )
    assert (response.status_code, response.headers["allow"]) == (405, "POST")


def test_an_expired_key_is_no_key() -> None:
    token, line = new_key("crm", ["score"], date(2026, 11, 24))
    keys = read_keys(line)
    assert find(keys, token, date(2026, 11, 24)) is not None
    assert find(keys, token, date(2026, 11, 25)) is None


def test_two_keys_of_one_name_work_until_the_old_one_is_removed(desk: Callable[..., Desk]) -> None:
    (old, old_line), (new, new_line) = new_key("crm", ["score"]), new_key("crm", ["score"])
    both, after = read_keys(f"{old_line} {new_line}"), read_keys(new_line)
    assert find(both, old)
    assert find(both, new)
    assert find(after, old) is None


@given(st.text(max_size=80))
def test_no_text_is_a_key(text: str) -> None:
    assert find(read_keys(KEYS["score"][1]), text) is None


def test_a_key_is_known_only_as_a_hash() -> None:
    token, line = new_key("crm", ["score", "subject"], date(2027, 1, 31))
    assert token not in line
    assert line.startswith("crm:score+subject:")
    assert line.endswith(":2027-01-31")


@pytest.mark.parametrize(
    "line",
    [
        "crm",
        "crm:root:" + "0" * 64,
        "crm:score:short",
        "CRM:score:" + "0" * 64,
        "a:score:" + "0" * 64 + ":2026-13-01",
        "a:score:" + "0" * 64 + ":----------",
    ],
)
def test_a_malformed_key_line_says_which_one_and_how_to_make_one(line: str) -> None:
    with pytest.raises(ValueError, match=r"^entry 2 "):
        read_keys(f"{KEYS['score'][1]} {line}")


def test_a_key_that_asks_too_fast_has_to_wait_and_others_do_not() -> None:
    time = [0.0]
    limiter = Limiter(1000, clock=lambda: time[0])
    limiter.spend("crm", 1000)
    limiter.spend("crm", 1000)
    with pytest.raises(ProblemError) as caught:
        limiter.spend("crm", 500)
    assert caught.value.problem.status == 429
    assert caught.value.headers == {"retry-after": "1"}
    limiter.spend("portal", 500)
    time[0] += 0.5
    limiter.spend("crm", 500)


def test_a_key_over_its_rate_gets_429(desk: Callable[..., Desk]) -> None:
    slow = desk(settings={"rate": 0.001})
    statuses = [slow.call("GET", "/v1/card", "admin").status_code for _ in range(1001)]
    assert set(statuses[:1000]) == {200}
    assert statuses[1000] == 429


@pytest.mark.parametrize("route", [r for r in API if r.body], ids=_name)
def test_a_body_over_the_limit_is_refused_before_it_is_read(
    open_service: Desk, route: Route
) -> None:
    limit = max(route.limit, open_service.runtime.body_sizes.get(str(route.body), 0))
    content = b"[" + b" " * limit + b"]"
    (scope,) = route.scopes
    for body in (content, iter([content[:5000], content[5000:]])):
        headers = {"content-type": "application/json"}
        response = open_service.call(
            route.method, _path(route), scope, content=body, headers=headers
        )
        assert response.status_code == 413


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"null", "application/json", 422),
        (b"[" * 5000, "application/json", 400),
        (b"{}", "text/plain", 415),
        (b"customer_id=0b6f1c3e", "application/x-www-form-urlencoded", 415),
        (
            json.dumps({"customer_id": CUSTOMER, "features": FEATURES})
            .replace("61.0", "1e999")
            .encode(),
            "application/json",
            422,
        ),
        (
            json.dumps({"customer_id": CUSTOMER, "features": FEATURES})
            .replace("61.0", "NaN")
            .encode(),
            "application/json",
            422,
        ),
    ],
)
def test_a_malformed_body_is_a_problem_of_the_sender(
    open_service: Desk, content: bytes, content_type: str, status: int
) -> None:
    headers = {"content-type": content_type}
    response = open_service.call("POST", "/v1/score", "score", content=content, headers=headers)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"


def test_an_inner_error_leaks_nothing_and_logs_no_value(
    open_service: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_row: Any) -> None:
        raise RuntimeError(f"secret path /etc/passwd of {CUSTOMER}")

    monkeypatch.setattr(open_service.runtime.scorer, "contributions", broken)
    response = open_service.score()
    assert response.status_code == 500
    assert "passwd" not in response.text
    assert "RuntimeError in broken" in caplog.text
    assert CUSTOMER not in caplog.text


@pytest.mark.parametrize("path", ["/", "/healthz", "/v1/score", "/reviews", "/nowhere"])
def test_every_answer_carries_the_security_headers(open_service: Desk, path: str) -> None:
    response = open_service.call("GET", path)
    assert {name: response.headers.get(name) for name in SAFE} == SAFE


def test_logs_name_no_customer(open_service: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    decision = open_service.score().json()["decision_id"]
    open_service.decision(decision)
    open_service.object()
    assert CUSTOMER not in "".join(
        r.getMessage() for r in caplog.records if r.name.startswith(("churn", "sovereign"))
    )


def test_the_day_of_expiry_is_the_last_day_in_the_running_service(
    desk: Callable[..., Desk],
) -> None:
    token, line = new_key("old", ["score"], date.today() - timedelta(days=2))
    service = desk(settings={"keys": read_keys(line)})
    response = service.client.post(
        "/v1/score", headers={"authorization": f"Bearer {token}"}, json={}
    )
    assert response.status_code == 401
