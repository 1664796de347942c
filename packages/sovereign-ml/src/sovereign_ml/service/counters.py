"""Metrics of the service for Prometheus. No label ever holds a person, a key or a raw path."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = tuple(n / 20 for n in range(1, 21))
"""Upper ends of the histogram of scores. They never change, so that months can be compared."""


class Metrics:
    """Counters of answers and decisions, and a histogram of scores."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        labels = ["route", "status"]
        self._requests = Counter(
            "churn_requests", "Answers by route and status.", labels, registry=registry
        )
        self._counters: dict[tuple[str, int], Counter] = {}
        self._decisions = Counter(
            "churn_decisions", "Decisions by outcome.", ["outcome"], registry=registry
        )
        self._scores = Histogram(
            "churn_score", "Scores of decisions.", buckets=BUCKETS, registry=registry
        )
        self._missing = Counter(
            "churn_feature_missing",
            "Scores for which the feature had no value.",
            ["feature"],
            registry=registry,
        )

    def count(self, route: str, status: int) -> None:
        """Count one answer."""
        # ``labels`` takes a lock and builds a key on each call, so its result is kept.
        counter = self._counters.get((route, status))
        if counter is None:
            counter = self._counters[(route, status)] = self._requests.labels(route, str(status))
        counter.inc()

    def decided(self, outcome: str) -> None:
        """Count one decision, once it is durable."""
        self._decisions.labels(outcome).inc()

    def scored(self, score: float, missing: Iterable[str]) -> None:
        """Count one score (a probability) and the features that had no value for it."""
        self._scores.observe(score)
        for feature in missing:
            self._missing.labels(feature).inc()

    def text(self) -> bytes:
        """Return all metrics in the exposition format."""
        return generate_latest(self._registry)
