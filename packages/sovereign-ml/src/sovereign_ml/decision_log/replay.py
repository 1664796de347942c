"""Tables beside the chain, computed anew from its entries and compared with the stored ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sovereign_ml.decision_log.entries import BARS, LIFTS, Entry, mark_of
from sovereign_ml.decision_log.evidence import Counts, facts_of
from sovereign_ml.decision_log.reading import RawTables

Row = tuple[Any, ...]


class Replay:
    """Expected bars, erasures, counts and reviewers' desk after each entry.

    See `DecisionLog.append`.
    """

    def __init__(self, tables: RawTables) -> None:
        self._tables = tables
        self._subject_of = {
            (kind, seq): subject
            for kind, rows in tables.bars.items()
            for subject, seq in rows
            if isinstance(seq, int)
        }
        self._bars: dict[str, dict[int, Entry]] = {kind: {} for kind in BARS}
        """The entries whose bar is in force."""
        self._marks: dict[int, str] = {}
        self._erased: set[str] = set()
        self._open: dict[str, Row] = {}
        self._unsure: set[str] = set()
        """Cases with a blanked rectification. It is unknown whether it closed them."""
        self._blanked: dict[int, Entry] = {}
        self._counts: Counts = Counter()
        self._named: dict[int, int] = {}
        """Each number that a tombstone names, with the number of the tombstone."""

    def add(self, entry: Entry, content: Mapping[str, Any]) -> None:
        """Apply one entry. ``content`` is its body, empty once it is blanked."""
        if entry.body is None:
            self._blanked[entry.seq] = entry
        self._counts.update(facts_of(entry.kind, entry.at, content))
        match entry.kind:
            case "decision" if content.get("outcome") == "pending_review":
                self._opened(entry)
            case "seed" | "contest":
                self._opened(entry)
            case "review":
                self._open.pop(entry.case_id, None)
            case "rectification" if entry.body is None:
                self._unsure.add(entry.case_id)
            case "rectification" if content.get("corrected_by"):
                self._close(lambda row: row[0] == entry.case_id and row[2] != "contest")
            case kind if kind in BARS:
                self._bars[kind][entry.seq] = entry
                if subject := entry.subject or self._subject_of.get((kind, entry.seq)):
                    self._close(lambda row: row[3] == subject and row[2] != "contest")
            case kind if kind in LIFTS:
                bars = self._bars[LIFTS[kind]]
                for seq in [seq for seq, bar in bars.items() if bar.case_id == entry.case_id]:
                    del bars[seq]
            case "erasure":
                self._tombstone(entry.seq, content)

    def problems(self) -> list[str]:
        """Return every difference between the chain and the tables beside it."""
        differences = [
            f"entry {seq}: blanked without a tombstone"
            for seq in sorted(self._blanked.keys() - self._named.keys())
        ]
        differences += [
            f"entry {self._named[seq]}: says that entry {seq} was blanked, and it is not"
            for seq in sorted(self._named.keys() - self._blanked.keys())
        ]
        erased = [(mark,) for mark in self._erased]
        differences += _differences(
            erased, self._tables.erased, "erased people", "the list of the erased"
        )
        differences += self._suppression()
        counts = [(*fact, number) for fact, number in self._counts.items()]
        differences += _differences(counts, self._tables.counts, "counts", "the table of counts")
        actual = [row for row in self._tables.open_reviews if row[0] not in self._unsure]
        expected = [row for case, row in self._open.items() if case not in self._unsure]
        return differences + _differences(expected, actual, "open cases", "the reviewers' desk")

    def _opened(self, entry: Entry) -> None:
        self._open[entry.case_id] = (entry.case_id, entry.seq, entry.kind, entry.subject)

    def _close(self, these: Callable[[Row], bool]) -> None:
        for case_id in [case_id for case_id, row in self._open.items() if these(row)]:
            del self._open[case_id]

    def _close_opened_by(self, seq: int) -> None:
        self._close(lambda row: row[1] == seq)

    def _tombstone(self, seq: int, content: Mapping[str, Any]) -> None:
        mark = content.get("mark")
        if mark:
            self._erased.add(mark)
        for number in content.get("blanked", ()):
            self._named[number] = seq
            blanked = self._blanked.get(number)
            if blanked and blanked.kind in ("decision", "seed"):
                self._open.pop(blanked.case_id, None)
            elif blanked:
                self._close_opened_by(number)
            # A tombstone of a retention period names the hash of each objector. One of an erasure
            # is about one person.
            if proof := content.get("objectors", {}).get(str(number), mark):
                self._marks[number] = proof
                if blanked and blanked.kind in BARS:
                    self._close_before(number, proof)

    def _close_before(self, seq: int, mark: str) -> None:
        """Close the cases that a blanked bar closed.

        Where the bar was lifted since, only the tombstone's hash identifies its person.
        """
        self._close(
            lambda row: (
                row[1] < seq and row[2] != "contest" and bool(row[3]) and mark_of(row[3]) == mark
            )
        )

    def _suppression(self) -> list[str]:
        """Compare the suppression lists with the bars in force.

        A blanked bar no longer names its person. The tombstone's hash does, if it has one.
        """
        problems: list[str] = []
        for kind, bars in self._bars.items():
            expected: dict[Any, Row] = {}
            for seq, entry in bars.items():
                listed = self._subject_of.get((kind, seq))
                mark = self._marks.get(seq)
                fits = isinstance(listed, str) and mark in (None, mark_of(listed))
                # What does not fit equals no value that a table can hold.
                row = (entry.subject or (listed if fits else ...), seq)
                # Of several bars of one person the oldest is listed.
                person = mark_of(entry.subject) if entry.subject else mark or seq
                expected.setdefault(person, row)
            rows = self._tables.bars[kind]
            problems += _differences(expected.values(), rows, f"{kind}s", "the suppression list")
        return problems


def _differences(
    expected: Iterable[Row], actual: Iterable[Row], noun: str, table: str
) -> list[str]:
    """Compare both ways, with duplicates and the types of the values."""
    ours, theirs = (Counter(map(_typed, rows)) for rows in (expected, actual))
    problems = []
    if missing := (ours - theirs).total():
        problems.append(f"{missing} {noun} of the chain are missing from {table}")
    if invented := (theirs - ours).total():
        problems.append(f"{invented} {noun} in {table} are not in the chain")
    return problems


def _typed(row: Row) -> tuple[tuple[str, Any], ...]:
    return tuple((type(value).__name__, value) for value in row)
