"""The services that are measured: how each is started and what it is asked."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import ROOT, environment

from sovereign_ml.bundle.sealed import read_contract

CONTENDERS = ROOT / "benchmarks" / "contenders"
PORT = 18_600
CATEGORY = "gifts"


@dataclass(frozen=True)
class Contender:
    """A service to measure: how to start it and what to ask."""

    name: str
    port: int
    command: list[str]
    body: Any
    environment: Mapping[str, str] = field(default_factory=dict)
    path: str = "/v1/score"


def contenders(project: Path, folder: Path) -> list[Contender]:
    """Return all four, each with one worker."""
    bundle = project / "data" / "7_bundle"
    row = example_row(bundle)
    python, ports = sys.executable, range(PORT, PORT + 4)
    to = [["--port", str(port)] for port in ports]
    model = folder / "mlflow_model"
    numbers = {name: value for name, value in row["features"].items() if value != CATEGORY}
    imports = {"PYTHONPATH": str(CONTENDERS), "INPUTS": ",".join(numbers)}
    subprocess.run(
        [python, str(CONTENDERS / "estimator.py"), str(model)],
        check=True,
        capture_output=True,
        env={**os.environ, **imports},
    )
    quiet = ["--no-access-log", "--log-level", "warning"]
    fastapi = [python, "-m", "uvicorn", "fastapi_noop:app", *quiet, *to[1]]
    bento = [python, "-m", "bentoml", "serve", "bentoml_sklearn:Plain"]
    bento += ["--working-dir", str(CONTENDERS), *to[2]]
    mlflow = [python, "-m", "mlflow", "models", "serve", "-m", str(model)]
    mlflow += ["--env-manager", "local", "--workers", "1", *to[3]]
    inputs = {"inputs": [list(numbers.values())]}
    return [
        this_service(project, bundle, folder / "decisions.db", ports[0], row),
        Contender("FastAPI no-op", ports[1], fastapi, row, imports),
        Contender("BentoML + scikit-learn", ports[2], bento, row, imports),
        Contender("mlflow models serve", ports[3], mlflow, inputs, path="/invocations"),
    ]


def this_service(project: Path, bundle: Path, log: Path, port: int, body: Any = None) -> Contender:
    """Return the service of ``project`` on a bundle, with its decision log."""
    variables = {
        "PYTHONPATH": environment(project / "serve")["PYTHONPATH"],
        "BUNDLE_DIR": str(bundle),
        "CHURN_LOG": str(log),
        "CHURN_RATE_PER_SECOND": "1000000",
    }
    command = [sys.executable, "-m", "sovereign_ml.service", "--port", str(port)]
    return Contender("this service, decision log on", port, command, body, variables)


def example_row(bundle: Path) -> dict[str, Any]:
    """Return a plausible customer for the contract of ``bundle``."""
    values = {
        "days": 40.0,
        "EUR": 90.0,
        "count": 2.0,
        "share": 0.3,
        "ratio": 1.2,
        "category": CATEGORY,
    }
    features = {
        spec.name: values[spec.unit] for spec in read_contract(bundle / "contract.json").features
    }
    return {"customer_id": "0b6f1c3e9a7d4e52", "features": features}
