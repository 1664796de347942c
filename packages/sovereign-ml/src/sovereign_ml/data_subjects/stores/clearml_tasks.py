"""ClearML: the copies of runs at a server of the team's own, for erasure and retention."""

from __future__ import annotations

from collections.abc import Sequence, Set

from sovereign_ml.config.connections import ClearmlServer
from sovereign_ml.data_subjects.stores.protocol import People, Trace
from sovereign_ml.registry import clearml


class CopiedTasks:
    """The copies as a :class:`~sovereign_ml.data_subjects.stores.protocol.Store`.

    What is sent is an allow-list, so a task names somebody only if it was edited at ClearML.
    """

    name = "ClearML"

    def __init__(self, server: ClearmlServer) -> None:
        self._server = server

    def find(self, people: People) -> list[Trace]:
        """Return one trace for each task that names one of ``people``."""
        return [
            Trace(self.name, f"task {twin.task}", 1, "task", "run deleted")
            for twin in clearml.twins(self._server, people)
            if twin.named
        ]

    def remove(self, people: People, traces: Sequence[Trace]) -> None:
        """Delete the tasks with their events. `churn clearml push` copies the runs again."""
        tasks = [trace.place.removeprefix("task ") for trace in traces]
        if tasks:
            clearml.delete(self._server, tasks)


def without_run(server: ClearmlServer, runs: Set[str]) -> list[str]:
    """Return the tasks whose run is none of ``runs``: it was deleted, or is to be."""
    return sorted(twin.task for twin in clearml.twins(server) if twin.run not in runs)
