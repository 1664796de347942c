"""Complete answers for three cards: an ordinary offer, one under Article 22, one decided by people."""

from __future__ import annotations

import copy
from datetime import date
from typing import Any

INTEREST = "Keep customers who are about to leave by making them a voluntary offer"


def offer_answers() -> dict[str, Any]:
    """A retention offer as most shops make it: solely automated, minor effect, Article 22 does not apply."""
    basis = {"basis": "6_1_f", "reference": "docs/lia.md"}
    return {
        "model": {"review_due": date(2027, 6, 1)},
        "roles": {
            "controller": "Acme GmbH",
            "controller_contact": "privacy@acme.example",
            "dpo_contact": "Dora Ohm <dpo@acme.example>",
            "processors": [
                {
                    "name": "Nordhost",
                    "service": "storage",
                    "country": "FI",
                    "parent_jurisdiction": "FI",
                    "dpa_ref": "contracts/nordhost.pdf",
                }
            ],
            "owner_business": "Head of CRM",
            "owner_model": "Lead data scientist",
            "owner_oversight": "Head of CRM",
        },
        "purpose": {
            "statement": "Find customers who will probably not buy in the next 30 days, to make them an offer.",
            "specific_uses": ["Choose who gets a retention offer"],
            "out_of_scope_uses": ["Prices, credit, insurance or employment"],
            "foreseeable_misuse": ["Leaving the same people without an offer for good"],
            "relation_to_collection": "original",
            "direct_marketing": True,
            "subject_categories": ["customers"],
            "territories": ["DE", "AT"],
            "children_possible": False,
            "vulnerable_groups": [],
        },
        "decision": {
            "downstream_action": "discount_offer",
            "automation_level": "solely_automated",
            "score_role": "determinative",
            "effect": "minor",
            "effect_factors": {
                "circumstances_behaviour_choices": False,
                "prolonged_or_permanent": False,
                "exclusion_or_discrimination": False,
                "exploits_vulnerability": False,
                "excludes_by_price": False,
                "essential_service": False,
            },
            "not_selected_outcome": "They get no offer; nothing else changes for them.",
            "score_transmitted_to": [],
            "price_personalised": False,
        },
        "art22": {"exception": "not_applicable"},
        "human_review": {
            "stage": "none",
            "coverage": "none",
            "stop_procedure": "Head of CRM stops `churn score`.",
        },
        "lawful_basis": {
            "collect": {"basis": "6_1_b", "reference": "terms of sale, section 4"},
            "train": {**basis},
            "score": {**basis},
            "act": {**basis},
            "monitor": {**basis},
            "one_basis_reason": "Training serves nothing but choosing the offers.",
        },
        "legitimate_interest": {
            "interest": INTEREST,
            "lawful": True,
            "real_and_present": True,
            "necessity": "Without a score every customer would get every mailing.",
            "less_intrusive_considered": "A rule on recency alone reaches a third fewer of those who leave.",
            "balancing": "Nobody loses anything; an objection ends it.",
            "reasonable_expectations": "Shops write to customers they have not seen for a while.",
            "mitigations_beyond_duty": [
                "Each person sees their reasons in the shop account",
                "Two offers a year at most",
            ],
            "outcome": "prevails",
            "date": date(2026, 10, 1),
            "ref": "docs/lia.md",
        },
        "eprivacy": {"terminal_access": False, "e_marketing_basis": "opt_in"},
        "special": {
            "declared_features": [],
            "criminal_data": False,
            "bias_testing": {"used": False},
        },
        "data": {
            "sources": [{"name": "shop orders", "origin": "subject"}],
            "label_definition": "No purchase in the next 30 days.",
            "row_window_justified": "Twelve months hold one full season.",
            "pseudonymisation": "Keyed hash of the customer number.",
            "pseudonymisation_key_location": "Key vault of the shop team.",
            "pseudonymisation_key_owner": "Head of security",
        },
        "retention": {
            "objects": [
                {
                    "object": "raw",
                    "period": "P24M",
                    "start_event": "purchase",
                    "mechanism": "automatic",
                },
                {
                    "object": "dvc_cache",
                    "period": "P24M",
                    "mechanism": "automatic",
                    "covers_versions": True,
                },
                {"object": "scores", "period": "P6M", "mechanism": "automatic"},
            ]
        },
        "erasure": {
            "channel": "privacy@acme.example",
            "max_days": 30,
            "model_action": "retrain_on_schedule",
            "backups": "Overwritten after 30 days.",
        },
        "restriction": {"flag_source": "shop account", "excluded_from_scoring": True},
        "model_privacy": {
            "claim": "personal_data",
            "upstream_lawfulness": "lawful",
            "access_controls": "Service account of the shop only.",
        },
        "notice": {
            "art13_ref": "https://acme.example/privacy",
            "version": "7",
            "effective_from": date(2026, 1, 1),
            "languages": ["de"],
            "items": dict.fromkeys(
                (
                    "adm_existence",
                    "logic",
                    "significance",
                    "consequences",
                    "purposes_and_basis",
                    "legitimate_interest",
                    "recipients",
                    "retention",
                    "rights",
                    "objection_separate",
                    "complaint",
                ),
                True,
            ),
        },
        "explanation": {"plain_language_ref": "https://acme.example/score", "withheld": []},
        "rights": {
            "access_channel": "shop account",
            "access_sla_days": 30,
            "access_includes_score": True,
            "rectification": "Correct in the shop account; scored again over night.",
            "portability": "provided_data_only",
        },
        "objection": {
            "general_channel": "shop account",
            "compelling_grounds_procedure": "The privacy team weighs within a week.",
            "marketing_channel": "shop account",
            "marketing_free": True,
            "marketing_automated_means": True,
            "marketing_sla_hours": 24,
            "marketing_weighed": False,
        },
        "dpia": {"status": "not_required_documented", "national_list": "no_entry"},
        "ropa": {
            "entry_id": "RPA-17",
            "recipients": ["Nordhost"],
            "transfers": [],
            "security_measures_ref": "docs/toms.md",
        },
        "hosting": {"transfers": []},
        "evaluation": {
            "metric_justification": "Offers go to the top of a ranking.",
            "limitations": ["Weak for new customers"],
            "fairness_tolerance": 0.1,
            "how_group_known": "Country of delivery.",
        },
        "monitoring": {
            "owner": "Lead data scientist",
            "frequency": "monthly",
            "retrain_trigger": "Brier score 10 % worse",
            "feedback_loop_control": "A tenth of customers gets no offer at random.",
            "incident_procedure": "docs/incidents.md",
            "breach_contact": "security@acme.example",
        },
        "ai_act": {
            "is_ai_system": True,
            "role": "both",
            "annex_iii_point": "none",
            "talks_or_generates": False,
            "literacy_measures": "Half a day for everybody in CRM.",
            "art5_screen": dict.fromkeys(
                ("manipulative", "exploits_vulnerability", "social_scoring", "other"), False
            ),
        },
    }


def article22_answers() -> dict[str, Any]:
    """Article 22 applies, on explicit consent, with every safeguard and a completed impact assessment."""
    answers = offer_answers()
    put(answers, "decision.effect", "similarly_significant")
    answers["art22"] = {
        "exception": "explicit_consent_22_2_c",
        "argued_from": ["explicit_consent"],
        "consent_id": "C-3",
        "safeguards": {
            "intervention_channel": "shop account",
            "intervention_owner": "Customer care",
            "intervention_sla_days": 5,
            "express_view_channel": "shop account",
            "contest_channel": "shop account",
            "contest_owner": "Customer care",
            "contest_sla_days": 14,
            "contest_can_reverse": True,
            "contest_independent": True,
            "statistical_procedures": "Calibration and fairness at each training.",
            "error_correction": "Wrong input is corrected and scored again.",
            "audit_frequency": "P12M",
            "children_excluded": True,
        },
    }
    answers["consent"] = {
        "id": "C-3",
        "text_version": "3",
        "explicit": True,
        "granular": True,
        "specific_to_this_use": True,
        "informed_of_adm": True,
        "evidence_store": "consent database",
        "refusal_without_detriment": True,
        "withdrawal": {
            "channel": "shop account",
            "as_easy_as_giving": True,
            "stops_scoring_within_hours": 24,
            "tested_on": date(2026, 11, 1),
        },
    }
    answers["explanation"] |= {
        "reader_test_date": date(2026, 10, 1),
        "reader_test_result": "9 of 10 understood it.",
    }
    answers["dpia"] = {
        "status": "completed",
        "national_list": "no_entry",
        "ref": "docs/dpia.md",
        "date": date(2026, 10, 1),
        "model_versions_covered": ["*"],
        "risks": ["People feel watched"],
        "measures": ["Reasons in the account"],
        "subject_views": "Ten customers were asked.",
        "residual_risk": "low",
        "review_due": date(2027, 10, 1),
        "advice_ref": "docs/dpo.md",
    }
    answers["sign_off"] = {"dpo_opinion": "positive", "dpo_opinion_date": date(2026, 10, 5)}
    return answers


def reviewed_answers() -> dict[str, Any]:
    """A significant effect, but a person with authority decides each case: Article 22 does not apply."""
    answers = article22_answers()
    answers["art22"] = {"exception": "not_applicable"}
    answers["decision"] |= {"automation_level": "human_confirms_each", "score_role": "informs"}
    answers["human_review"] = {
        "stage": "before_effect",
        "coverage": "all_cases",
        "reviewer_roles": ["Customer care"],
        "training_ref": "docs/training.md",
        "training_date": date(2026, 9, 1),
        "authority_to_override": True,
        "no_detriment_for_override": True,
        "information_shown": ["score", "reasons", "raw_record"],
        "automation_bias_controls": "The score is shown after the first judgement.",
        "stop_procedure": "Head of CRM stops `churn score`.",
    }
    return answers


def put(tree: Any, path: str, value: Any) -> None:
    """Set a dotted path in nested dicts and lists."""
    *parents, last = path.split(".")
    for name in parents:
        tree = tree[int(name)] if isinstance(tree, list) else tree.setdefault(name, {})
    tree[int(last) if isinstance(tree, list) else last] = copy.deepcopy(value)
