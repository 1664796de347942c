"""After a rotation a bar stands under two pseudonyms: what ends it under one ends it for the person."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sovereign_ml.config.connections import LogLocation, SuppressionFiles
from sovereign_ml.data_subjects import key_rotation
from sovereign_ml.decision_log import DecisionLog, Draft, open_log, verify
from sovereign_ml.decision_log.entries import BARS, LIFTS
from sovereign_ml.errors import Misuse
from sovereign_ml.privacy import objections
from sovereign_ml.pseudonyms import parse_keys, pseudonyms
from sovereign_ml.storage import duckdb as db

ENDING = {
    "restriction_lifted": {"reason": "The claim is settled.", "informed_on": "2026-11-01"},
    "consent": {"reference": "form 7", "given_on": "2026-11-01"},
}


class Shop:
    """A project with a source of three customers, a decision log and a key that is rotated."""

    def __init__(self, root: Path) -> None:
        self.ids = ["C1", "C2", "C3"]
        self.file = root / "keys/shop.key"
        self.file.parent.mkdir(mode=0o700)
        self.file.write_text("11" * 32 + "\n")
        self.file.chmod(0o600)
        address = f"sqlite:///{root / 'log.db'}"
        open_log(address).close()
        self.location = LogLocation(".churn/decisions.db", address)
        self.stores: Any = SimpleNamespace(
            root=root,
            suppression=SuppressionFiles(root / "governance", root / "copy.txt", self.keys),
            source=SimpleNamespace(files=SimpleNamespace(customer_ids=lambda: self.ids)),
            log=self.location,
            artifacts=SimpleNamespace(raw=root),
            governance=SimpleNamespace(publish=lambda: None),
        )

    def keys(self) -> tuple[bytes, ...]:
        return parse_keys(self.file.read_text())

    def rotate(self) -> key_rotation.Carried:
        return key_rotation.rotate(self.stores, self.file, in_use=True)

    def name(self, id_: str, age: int = 0) -> str:
        return pseudonyms([id_], self.keys()[age])[0]

    def log(self) -> Any:
        return closing(open_log(self.location.address))

    def bar(self, bar: Any, id_: str, *, ground: str = "", age: int = 0) -> None:
        with self.log() as log:
            body = {"ground": ground} if ground else {}
            case = f"{bar}-{log.head()[0]}"
            log.append([Draft(bar, case, self.name(id_, age), json.dumps(body))])

    def lift(self, act: Any, id_: str, ground: str | None = None) -> None:
        with self.log() as log:
            (entry,) = [
                entry
                for entry in log.in_force(self.name(id_), LIFTS[act])
                if objections.fields_of(entry.body).get("ground") == ground
            ]
            log.append([Draft(act, entry.case_id, self.name(id_), json.dumps(ENDING[act]))])
            assert verify(log).holds

    def marked(self, bar: str) -> set[str]:
        """Who step 1 leaves out."""
        connection = db.connect()
        connection.execute("CREATE TABLE mapped (customer_id VARCHAR)")
        columns = ", ".join(f"{mark} BOOLEAN" for mark in objections.subjects.MARKS)
        connection.execute(f"CREATE TABLE people (customer_id VARCHAR, {columns})")
        connection.executemany("INSERT INTO mapped VALUES (?)", [[id_] for id_ in self.ids])
        objections.mark(connection, self.location, self.keys(), {})
        rows = connection.execute(f"SELECT customer_id FROM people WHERE {BARS[bar]}")
        return {row[0] for row in rows.fetchall()}

    def stands(self, log: DecisionLog, bar: Any, id_: str) -> set[object]:
        """The grounds on which somebody is barred under the present pseudonym."""
        entries = log.in_force(self.name(id_), bar)
        return {objections.fields_of(entry.body).get("ground") for entry in entries}


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.mark.parametrize(("act", "bar"), LIFTS.items())
def test_a_bar_that_ends_after_a_rotation_has_ended(shop: Shop, act: str, bar: str) -> None:
    shop.bar(bar, "C1")
    shop.bar(bar, "C2")
    assert shop.rotate().objections == 2
    assert shop.marked(bar) == {"C1", "C2"}
    shop.lift(act, "C1")
    assert shop.marked(bar) == {"C2"}
    assert shop.rotate().objections == 1, "what ended is carried over again"
    assert shop.marked(bar) == {"C2"}
    shop.bar(bar, "C1")
    assert shop.marked(bar) == {"C1", "C2"}, "a new bar is as good as the first"


def test_every_ground_is_carried_over_from_every_former_pseudonym(shop: Shop) -> None:
    shop.bar("restriction", "C1", ground="accuracy_contested")
    assert shop.rotate().objections == 1
    shop.bar("restriction", "C1", ground="unlawful")
    # A program of the shop that still has the first pseudonym.
    shop.bar("restriction", "C1", ground="objection_pending", age=1)
    assert shop.rotate().objections == 1
    with shop.log() as log:
        grounds = {"accuracy_contested", "unlawful", "objection_pending"}
        assert shop.stands(log, "restriction", "C1") == grounds
    shop.lift("restriction_lifted", "C1", "unlawful")
    assert shop.marked("restriction") == {"C1"}
    shop.rotate()
    with shop.log() as log:
        assert shop.stands(log, "restriction", "C1") == grounds - {"unlawful"}


def test_an_interrupted_rotation_carries_the_rest_over_and_counts_it_once(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.bar("objection", "C1")
    shop.bar("restriction", "C1", ground="unlawful")

    def killed(*_: object) -> None:
        raise Misuse("killed")

    with monkeypatch.context() as patch:
        patch.setattr(key_rotation.suppression, "note_key", killed)
        with pytest.raises(Misuse, match="killed"):
            shop.rotate()
    shop.bar("restriction", "C1", ground="accuracy_contested")
    shop.bar("objection", "C3")
    assert shop.rotate().objections == 2
    with shop.log() as log:
        assert shop.stands(log, "restriction", "C1") == {"unlawful", "accuracy_contested"}
        assert len(log.of_kind("objection")) == 4
    assert shop.marked("objection") == {"C1", "C3"}


def test_an_objection_never_ends(shop: Shop) -> None:
    shop.bar("objection", "C1")
    shop.bar("withdrawal", "C1")
    shop.rotate()
    shop.lift("consent", "C1")
    assert shop.marked("objection") == {"C1"} and shop.marked("withdrawal") == set()
    with shop.log() as log:
        own = [shop.name("C1"), shop.name("C1", 1)]
        assert objections.standing(log, own, "withdrawal") == []
        assert len(objections.standing(log, own, "objection")) == 2
