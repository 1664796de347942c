"""Breaches of the checklist in experiments, trials and runs: their values, names and descriptions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime

from sovereign_ml.data_subjects.stores.mlflow_runs import ARN_TAG
from sovereign_ml.leaving.dump import Dump
from sovereign_ml.leaving.minimise import (
    Minimiser,
    arn_mark,
    experiment_of,
    has_person_number,
    is_address,
    is_cohort,
    personal_value,
)
from sovereign_ml.leaving.runs import past_runs

_BY_REASON = {
    "cohort": "L10",
    "number of people, as a range": "L11",
    "address, as a mark": "L12",
    "identifier": "L13",
    "password, key or token": "L21",
    "group of a metric, as a mark": "L14",
    "employee": "L16",
}


def experiment_breaches(
    dump: Dump, minimiser: Minimiser, before: datetime
) -> Iterator[tuple[str, str]]:
    """Yield the rule and the place, once for each run, experiment or trial.

    A run that ended before ``before`` is overdue.
    """
    cut = int(before.timestamp() * 1000)
    names = {
        arn_mark(row[f"{noun}Arn"]): (row.get(f"{noun}Name", ""), row.get("DisplayName", ""))
        for resource, noun in (
            ("ExperimentTrialComponent", "TrialComponent"),
            ("TrainingJob", "TrainingJob"),
        )
        for row in dump.found(resource)
    }
    # Content that minimisation removes from a run is content that the run should not hold.
    before_run = Counter(minimiser.left_out)
    for _, run in past_runs(dump, "dump", minimiser):
        where = run.experiment.removeprefix("dump/")
        reasons = minimiser.left_out - before_run
        rules = {_BY_REASON[reason] for reason in reasons if reason in _BY_REASON}
        rules.update(_rules_of_texts(names.get(run.tags[ARN_TAG], ())))
        if run.status and run.start and run.end < cut:
            rules.add("L15")
        yield from ((rule, where) for rule in sorted(rules))
        before_run = Counter(minimiser.left_out)
    for resource, noun in (("Experiment", "Experiment"), ("ExperimentTrial", "Trial")):
        for row in dump.found(resource):
            home = str(row.get("ExperimentName") or "unassigned")
            where = experiment_of("dump", home, minimiser).removeprefix("dump/")
            texts = [row.get(name, "") for name in (f"{noun}Name", "DisplayName", "Description")]
            texts += [tag.get(part, "") for tag in row.get("Tags", ()) for part in ("Key", "Value")]
            yield from ((rule, where) for rule in _rules_of_texts(texts))


def _rules_of_texts(texts: Iterable[str]) -> set[str]:
    """Return the rules that names, descriptions or tags of an experiment break."""
    rules = set()
    for text in texts:
        if is_cohort(text):
            rules.add("L10")
        if is_address(text):
            rules.add("L12")
        elif personal_value(text) or has_person_number(text):
            rules.add("L13")
    return rules
