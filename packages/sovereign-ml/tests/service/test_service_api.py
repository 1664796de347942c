import json
import tracemalloc
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import bundles
from service_desk import CUSTOMER, FEATURES, LOYAL, OTHER, Desk, open_desk
from sovereign_ml.decision_log import Draft, note_rectification, verify
from sovereign_ml.service.api.scoring import reasons
from sovereign_ml.service.routes import BATCH_BYTES


def test_a_score_is_the_scorecards_with_reasons_in_words_and_versions(open_service: Desk) -> None:
    answer = open_service.score().json()
    expected = bundles.model().probability({name: [value] for name, value in FEATURES.items()})[0]
    assert answer["score"] == pytest.approx(expected, abs=1e-12)
    assert (answer["band"], answer["outcome"]) == ("high", "offer")
    assert answer["reasons"][0] == "61 days since the last purchase raises the risk strongly"
    assert (answer["model_version"], answer["policy_version"]) == ("acme-churn 3", "0a1b2c3d4e5f")


def test_a_score_that_no_input_moves_has_a_reason_too(open_service: Desk) -> None:
    parts = {"recency_days": 0.0, "tenure_days": 0.0001}
    (reason,) = reasons(open_service.runtime, FEATURES, parts)
    assert reason == "400 days since the first purchase leaves the risk as it is"


def test_an_answer_is_to_the_letter_what_the_log_holds(open_service: Desk) -> None:
    answer = open_service.score().json()
    (entry,) = open_service.log().of_case(answer["decision_id"])
    logged = json.loads(entry.body or "")
    assert {
        name: logged[name] for name in ("score", "band", "reasons", "contributions", "outcome")
    } == {name: answer[name] for name in ("score", "band", "reasons", "contributions", "outcome")}
    assert logged["features"] == FEATURES


def test_a_batch_answers_in_order_and_logs_every_customer(open_service: Desk) -> None:
    customers = [
        {"customer_id": f"{i:016x}", "features": LOYAL if i % 2 else FEATURES} for i in range(1000)
    ]
    response = open_service.call("POST", "/v1/score/batch", "score", json={"customers": customers})
    decisions = response.json()["decisions"]
    assert [one["customer_id"] for one in decisions] == [one["customer_id"] for one in customers]
    assert {one["outcome"] for one in decisions[::2]} == {"offer"}
    assert {one["outcome"] for one in decisions[1::2]} == {"no_offer"}
    assert verify(open_service.log()).entries == 1001


def _wide(monkeypatch: pytest.MonkeyPatch, inputs: int) -> dict[str, float | str]:
    """Give the bundle's model ``inputs`` more inputs, and return the features of a customer."""
    model, contract = bundles.model(), bundles.contract()
    names = [f"revenue_of_product_group_{number}_eur" for number in range(inputs)]
    curve, spec = model.numeric[0], contract.features[0]
    more = [curve.model_copy(update={"name": name}) for name in names]
    specs = [spec.model_copy(update={"name": name, "maximum": None}) for name in names]
    wide = model.model_copy(update={"numeric": (*model.numeric, *more)})
    told = contract.model_copy(update={"features": (*contract.features, *specs)})
    monkeypatch.setattr(bundles, "model", lambda: wide)
    monkeypatch.setattr(bundles, "contract", lambda: told)
    return FEATURES | {name: 12345.678901234567 / (number + 3) for number, name in enumerate(names)}


@pytest.mark.parametrize("indent", [None, 2])
def test_a_model_with_many_inputs_takes_a_full_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, indent: int | None
) -> None:
    features = _wide(monkeypatch, 80)
    customers = [{"customer_id": f"{i:064x}", "features": features} for i in range(1000)]
    body = json.dumps({"customers": customers}, indent=indent)
    assert len(body) > BATCH_BYTES
    with open_desk(tmp_path) as desk:
        headers = {"content-type": "application/json"}
        answer = desk.call("POST", "/v1/score/batch", "score", content=body, headers=headers)
    assert (answer.status_code, len(answer.json()["decisions"])) == (200, 1000)


def test_a_model_with_hundreds_of_inputs_scores_one_customer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = _wide(monkeypatch, 400)
    with open_desk(tmp_path) as desk:
        assert desk.score(features=features).status_code == 200
        assert desk.score(features=features | {"x" * 40_000: 1}).status_code == 413


def test_a_batch_of_more_than_a_thousand_is_refused(open_service: Desk) -> None:
    customers = [{"customer_id": CUSTOMER, "features": FEATURES}] * 1001
    response = open_service.call("POST", "/v1/score/batch", "score", json={"customers": customers})
    assert response.status_code == 422


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"recency_days": -1}, "/features/recency_days"),
        ({"recency_days": "3"}, "/features/recency_days"),
        ({"income": 3}, "/features/income"),
    ],
)
def test_a_value_outside_the_contract_is_refused_and_not_repeated(
    open_service: Desk, change: dict[str, object], pointer: str
) -> None:
    response = open_service.score(features={**FEATURES, **change})
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert [fault["pointer"] for fault in response.json()["faults"]] == [pointer]
    assert verify(open_service.log()).entries == 1


def test_a_feature_that_is_not_sent_is_never_invented(open_service: Desk) -> None:
    incomplete = {name: value for name, value in FEATURES.items() if name != "recency_days"}
    assert open_service.score(features=incomplete).status_code == 422
    assert open_service.score(features={**FEATURES, "recency_days": None}).status_code == 200


@pytest.mark.parametrize(
    "customer", ["jane@shop.example", "Jane Doe", "1234567", "a" * 65, "../../../etc"]
)
def test_only_pseudonyms_are_taken(open_service: Desk, customer: str) -> None:
    assert open_service.score(customer).status_code == 422


def test_without_a_feature_server_a_bare_customer_id_is_refused(open_service: Desk) -> None:
    response = open_service.call("POST", "/v1/score", "score", json={"customer_id": CUSTOMER})
    assert response.status_code == 422
    assert response.json()["faults"] == [{"pointer": "/features", "detail": "Field required"}]


def test_a_person_is_told_inputs_influences_thresholds_and_what_would_change_it(
    open_service: Desk,
) -> None:
    made = open_service.score().json()
    told = open_service.decision(made["decision_id"]).json()
    assert {one["feature"]: one["value"] for one in told["inputs"]} == FEATURES
    assert told["intercept"] + sum(one["contribution"] for one in told["inputs"]) == pytest.approx(
        1.05, abs=2
    )
    assert told["thresholds"] == {"medium": 0.45, "high": 0.7}
    assert "the score would be" in told["counterfactual"]
    assert told["score"] == made["score"]
    assert told["contest"].endswith("Customer care, care@shop.example")


def test_a_decision_stays_explainable_by_the_model_that_took_it(desk: Callable[..., Desk]) -> None:
    made = desk().score().json()
    later = desk(bands=[{"name": "low", "below": 0.9}, {"name": "high", "below": 1.01}])
    assert later.runtime.bundle.policy.thresholds == (0.9,)
    assert later.decision(made["decision_id"]).json()["thresholds"] == {"medium": 0.45, "high": 0.7}


@pytest.mark.parametrize("far", [1e9, 1e12, 1.7e308])
def test_the_explanation_of_a_value_far_out_needs_little_memory(
    open_service: Desk, far: float
) -> None:
    features = {**FEATURES, "avg_order_value_eur": far, "revenue_eur_180d": far}
    made = open_service.score(CUSTOMER, features).json()["decision_id"]
    tracemalloc.start()
    shown = open_service.decision(made)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert shown.status_code == 200
    assert peak < 50_000_000  # a container has 256 MiB


def test_another_customers_decision_is_not_found(open_service: Desk) -> None:
    made = open_service.score().json()
    stranger, nobody = (
        open_service.decision(made["decision_id"], OTHER),
        open_service.decision("0" * 32),
    )
    assert stranger.status_code == nobody.status_code == 404
    assert stranger.content == nobody.content


def test_an_objection_takes_effect_on_the_next_call(open_service: Desk) -> None:
    before = open_service.score().json()
    assert open_service.object().json() == {"customer_id": CUSTOMER, "status": "in_force"}
    after = open_service.score().json()
    assert (before["outcome"], after["outcome"]) == ("offer", "objected")
    assert (after["score"], after["band"], after["reasons"], after["contributions"]) == (
        None,
        None,
        [],
        {},
    )
    assert open_service.score(OTHER).json()["outcome"] == "offer"


def test_an_objection_made_elsewhere_holds_inside_the_transaction(open_service: Desk) -> None:
    open_service.object()
    open_service.runtime.barred.clear()
    made = open_service.score().json()
    (entry,) = open_service.log().of_case(made["decision_id"])
    assert made["outcome"] == "objected"
    assert "features" not in json.loads(entry.body or "")


def test_a_withdrawal_takes_effect_on_the_next_call_and_ends_with_a_new_consent(
    open_service: Desk,
) -> None:
    today, long_ago = f"{datetime.now(UTC):%Y-%m-%d}", "2020-01-01"
    given = {"reference": "Form in the shop, record 7"}
    assert open_service.bar("consents", **given, given_on=today).status_code == 409
    assert open_service.bar("withdrawals").json()["status"] == "in_force"
    assert open_service.bar("withdrawals").status_code == 200
    open_service.runtime.barred.clear()
    made = open_service.score().json()
    assert (made["outcome"], made["score"], made["reasons"]) == ("withdrawn", None, [])
    (entry,) = open_service.log().of_case(made["decision_id"])
    assert "features" not in json.loads(entry.body or "")
    assert open_service.contest(made["decision_id"]).status_code == 409
    assert open_service.bar("consents", **given, given_on=long_ago).status_code == 409
    assert open_service.score().json()["outcome"] == "withdrawn"
    assert open_service.bar("consents", **given, given_on=today).json()["status"] == "lifted"
    assert open_service.score().json()["outcome"] == "offer"
    assert verify(open_service.log()).problems == ()


def test_a_restriction_ends_only_by_a_reviewer_who_told_the_person(open_service: Desk) -> None:
    today, tomorrow = (f"{datetime.now(UTC) + timedelta(days=n):%Y-%m-%d}" for n in (0, 2))
    told = {"reason": "The purchases were corrected.", "informed_on": today}
    assert open_service.bar("restrictions").status_code == 422, "without a ground"
    assert open_service.bar("restrictions", ground="unlawful").status_code == 200
    assert open_service.bar("restrictions/lift", **told).status_code == 403
    for wrong, status in (
        (("informed_on", None), 422),
        (("informed_on", tomorrow), 409),
        (("reason", "ok"), 422),
        (("reason", " " * 10), 422),
        (("reason", "\n corrected \t\u2003"), 422),
    ):
        sent = {name: text for name, text in {**told, wrong[0]: wrong[1]}.items() if text}
        assert open_service.bar("restrictions/lift", "review", **sent).status_code == status
    assert open_service.score().json()["outcome"] == "restricted"
    assert open_service.score(OTHER).json()["outcome"] == "offer"
    open_service.object()
    assert open_service.bar("restrictions/lift", "review", **told).status_code == 200
    assert open_service.bar("restrictions/lift", "review", **told).status_code == 409
    assert open_service.score().json()["outcome"] == "objected"


def test_a_restriction_lasts_until_each_of_its_grounds_was_ended(open_service: Desk) -> None:
    told = {"reason": "The claim was settled.", "informed_on": f"{datetime.now(UTC):%Y-%m-%d}"}
    for ground in ("unlawful", "needed_for_claims", "unlawful"):
        assert open_service.bar("restrictions", ground=ground).status_code == 200
    unnamed = open_service.bar("restrictions/lift", "review", **told)
    assert unnamed.status_code == 409
    assert "needed_for_claims, unlawful. Name the ground" in unnamed.json()["detail"]
    other = open_service.bar("restrictions/lift", "review", **told, ground="objection_pending")
    assert other.status_code == 409
    ended = open_service.bar("restrictions/lift", "review", **told, ground="unlawful")
    assert ended.status_code == 200
    assert open_service.score().json()["outcome"] == "restricted"
    assert open_service.bar("restrictions/lift", "review", **told).status_code == 200
    assert open_service.score().json()["outcome"] == "offer"
    with closing(open_service.log()) as log:
        assert verify(log).problems == ()


def test_objecting_twice_is_no_error(open_service: Desk) -> None:
    assert open_service.object().status_code == open_service.object().status_code == 200


def test_a_contest_puts_the_case_before_a_person_who_may_reverse_it(open_service: Desk) -> None:
    made = open_service.score().json()
    assert open_service.contest(made["decision_id"]).status_code == 202
    (case,) = open_service.call("GET", "/v1/reviews", "review").json()["open"]
    assert (case["case_id"], case["because"]) == (made["decision_id"], "contested")
    assert open_service.review(made["decision_id"], "no_offer").status_code == 200
    told = open_service.decision(made["decision_id"]).json()
    assert (made["outcome"], told["outcome"]) == ("offer", "no_offer")
    assert [step["kind"] for step in told["history"]] == ["contest", "review"]


@pytest.mark.parametrize(("letters", "status"), [(4000, 202), (4001, 422), (40_000, 413)])
def test_a_view_may_have_four_thousand_letters_of_any_script(
    open_service: Desk, letters: int, status: int
) -> None:
    made = open_service.score().json()
    assert (
        open_service.contest(made["decision_id"], "\N{GRINNING FACE}" * letters).status_code
        == status
    )


def test_an_objectors_empty_decision_cannot_be_contested(open_service: Desk) -> None:
    open_service.object()
    assert open_service.contest(open_service.score().json()["decision_id"]).status_code == 409


def test_an_erased_person_has_no_decisions_and_the_chain_holds(open_service: Desk) -> None:
    made = open_service.score().json()
    open_service.contest(made["decision_id"])
    log = open_service.log()
    assert log.erase_subject(CUSTOMER) == 2
    assert open_service.decision(made["decision_id"]).status_code == 404
    assert open_service.call("GET", "/v1/reviews", "review").json()["open"] == []
    assert verify(log).holds


def test_an_erased_person_is_not_scored_and_nothing_is_kept_about_them(open_service: Desk) -> None:
    open_service.log().erase_subject(CUSTOMER)
    answer = open_service.score()
    assert (answer.status_code, answer.headers["content-type"]) == (410, "application/problem+json")
    customers = [{"customer_id": one, "features": FEATURES} for one in (OTHER, CUSTOMER)]
    batch = open_service.call("POST", "/v1/score/batch", "score", json={"customers": customers})
    assert [one["outcome"] for one in batch.json()["decisions"]] == ["offer", "erased"]
    assert [entry.subject for entry in open_service.log().entries()] == [None, None, OTHER]


def _corrected(desk: Desk, wrong: str, customer: str = CUSTOMER) -> Any:
    content = {"customer_id": customer, "features": LOYAL, "corrects": wrong}
    return desk.call("POST", "/v1/score", "score", json=content)


def test_a_decision_on_a_wrong_input_is_made_again_and_both_say_so(open_service: Desk) -> None:
    wrong = open_service.score().json()
    right = _corrected(open_service, wrong["decision_id"]).json()
    assert (wrong["outcome"], right["outcome"]) == ("offer", "no_offer")
    old, new = (open_service.decision(one["decision_id"]).json() for one in (wrong, right))
    assert (old["corrected_by"], old["corrects"]) == (right["decision_id"], None)
    assert (new["corrected_by"], new["corrects"]) == (None, wrong["decision_id"])
    assert [step["kind"] for step in old["history"]] == ["rectification"]
    assert verify(open_service.log()).holds


def test_a_correction_during_a_restriction_leaves_the_outcome_of_the_old_decision(
    open_service: Desk,
) -> None:
    wrong = open_service.score().json()["decision_id"]
    open_service.bar("restrictions", ground="accuracy_contested")
    note_rectification(open_service.log(), CUSTOMER, "2 purchases corrected")
    # As a version before wrote it.
    older = json.dumps({"text": "1 purchase corrected", "outcome": "restricted"})
    open_service.log().append([Draft("rectification", wrong, CUSTOMER, older)])
    shown = open_service.decision(wrong).json()
    assert shown["outcome"] == "offer"
    assert [step["outcome"] for step in shown["history"]] == [None, None]


def test_a_case_on_a_wrong_input_leaves_the_desk_for_the_corrected_one(
    desk: Callable[..., Desk],
) -> None:
    service = desk(significant_effect=True)
    right = _corrected(service, service.score().json()["decision_id"]).json()
    waiting = service.call("GET", "/v1/reviews", "review").json()["open"]
    assert [case["case_id"] for case in waiting] == [right["decision_id"]]


@pytest.mark.parametrize("customer", [OTHER, CUSTOMER])
def test_only_a_decision_of_the_same_customer_can_be_corrected(
    open_service: Desk, customer: str
) -> None:
    wrong = open_service.score().json()["decision_id"]
    if customer == CUSTOMER:
        open_service.log().erase_subject(CUSTOMER)
    assert _corrected(open_service, wrong, customer).status_code == 404


def test_the_card_is_json_for_programs_and_html_for_browsers(open_service: Desk) -> None:
    assert open_service.call("GET", "/v1/card", "admin").json() == {"schema_version": "1"}
    page = open_service.call("GET", "/v1/card", "subject", headers={"accept": "text/html"})
    assert (page.text, page.headers["content-type"]) == (
        "<h1>Card</h1>",
        "text/html; charset=utf-8",
    )


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz"])
def test_probes_need_no_key(open_service: Desk, path: str) -> None:
    assert open_service.call("GET", path).json() == {"status": "ok"}


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
        ("/v2/models/acme-churn/ready", {"ready": True, "name": "acme-churn"}),
    ],
)
def test_health_by_the_open_inference_protocol_needs_no_key(
    open_service: Desk, path: str, answer: dict[str, object]
) -> None:
    assert open_service.call("GET", path).json() == answer


def test_metadata_by_the_open_inference_protocol_names_what_the_model_takes(
    open_service: Desk,
) -> None:
    server = open_service.call("GET", "/v2", "score").json()
    assert set(server) == {"name", "version", "extensions"}
    model = open_service.call("GET", "/v2/models/acme-churn", "score").json()
    assert (model["name"], model["versions"]) == ("acme-churn", ["3"])
    kinds = {
        name: "BYTES" if isinstance(value, str) else "FP64" for name, value in FEATURES.items()
    }
    assert {tensor["name"]: tensor["datatype"] for tensor in model["inputs"]} == kinds
    assert model["outputs"] == [{"name": "score", "datatype": "FP64", "shape": [-1, 1]}]


@pytest.mark.parametrize("path", ["/v2/models/other", "/v2/models/other/ready", "/v2/models/"])
def test_another_model_is_not_found(open_service: Desk, path: str) -> None:
    assert open_service.call("GET", path, "score").status_code == 404


def test_no_score_is_given_by_the_open_inference_protocol(open_service: Desk) -> None:
    response = open_service.call("POST", "/v2/models/acme-churn/infer", "score", json={})
    assert response.status_code == 404


def test_metrics_name_routes_and_never_ids(open_service: Desk) -> None:
    made = open_service.score().json()
    open_service.decision(made["decision_id"])
    text = open_service.call("GET", "/metrics", "admin").text
    assert 'churn_requests_total{route="/v1/decisions/{id}",status="200"} 1.0' in text
    assert 'churn_decisions_total{outcome="offer"} 1.0' in text
    assert "churn_score_count 1.0" in text
    assert f"churn_score_sum {made['score']!r}" in text
    assert made["decision_id"] not in text
    assert CUSTOMER not in text


def test_the_start_page_names_no_foreign_host(open_service: Desk) -> None:
    page = open_service.call("GET", "/")
    assert "acme-churn, version 3" in page.text
    assert "http://" not in page.text
    assert "https://" not in page.text
