"""The tasks of a Kubeflow pipeline, for ``pipeline.py`` of the project."""

from __future__ import annotations

from typing import Any

from sovereign_ml.config.tables import PipelineSettings, ProjectSettings
from sovereign_ml.kubeflow.resources import equip
from sovereign_ml.project import Project

__all__ = ["Tasks"]

CACHED = ("validate", "train", "evaluate")
"""Steps whose only effect are outputs that depend on their inputs alone.

Every other step fills a store, writes to the registry or reads the decision log, so it must run
again. A project's own step must run again too.
"""


class Tasks:
    """Factory of tasks, with one task for each call: ``task("train", features=...)``.

    On a cluster a task gets limits, retries, variables and secrets. The local runner needs none.
    """

    def __init__(
        self,
        project: Project,
        about: ProjectSettings,
        config: PipelineSettings,
        *,
        on_cluster: bool,
    ) -> None:
        self._project, self._about, self._config = project, about, config
        self._on_cluster = on_cluster

    @property
    def name(self) -> str:
        """Return the name of the project, the beginning of its pipelines' names."""
        return self._about.name

    @property
    def title(self) -> str:
        """Return the title of the project."""
        return self._about.title

    def __call__(self, verb: str, **inputs: Any) -> Any:
        """Return the artifact that the step ``verb`` writes from ``inputs``, artifacts by noun."""
        from sovereign_ml.kubeflow import components

        step = self._project.step(verb)
        task = self._component(components.of_step(step))(**inputs)
        task.set_display_name(f"{step.number} {step.verb}")
        if self._on_cluster:
            equip(task, verb, self._config)
            task.set_caching_options(enable_caching=verb in CACHED)
        return task.outputs[step.writes]

    def pull(self, noun: str, version: str) -> Any:
        """Return the artifact ``noun`` as DVC stored it under the hash ``version``.

        Kubeflow's cache uses a task's arguments as key, so a run of the same version hits it.
        """
        from sovereign_ml.kubeflow import components

        task = self._component(components.pull)(version=version)
        equip(task.set_display_name(f"pull {noun}"), "pull", self._config)
        return task.outputs["artifact"]

    def record(self, revision: str, version: str) -> Any:
        """Return the exit task that records the result of the run."""
        from sovereign_ml.kubeflow import components

        task = self._component(components.record)(revision=revision, version=version)
        equip(task, "record", self._config)
        task.set_caching_options(enable_caching=False)
        return task

    def monitor(self, bundle: Any, valid: Any) -> Any:
        """Return the task of `churn monitor`, which stores its report in the bucket.

        It fails while an alarm has no answer, and is not tried again: the next run tells the same.
        """
        from sovereign_ml.kubeflow import components

        task = self._component(components.monitor)(bundle=bundle, valid=valid)
        equip(task, "monitor", self._config)
        task.set_caching_options(enable_caching=False)
        return task

    def retain(self) -> Any:
        """Return the task that deletes data past its retention period and prints each deletion."""
        from kfp import dsl

        image = self._config.image

        def retain():  # type: ignore[no-untyped-def]  # kfp reads an annotation here as an output
            return dsl.ContainerSpec(image=image, command=["churn", "retain", "--apply"])

        task = dsl.container_component(retain)()
        equip(task, "retain", self._config)
        task.set_caching_options(enable_caching=False)
        return task

    def _component(self, function: Any) -> Any:
        """Return ``function`` as a component of the project's image."""
        from kfp import dsl

        # kfp is in the image. Otherwise each task would install it from a package index.
        image = self._config.image
        return dsl.component(base_image=image, install_kfp_package=False)(function)
