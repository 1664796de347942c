"""Probes, metrics, and health and metadata of the Open Inference Protocol (KServe's V2).

The protocol's ``/infer`` is left out: a score without objection, review and log is no decision.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sovereign_ml import __version__
from sovereign_ml.service.counters import CONTENT_TYPE
from sovereign_ml.service.http import Answer, Call, reply_json
from sovereign_ml.service.problems import ProblemError
from sovereign_ml.service.schemas import AnswerModel, Status


class ServerLive(AnswerModel):
    """Open Inference Protocol: the process answers."""

    live: Literal[True] = True


class ServerReady(AnswerModel):
    """Open Inference Protocol: the log can be read."""

    ready: Literal[True] = True


class ModelReady(ServerReady):
    """Open Inference Protocol: the model of the bundle can be asked."""

    name: str = Field(examples=["acme-churn"])


class ServerMetadata(AnswerModel):
    """Open Inference Protocol: what serves."""

    name: Literal["sovereign-ml"] = "sovereign-ml"
    version: str = __version__
    extensions: list[str] = Field(default=[], description="None: there is no /infer")


class Tensor(AnswerModel):
    """Open Inference Protocol: one input or output, a column of any number of customers."""

    name: str = Field(examples=["recency_days"])
    datatype: Literal["FP64", "BYTES"]
    # -1 stands for any number of rows, as the protocol writes it.
    shape: tuple[int, int] = (-1, 1)


class ModelMetadata(AnswerModel):
    """Open Inference Protocol: what the model of the bundle takes and gives."""

    name: str = Field(examples=["acme-churn"])
    versions: list[str] = Field(examples=[["3"]])
    platform: Literal["sovereign-ml"] = "sovereign-ml"
    inputs: list[Tensor]
    outputs: list[Tensor]


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
