"""A team's own outcomes, such as a refused credit: decided, reviewed, contested and told by their names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

import bundles
from service_desk import CUSTOMER, KEYS, LOYAL, OTHER, Desk
from sovereign_ml.decisions.decision_policy import decide
from sovereign_ml.service.desk.reviews import wrong_score

CREDIT: dict[str, Any] = {
    "credit_granted": {"from_band": "low"},
    "credit_limited": {"from_band": "medium", "adverse": True},
    "credit_refused": {"from_band": "high", "adverse": True},
    "on_hold": {"words": {"en": "a call first", "de": "erst ein Anruf"}},
}
PRICE: dict[str, Any] = {
    "price_lowered": {"from_band": "high"},
    "price_kept": {"from_band": "low", "changes_nothing": True},
}
ORIGIN = {"origin": "http://127.0.0.1"}


@pytest.fixture
def credit(desk: Callable[..., Desk]) -> Desk:
    return desk(significant_effect=True, outcomes=CREDIT)


def test_the_band_of_the_score_decides_what_is_suggested() -> None:
    policy = bundles.policy(outcomes=CREDIT)
    suggested = {policy.band_of(score): decide(policy, score).outcome for score in (0.1, 0.5, 0.9)}
    assert suggested == {
        "low": "credit_granted",
        "medium": "credit_limited",
        "high": "credit_refused",
    }
    without_medium = {k: v for k, v in CREDIT.items() if k != "credit_limited"}
    assert decide(bundles.policy(outcomes=without_medium), 0.5).outcome == "credit_granted"


def test_who_would_be_worse_off_waits_for_the_promised_review() -> None:
    policy = bundles.policy(outcomes=CREDIT, human_review=True)
    waits = [decide(policy, score).outcome for score in (0.1, 0.5, 0.9)]
    assert waits == ["credit_granted", "pending_review", "pending_review"]


@pytest.mark.parametrize(
    ("outcomes", "reason"),
    [
        ({"a_b": {"from_band": "low"}}, "one outcome is no decision"),
        ({**CREDIT, "objected": {}}, "objected: the service uses this name itself"),
        ({**CREDIT, "erased": {}}, "erased: the service uses this name itself"),
        ({**CREDIT, "more": {"from_band": "huge"}}, "huge is no band; bands: low, medium, high"),
        ({**CREDIT, "more": {"from_band": "low"}}, "two outcomes begin at one band"),
        ({"aa": {"from_band": "high"}, "bb": {}}, "no outcome has from_band 'low'"),
        ({**PRICE, "more": {"changes_nothing": True}}, "changes_nothing stands at more than one"),
        ({**PRICE, "More": {}}, "String should match pattern"),
        ({**PRICE, "more": {"adverse": True, "band": "low"}}, "Extra inputs are not permitted"),
    ],
)
def test_outcomes_that_fit_no_policy_are_refused(outcomes: Any, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        bundles.policy(outcomes=outcomes)


def test_without_outcomes_the_file_is_as_it_was() -> None:
    assert "outcomes" not in bundles.policy().model_dump_json()
    assert [*bundles.policy().choices] == ["offer", "no_offer"]


def test_a_refused_credit_is_reviewed_contested_and_reversed(credit: Desk) -> None:
    case = credit.score().json()["decision_id"]
    assert credit.decision(case).json()["outcome"] == "pending_review"
    wrong = credit.review(case, "offer")
    assert wrong.status_code == 422 and "credit_refused" in wrong.text
    assert credit.review(case, "credit_refused").status_code == 200
    made = credit.decision(case).json()
    assert (made["outcome"], made["adverse"]) == ("credit_refused", True)
    assert credit.contest(case).status_code == 202
    _sign_in(credit)
    page = credit.client.get(f"/reviews/{case}").text
    assert "The credit is refused (to the person&#39;s disadvantage)" in page
    assert "A call first" in page and "the credit is refused" in page
    assert "offer" not in page.partition("<fieldset>")[2].partition("</fieldset>")[0]


def test_evidence_counts_what_was_overruled(credit: Desk) -> None:
    for customer, outcome in ((CUSTOMER, "credit_refused"), (OTHER, "on_hold")):
        case = credit.score(customer).json()["decision_id"]
        assert credit.review(case, outcome).status_code == 200
    evidence = credit.call("GET", "/v1/reviews", "review").json()["evidence"]
    assert (evidence["cases"], evidence["overrides"]) == (2, 1)


def test_the_api_description_names_the_outcomes_and_the_adverse_ones(credit: Desk) -> None:
    schemas = credit.client.get("/openapi.json").json()["components"]["schemas"]
    names = [*CREDIT]
    assert schemas["ReviewRequest"]["properties"]["outcome"]["enum"] == names
    for name, more in (("ReviewAnswer", 0), ("CaseStep", 1), ("DecisionAnswer", 4)):
        outcome = schemas[name]["properties"]["outcome"]
        assert outcome["enum"][: len(names)] == names and len(outcome["enum"]) == len(names) + more
        assert "credit_limited, credit_refused" in outcome["description"]
        assert outcome["examples"][0] in outcome["enum"]
    assert "offer" not in schemas["ScoreAnswer"]["properties"]["outcome"]["enum"]


def test_somebody_who_is_barred_gets_only_the_outcome_that_changes_nothing(
    desk: Callable[..., Desk],
) -> None:
    priced = desk(significant_effect=True, outcomes=PRICE)
    case = priced.score().json()["decision_id"]
    assert priced.review(case, "price_lowered").status_code == 200
    priced.contest(case)
    priced.object()
    assert priced.call("GET", "/v1/reviews", "review").json()["waiting"] == 1
    key = {"outcome": "price_lowered", "reason": "Same as before, it fits."}
    refused = priced.review(case, **key)
    assert refused.status_code == 409 and "price_kept" in refused.text


def test_without_such_an_outcome_nothing_is_decided_about_somebody_who_is_barred(
    credit: Desk,
) -> None:
    case = credit.score(CUSTOMER, LOYAL).json()["decision_id"]
    credit.contest(case)
    credit.bar("restrictions", ground="accuracy_contested")
    refused = credit.review(case, "credit_granted")
    assert refused.status_code == 409 and "nothing can be decided now" in refused.text


@pytest.mark.parametrize("suggestion", ["credit_granted", "credit_limited", "credit_refused"])
def test_planted_errors_suggest_each_other_outcome(suggestion: str) -> None:
    policy = bundles.policy(significant_effect=True, outcomes=CREDIT)
    scores = [wrong_score(policy, suggestion) for _ in range(300)]
    found = {decide(policy, score).suggestion for score in scores if score is not None}
    assert found == {"credit_granted", "credit_limited", "credit_refused"} - {suggestion}
    assert wrong_score(policy, "gone") is None


def _sign_in(desk: Desk) -> None:
    form = {"key": KEYS["review"][0]}
    done = desk.client.post("/reviews/sign-in", data=form, headers=ORIGIN, follow_redirects=False)
    assert done.status_code == 303
