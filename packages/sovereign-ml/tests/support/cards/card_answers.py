"""Complete answers for three cards: an ordinary offer, one under Article 22, one decided by people."""

from __future__ import annotations

import copy
from datetime import date
from typing import Any, get_args

from sovereign_ml.card.schema.oversight import HighRiskDuty

MONITORING = dict.fromkeys(("systematic_monitoring", "public_area", "new_technology"), False)
NO_ENTRY = "no_entry: DSK entry 11 and DSFA-V § 2 were read, and an offer harms nobody"
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
            "authority": "Berlin Commissioner for Data Protection and Freedom of Information",
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
                    "withdrawal",
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
            "marketing_at_sending": "The mail system drops everybody on the objection list before each mailing.",
            "marketing_weighed": False,
        },
        "dpia": {"status": "not_required_documented", "national_list": NO_ENTRY, **MONITORING},
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
            "areas": [],
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
        "national_list": NO_ENTRY,
        **MONITORING,
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


def credit_answers() -> dict[str, Any]:
    """A credit limit on explicit consent: Article 22, high-risk under the AI Act, consumer credit."""
    answers = article22_answers()
    answers["purpose"] |= {
        "statement": "Set the credit limit of customers who ask to pay later.",
        "specific_uses": ["Set a credit limit after a person asked for it"],
        "out_of_scope_uses": ["Advertising and offers", "Decisions about employees"],
        "direct_marketing": False,
    }
    answers["decision"] |= {
        "downstream_action": "credit",
        "not_selected_outcome": "They pay at once, as everybody can.",
        "consumer_credit": {
            "human_intervention": True,
            "only_allowed_data": True,
            "personalised_offer_told": True,
        },
    }
    answers["eprivacy"]["e_marketing_basis"] = "not_electronic"
    for phase in ("train", "score", "act", "monitor"):
        answers["lawful_basis"][phase] = {"basis": "6_1_a", "reference": "consent text C-3"}
    answers["ai_act"] |= {
        "annex_iii_point": "5b",
        "areas": ["5b_creditworthiness"],
        "high_risk": {
            "derogation_claimed": False,
            "annex_iv_sections": list("123456789"),
            "oversight_persons": ["Head of credit"],
            "log_months": 24,
            "persons_informed": True,
            "duties_met": list(get_args(HighRiskDuty)),
            "duties_ref": "docs/high-risk.md",
            "fria_required": True,
            "fria_ref": "docs/fria.md",
            "art86_channel": "shop account",
        },
    }
    answers["lawful_basis"]["score"]["reference"] = "docs/lia.md, § 31 BDSG"
    return answers


def wide_answers() -> dict[str, Any]:
    """An offer in which nearly every conditional question is asked: transfers, third parties, special data, prices."""
    answers = article22_answers()
    answers["model"] |= {
        "base_model": "open tabular model 2",
        "third_party_components": ["scikit-learn, BSD-3-Clause"],
        "predetermined_changes": "Fitted again each month.",
    }
    answers["roles"] |= {
        "eu_representative": "Rep GmbH, Berlin",
        "joint_controllers": ["Acme Service GmbH"],
        "joint_arrangement_ref": "contracts/joint.pdf",
    }
    answers["purpose"] |= {
        "relation_to_collection": "compatible_6_4",
        "compatibility_assessment_ref": "docs/compatible.md",
        "vulnerable_groups": ["people in debt"],
    }
    answers["decision"] |= {
        "price_personalised": True,
        "price_notice_ref": "https://acme.example/prices",
        "score_transmitted_to": [
            {
                "controller": "Acme Service GmbH",
                "contract_ref": "contracts/joint.pdf",
                "art22_left_to_recipient": False,
            }
        ],
    }
    answers["lawful_basis"]["act"] = {
        "basis": "eprivacy_13_2",
        "reference": "docs/soft-opt-in.md, § 7 UWG, § 174 TKG",
    }
    answers["lawful_basis"]["bias_test"] = {"basis": "6_1_f", "reference": "docs/lia.md"}
    answers["eprivacy"] = {
        "terminal_access": True,
        "terminal_consent_ref": "consent text C-4",
        "e_marketing_basis": "soft_opt_in",
        "soft_opt_in_holds": True,
    }
    answers["special"] = {
        "declared_features": ["pregnant"],
        "art9_condition": "9_2_a",
        "art22_4_safeguards": "Two people look at every such case.",
        "criminal_data": True,
        "criminal_law_ref": "section 26 of the act",
        "bias_testing": {
            "used": True,
            "conditions_met": [True] * 6,
            "deleted_on": date(2026, 11, 1),
        },
    }
    answers["data"]["sources"] = [
        {"name": "shop orders", "origin": "subject"},
        {"name": "address broker", "origin": "third_party", "art14_given": True},
    ]
    answers["model_privacy"] |= {
        "claim": "anonymous",
        "adversaries_considered": "Anybody who can query the service many times.",
        "conclusion_ref": "docs/anonymity.md",
        "upstream_lawfulness": "third_party_checked",
    }
    answers["erasure"]["model_action"] = "none_model_anonymous"
    answers["notice"] |= {"art14_ref": "https://acme.example/privacy-14", "art14_within_days": 14}
    answers["notice"]["items"] |= {"transfers": True, "third_party_source": True}
    answers["explanation"] |= {
        "withheld": ["weights"],
        "blanket_refusal": False,
        "route_to_authority": "sealed copy by registered letter",
    }
    answers["rights"]["extension_days"] = 30
    answers["dpia"] |= {
        "status": "consulted",
        "residual_risk": "high",
        "prior_consultation_ref": "docs/consultation.pdf",
    }
    answers["ropa"]["transfers"] = ["US"]
    answers["hosting"] = {
        "owner_declarations": [
            {
                "hostname": "s3.acme.example",
                "provider": "Acme",
                "country": "DE",
                "parent": "Acme AG",
                "date": date(2026, 10, 1),
            }
        ],
        "transfers": [
            {
                "to": "US",
                "tool": "scc",
                "tia_ref": "docs/tia.md",
                "reference": "contracts/scc.pdf",
                "art48_procedure": "Legal answers and tells the controller.",
            }
        ],
    }
    answers["ai_act"] |= {"talks_or_generates": True, "persons_told": True}
    answers["sign_off"] |= {
        "dpo_opinion": "conditions",
        "dpo_departure_reason": "Each condition is met before the first offer.",
    }
    return answers


def put(tree: Any, path: str, value: Any) -> None:
    """Set a dotted path in nested dicts and lists."""
    *parents, last = path.split(".")
    for name in parents:
        tree = tree[int(name)] if isinstance(tree, list) else tree.setdefault(name, {})
    tree[int(last) if isinstance(tree, list) else last] = copy.deepcopy(value)
