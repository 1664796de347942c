"""The services that are measured: how each is started and what it is asked."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sovereign_ml.bundle.sealed import read_contract

ROOT = Path(__file__).parents[1]
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
    here = {"PYTHONPATH": str(CONTENDERS), "INPUTS": ",".join(numbers)}
    subprocess.run(
        [python, str(CONTENDERS / "estimator.py"), str(model)],
        check=True,
        capture_output=True,
        env={**os.environ, **here},
    )
    fastapi = [
        python,
        "-m",
        "uvicorn",
        "fastapi_noop:app",
        "--no-access-log",
        "--log-level",
        "warning",
        *to[1],
    ]
    bento = [
        python,
        "-m",
        "bentoml",
        "serve",
        "bentoml_sklearn:Plain",
        "--working-dir",
        str(CONTENDERS),
        *to[2],
    ]
    mlflow = [
        python,
        "-m",
        "mlflow",
        "models",
        "serve",
        "-m",
        str(model),
        "--env-manager",
        "local",
        *to[3],
    ]
    inputs = {"inputs": [list(numbers.values())]}
    return [
        this_service(project, bundle, folder / "decisions.db", ports[0], row),
        Contender("FastAPI no-op", ports[1], fastapi, row, here),
        Contender("BentoML + scikit-learn", ports[2], bento, row, here),
        Contender(
            "mlflow models serve",
            ports[3],
            [*mlflow, "--workers", "1"],
            inputs,
            path="/invocations",
        ),
    ]


def this_service(project: Path, bundle: Path, log: Path, port: int, body: Any = None) -> Contender:
    """Return the service of ``project`` on a bundle, with its decision log."""
    inherited = [*filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        "PYTHONPATH": os.pathsep.join([str(project / "serve"), *inherited]),
        "BUNDLE_DIR": str(bundle),
        "CHURN_LOG": str(log),
        "CHURN_RATE_PER_SECOND": "1000000",
    }
    command = [sys.executable, "-m", "sovereign_ml.service", "--port", str(port)]
    return Contender("this service, decision log on", port, command, body, environment)


def example_row(bundle: Path) -> dict[str, Any]:
    """A plausible customer for the contract of ``bundle``."""
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
