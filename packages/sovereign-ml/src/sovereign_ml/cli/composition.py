"""Composition of the settings into the objects of each procedure, in this place only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sovereign_ml.config.settings import Settings
from sovereign_ml.data_subjects.bucket_sync import GovernanceCopy
from sovereign_ml.data_subjects.project_stores import Artifacts, ProjectStores
from sovereign_ml.pipeline.source import source_pin

if TYPE_CHECKING:
    from sovereign_ml.kubeflow.submit import Cluster


def project_stores(settings: Settings) -> ProjectStores:
    """Return the stores of the project in the profile of ``settings``."""
    return ProjectStores(
        artifacts=Artifacts(
            raw=settings.path("raw"),
            valid=settings.path("valid"),
            features=settings.path("features"),
            scores=settings.path("scores"),
            card=settings.path("card"),
        ),
        versions=settings.data_versions,
        tracking=settings.tracking,
        feature_stores=settings.feature_stores,
        log=settings.log_location,
        suppression=settings.suppression,
        source=source_pin(settings),
        governance=governance_copy(settings),
        retention=settings.retention,
        clearml=settings.clearml_server,
    )


def governance_copy(settings: Settings) -> GovernanceCopy:
    """Return the copy of ``governance/`` in the bucket of the profile."""
    return GovernanceCopy(
        project=settings.project.name,
        versions=settings.data_versions,
        suppression=settings.suppression,
        source=settings.path("source"),
    )


def cluster(settings: Settings) -> Cluster:
    """Return Kubeflow Pipelines as the profile reaches it."""
    from sovereign_ml.kubeflow.submit import Cluster

    return Cluster(
        about=settings.project,
        config=settings.pipeline,
        versions=settings.data_versions,
        tracking_uri=settings.profile.tracking_uri,
        token=settings.secrets.kubeflow_token,
    )
