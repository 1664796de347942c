"""What people wrote into jobs and models: hyper-parameters, variables, arguments and queries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sovereign_ml.leaving.dump import Dump


def job_values(dump: Dump) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the kind of each job or model and the values that people wrote into it."""
    for noun, job in _all_jobs(dump):
        values = {**job.get("HyperParameters", {}), **job.get("Environment", {})}
        command = job.get("AppSpecification", {})
        for part in ("ContainerEntrypoint", "ContainerArguments"):
            values |= {f"{part} {n}": value for n, value in enumerate(command.get(part, ()))}
        for row in job.get("ProcessingInputs", ()):
            for definition in row.get("DatasetDefinition", {}).values():
                if isinstance(definition, Mapping) and "QueryString" in definition:
                    values[f"query {len(values)}"] = definition["QueryString"]
        yield noun, values
    for row in dump.found("Model"):
        # The search answers with a dashboard model, which contains the model.
        model = row.get("Model", row)
        for container in (model.get("PrimaryContainer", {}), *model.get("Containers", ())):
            yield "models", dict(container.get("Environment", {}))


def _all_jobs(dump: Dump) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each job once, from the lists and from the runs that name their job."""
    jobs = [("TrainingJob", job) for job in dump.found("TrainingJob")]
    jobs += [("ProcessingJob", job) for job in dump.below("processing-jobs").values()]
    for row in dump.found("ExperimentTrialComponent"):
        # Transform jobs are in no list of the dump.
        jobs += list(row.get("SourceDetail", {}).items())
    nouns = {"TrainingJob": "training jobs", "ProcessingJob": "processing jobs"}
    nouns["TransformJob"] = "transform jobs"
    told = set()
    for kind, job in jobs:
        if kind in nouns and isinstance(job, Mapping):
            arn = job.get(f"{kind}Arn")
            if arn is None or arn not in told:
                yield nouns[kind], job
            told.add(arn)
