"""An erasure that leaves something is not forgotten, and its receipt does not call it removed."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sovereign_ml.config.connections import SuppressionFiles
from sovereign_ml.data_subjects import erasure
from sovereign_ml.data_subjects.erasure_procedure import ErasureProcedure, Journal
from sovereign_ml.data_subjects.receipts import ModelNote, Receipt
from sovereign_ml.data_subjects.stores.protocol import People, Trace
from sovereign_ml.privacy import suppression

MODEL = ModelNote(answer="unanswered", done="")


class Topic:
    """A store in which a removal adds a message, and whose messages go by hand only."""

    name = "topic"

    def __init__(self) -> None:
        self.messages: list[str] = []

    def find(self, people: People) -> list[Trace]:
        count = sum(name in people for name in self.messages)
        return [Trace(self.name, "messages", count, "messages", "by hand")] if count else []

    def remove(self, people: People, traces: Any) -> None:
        self.messages += [name for name in people if name in self.messages]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A project whose only store is a topic."""
    files = SuppressionFiles(tmp_path / "governance", tmp_path / "copy.txt", lambda: (b"k" * 32,))
    topic = Topic()

    def run(stores: Any, journal: Journal) -> Receipt:
        procedure = ErasureProcedure(
            [topic],
            suppression.tombstones(files),
            tmp_path / erasure.JOURNAL,
            tmp_path / erasure.RECEIPTS,
        )
        return procedure.finish(journal, procedure.remove(journal), MODEL, (), ())

    monkeypatch.setattr(erasure, "_run", run)
    monkeypatch.setattr(erasure.dvc_versions, "clean_stages", lambda root: [])
    monkeypatch.setattr(erasure, "model_action", lambda card: "unanswered")
    return SimpleNamespace(root=tmp_path, suppression=files, topic=topic)


def test_the_next_erasure_also_searches_people_of_whom_something_remains(
    project: SimpleNamespace,
) -> None:
    project.topic.messages = ["first", "second"]
    assert erasure.erase(project, ["first"], "DSR-1").status == "incomplete"
    both = erasure.erase(project, ["second"], "DSR-2")
    mark = suppression.tombstones(project.suppression).mark
    assert both.status == "incomplete" and both.reference == "DSR-1, DSR-2"
    assert set(both.people) == {mark("first"), mark("second")}

    project.topic.messages = ["first"]
    assert erasure.erase(project, []).status == "incomplete", "nobody looked for the first person"
    project.topic.messages = []
    last = erasure.erase(project, [])
    assert last.status == "complete" and set(last.people) == {mark("first"), mark("second")}
    assert not (project.root / erasure.JOURNAL).exists()


def test_an_erasure_that_is_finished_by_the_next_call_is_not_repeated_with_it(
    project: SimpleNamespace,
) -> None:
    project.topic.messages = ["first"]
    assert erasure.erase(project, ["first"], "DSR-1").status == "incomplete"
    project.topic.messages = []
    second = erasure.erase(project, ["second"], "DSR-2")
    mark = suppression.tombstones(project.suppression).mark
    assert set(second.people) == {mark("second")} and second.reference == "DSR-2"


def test_a_place_that_still_holds_the_person_is_not_listed_as_removed(
    project: SimpleNamespace,
) -> None:
    project.topic.messages = ["first"]
    receipt = erasure.erase(project, ["first"])
    assert [trace.count for trace in receipt.remains] == [2], "the deletion is a message too"
    assert receipt.removed == ()
