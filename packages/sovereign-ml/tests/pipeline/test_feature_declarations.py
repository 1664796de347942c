"""What a team gets wrong while it declares features is one line."""

from __future__ import annotations

from dataclasses import replace

import pytest

from churn.project import PROJECT
from sovereign_ml.decisions.feature_contract import Ratio
from sovereign_ml.errors import Misuse
from sovereign_ml.project import Feature

TENURE = Feature("tenure_days", "days", "days since the first purchase", "Why it is needed")
RECENCY = replace(TENURE, name="recency_days")


def test_a_link_to_a_feature_that_was_removed_is_named() -> None:
    links = (Ratio(feature="tenure_days", over="recency_days", under="recency_days"),)
    project = replace(PROJECT, features=(TENURE,), links=lambda: links)
    with pytest.raises(Misuse, match="links name unknown features: recency_days"):
        project.feature_contract()
    assert replace(project, features=(TENURE, RECENCY)).feature_contract().links == links


def test_a_feature_that_is_listed_twice_is_named() -> None:
    project = replace(PROJECT, features=(TENURE, TENURE), links=tuple)
    with pytest.raises(Misuse, match="features listed twice: tenure_days"):
        project.feature_contract()


def test_a_project_without_features_is_refused() -> None:
    with pytest.raises(Misuse, match="at least 1 item"):
        replace(PROJECT, features=(), links=tuple).feature_contract()
