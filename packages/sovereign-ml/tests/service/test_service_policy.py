import pytest
from hypothesis import given
from hypothesis import strategies as st

import bundles
from sovereign_ml.decisions.decision_policy import decide


@given(st.floats(0, 1))
def test_without_significant_effect_the_score_decides_at_the_action_band(score: float) -> None:
    policy = bundles.policy()
    decision = decide(policy, score)
    assert decision.band == policy.band_of(score)
    assert (
        decision.outcome
        == decision.suggestion
        == ("offer" if policy.acts_on(score) else "no_offer")
    )


@pytest.mark.parametrize("score", [0.0, 0.45, 0.6999, 0.7, 1.0])
def test_a_significant_effect_reaches_nobody_without_a_person_not_even_those_left_out(
    score: float,
) -> None:
    decision = decide(bundles.policy(significant_effect=True), score)
    assert decision.outcome == "pending_review"


def test_a_promised_review_holds_back_the_action_band_only() -> None:
    policy = bundles.policy(human_review=True)
    assert decide(policy, 0.71).outcome == "pending_review"
    assert decide(policy, 0.69).outcome == "no_offer"


@pytest.mark.parametrize("score", [None, 0.9])
def test_an_objection_leaves_neither_score_nor_band(score: float | None) -> None:
    decision = decide(bundles.policy(significant_effect=True), score, barred="objected")
    assert (decision.outcome, decision.band, decision.suggestion) == ("objected", None, None)


def test_no_score_is_never_taken_for_a_low_one() -> None:
    with pytest.raises(ValueError, match="needs a score"):
        decide(bundles.policy(), None)
