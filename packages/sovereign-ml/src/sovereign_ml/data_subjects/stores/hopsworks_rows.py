"""Hopsworks: published rows of people, and the messages by which they were published."""

from __future__ import annotations

from collections.abc import Sequence

from sovereign_ml.config.connections import HopsworksPlatform
from sovereign_ml.data_subjects.stores.protocol import People, Trace
from sovereign_ml.features import hopsworks

HOW = "delete its records (kafka-delete-records), or call this again after its retention"


class PublishedRows:
    """The online store there as a :class:`~sovereign_ml.data_subjects.stores.protocol.Store`.

    A row is deleted by a message that names the person, and the topic keeps it and the messages
    before it until its retention ends. No client may delete those, so they are by hand.
    """

    name = "Hopsworks"

    def __init__(self, server: HopsworksPlatform) -> None:
        self._server = server

    def find(self, people: People) -> list[Trace]:
        """Return one trace for the rows and one for the messages about ``people``."""
        rows = len(hopsworks.look_up(self._server, people))
        topic, count = hopsworks.messages(self._server, people)
        traces = []
        if rows:
            place = f"feature view {self._server.view}"
            traces.append(Trace(self.name, place, rows, "rows", "rows removed"))
        if count:
            place = f"Kafka topic {topic}: {HOW}"
            traces.append(Trace(self.name, place, count, "messages", "by hand"))
        return traces

    def remove(self, people: People, traces: Sequence[Trace]) -> None:
        """Delete the rows and wait until the look-up says MISSING. The next search tells."""
        # A deletion is a message that names the person. Whoever calls this again once the topic is
        # empty must not fill it anew, so only rows that are there are deleted.
        if known := hopsworks.look_up(self._server, people):
            hopsworks.remove(self._server, sorted(known))
