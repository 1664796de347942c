"""The decision log as a store: entries about a person are blanked, the hash chain stays valid."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from sovereign_ml.config.connections import LogLocation
from sovereign_ml.data_subjects.receipts import KeptItem
from sovereign_ml.data_subjects.stores.protocol import People, Trace
from sovereign_ml.errors import Refused
from sovereign_ml.privacy import objections

SUPPRESSION = KeptItem(
    what="The pseudonym on the list of people who objected, withdrew consent or are restricted, "
    "in the decision log's database",
    why="GDPR Art. 21(3), 7(3), 18(2), 17(3)(b): without it the objection, withdrawal or "
    "restriction could not be respected",
)


class Decisions:
    """Entries of the log at ``location``. Each use raises Misuse where the log cannot be reached.

    ``file`` is its SQLite file, whose old pages are emptied too. On a server ``tidy`` frees the
    old rows.
    """

    name = "decision log"

    def __init__(
        self,
        location: LogLocation,
        file: Path | None,
        tidy: Callable[[], None] = lambda: None,
    ) -> None:
        self._location, self.file, self._tidy = location, file, tidy

    def find(self, people: People) -> list[Trace]:
        """Return one trace for all entries about ``people``."""
        with objections.opened_log(self._location) as log:
            count = sum(len(log.of_subject(name)) for name in people)
        place = "decisions, reviews, objections and the like"
        return [Trace(self.name, place, count, "entries", "entries blanked")] if count else []

    def remove(self, people: People, traces: Sequence[Trace]) -> None:
        """Blank the entries and leave a tombstone in the chain.

        Raises Refused while another program reads the file, which keeps the old content.
        """
        with objections.opened_log(self._location) as log:
            for name in people:
                log.erase_subject(name)
        # The write-ahead file still holds the old content of the pages.
        if self.file:
            with closing(sqlite3.connect(self.file)) as connection:
                busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if busy:
                raise Refused(
                    f"{self.file.name}: the entries are blanked, but another program reads the "
                    "decision log, so their old content stays on the disk beside it. End that "
                    "program, then call `churn data-subject erase` again: it continues."
                )
        self._tidy()

    def kept(self, people: People) -> list[KeptItem]:
        """Return the objections, withdrawals and restrictions that stay in force."""
        with objections.opened_log(self._location) as log:
            return [SUPPRESSION] if log.barred(people) else []
