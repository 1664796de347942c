"""Compare kinds of model, with and without expected directions, on two data sets.

They are the built-in shop and Online Retail, which takes part where ONLINE_RETAIL names the file.
Needs a rendered project and its environment (`make lint` makes it). Only its code is used: steps 1
to 3 run in copies. The third kind is the class that the project's docs/extending.md shows. Writes
docs/benchmarks/models.json and models.md: python benchmarks/models.py PROJECT
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from contestants import Contender, this_service
from harness import arguments, complete_and_seal, environment, machine, publish
from models_table import page
from service import memory_mb, processes, started
from threadpoolctl import threadpool_limits

if TYPE_CHECKING:
    from sovereign_ml.config.settings import Settings
    from sovereign_ml.estimators.interface import Model

OWN_FILES = ("config.toml", "documents.toml", "model_card.toml", "pyproject.toml")
CHURN = (sys.executable, "-c", "from sovereign_ml.cli.main import main; main()")
RETAIL = "ONLINE_RETAIL"
# The answers of docs/your-data.md for Online Retail.
SUGGEST = ("--set", "lawful_basis=legitimate_interests", "--set", "rates.GBP=1.152")
PORT = 18_700


@dataclass
class Variant:
    """One kind of model under one setting, fitted."""

    model: str
    monotone: bool
    c: float
    fitted: Model
    bundle: Path


def main() -> None:
    """Measure each data set, write JSON and table."""
    parser = arguments(__doc__)
    parser.add_argument("--answers", type=int, default=500, help="of each service and round")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory(prefix="churn-models-") as folder:
        code = Path(folder) / "code"
        own = with_own_model(options.project.resolve(), code)
        sys.path.insert(0, str(code / "src"))
        kinds = ["scorecard", "boosting", own]
        data = []
        for name, file in {"Built-in shop": None, "Online Retail": os.environ.get(RETAIL)}.items():
            if file or name != "Online Retail":
                root = with_features(code, Path(folder) / name.replace(" ", "-"), file)
                # One thread, as the steps run: threads that wait for one another spin.
                with threadpool_limits(1):
                    data.append({"name": name} | compare(root, kinds, options))
    content = machine() | {"answers": options.answers, "rounds": options.rounds, "data": data}
    publish(options.out, "models", content, page(content))


def with_own_model(project: Path, code: Path) -> str:
    """Copy the project's code with the class of its docs/extending.md, and return its name."""
    ignored = shutil.ignore_patterns("data", ".git", ".venv", ".dvc", ".mlflow", ".churn", "vendor")
    shutil.copytree(project, code, ignore=ignored)
    manual = (code / "docs/extending.md").read_text(encoding="utf-8")
    section = manual[manual.index("## Bring a model of your own") :]
    diff = re.search(r"(?ms)^```diff\n(.*?)^```$", section)
    named = re.search(r'(?m)^\+model = "([\w.:]+)"', section)
    if not diff or not named:
        raise SystemExit(f"{code / 'docs/extending.md'} shows no model of one's own.")
    command = ["git", "apply", "--include=src/*", "-"]
    subprocess.run(command, cwd=code, input=diff[1], text=True, check=True)
    return named[1]


def with_features(code: Path, root: Path, file: str | None) -> Path:
    """Run steps 1 to 3 in ``root`` on the built-in shop, or on ``file`` by `churn data suggest`."""
    root.mkdir()
    for name in OWN_FILES:
        shutil.copy(code / name, root / name)
    config = root / "config.toml"
    text, count = re.subn(r"(?m)^inputs = \[.*?\]", "inputs = []", config.read_text("utf-8"))
    if count != 1:
        raise SystemExit(f"{config} has no [features] inputs: the kinds are compared on all.")
    config.write_text(text, encoding="utf-8")
    environ = environment(code / "src")
    if file:
        link = root / Path(file).name
        link.symlink_to(Path(file).resolve())
        command = [*CHURN, "data", "suggest", link.name, *SUGGEST, "--apply", "--yes"]
        subprocess.run(command, cwd=root, env=environ, check=True, stdout=subprocess.DEVNULL)
    for verb in ("data", "validate", "features"):
        subprocess.run([*CHURN, verb], cwd=root, env=environ, check=True, stdout=sys.stderr)
    return root


def compare(root: Path, kinds: list[str], options: argparse.Namespace) -> dict[str, Any]:
    """Return quality and cost of each kind on the newest cut-off, which no fit has seen."""
    # The project is on the path only now.
    from churn.contract import TARGET
    from churn.model import training_set

    from sovereign_ml.config.settings import load
    from sovereign_ml.evaluation import report

    settings = load(root=root)
    everything = training_set(settings.path("features"))
    past, test = report.split(everything)
    newest = test["event_timestamp"].max()
    # The limit of threads holds for libraries that are imported, so it is set once more here.
    with threadpool_limits(1):
        variants = [
            variant(settings, past, kind, monotone) for kind in kinds for monotone in (True, False)
        ]
    y = test[TARGET].to_numpy()
    predictions = [candidate.fitted.probability(test) for candidate in variants]
    return {
        "customers": len(test),
        "cutoff": f"{newest:%Y-%m-%d}",
        "base_rate": float(y.mean()),
        "resamples": settings.evaluate.bootstrap,
        "rows": [
            {
                "model": candidate.model,
                "monotone": candidate.monotone,
                "c": candidate.c,
                "fidelity": candidate.fitted.explain_fidelity(test),
                "model_kb": (candidate.bundle / "model.json").stat().st_size / 1000,
                **figures,
                **service,
            }
            for candidate, figures, service in zip(
                variants,
                accuracy(y, predictions, settings),
                services(variants, test, predictions, options, root),
                strict=True,
            )
        ],
    }


def variant(settings: Settings, past: pd.DataFrame, model: str, monotone: bool) -> Variant:
    """Search C, fit on all older cut-offs and write the bundle that the service starts from."""
    from churn.scorecard import chosen
    from churn.steps._4_train import regularisation_search

    config = settings.train.model_copy(update={"model": model, "monotone": monotone})
    search = regularisation_search(past, config)
    c = min(search, key=lambda row: (row["log_loss"], row["c"]))["c"]
    fitted = chosen(config).fit(past, c, config)
    folder = settings.root / f"{model.replace(':', '.')}-{monotone}"
    folder.mkdir()
    fitted.to_bundle(folder, past)
    complete_and_seal(
        folder, settings, {"schema_version": "1"}
    )  # profile local starts without a card
    return Variant(model, monotone, c, fitted, folder)


def accuracy(y: Any, predictions: list[Any], settings: Settings) -> list[dict[str, Any]]:
    """Return ROC AUC and Brier score with intervals, and paired differences to the first model."""
    from sovereign_ml.evaluation import bootstrap

    config, measure = settings.evaluate, bootstrap.all_metrics()
    weights = list(bootstrap.resamples(y, config.bootstrap, config.seed))
    ranked = [bootstrap.Ranked(y, p) for p in predictions]
    draws = [bootstrap.drawn([ranking.figures(w) for w in weights]) for ranking in ranked]
    rows = []
    for p, drawn in zip(predictions, draws, strict=True):
        row = {}
        for name in ("roc_auc", "brier"):
            value, first = measure[name](y, p), measure[name](y, predictions[0])
            row[name] = bootstrap.interval(value, drawn[name])
            row[f"{name}_difference"] = bootstrap.interval(
                value - first, drawn[name] - draws[0][name]
            )
        rows.append(row)
    return rows


def services(
    variants: list[Variant],
    test: pd.DataFrame,
    predictions: list[Any],
    options: argparse.Namespace,
    folder: Path,
) -> list[dict[str, float]]:
    """Start the service on each bundle and ask all of them in turn, so that noise hits all alike.

    Return milliseconds of an answer over HTTP, memory of the process tree afterwards, and the
    largest gap between the answered score and the fitted probability.
    """
    from churn.model import columns

    bodies = requests(columns(test.iloc[: options.answers]))
    contestants: list[Contender] = [
        this_service(options.project.resolve(), contestant.bundle, folder / f"{i}.db", PORT + i)
        for i, contestant in enumerate(variants)
    ]
    times: list[list[float]] = [[] for _ in variants]
    gaps = [0.0] * len(variants)
    with ExitStack() as stack:
        up = [stack.enter_context(started(contestant, folder)) for contestant in contestants]
        for turn in range(options.rounds + 1):
            for i, contestant in enumerate(contestants):
                seconds, scores = ask(contestant.port, bodies)
                gaps[i] = max(gaps[i], float(np.abs(scores - predictions[i][: len(scores)]).max()))
                times[i] += seconds if turn else []  # the first round warms up
        memory = [sum(map(memory_mb, processes(service.process.pid))) for service in up]
    return [
        {
            "answer_ms": 1000 * statistics.median(seconds),
            "answer_p99_ms": 1000 * float(np.quantile(seconds, 0.99)),
            "memory_mb": mb,
            "served_gap": gap,
        }
        for seconds, mb, gap in zip(times, memory, gaps, strict=True)
    ]


def requests(columns: dict[str, Any]) -> list[str]:
    """Return a request of `POST /v1/score` for each customer, with null for a missing value."""
    bodies = []
    for i in range(len(next(iter(columns.values())))):
        row = {name: values[i] for name, values in columns.items()}
        features = {name: None if pd.isna(value) else value for name, value in row.items()}
        bodies.append(json.dumps({"customer_id": f"{i:032x}", "features": features}))
    return bodies


def ask(port: int, bodies: list[str]) -> tuple[list[float], Any]:
    """Ask for one customer after the other on one connection. Return seconds and scores."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    seconds, scores = [], []
    for body in bodies:
        start = time.perf_counter()
        connection.request("POST", "/v1/score", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        seconds.append(time.perf_counter() - start)
        if answer.status != 200:
            raise SystemExit(f"The service answered {answer.status}: {content.decode()}")
        scores.append(json.loads(content)["score"])
    connection.close()
    return seconds, np.array(scores)


if __name__ == "__main__":
    main()
