"""Compare kinds of model on one project: accuracy, the price of expected directions, fidelity, speed and memory.

Needs a project whose step 3 has run, and its environment. Prints a table:
python benchmarks/models.py PROJECT --model scorecard --model boosting --model churn.model:Own
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from sovereign_ml.evaluation import report
from sovereign_ml.model import served

if TYPE_CHECKING:
    from sovereign_ml.config.settings import Settings

ANSWERS = 500
HEAD = """\
# Kinds of model, side by side

{customers:,} customers of the cut-off {cutoff:%Y-%m-%d}, which no fit has seen, base rate {base_rate:.3f}. C is searched on
time-ordered folds for each row. Intervals are 95 %, on {resamples} resamples. `monotone` keeps to the directions
that contract.py expects. Fidelity is the largest gap in probability between what is fitted and what is explained. An
answer is probability and reasons of one customer, from `model.json` in a process of its own; memory is its peak.

| model | monotone | C | ROC AUC | Brier | fidelity | answer, median / 99 % | memory | model.json |
|---|---|---|---|---|---|---|---|---|
"""
ROW = (
    "| {model} | {monotone} | {c:g} | {roc_auc} | {brier} | {fidelity:.0e} | {median:.2f} / {slow:.2f} ms "
    "| {memory:.0f} MB | {size:.0f} kB |"
)


def main() -> int:
    """Fit each kind with and without the directions, and print what it gives and costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("project", type=Path, help="a project where `churn features` has been")
    parser.add_argument("--model", action="append", help="a kind, as [train] model names it")
    parser.add_argument("--answer", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.answer:
        print(json.dumps(answer(given.project, given.answer)))
        return 0
    from sovereign_ml.config.settings import load

    sys.path.insert(0, str(given.project.resolve() / "src"))
    with threadpool_limits(1):  # as the steps run: threads that wait for one another spin
        compare(load(root=given.project.resolve()), given.model or ["scorecard", "boosting"])
    return 0


def compare(settings: Settings, models: list[str]) -> None:
    """Print a row for each of ``models``, with the expected directions and without."""
    # The project is on the path only now.
    from churn.contract import TARGET
    from churn.model import columns, training_set
    from churn.scorecard import chosen
    from churn.steps._4_train import regularisation_search

    everything = training_set(settings.path("features"))
    past, test = report.split(everything)
    y = test[TARGET].to_numpy()
    print(
        HEAD.format(
            customers=len(test),
            cutoff=test["event_timestamp"].max(),
            base_rate=y.mean(),
            resamples=settings.evaluate.bootstrap,
        ),
        end="",
    )
    for model in models:
        for monotone in (True, False):
            config = settings.train.model_copy(update={"model": model, "monotone": monotone})
            search = regularisation_search(past, config)
            c = min(search, key=lambda row: (row["log_loss"], row["c"]))["c"]
            fitted = chosen(config).fit(past, c, config)
            row = {"model": model, "monotone": "yes" if monotone else "no", "c": c}
            row |= accuracy(y, fitted.probability(test), settings)
            row["fidelity"] = fitted.explain_fidelity(test)
            with tempfile.TemporaryDirectory(prefix="churn-models-") as folder:
                fitted.to_bundle(Path(folder), past)
                row |= served_speed(Path(folder), columns(test))
            print(ROW.format(**row), flush=True)


def accuracy(y: Any, p: Any, settings: Settings) -> dict[str, str]:
    """Return ROC AUC and Brier score as text, with their intervals."""
    from sovereign_ml.evaluation import bootstrap

    config, ranked, measure = settings.evaluate, bootstrap.Ranked(y, p), bootstrap.all_metrics()
    weights = bootstrap.resamples(y, config.bootstrap, config.seed)
    drawn = bootstrap.drawn([ranked.figures(one) for one in weights])
    shown = {}
    for name in ("roc_auc", "brier"):
        found = bootstrap.interval(measure[name](y, p), drawn[name])
        shown[name] = f"{found['value']:.3f} ({found['low']:.3f}-{found['high']:.3f})"
    return shown


def served_speed(folder: Path, columns: dict[str, Any]) -> dict[str, float]:
    """Return milliseconds of an answer, peak memory in MB and size in kB of the model in ``folder``."""
    text = [name for name, values in columns.items() if values.dtype == object]
    plain = {
        name: values[:ANSWERS].tolist()
        if name in text
        else [None if np.isnan(value) else float(value) for value in values[:ANSWERS]]
        for name, values in columns.items()
    }
    (folder / "rows.json").write_text(json.dumps({"text": text, "columns": plain}))
    command = [sys.executable, __file__, str(folder), "--answer", str(folder / "rows.json")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found | {"size": (folder / "model.json").stat().st_size / 1000}


def answer(folder: Path, rows: Path) -> dict[str, float]:
    """Answer for each row alone, as the service does; return milliseconds and peak memory in MB."""
    model = served.read(folder / "model.json")
    content = json.loads(rows.read_text(encoding="utf-8"))
    columns = {
        name: np.array(values[:ANSWERS], dtype=object if name in content["text"] else float)
        for name, values in content["columns"].items()
    }
    taken = []
    for i in range(len(next(iter(columns.values())))):
        row = {name: values[i : i + 1] for name, values in columns.items()}
        start = time.perf_counter()
        model.probability(row)
        model.contributions(row)
        taken.append(1000 * (time.perf_counter() - start))
    # The peak of getrusage would be that of the process that started this one.
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return {
        "median": float(np.median(taken)),
        "slow": float(np.quantile(taken, 0.99)),
        "memory": int(peak[1]) / 1000 if peak else float("nan"),
    }


if __name__ == "__main__":
    sys.exit(main())
