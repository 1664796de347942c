"""A running service for tests: its bundle, its keys, a client, its log."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

import bundles
from cards import LIBRARY
from sovereign_ml.bundle.sealed import read_bundle, rules_json, seal_bundle
from sovereign_ml.decision_log import DecisionLog, open_log
from sovereign_ml.service.access.api_keys import SCOPES, new_key, read_keys
from sovereign_ml.service.app import Application
from sovereign_ml.service.routes import ROUTES
from sovereign_ml.service.runtime import Runtime
from sovereign_ml.service.settings import ServiceSettings

CUSTOMER, OTHER = "0b6f1c3e9a7d4e52", "aaaabbbbccccdddd"
KEYS = {scope: new_key(scope, [scope]) for scope in SCOPES}
FEATURES: dict[str, Any] = {
    "recency_days": 61.0,
    "tenure_days": 400.0,
    "purchase_count_7d": 0.0,
    "purchase_count_30d": 0.0,
    "purchase_count_90d": 1.0,
    "purchase_count_180d": 2.0,
    "revenue_eur_7d": 0.0,
    "revenue_eur_30d": 0.0,
    "revenue_eur_90d": 80.0,
    "revenue_eur_180d": 160.0,
    "avg_order_value_eur": 80.0,
    "mean_gap_days": 90.0,
    "last_gap_days": 90.0,
    "recency_over_gap": 0.7,
    "category_share": 0.5,
    "returns_share": 0.0,
    "preferred_category": "gifts",
}
LOYAL = {
    **FEATURES,
    "recency_days": 2.0,
    "purchase_count_30d": 5.0,
    "purchase_count_90d": 12.0,
    "mean_gap_days": 7.0,
}


@dataclass
class Desk:
    """A client of an open service, with the door to its log."""

    client: TestClient
    runtime: Runtime
    log_path: Path

    def call(self, method: str, path: str, scope: str = "", **more: Any) -> Any:
        """One request with the key of ``scope``."""
        headers = {"authorization": f"Bearer {KEYS[scope][0]}"} if scope else {}
        return self.client.request(
            method, path, headers={**headers, **more.pop("headers", {})}, **more
        )

    def score(self, customer: str = CUSTOMER, features: dict[str, Any] | None = None) -> Any:
        """POST /v1/score."""
        content: dict[str, Any] = {"customer_id": customer, "features": features or FEATURES}
        return self.call("POST", "/v1/score", "score", json=content)

    def decision(self, decision_id: str, customer: str = CUSTOMER) -> Any:
        """GET /v1/decisions/{id}."""
        return self.call(
            "GET", f"/v1/decisions/{decision_id}", "subject", headers={"customer-id": customer}
        )

    def contest(self, decision_id: str, view: str = "I was abroad; please look again.") -> Any:
        """POST /v1/decisions/{id}/contest."""
        path = f"/v1/decisions/{decision_id}/contest"
        return self.call(
            "POST", path, "subject", headers={"customer-id": CUSTOMER}, json={"view": view}
        )

    def review(self, case_id: str, outcome: str = "no_offer", **more: Any) -> Any:
        """POST /v1/reviews/{id}, of the case as it is listed now."""
        more = {"version": self.version(case_id), **more}
        content = {"outcome": outcome, "reason": "A seasonal buyer, nothing unusual.", **more}
        return self.call("POST", f"/v1/reviews/{case_id}", "review", json=content)

    def version(self, case_id: str) -> str:
        """The version of an open case; one that fits nothing where it is not open."""
        listed = self.call("GET", "/v1/reviews", "review").json()["open"]
        return next((one["version"] for one in listed if one["case_id"] == case_id), "0" * 64)

    def object(self, customer: str = CUSTOMER) -> Any:
        """POST /v1/objections."""
        return self.bar("objections", customer_id=customer)

    def bar(self, path: str, scope: str = "subject", **given: Any) -> Any:
        """POST to what bars a customer, or ends that."""
        return self.call("POST", f"/v1/{path}", scope, json={"customer_id": CUSTOMER, **given})

    def log(self) -> DecisionLog:
        """The log, opened a second time."""
        return open_log(str(self.log_path))


def write_bundle(
    folder: Path,
    *,
    card: dict[str, Any] | None = None,
    profile: str = "local",
    rules: dict[str, Any] | None = None,
    **policy: Any,
) -> Path:
    """A sealed bundle with a changed policy, card, profile or numbers of the rules."""
    bundles.write_bundle(folder)
    (folder / "policy.json").write_text(bundles.policy(**policy).model_dump_json())
    (folder / "rules.json").write_text(rules_json(bundles.RULES.model_copy(update=rules or {})))
    (folder / "card.html").write_text("<h1>Card</h1>")
    if card is not None:
        (folder / "card.json").write_text(json.dumps(card))
    source = {"git_commit": "0" * 40, "data_version": "d41d8cd98f00b204", **LIBRARY.tags()}
    seal_bundle(
        folder,
        name="acme-churn",
        version="3",
        profile=profile,
        created_at="2026-11-24T08:00:00Z",
        **source,
    )
    return folder


@contextmanager
def open_desk(
    folder: Path, *, routes: Any = ROUTES, settings: dict[str, Any] | None = None, **policy: Any
) -> Iterator[Desk]:
    """An open service over a bundle in ``folder``."""
    keys = read_keys("\n".join(line for _, line in KEYS.values()))
    given = {
        "bundle": write_bundle(folder / "bundle", **policy),
        "log": str(folder / "decisions.db"),
        "keys": keys,
    }
    all_settings = ServiceSettings(**{**given, "seed_share": 0.0, **(settings or {})})
    application = Application(routes)
    runtime = Runtime(all_settings, read_bundle(all_settings.bundle))
    application.use(runtime)
    with TestClient(application, base_url="http://127.0.0.1") as client:
        yield Desk(client, runtime, folder / "decisions.db")
        client.portal.call(runtime.close)
