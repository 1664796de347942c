"""What the flow needs on a cluster besides its steps: a data version fetched by its hash, and the record of a run.

No `from __future__ import annotations` here: kfp reads the annotations as objects.
"""

from kfp.dsl import Dataset, Output, PipelineTaskFinalStatus


def pull(version: str, artifact: Output[Dataset]) -> None:
    """Fetch what DVC stored under ``version``; needs no git."""
    from sovereign_ml.kubeflow.cluster_pipeline import fetch

    fetch(version, artifact.path)


def record(status: PipelineTaskFinalStatus, revision: str, version: str) -> None:
    """Write what became of the run, however it ended."""
    from sovereign_ml.kubeflow.cluster_pipeline import write_record

    write_record(
        status.state, status.pipeline_job_resource_name, status.error_message, revision, version
    )
