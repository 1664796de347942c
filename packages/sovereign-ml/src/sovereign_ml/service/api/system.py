"""Probes, metrics and the API's own description."""

from __future__ import annotations

from sovereign_ml.service.counters import CONTENT_TYPE
from sovereign_ml.service.http import Answer, Call, reply_json
from sovereign_ml.service.schemas import Status


async def alive(call: Call) -> Answer:
    """The process answers."""
    return reply_json(Status())


async def ready(call: Call) -> Answer:
    """The log answers; 503 where it does not."""
    await call.runtime.ready()
    return reply_json(Status())


async def metrics(call: Call) -> Answer:
    """Counters in Prometheus' text format."""
    return Answer(call.runtime.metrics.text(), 200, CONTENT_TYPE)
