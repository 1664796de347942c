import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from bundles import policy
from service_desk import CUSTOMER, FEATURES, KEYS, LOYAL, OTHER, Desk
from sovereign_ml.decision_log import Draft, LogUnavailableError
from sovereign_ml.decisions.decision_policy import decide
from sovereign_ml.service.access.api_keys import read_keys
from sovereign_ml.service.access.session import Sessions
from sovereign_ml.service.desk.reviews import wrong_score

ORIGIN = {"origin": "http://127.0.0.1"}


@pytest.fixture
def waiting(desk: Callable[..., Desk]) -> Desk:
    """A service whose card says that the outcome has a significant effect."""
    return desk(significant_effect=True)


def _sign_in(desk: Desk) -> None:
    form = {"key": KEYS["review"][0]}
    response = desk.client.post(
        "/reviews/sign-in", data=form, headers=ORIGIN, follow_redirects=False
    )
    assert response.status_code == 303


def _started(page: str) -> str:
    found = re.search(r'name="started" value="([^"]+)"', page)
    assert found
    return found[1]


def _open(desk: Desk) -> list[dict[str, str]]:
    found: list[dict[str, str]] = desk.call("GET", "/v1/reviews", "review").json()["open"]
    return found


def _planted(desk: Desk) -> tuple[str, list[str]]:
    """The planted case that came with a batch of new ones, and the ids of the batch."""
    before = {case["case_id"] for case in _open(desk)}
    customers = [{"customer_id": f"{n:016x}", "features": FEATURES} for n in range(8)]
    made = desk.call("POST", "/v1/score/batch", "score", json={"customers": customers}).json()
    real = [one["decision_id"] for one in made["decisions"]]
    (planted,) = {case["case_id"] for case in _open(desk)} - before - {*real}
    return planted, real


def _judge(desk: Desk, case: str, **form: str) -> Any:
    return desk.client.post(f"/reviews/{case}", data=form, headers=ORIGIN, follow_redirects=False)


def _second(desk: Desk, case: str, view: str) -> str:
    """The stamp of the page with the suggestion, after a first view."""
    first = _started(desk.client.get(f"/reviews/{case}").text)
    return _started(_judge(desk, case, started=first, first_view=view).text)


def test_while_a_person_has_to_decide_the_answer_holds_back_what_the_score_suggests(
    waiting: Desk,
) -> None:
    for customer, features in ((CUSTOMER, None), (OTHER, LOYAL)):
        answer = waiting.score(customer, features).json()
        assert answer["outcome"] == "pending_review"
        assert (answer["score"], answer["band"], answer["reasons"], answer["contributions"]) == (
            None,
            None,
            [],
            {},
        )


def test_the_list_of_open_cases_does_not_say_what_the_score_suggests(waiting: Desk) -> None:
    made = waiting.score().json()
    listed = waiting.call("GET", "/v1/reviews", "review").json()["open"]
    assert [set(case) for case in listed] == [{"case_id", "because", "opened_at", "version"}]
    assert listed[0]["case_id"] == made["decision_id"]


def test_a_case_is_decided_once(waiting: Desk) -> None:
    case = waiting.score().json()["decision_id"]
    assert waiting.review(case, "offer").status_code == 200
    assert waiting.review(case, "no_offer").status_code == 409
    assert waiting.decision(case).json()["outcome"] == "offer"


@pytest.mark.parametrize("outcome", ["offer", "no_offer"])
def test_a_reason_is_as_long_as_its_page_counts_it(waiting: Desk, outcome: str) -> None:
    """A browser sends a line break as two characters, and blanks are no reason at any door."""
    _sign_in(waiting)
    case = waiting.score().json()["decision_id"]
    started = _second(waiting, case, "offer")
    for reason, length in (("a" * 4001, "4,001"), (" \r\n" * 10, "0"), ("too\r\nshort", "9")):
        refused = _judge(waiting, case, started=started, outcome=outcome, reason=reason)
        assert refused.status_code == 422
        assert f"of 10 to 4,000 characters; this one has {length}." in refused.text
    assert waiting.review(case, outcome, reason=" " * 20).status_code == 422
    reason = "\r\n".join(["a" * 39] * 100)
    assert _judge(waiting, case, started=started, outcome=outcome, reason=reason).status_code == 303
    (step,) = waiting.decision(case).json()["history"]
    assert step["text"] == reason.replace("\r\n", "\n")


def test_a_decision_in_force_needs_no_review(open_service: Desk) -> None:
    case = open_service.score().json()["decision_id"]
    assert open_service.review(case).status_code == 409
    assert open_service.review("0" * 32).status_code == 404


def test_nobody_who_objected_gets_an_offer_from_a_reviewer(waiting: Desk) -> None:
    pending = waiting.score().json()["decision_id"]
    contested = waiting.score().json()["decision_id"]
    waiting.contest(contested)
    waiting.object()
    assert waiting.review(pending, "offer").status_code == 409
    assert waiting.review(contested, "offer").status_code == 409
    assert waiting.review(contested, "no_offer").status_code == 200


def test_a_contest_is_not_decided_by_who_decided_the_case_before(waiting: Desk) -> None:
    confirmed = waiting.score().json()["decision_id"]
    automatic = waiting.score().json()["decision_id"]
    assert waiting.review(confirmed, "offer").status_code == 200
    for case in (confirmed, automatic):
        assert waiting.contest(case).status_code == 202
    refused = waiting.review(confirmed, "no_offer")
    assert (refused.status_code, "another key" in refused.text) == (409, True)
    _sign_in(waiting)
    started = _second(waiting, confirmed, "offer")
    given = {"outcome": "offer", "reason": "The same as I said before."}
    assert _judge(waiting, confirmed, started=started, **given).status_code == 409
    assert [step["kind"] for step in waiting.decision(confirmed).json()["history"]] == [
        "review",
        "contest",
    ]
    assert waiting.review(automatic, "no_offer").status_code == 200


def test_overrides_are_counted_and_time_that_the_service_did_not_measure_is_left_out(
    waiting: Desk,
) -> None:
    for number, outcome in enumerate(("offer", "no_offer", "offer")):
        case = waiting.score(f"{number:016x}").json()["decision_id"]
        assert waiting.review(case, outcome).status_code == 200
    evidence = waiting.call("GET", "/v1/reviews", "review").json()["evidence"]
    assert (evidence["cases"], evidence["overrides"], evidence["median_seconds"]) == (3, 1, None)


@pytest.mark.parametrize(
    "made_up",
    [
        {"seconds": 300},
        {"seconds": None},
        {"first_view": "offer"},
        {"seeded": False},
        {"reviewer": "x"},
    ],
)
def test_a_client_does_not_write_its_own_evidence(
    waiting: Desk, made_up: dict[str, object]
) -> None:
    case = waiting.score().json()["decision_id"]
    assert waiting.review(case, "offer", **made_up).status_code == 422
    assert waiting.decision(case).json()["outcome"] == "pending_review"


@pytest.fixture
def planting(desk: Callable[..., Desk]) -> Desk:
    """A service that follows every review by a planted case."""
    return desk(significant_effect=True, settings={"seed_share": 1.0})


def test_a_planted_error_looks_like_any_case_and_counts_as_caught_when_overruled(
    planting: Desk,
) -> None:
    real = planting.score().json()["decision_id"]
    planting.review(real, "offer")
    assert _open(planting) == []  # what opens at the moment of a review would tell
    planted, batch = _planted(planting)
    listed = {case.pop("case_id"): case for case in _open(planting)}
    like = listed[batch[0]]
    for case in listed.values():
        assert {**case, "version": ""} == {**like, "version": ""}  # the same time, too
    assert re.fullmatch("[0-9a-f]{32}", planted)
    assert planted[:12] in {case[:12] for case in batch}
    assert planting.review(planted, "offer").status_code == 200
    evidence = planting.call("GET", "/v1/reviews", "review").json()["evidence"]
    assert (evidence["cases"], evidence["seeded_errors"], evidence["seeded_errors_caught"]) == (
        1,
        1,
        1,
    )


def test_a_planted_case_shows_no_other_decision_than_a_real_one_does(planting: Desk) -> None:
    """Everybody here was decided about once: another decision would be the one that was copied."""
    planting.review(planting.score().json()["decision_id"], "offer")
    planted, batch = _planted(planting)
    _sign_in(planting)
    pages = [planting.client.get(f"/reviews/{case}").text for case in (planted, *batch)]
    assert [page.count("None on record.") for page in pages] == [1] * len(pages)
    planting.score()
    page = planting.client.get(f"/reviews/{planted}").text
    assert page.count(": pending review</li>") == 1


def test_after_a_single_case_a_planted_one_opens_within_as_long_as_lay_before_it(
    planting: Desk,
) -> None:
    planting.review(planting.score().json()["decision_id"], "offer")
    planting.score(OTHER)
    end = time.monotonic() + 10
    while len(_open(planting)) < 2 and time.monotonic() < end:
        time.sleep(0.05)
    first, second = _open(planting)
    assert first["opened_at"] < second["opened_at"]


def test_a_planted_error_reaches_nobody(planting: Desk) -> None:
    planting.review(planting.score().json()["decision_id"], "offer")
    planted, _ = _planted(planting)
    assert planting.decision(planted).status_code == 404
    assert planting.contest(planted).status_code == 404


@pytest.mark.parametrize("suggestion", ["offer", "no_offer"])
def test_planted_errors_are_small_and_large(suggestion: str) -> None:
    rules = policy()
    seen: dict[str, list[float]] = {}
    for _ in range(2000):
        score = wrong_score(rules, suggestion)
        assert score is not None
        wrong = decide(rules, score)
        assert wrong.suggestion not in (suggestion, None)
        seen.setdefault(rules.band_of(score), []).append(score)
    action = rules.names.index(rules.action_band)
    assert {*seen} == {*(rules.names[:action] if suggestion == "offer" else rules.names[action:])}
    ends = dict(zip(rules.names, pairwise((0, *rules.thresholds, 1)), strict=True))
    for band, scores in seen.items():
        low, high = ends[band]
        assert max(scores) - min(scores) > 0.9 * (high - low)


def test_the_influences_of_a_planted_error_add_up_to_its_score(planting: Desk) -> None:
    planting.review(planting.score().json()["decision_id"], "offer")
    planted, _ = _planted(planting)
    made = json.loads(planting.log().of_case(planted)[0].body or "")
    assert planting.runtime.scorer.probability(made["contributions"]) == pytest.approx(
        made["score"]
    )
    assert made["suggestion"] == "no_offer"


def test_a_planted_case_is_a_copy_of_one_that_the_present_bundle_decided(planting: Desk) -> None:
    made = planting.score().json()["decision_id"]
    log = planting.log()
    reference = planting.runtime.reference
    older, old = "bundle-" + "0" * 32, "0" * 32
    bundle, decision = (log.of_case(case)[0].body or "" for case in (reference, made))
    renamed = decision.replace(reference, older).replace("recency_days", "days_away")
    log.append(
        [
            Draft("bundle", older, None, bundle.replace("recency_days", "days_away")),
            Draft("decision", old, CUSTOMER, renamed, opens_review=True),
        ]
    )
    assert planting.review(old, "offer").status_code == 200
    planted, _ = _planted(planting)
    assert json.loads(log.of_case(planted)[0].body or "")["bundle"] == reference


def test_where_only_offers_wait_a_planted_case_suggests_one(desk: Callable[..., Desk]) -> None:
    service = desk(human_review=True, settings={"seed_share": 1.0})
    assert service.score(OTHER, LOYAL).json()["outcome"] == "no_offer"
    service.review(service.score().json()["decision_id"], "offer")
    planted, _ = _planted(service)
    entry = service.log().of_case(planted)[0]
    assert (entry.subject, json.loads(entry.body or "")["suggestion"]) == (OTHER, "offer")


def test_the_page_shows_the_suggestion_only_after_the_reviewers_own_view(waiting: Desk) -> None:
    case = waiting.score().json()["decision_id"]
    _sign_in(waiting)
    first = waiting.client.get(f"/reviews/{case}").text
    assert "days since the last purchase" in first
    assert "61 days" in first
    score = waiting.decision(case).json()["score"]
    for hidden in (f"{score:.2f}", "band high", "model suggests <strong>", "raises the risk"):
        assert hidden not in first
    skipped = _judge(
        waiting, case, started=_started(first), outcome="offer", reason="Because I say so."
    )
    assert skipped.status_code == 422
    assert "model suggests <strong>" not in skipped.text
    second = _judge(waiting, case, started=_started(first), first_view="no_offer")
    assert "model suggests <strong>an offer" in second.text


def test_a_decision_on_the_page_needs_a_reason_and_measures_time(waiting: Desk) -> None:
    case = waiting.score().json()["decision_id"]
    _sign_in(waiting)
    started = _second(waiting, case, "no_offer")
    given = {"started": started, "outcome": "no_offer"}
    assert _judge(waiting, case, **given, reason="no").status_code == 422
    assert (
        _judge(waiting, case, **given, reason="Orders every spring, look at 2025.").status_code
        == 303
    )
    assert waiting.decision(case).json()["outcome"] == "no_offer"
    evidence = waiting.call("GET", "/v1/reviews", "review").json()["evidence"]
    assert (evidence["overrides"], evidence["median_seconds"]) == (1, pytest.approx(0, abs=5))


def test_a_form_that_is_turned_down_gives_back_what_was_written(waiting: Desk) -> None:
    case = waiting.score().json()["decision_id"]
    _sign_in(waiting)
    form = {"outcome": "no_offer", "reason": "Orders every <spring>, look at 2025."}
    answers = {
        "too old": _judge(waiting, case, started="1.x.y", **form),
        "decided": _judge(waiting, "0" * 32, started=_second(waiting, case, "no_offer"), **form),
    }
    for answer in answers.values():
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert "Orders every &lt;spring&gt;, look at 2025." in answer.text
    waiting.client.cookies.clear()
    ended = _judge(waiting, case, started="1.x.y", **form)
    assert (ended.status_code, ended.headers["www-authenticate"]) == (401, "Bearer")
    assert "Back button" in ended.text


@pytest.mark.parametrize("how", ["field", "first page", "back", "both steps at once"])
def test_who_has_seen_the_suggestion_cannot_change_the_first_view(waiting: Desk, how: str) -> None:
    case = waiting.score().json()["decision_id"]
    _sign_in(waiting)
    given = {"first_view": "offer", "outcome": "offer", "reason": "As the model has said."}
    first = _started(waiting.client.get(f"/reviews/{case}").text)
    second = _started(_judge(waiting, case, started=first, first_view="no_offer").text)
    if how == "first page":  # its form once more, with what the model says
        second = _started(_judge(waiting, case, started=first, first_view="offer").text)
    if how == "back":
        second = _second(waiting, case, "offer")
    if how == "both steps at once":
        second = _started(_judge(waiting, case, started=first, **given).text)
        assert waiting.decision(case).json()["outcome"] == "pending_review"
    assert _judge(waiting, case, started=second, **given).status_code == 303
    (review,) = waiting.log().of_kind("review")
    assert json.loads(review.body or "")["first_view"] == "no_offer"


def test_a_signed_view_cannot_be_swapped(waiting: Desk) -> None:
    case = waiting.score().json()["decision_id"]
    _sign_in(waiting)
    second = _second(waiting, case, "no_offer")
    forged = second.replace(":no_offer.", ":offer.")
    assert forged != second
    answer = _judge(waiting, case, started=forged, outcome="offer", reason="As the model says.")
    assert answer.status_code == 400


def test_the_start_time_of_a_case_cannot_be_made_up(waiting: Desk) -> None:
    case = waiting.score().json()["decision_id"]
    _sign_in(waiting)
    assert _judge(waiting, case, started="1." + "0" * 64, first_view="offer").status_code == 400


def test_what_was_written_is_given_back_where_the_log_is_away(
    waiting: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = waiting.score().json()["decision_id"]
    _sign_in(waiting)
    started = _second(waiting, case, "offer")

    async def away(*drafts: Draft) -> None:
        raise LogUnavailableError("decision log: away")

    monkeypatch.setattr(waiting.runtime, "write", away)
    answer = _judge(waiting, case, started=started, outcome="offer", reason="Orders every spring.")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "the log is away" in answer.text
    assert "Orders every spring." in answer.text


def test_what_a_person_wrote_is_shown_as_text(open_service: Desk) -> None:
    case = open_service.score().json()["decision_id"]
    open_service.contest(case, "<script>alert(1)</script> I was abroad.")
    _sign_in(open_service)
    page = open_service.client.get(f"/reviews/{case}").text
    assert "&lt;script&gt;" in page
    assert "<script" not in page


@pytest.mark.parametrize(
    "origin",
    [
        {},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        *({**ORIGIN, "sec-fetch-site": site} for site in ("cross-site", "same-site", "none", "")),
    ],
)
def test_a_form_from_another_site_is_refused(waiting: Desk, origin: dict[str, str]) -> None:
    case = waiting.score().json()["decision_id"]
    _sign_in(waiting)
    response = waiting.client.post(f"/reviews/{case}", data={"first_view": "offer"}, headers=origin)
    assert response.status_code == 403


def test_a_proxy_that_changes_the_host_does_not_close_the_desk(waiting: Desk) -> None:
    headers = {"origin": "https://churn.example", "sec-fetch-site": "same-origin"}
    form = {"key": KEYS["review"][0]}
    answer = waiting.client.post(
        "/reviews/sign-in", data=form, headers=headers, follow_redirects=False
    )
    assert answer.status_code == 303


@pytest.mark.parametrize("scope", ["score", "subject", "admin"])
def test_only_a_review_key_opens_the_desk(open_service: Desk, scope: str) -> None:
    form = {"key": KEYS[scope][0]}
    response = open_service.client.post("/reviews/sign-in", data=form, headers=ORIGIN)
    assert response.status_code == 403
    assert "set-cookie" not in response.headers


def test_without_signing_in_the_desk_asks_for_the_key(waiting: Desk) -> None:
    waiting.score()
    response = waiting.client.get("/reviews")
    assert response.status_code == 401
    assert "Sign in to review" in response.text
    assert "Review case" not in response.text


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites_and_is_not_the_key(
    desk: Callable[..., Desk],
) -> None:
    service = desk(profile="eu", settings={"profile": "eu"})
    form = {"key": KEYS["review"][0]}
    response = service.client.post(
        "/reviews/sign-in", data=form, headers=ORIGIN, follow_redirects=False
    )
    cookie = response.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Secure", "Path=/reviews"} <= set(cookie.split("; "))
    assert KEYS["review"][0] not in cookie


def test_the_hash_of_a_key_signs_no_session_and_no_page(waiting: Desk) -> None:
    """Whoever reads CHURN_KEYS has the hash; with it alone nothing can be signed."""
    case = waiting.score().json()["decision_id"]
    name, _, digest = KEYS["review"][1].split(":")
    at = str(int(time.time()))
    for secret in (bytes.fromhex(digest), digest.encode(), b""):
        for message in (f"{name}|session|{at}", "\n".join((digest, name, "session", at, ""))):
            seal = hmac.new(secret, message.encode(), hashlib.sha256).hexdigest()
            for cookie in (f"{at}.{seal}", f"{at}..{seal}"):
                waiting.client.cookies.set("reviewer", cookie)
                assert waiting.client.get("/reviews").status_code == 401
                assert _judge(waiting, case, first_view="offer").status_code == 401
                waiting.client.cookies.clear()


def test_a_session_ends_with_its_key_and_with_its_time() -> None:
    now = [1_000_000.0]
    sessions = Sessions("s" * 32, clock=lambda: now[0])
    (key,) = read_keys(KEYS["review"][1])
    cookie = sessions.new(key)
    assert sessions.key_of([key], cookie) == key
    assert Sessions("s" * 32, clock=lambda: now[0]).key_of([key], cookie) == key
    assert Sessions("t" * 32, clock=lambda: now[0]).key_of([key], cookie) is None
    assert sessions.key_of([replace(key, digest="0" * 64)], cookie) is None
    assert sessions.read(key, "case", cookie) is None
    now[0] -= 30  # the clock jumps back a little, or another instance's is ahead
    assert sessions.key_of([key], cookie) == key
    stamp = sessions.read(key, "session", cookie)
    assert stamp and sessions.seconds_since(stamp) == 0
    now[0] += 9 * 3600
    assert sessions.key_of([key], cookie) is None


def test_a_review_that_is_turned_down_plants_nothing(planting: Desk) -> None:
    case = planting.score().json()["decision_id"]
    assert planting.review(case, version="0" * 64).status_code == 409
    with pytest.raises(ValueError, match="not enough values"):
        _planted(planting)
