"""Complete good cards for tests, and a way to change one answer or fact of them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from card_answers import (
    article22_answers,
    credit_answers,
    offer_answers,
    put,
    reviewed_answers,
    wide_answers,
)
from sovereign_ml.bundle.library_identity import LibraryIdentity
from sovereign_ml.card.approval import approve, with_approvals
from sovereign_ml.card.build import build
from sovereign_ml.card.rules import RulePolicy
from sovereign_ml.card.schema import Approval, Card, Facts

TODAY = date(2026, 11, 24)
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
POLICY = RulePolicy()
LIBRARY = LibraryIdentity("2026.11.0", "e" * 64, "f" * 64, "released")
"""The library that judged the good cards, as it is when a test does not change it."""
CREDIT_OUTCOMES: list[dict[str, Any]] = [
    {"name": "credit_granted", "from_band": "low"},
    {"name": "credit_refused", "from_band": "high", "adverse": True},
]
APPROVERS = {"business_owner": "Grace Hopper", "model_owner": "Ada Lovelace"}


def good_facts(base: str = "offer") -> dict[str, Any]:
    """What a complete run records; that of the credit says which outcomes there are."""
    outcomes = [dict(each) for each in CREDIT_OUTCOMES] if base == "credit" else []
    return {
        "run": {"generated_at": NOW, "git_commit": "a" * 40, "profile": "eu"},
        "library": {
            "version": LIBRARY.version,
            "wheel_sha256": LIBRARY.wheel_sha256,
            "rule_digest": LIBRARY.rule_digest,
            "state": LIBRARY.state,
        },
        "monitoring": {"last_run_on": TODAY, "status": "ok", "model_version": "3"},
        "model": {
            "name": "acme-churn",
            "version": "3",
            "algorithm": "additive scorecard",
            "framework": "scikit-learn",
            "framework_version": "1.9.0",
            "artifact_sha256": "b" * 64,
            "training_code_commit": "a" * 40,
            "dependency_lock_sha256": "c" * 64,
            "authors": ["Alan Turing <alan.turing@acme.example>"],
            "random_seed": 7,
        },
        "decision": {
            "bands": [{"name": "low", "below": 0.45}, {"name": "high", "below": 1.01}],
            "action_band": "high",
            "outcomes": outcomes,
            "policy_version": "0123456789ab",
            "explanation_stored_with_decision": True,
            "first_scoring_on": date(2026, 11, 1),
            "score_outcome_agreement": 0.8,
        },
        "review": {
            "live": True,
            "cases": 900,
            "override_rate": 0.12,
            "median_seconds": 95,
            "seeded_error_catch_rate": 0.93,
            "tested_on": date(2026, 9, 1),
        },
        "data": {
            "label_window": "P30D",
            "cutoffs": [date(2026, 9, 24), date(2026, 10, 24)],
            "snapshots": [
                {
                    "role": "train",
                    "dvc_md5": "d" * 32,
                    "rows": "10,000-99,999",
                    "subjects": "1,000-9,999",
                    "from_date": date(2025, 1, 1),
                    "to_date": date(2026, 9, 24),
                }
            ],
            "features": [
                {
                    "name": "recency_days",
                    "dtype": "float",
                    "unit": "days",
                    "label": "days since the last purchase",
                    "category": "behavioural",
                    "necessity_reason": "People who bought lately are likely to buy again.",
                    "importance": 0.6,
                    "ablation_delta": 0.05,
                    "missing_share": 0.0,
                }
            ],
            "elimination": [
                {
                    "name": "last_gap_days",
                    "inputs_left": 1,
                    "loss": 0.02,
                    "loss_low": 0.01,
                    "loss_high": 0.03,
                }
            ],
            "pii_scan": {"tool": "sovereign", "hits": 0},
            "special_scan": {
                "associations": [{"feature": "recency_days", "group": "country", "value": 0.06}]
            },
            "representativeness": [
                {"group": "country=DE", "train_share": 0.7, "population_share": 0.68}
            ],
            "shifts": [{"name": "recency_days", "kind": "input", "value": 0.05}],
            "quality": {"newest_event": date(2026, 11, 23)},
            "subjects": "1,000-9,999",
            "subjects_at_least": 1000,
        },
        "consent": {
            "valid_share_of_rows": 1.0,
            "withdrawn_rows_found": 0,
            "suppression_applied_to": ["score", "act"],
            "leak_count": 0,
        },
        "retention": {
            "objects": [
                {"object": "raw"},
                {"object": "dvc_cache", "versions_exist": True},
                {"object": "scores"},
            ],
            "erased_subjects_still_in_snapshot": 0,
            "open_requests_overdue": 0,
        },
        "model_privacy": {
            "stores_training_rows": False,
            "stores_training_rows_proof": "model.json holds knots and log-odds only",
            "tests": [
                {
                    "attack": "membership",
                    "metric": "AUC",
                    "value": 0.51,
                    "limit": 0.55,
                    "passed": True,
                },
                {"attack": "exact_row", "metric": "rows", "value": 0, "limit": 0, "passed": True},
            ],
        },
        "explanation": {
            "main_factors": ["days since the last purchase"],
            "individual_method": "additive",
            "individual_returns": [
                "inputs_used",
                "influence_of_each",
                "score",
                "group",
                "counterfactual",
            ],
            "fidelity": 1e-12,
        },
        "evaluation": {
            "test_cutoff": date(2026, 10, 24),
            "customers": 2500,
            "base_rate": 0.56,
            "metrics": {
                "roc_auc": {"value": 0.74, "low": 0.72, "high": 0.76},
                "brier": {"value": 0.2},
            },
            "fairness": [
                {"group": "country", "metric": "tpr_difference", "value": 0.04, "n_smallest": 300}
            ],
        },
        "policy": POLICY.on_card(),
        "hosting": [
            {
                "component": "storage",
                "hostname": "s3.nordhost.example",
                "provider": "Nordhost",
                "jurisdiction_class": "EU_OWNED",
                "carries": ["personal_data"],
            }
        ],
    }


BASES = {
    "offer": offer_answers,
    "article22": article22_answers,
    "reviewed": reviewed_answers,
    "credit": credit_answers,
    "wide": wide_answers,
}


def card(
    base: str = "offer",
    *,
    answers: dict[str, Any] | None = None,
    facts: dict[str, Any] | None = None,
) -> Card:
    """A good card of ``base``, with changes given as dotted paths; a number in a path is a place in a list."""
    people, machine = BASES[base](), good_facts(base)
    for path, value in (answers or {}).items():
        put(people, path, value)
    for path, value in (facts or {}).items():
        put(machine, path, value)
    return build(Facts.model_validate(machine), people, card_id="acme-churn")


def signed(of: Card, people: dict[str, str] = APPROVERS) -> Card:
    """The card approved by ``people`` (role to name)."""
    approvals: tuple[Approval, ...] = tuple(
        with_key(approve(of, role=role, person=name, at=NOW)) for role, name in people.items()
    )
    return with_approvals(of, approvals)


def with_key(of: Approval) -> Approval:
    """The decision as it reads when its commit was signed with the person's key."""
    mail = f"{of.person.lower().replace(' ', '.')}@acme.example"
    return of.model_copy(update={"signed_by": f"{mail} SHA256:{mail}"})
