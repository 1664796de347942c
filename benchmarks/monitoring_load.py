"""Loads for the benchmark of the monitor: many decisions, many customers, and kill -9."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from harness import ROOT, environment
from monitoring_past import CHURN, Place

from sovereign_ml.bundle.sealed import Bundle
from sovereign_ml.config.settings import Settings
from sovereign_ml.decision_log import DecisionLog, Draft
from sovereign_ml.decision_log.sqlite import SQLite
from sovereign_ml.monitoring.past_days import PastDays
from sovereign_ml.monitoring.population import columns, profile, usual_range

DECISIONS, BATCH, CUSTOMERS = 100_000, 1_000, 1_000_000
WINDOW = timedelta(days=80)
RESULTS = ("data/9_monitoring", "governance/monitoring")
SUPPORT = ROOT / "packages/sovereign-ml/tests/support/projects"
KILLED = """\
import sys
from dying import die_at
number, half = int(sys.argv.pop(1)), sys.argv.pop(1) == "half"
changes = die_at(number, ("9_monitoring", "governance/monitoring"), half=half)
from sovereign_ml.cli.main import main
try:
    main()
finally:
    print("changes", changes(), file=sys.stderr)
"""
"""The command, killed before its n-th change of the results, or in the middle of the next write."""
MEASURED = """\
import json, resource, subprocess, sys
code = subprocess.run(sys.argv[2:]).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
with open(sys.argv[1], "w") as file:
    cpu, memory = round(used.ru_utime + used.ru_stime, 1), round(used.ru_maxrss / 1024)
    json.dump({"cpu_seconds": cpu, "memory_mb": memory}, file)
sys.exit(code)
"""
"""The command as a child of a small process: Linux counts the memory of the parent until exec."""
STRICT = {"feature_shift": "0.0001", "score_shift": "0.0001", "in_a_row": "1"}
"""Limits under which rules alarm at once."""


def decisions(place: Place, settings: Settings, sealed: Bundle, past: PastDays) -> dict[str, Any]:
    """Run `churn monitor` on a log of 100,000 decisions, and return its time and memory."""
    path = place.root / settings.log_location.setting.removeprefix("sqlite:///")
    path.parent.mkdir(parents=True, exist_ok=True)
    end = past.complete_until
    _fill(path, sealed, past.snapshots([end - WINDOW]), end)
    size = path.stat().st_size / 1e6
    start = time.monotonic()
    used = place.root / "used.json"
    with (place.root / "monitor.txt").open("wb") as output:
        process = subprocess.run(
            [sys.executable, "-c", MEASURED, str(used), *CHURN, "monitor", "--json"],
            cwd=place.root,
            env=environment(place.code / "src"),
            stdout=output,
            stderr=output,
            check=False,
        )
    seconds = time.monotonic() - start
    text = (place.root / "monitor.txt").read_text("utf-8")
    if process.returncode not in (0, 1):
        raise SystemExit(text[-600:])
    report = json.loads(text[text.index("{") : text.rindex("}") + 1])
    path.unlink()
    return {
        "decisions": DECISIONS,
        "log_mb": round(size),
        "source": report["source"],
        "matured": sum(week["n"] - week["open"] for week in report["weeks"]),
        "seconds": round(seconds, 1),
        **json.loads(used.read_text("utf-8")),
    }


def _fill(path: Path, sealed: Bundle, people: pd.DataFrame, end: Any) -> None:
    """Write decisions with the features and reasons of real customers, spread over the window."""
    score = sealed.model.probability(columns(sealed.model, people))
    names = list(sealed.model.features)
    rows = people[names].astype(object).where(people[names].notna(), None).to_dict("records")
    version = f"{sealed.manifest.name} {sealed.manifest.version}"
    step = WINDOW / (DECISIONS // BATCH)
    times = (f"{end - WINDOW + step * n:%Y-%m-%dT%H:%M:%S.%fZ}" for n in range(DECISIONS))
    with closing(DecisionLog(SQLite(path), clock=lambda: next(times))) as log:
        for start in range(0, DECISIONS, BATCH):
            drafts = []
            for number in range(start, start + BATCH):
                place = number % len(rows)
                body = {
                    "score": float(score[place]),
                    "band": "low",
                    "outcome": "no_offer",
                    "model_version": version,
                    "features": rows[place],
                    "reasons": [{"name": name, "log_odds": 0.1234} for name in names],
                }
                person = f"{number:032x}"
                drafts.append(Draft("decision", secrets.token_hex(16), person, json.dumps(body)))
            log.append(drafts)


def customers(sealed: Bundle, people: pd.DataFrame) -> dict[str, Any]:
    """Return the CPU seconds of the profile of a million customers."""
    rows = people.sample(CUSTOMERS, replace=True, random_state=7).reset_index(drop=True)
    limits = usual_range(sealed.model, rows)
    start = time.process_time()
    result = profile(sealed.model, rows, limits)
    return {
        "customers": result.customers,
        "cpu_seconds": round(time.process_time() - start, 1),
    }


def sums(sealed: Bundle, people: pd.DataFrame) -> dict[str, float]:
    """Return how far profile and exact calculation are apart."""
    from scipy.stats import wasserstein_distance

    from sovereign_ml.monitoring.comparison import distance

    half = len(people) // 2
    first, second = people.iloc[:half], people.iloc[half : 2 * half]
    limits = usual_range(sealed.model, first)
    then, now = (profile(sealed.model, rows, limits) for rows in (first, second))
    means = [now.features[name].mean - then.features[name].mean for name in then.features]
    rng = np.random.default_rng(1)
    one, other = rng.normal(0, 0.5, 20_000), rng.normal(0.1, 0.6, 20_000)
    places = (np.arange(200) + 0.5) / 200
    quantiles = [tuple(np.quantile(values, places)) for values in (one, other)]
    return {
        "sum_of_features": abs(sum(means) - (now.mean_log_odds - then.mean_log_odds)),
        "against_scipy": abs(distance(*quantiles) - wasserstein_distance(one, other)),
    }


def kills(place: Place, points: int) -> dict[str, Any]:
    """Kill the monitor at ``points`` changes of the disk, and run it again after each.

    Half of the kills hit the middle of a write. Raises SystemExit if an alarm is lost or doubled,
    or if a half-written file is left under a name that somebody reads.
    """
    config = place.root / "config.toml"
    text = config.read_text("utf-8")
    strict = text
    for name, value in STRICT.items():
        strict = re.sub(rf"(?m)^{name} = \S+", f"{name} = {value}", strict, count=1)
    config.write_text(strict, "utf-8")
    try:
        _clear(place)
        done = _monitor(place, 0, "kill")
        total = int(re.findall(r"changes (\d+)", done.stderr)[-1])
        expected = _alarms(place)
        if not expected:
            raise SystemExit(f"No rule alarms under strict limits: {done.stderr[-300:]}")
        hit = 0
        for number in range(points):
            _clear(place)
            at = 1 + number * total // points
            ended = _monitor(place, at, "half" if number % 2 else "kill")
            hit += ended.returncode in (-signal.SIGKILL, -signal.SIGXFSZ)
            _alarms(place)
            _monitor(place, 0, "kill")
            if _alarms(place) != expected:
                raise SystemExit(f"killed at change {at}: {_alarms(place)}, not {expected}")
            for path in (place.root / RESULTS[0]).glob("*/monitor.json"):
                json.loads(path.read_text("utf-8"))
    finally:
        config.write_text(text, "utf-8")
        _clear(place)
    return {"changes": total, "points": points, "killed": hit, "alarms": len(expected)}


def _monitor(place: Place, at: int, mode: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", KILLED, str(at), mode, "monitor"],
        cwd=place.root,
        env=environment(place.code / "src", SUPPORT),
        capture_output=True,
        text=True,
        check=False,
    )


def _alarms(place: Place) -> dict[str, str]:
    """Return the rule of each alarm. Every file must be whole."""
    paths = (place.root / RESULTS[1]).glob("A-*.json")
    return {path.name: json.loads(path.read_text("utf-8"))["rule"] for path in paths}


def _clear(place: Place) -> None:
    for folder in RESULTS:
        shutil.rmtree(place.root / folder, ignore_errors=True)
