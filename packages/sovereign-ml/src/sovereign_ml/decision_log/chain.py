"""Proof that the log is unchanged: every row, seal, blank, and table beside the chain."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sovereign_ml.decision_log.contents import content_of
from sovereign_ml.decision_log.entries import GENESIS, KINDS, Entry, digest_of, seal_of
from sovereign_ml.decision_log.replay import Replay
from sovereign_ml.decision_log.store import DecisionLog

INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
TEXT = ("kind", "case_id", "at", "digest", "previous", "seal")
MAY_BE_BLANK = ("subject", "salt", "body")


@dataclass(frozen=True)
class Verdict:
    """Result of ``verify``.

    ``head`` is ``seq:seal`` of the newest entry. Noted elsewhere, it proves a later cut.
    """

    entries: int
    blanked: int
    head: str
    problems: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Return whether there are no problems."""
        return not self.problems


def verify(log: DecisionLog, *known_heads: str) -> Verdict:
    """Verify every row that any query can return, all of one moment.

    The tables beside the chain are computed anew and compared. A chain cannot show that its newest
    entries were cut off, but ``known_heads`` (seq:seal) can. Odd content is a problem like any
    other. Raises LogUnavailableError when the log cannot be read.
    """
    with log.snapshot() as tables:
        check = _Check(known_heads, Replay(tables))
        for row in tables.entries:
            check.add(Entry(*row))
    problems = [*check.problems, *check.replay.problems()]
    problems += [
        f"the noted head {head[:20]}… is not in the chain: entries were cut off or replaced"
        for head in sorted(check.missing_heads)
    ]
    return Verdict(check.rows, check.blanked, f"{check.seq}:{check.seal}", tuple(problems))


class _Check:
    def __init__(self, known_heads: Iterable[str], replay: Replay) -> None:
        self.seq, self.seal, self.at = 0, GENESIS, ""
        self.rows = self.blanked = 0
        self.replay = replay
        # The head of an empty log is no entry.
        self.missing_heads = {*known_heads} - {f"0:{GENESIS}"}
        self.problems: list[str] = []

    def add(self, entry: Entry) -> None:
        self.rows += 1
        where = f"entry {entry.seq}"
        if odd := _odd_columns(entry):
            self.problems.append(f"{where}: no text in {', '.join(odd)}")
        # A bool is an int for isinstance, and SQLite stores any type in any column.
        if type(entry.seq) is not int or entry.seq <= self.seq:
            self.problems.append(f"{where}: no entry can have this number here")
            return
        if entry.seq != self.seq + 1:
            self.problems.append(f"{where}: entry {self.seq + 1} is missing before it")
        # Seals are made of text. The number alone keeps the search for missing entries going.
        if odd:
            self.seq = entry.seq
            return
        self._sealed(entry, where)
        self.replay.add(entry, self._content(entry, where))
        self.seq, self.seal, self.at = entry.seq, entry.seal, entry.at
        self.missing_heads.discard(f"{entry.seq}:{entry.seal}")

    def _sealed(self, entry: Entry, where: str) -> None:
        if entry.previous != self.seal:
            self.problems.append(f"{where}: does not continue the entry before it")
        if entry.at < self.at:
            self.problems.append(f"{where}: time runs backwards")
        if entry.seal != seal_of(
            entry.previous, entry.seq, (entry.kind, entry.case_id, entry.at), entry.digest
        ):
            self.problems.append(f"{where}: its seal does not fit")
        if not INSTANT.fullmatch(entry.at):
            self.problems.append(f"{where}: no time of the log")
        if entry.kind not in KINDS:
            self.problems.append(f"{where}: no kind of entry that the log knows")

    def _content(self, entry: Entry, where: str) -> Mapping[str, Any]:
        if entry.body is None or entry.salt is None:
            self.blanked += 1
            if (entry.subject, entry.salt, entry.body) != (None, None, None):
                self.problems.append(f"{where}: blanked in part")
            return {}
        if entry.digest != digest_of(entry.salt, entry.subject, entry.body):
            self.problems.append(f"{where}: its content was changed")
        content, odd = content_of(entry)
        self.problems += [f"{where}: {problem}" for problem in odd]
        return content


def _odd_columns(entry: Entry) -> list[str]:
    """Return the columns whose type is not the one that every reader expects."""
    odd = [name for name in TEXT if type(getattr(entry, name)) is not str]
    values = ((name, getattr(entry, name)) for name in MAY_BE_BLANK)
    return odd + [name for name, value in values if value is not None and type(value) is not str]
