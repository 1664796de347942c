"""A plain BentoML service that calls scikit-learn, without log, reasons or keys."""

from __future__ import annotations

from typing import Any

import bentoml
from estimator import NAMES, fitted


@bentoml.service(
    workers=1,
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    tracing={"sample_rate": 0.0},
)
class Plain:
    """One estimator."""

    def __init__(self) -> None:
        self.estimator = fitted()

    @bentoml.api(route="/v1/score")  # type: ignore[untyped-decorator]
    def score(self, customer_id: str, features: dict[str, Any]) -> dict[str, Any]:
        """Probability of one customer."""
        row = [[features[name] or 0.0 for name in NAMES]]
        return {"customer_id": customer_id, "score": float(self.estimator.predict_proba(row)[0, 1])}
