"""Counters for Prometheus; no label ever holds a person, a key or a raw path."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """What the service counts about itself."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "churn_requests",
            "Answers by route and status",
            ["route", "status"],
            registry=self._registry,
        )
        self._counters: dict[tuple[str, int], Counter] = {}
        self._decisions = Counter(
            "churn_decisions", "Decisions by outcome", ["outcome"], registry=self._registry
        )

    def count(self, route: str, status: int) -> None:
        """One answer was given."""
        counter = self._counters.get((route, status))
        if counter is None:
            counter = self._counters[(route, status)] = self._requests.labels(route, str(status))
        counter.inc()

    def decided(self, outcome: str) -> None:
        """One decision became durable."""
        self._decisions.labels(outcome).inc()

    def text(self) -> bytes:
        """All counters in the exposition format."""
        return generate_latest(self._registry)
