"""Prove that the log is what was written: every seal, every blank, every suppression."""

from __future__ import annotations

import json
from dataclasses import dataclass

from sovereign_ml.decision_log.entries import GENESIS, Entry, digest_of, seal_of
from sovereign_ml.decision_log.store import DecisionLog


@dataclass(frozen=True)
class Verdict:
    """What ``verify`` found. ``head`` is ``seq:seal`` of the newest entry: noted elsewhere, it proves a later cut."""

    entries: int
    blanked: int
    head: str
    problems: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing was found."""
        return not self.problems


def verify(log: DecisionLog, known_head: str | None = None) -> Verdict:
    """Walk the whole chain; a chain cannot show that its newest entries were cut off, ``known_head`` (seq:seal) can.

    Raises LogUnavailableError when the log cannot be read.
    """
    check = _Check(known_head)
    for entry in log.entries():
        check.add(entry)
    check.blanks_have_a_tombstone()
    if missing := check.objectors - log.objectors():
        check.problems.append(
            f"{len(missing)} objections of the chain are missing from the suppression list"
        )
    if missing := check.erased - log.erased_marks():
        check.problems.append(
            f"{len(missing)} erased people of the chain are missing from the list of the erased"
        )
    if known_head and not check.known_head_seen:
        check.problems.append(
            f"the noted head {known_head[:20]}… is not in the chain: entries were cut off or replaced"
        )
    return Verdict(
        check.count, len(check.blanked), f"{check.count}:{check.seal}", tuple(check.problems)
    )


class _Check:
    def __init__(self, known_head: str | None) -> None:
        self.count, self.seal, self.at = 0, GENESIS, ""
        self.known_head, self.known_head_seen = known_head, False
        self.blanked: set[int] = set()
        self.allowed: set[int] = set()
        self.objectors: set[str] = set()
        self.erased: set[str] = set()
        self.problems: list[str] = []

    def add(self, entry: Entry) -> None:
        where = f"entry {entry.seq}"
        if entry.seq != self.count + 1:
            self.problems.append(f"{where}: entry {self.count + 1} is missing before it")
        if entry.previous != self.seal:
            self.problems.append(f"{where}: does not continue the entry before it")
        if entry.at < self.at:
            self.problems.append(f"{where}: time runs backwards")
        if entry.seal != seal_of(
            entry.previous, entry.seq, (entry.kind, entry.case_id, entry.at), entry.digest
        ):
            self.problems.append(f"{where}: its seal does not fit")
        self._content(entry, where)
        self.count, self.seal, self.at = entry.seq, entry.seal, entry.at
        self.known_head_seen |= self.known_head == f"{entry.seq}:{entry.seal}"

    def _content(self, entry: Entry, where: str) -> None:
        if entry.body is None or entry.salt is None:
            self.blanked.add(entry.seq)
            return
        if entry.digest != digest_of(entry.salt, entry.subject, entry.body):
            self.problems.append(f"{where}: its content was changed")
        elif entry.kind == "erasure":
            erasure = json.loads(entry.body)
            self.allowed |= set(erasure["blanked"])
            self.erased |= {erasure["mark"]} if "mark" in erasure else set()
        elif entry.kind == "objection" and entry.subject:
            self.objectors.add(entry.subject)

    def blanks_have_a_tombstone(self) -> None:
        for seq in sorted(self.blanked - self.allowed):
            self.problems.append(f"entry {seq}: blanked without a tombstone")
