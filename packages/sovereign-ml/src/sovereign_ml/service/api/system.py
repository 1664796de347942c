"""Probes, metrics, and health and metadata of the Open Inference Protocol (KServe's V2).

The protocol's ``/infer`` is left out: a score without objection, review and log is no decision.
"""

from __future__ import annotations

from sovereign_ml.service.counters import CONTENT_TYPE
from sovereign_ml.service.http import Answer, Call, reply_json
from sovereign_ml.service.problems import ProblemError
from sovereign_ml.service.schemas import (
    ModelMetadata,
    ModelReady,
    ServerLive,
    ServerMetadata,
    ServerReady,
    Status,
    Tensor,
)


async def alive(call: Call) -> Answer:
    """Answer that the process is alive."""
    return reply_json(Status())


async def ready(call: Call) -> Answer:
    """Answer that the log can be read. Raises LogUnavailableError (503) where it cannot."""
    await call.runtime.ready()
    return reply_json(Status())


async def metrics(call: Call) -> Answer:
    """Return counters in Prometheus' text format."""
    return Answer(call.runtime.metrics.text(), 200, CONTENT_TYPE)


async def server_live(call: Call) -> Answer:
    """Answer that the process is alive."""
    return reply_json(ServerLive())


async def server_ready(call: Call) -> Answer:
    """Answer that the log can be read. Raises LogUnavailableError (503) where it cannot."""
    await call.runtime.ready()
    return reply_json(ServerReady())


async def server_metadata(call: Call) -> Answer:
    """Return name and version of the library that serves."""
    return reply_json(ServerMetadata())


async def model_ready(call: Call) -> Answer:
    """Answer as ``server_ready`` does, for the only model. Raises ProblemError 404 for another."""
    name = _model_name(call)
    await call.runtime.ready()
    return reply_json(ModelReady(name=name))


async def model_metadata(call: Call) -> Answer:
    """Return version, inputs and output of the only model. Raises ProblemError 404 for another."""
    name, bundle = _model_name(call), call.runtime.bundle
    inputs = [
        Tensor(name=spec.name, datatype="BYTES" if spec.dtype == "string" else "FP64")
        for spec in bundle.contract.features
    ]
    return reply_json(
        ModelMetadata(
            name=name,
            versions=[bundle.manifest.version],
            inputs=inputs,
            outputs=[Tensor(name="score", datatype="FP64")],
        )
    )


def _model_name(call: Call) -> str:
    name = call.runtime.bundle.manifest.name
    if call.request.path_params["name"] != name:
        raise ProblemError(404, "No such model: its name is in /openapi.json.")
    return name
