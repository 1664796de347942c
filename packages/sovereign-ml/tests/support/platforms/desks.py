"""A tiny sealed bundle and one team's desk, from which it deploys to the double."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from bundles import RULES
from cards import LIBRARY, good_facts, signed
from cards import card as good_card
from sota_double import KEY, SotaDouble
from sovereign_ml.bundle.library_identity import rule_digest
from sovereign_ml.bundle.sealed import rules_json, seal_bundle
from sovereign_ml.deploy.run import Clock
from sovereign_ml.deploy.send import Shipment
from sovereign_ml.deploy.sota_api import SotaApi
from sovereign_ml.deploy.stage import Staged
from sovereign_ml.deploy.transport import Patience, Transport

BASE_IMAGE = "registry.acme.test/python:3.12-slim@sha256:" + "ab" * 32
LOCK = "pydantic==2.12.0 \\\n    --hash=sha256:" + "cd" * 32 + "\n    # via churn\n"
SERVICE = "from sovereign_ml.model.scorecard import Scorecard\n\nprint(Scorecard)\n"


HERE = replace(LIBRARY, rule_digest=rule_digest())
_CURVE = {"name": "recency_days", "transform": "identity", "knots": [0, 90], "log_odds": [-1, 1]}
MODEL = {
    "schema_version": "1",
    "target": "churn_30d",
    "intercept": 0.2,
    "numeric": [{**_CURVE, "missing_log_odds": 0}],
    "categorical": [],
}
BANDS = [{"name": "low", "below": 0.7}, {"name": "high", "below": 1.01}]
_MODEL_SHA256 = hashlib.sha256(json.dumps(MODEL).encode()).hexdigest()
_INPUT = {**good_facts()["data"]["features"][0], "name": "recency_days", "changeable": True}
GOOD = good_card(
    facts={
        "library.rule_digest": HERE.rule_digest,
        "model.artifact_sha256": _MODEL_SHA256,
        "decision.bands": BANDS,
        "decision.action_band": "high",
        "decision.max_feature_age_days": 30,
        "project.contact": "care@shop.example",
        "data.features": [_INPUT],
    }
)
SIGNED, UNSIGNED = (card.model_dump(mode="json") for card in (signed(GOOD), GOOD))


def write_bundle(
    folder: Path, version: str = "3", profile: str = "eu", card: dict[str, Any] = SIGNED
) -> Path:
    """A sealed bundle with one feature and an approved card."""
    folder.mkdir(parents=True)
    feature = {
        "name": "recency_days",
        "dtype": "float",
        "unit": "days",
        "label": "days since the last purchase",
    }
    rest = {
        "missing_allowed": False,
        "changeable": True,
        "necessity_reason": "Recency describes buying rhythm.",
    }
    policy = {
        "policy_version": "0a1b2c3d4e5f",
        "target": "churn_30d",
        "bands": BANDS,
        "action_band": "high",
    }
    duties = {
        "significant_effect": False,
        "human_review": False,
        "reviewer_contact": "care@shop.example",
    }
    contents = {
        "model.json": MODEL,
        "contract.json": {"features": [{**feature, **rest}]},
        "policy.json": {**policy, **duties},
        "card.json": card,
    }
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content))
    (folder / "rules.json").write_text(rules_json(RULES))
    (folder / "card.html").write_text("<!doctype html><title>Card</title>")
    origin = {
        "git_commit": "0" * 40,
        "data_version": "d41d8cd98f00b204",
        "created_at": "2026-11-24T08:00:00Z",
        **HERE.tags(),
    }
    seal_bundle(folder, name="acme-churn", version=version, profile=profile, **origin)
    return folder


class Desk:
    """One team's desk: the staged folder, the double, and what was said and waited for."""

    def __init__(self, staged: Staged, double: SotaDouble, folder: Path) -> None:
        self.staged, self.double = staged, double
        self.link, self.releases = folder / ".sota.json", folder / "deploy" / "releases.json"
        self.said: list[str] = []
        self.waits: list[float] = []
        self.clock = Clock(poll_s=1, timeout_s=30, smoke_s=4, sleep=self.waits.append)

    def api(self, token: str = KEY) -> SotaApi:
        patience = Patience(tries=4, first_wait_s=1, timeout_s=2)
        transport = Transport(
            self.double.url, token, patience=patience, sleep=self.waits.append, say=self.said.append
        )
        return SotaApi(transport)

    def shipment(self, **changed: object) -> Shipment:
        given = {
            "staged": self.staged,
            "name": "Acme churn",
            "slug": "acme-churn",
            "variables": {"MODEL_VERSION": "3"},
            "secrets": {"SERVICE_KEYS": "s3cr3t-value"},
            "service_url": self.double.service_url,
            "api_url": self.double.url,
        }
        return Shipment(**{**given, **changed})  # type: ignore[arg-type]
