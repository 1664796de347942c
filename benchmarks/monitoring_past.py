"""Projects for the benchmark of the monitor: a model in use, its past, and November 2011."""

from __future__ import annotations

import csv
import gzip
import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from harness import complete_and_seal, environment

CHURN = (sys.executable, "-c", "from sovereign_ml.cli.main import main; main()")
OWN_FILES = ("config.toml", "documents.toml", "model_card.toml", "pyproject.toml")
BUNDLE = "data/7_bundle/bundle.json"
READ = ("data", "validate")
REGULARISATION = 0.3
"""Fixed, because the search for it takes longer than all the rest."""
WEEKS = 32
RETAIL = ("--set", "lawful_basis=legitimate_interests", "--set", "rates.GBP=1.152")
CDNOW = ("--set", "lawful_basis=legitimate_interests")
"""Answers to the questions of `churn data suggest` for each file."""
CUT_OFF = "2011-11-09"
DAYS = {3: "2011-11-12", 7: "2011-11-16", 14: "2011-11-23", 21: "2011-11-30"}
"""Days after the cut-off of November on which the monitor runs."""


@dataclass(frozen=True)
class Place:
    """A folder with settings of its own and the code of the rendered project."""

    root: Path
    code: Path

    def churn(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> str:
        """Run a command and return its output. Any other exit code ends the benchmark."""
        done = subprocess.run(
            [*CHURN, *arguments],
            cwd=self.root,
            env=environment(self.code / "src", CHURN_OLD_FEATURES="allow"),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in codes:
            raise SystemExit(f"churn {' '.join(arguments)}: {done.stderr.strip()[-600:]}")
        return done.stdout

    def backtest(self) -> dict[str, Any]:
        """Return the rules' results on the last weeks and on planted faults."""
        result: dict[str, Any] = json.loads(
            self.churn("monitor", "backtest", "--weeks", str(WEEKS), "--json")
        )
        return result


def shop(code: Path, root: Path, seed: int) -> Place:
    """Return a project with a sealed model of the built-in shop with ``seed``."""
    if (root / BUNDLE).is_file():
        return Place(root, code)
    place = _place(code, root)
    config = root / "config.toml"
    table, rest = config.read_text("utf-8").split("[data.synthetic]")
    rest = re.sub(r"(?m)^seed = \d+", f"seed = {seed}", rest, count=1)
    config.write_text(f"{table}[data.synthetic]{rest}", "utf-8")
    _run(place, (*READ, "features"))
    seal(place)
    return place


def from_file(code: Path, root: Path, file: Path, answers: tuple[str, ...]) -> Place:
    """Return a project with a sealed model of ``file``, mapped by `churn data suggest`."""
    if (root / BUNDLE).is_file():
        return Place(root, code)
    place = _place(code, root)
    link = root / file.name
    link.symlink_to(file.resolve())
    place.churn("data", "suggest", link.name, *answers, "--apply", "--yes")
    _run(place, (*READ, "features"))
    seal(place)
    return place


def november(code: Path, root: Path, file: Path) -> dict[str, Any]:
    """Watch a model that was made from what was known before the cut-off in November 2011.

    The monitor runs as a team would run it, with the purchases before each day.
    """
    # The same name holds what was known before the cut-off, and later everything.
    known = root.with_suffix(".csv.gz")
    _write_before(file, known, CUT_OFF)
    place = from_file(code, root, known, RETAIL)
    shutil.copyfile(file, known)
    _run(place, READ)
    from sovereign_ml.config.monitoring import MonitorSettings
    from sovereign_ml.monitoring.outcomes import EarlyLook

    looks = []
    for day, as_of in DAYS.items():
        report = json.loads(place.churn("monitor", "--as-of", as_of, "--json", codes=(0, 1)))
        states = {state["rule"]: state["status"] for state in report["states"]}
        look = next((each for each in report["early"] if each["day"] == day), None)
        looks.append(
            {
                "day": day,
                "as_of": as_of,
                "early": states["early"],
                "is_off": bool(look) and EarlyLook.model_validate(look).is_off(MonitorSettings()),
                "ratio": look and look["observed"] / look["expected"],
                "z": look and look["z"],
                "decided": look and look["decided"],
                "feature_shift": max(
                    change["shift"] for change in report["comparison"]["features"].values()
                ),
                "score_shift": report["comparison"]["score_shift"],
            }
        )
    return {"looks": looks, "reference_day": report["reference_day"]}


def seal(place: Place) -> None:
    """Fit the model on all cut-offs but the newest, and seal it with the monitor's reference.

    Registration itself is left out: it also needs a card, which the monitor does not judge.
    """
    # The project is on the path only now.
    from churn.project import PROJECT
    from churn.scorecard import chosen

    from sovereign_ml.config.settings import load
    from sovereign_ml.evaluation import report
    from sovereign_ml.monitoring.past_days import PastDays
    from sovereign_ml.monitoring.population import REFERENCE
    from sovereign_ml.monitoring.reference import make_reference

    settings = load(root=place.root)
    features, valid = settings.path("features"), settings.path("valid")
    older, _ = report.split(PROJECT.module("model").training_set(features))
    folder = settings.path("bundle")
    folder.mkdir(parents=True)
    fitted = chosen(settings.train).fit(older, REGULARISATION, settings.train)
    fitted.to_bundle(folder, older)
    past = PastDays(PROJECT, valid, settings.features, settings.label.kind)
    reference = make_reference(
        fitted.shipped,
        features,
        valid,
        past,
        PROJECT,
        settings.evaluate,
        settings.monitor.early_days,
    )
    card = {"schema_version": "1", "facts": {"evaluation": {"metrics": {}}}}
    complete_and_seal(folder, settings, card, **{REFERENCE: reference.model_dump_json()})


def alarms(backtest: dict[str, Any]) -> dict[str, int]:
    """Return the numbers of weekly runs, of those with a broken rule, and of alarms.

    A rule about data alarms when it is broken twice in a row, early outcomes by themselves.
    """
    runs = backtest["runs"]
    pairs = pairwise(runs)
    twice = sum(bool(set(first["broken"]) & set(second["broken"])) for first, second in pairs)
    early = sum(run["early_status"] == "alarm" for run in runs)
    return {
        "runs": len(runs),
        "broken": sum(bool(run["broken"]) for run in runs),
        "twice": twice,
        "early": early,
        "alarms": twice + early,
    }


def found(backtest: dict[str, Any]) -> dict[str, list[str]]:
    """Return the rules that found each planted fault, none for one that was missed.

    Faults that change nothing that the model looks at are left out.
    """
    return {
        fault["fault"]: [rule for rule in fault["rules"] if rule in fault["broken"]]
        for fault in backtest["faults"]
        if fault["touches_model"]
    }


def _place(code: Path, root: Path) -> Place:
    root.mkdir()
    for name in OWN_FILES:
        shutil.copy(code / name, root / name)
    config = root / "config.toml"
    text, count = re.subn(r"(?m)^inputs = \[.*?\]", "inputs = []", config.read_text("utf-8"))
    if count != 1:
        raise SystemExit(f"{config} has no [features] inputs: faults are planted in all of them.")
    config.write_text(text, "utf-8")
    return Place(root, code)


def _run(place: Place, verbs: tuple[str, ...]) -> None:
    for verb in verbs:
        print(place.root.name, verb, file=sys.stderr)
        place.churn(verb)


def _write_before(file: Path, target: Path, day: str) -> None:
    """Write the rows of ``file`` with an invoice before ``day``."""
    with gzip.open(file, "rt", newline="") as source, gzip.open(target, "wt", newline="") as copy:
        rows = csv.reader(source)
        writer = csv.writer(copy)
        head = next(rows)
        writer.writerow(head)
        at = head.index("InvoiceDate")
        writer.writerows(row for row in rows if row[at] < day)
