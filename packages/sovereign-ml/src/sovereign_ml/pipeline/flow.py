"""The flow: each verb with the artifacts it reads and writes. CLI, DVC and Kubeflow all come from this table."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from sovereign_ml.config.settings import Settings


@dataclass(frozen=True)
class Step:
    """One step: verb, the nouns it reads in the order of its arguments, and the noun it writes."""

    number: int
    verb: str
    reads: tuple[str, ...]
    writes: str

    def function(self) -> Callable[..., None]:
        """The step's function; imported on first use, because its libraries take seconds."""
        found: Callable[..., None] = getattr(
            import_module(f"churn.steps._{self.number}_{self.verb}"), self.verb
        )
        return found


STEPS = (
    Step(1, "data", ("source",), "raw"),
    Step(2, "validate", ("raw",), "valid"),
    Step(3, "features", ("valid",), "features"),
    Step(4, "train", ("features",), "model"),
    Step(5, "evaluate", ("model", "features", "valid"), "metrics"),
    Step(6, "card", ("model", "metrics", "features", "valid"), "card"),
    Step(7, "register", ("model", "metrics", "card"), "bundle"),
    Step(8, "score", ("bundle", "features", "valid"), "scores"),
)
BY_VERB = {step.verb: step for step in STEPS}


def run_step(verb: str, settings: Settings) -> dict[str, Any]:
    """Run one step on the project's own artifacts; return its summary with ``seconds``, also kept for the table."""
    step = BY_VERB[verb]
    start = time.perf_counter()
    inputs = [settings.path(noun) for noun in step.reads]
    step.function()(*inputs, settings.path(step.writes), settings=settings)
    result = {
        **summary(settings, step),
        "seconds": round(time.perf_counter() - start, 1),
        "finished": time.time(),
    }
    remember(settings.root, verb, result)
    return result


def summary(settings: Settings, step: Step) -> dict[str, Any]:
    """What ``step`` wrote about itself; empty if it has not run."""
    path = settings.path(step.writes) / "summary.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def remember(root: Path, verb: str, result: dict[str, Any]) -> None:
    """Keep when and how long a step ran, outside the artifacts: those must be the same bytes on every run."""
    path = _log(root, verb)
    path.parent.mkdir(parents=True, exist_ok=True)
    side = path.with_suffix(".part")
    side.write_text(
        json.dumps({"seconds": result["seconds"], "finished": result["finished"]}), encoding="utf-8"
    )
    side.replace(path)


def recall(root: Path, verb: str) -> dict[str, float]:
    """Seconds and end of the last run of a step; empty if there is none."""
    path = _log(root, verb)
    try:
        found: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return found


def _log(root: Path, verb: str) -> Path:
    return root / ".churn" / "steps" / f"{verb}.json"
