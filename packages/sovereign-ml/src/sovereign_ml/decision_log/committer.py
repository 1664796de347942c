"""Group commit: many requests wait for one fsync.

No request is answered before its entry is durable.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sovereign_ml.decision_log.entries import Draft, Entry, LogUnavailableError, Rejection
from sovereign_ml.decision_log.store import DecisionLog

Results = list[Entry | Rejection]
MOST_AT_ONCE = 2000
MOST_WAITING = 10_000
log = logging.getLogger("sovereign_ml.decision_log")


@dataclass(frozen=True, slots=True)
class _Waiting:
    drafts: Sequence[Draft]
    future: asyncio.Future[Results]


class Committer:
    """One thread with its own connection that appends the drafts gathered since its last commit."""

    def __init__(self, opener: Callable[[], DecisionLog]) -> None:
        self._opener = opener
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="decision-log", daemon=True)
        self._thread.start()

    def submit(self, drafts: Sequence[Draft]) -> asyncio.Future[Results]:
        """Return a future that is done once ``drafts`` are durable.

        It raises LogUnavailableError if they are not.
        """
        future: asyncio.Future[Results] = asyncio.get_running_loop().create_future()
        if self._queue.qsize() >= MOST_WAITING:
            future.set_exception(LogUnavailableError("decision log: too many entries are waiting"))
        else:
            self._queue.put(_Waiting(drafts, future))
        return future

    def close(self) -> None:
        """Write pending drafts, then stop."""
        self._queue.put(None)
        # A database that hangs must not keep the process from ending.
        self._thread.join(timeout=10)

    def _run(self) -> None:
        store: DecisionLog | None = None
        while (group := self._gather()) is not None:
            # Whoever was told that it took too long gets no entry behind his back.
            group = [waiting for waiting in group if not waiting.future.cancelled()]
            if not group:
                continue
            try:
                # A database that was away is tried again with the next group.
                store = store or self._opener()
                results = store.append([draft for waiting in group for draft in waiting.drafts])
            except Exception as error:
                _fail(group, error)
            else:
                _answer(group, results)
        if store is not None:
            store.close()

    def _gather(self) -> list[_Waiting] | None:
        """Wait for one group of drafts, then take all that are there. Return None at the end."""
        first = self._queue.get()
        if first is None:
            return None
        group, size = [first], len(first.drafts)
        while size < MOST_AT_ONCE:
            try:
                more = self._queue.get_nowait()
            except queue.Empty:
                break
            # The mark of the end goes back into the queue, so that this group is written first.
            if more is None:
                self._queue.put(None)
                break
            group.append(more)
            size += len(more.drafts)
        return group


def _answer(group: list[_Waiting], results: Results) -> None:
    start = 0
    settled: list[tuple[asyncio.Future[Results], Results]] = []
    for waiting in group:
        end = start + len(waiting.drafts)
        settled.append((waiting.future, results[start:end]))
        start = end
    _on_loop(group, lambda: _set_results(settled))


def _fail(group: list[_Waiting], error: Exception) -> None:
    log.error("decision log not written, %d requests refused: %s", len(group), error)
    refusal = (
        error
        if isinstance(error, LogUnavailableError)
        else LogUnavailableError(str(type(error).__name__))
    )
    _on_loop(group, lambda: _set_errors(group, refusal))


def _set_results(settled: list[tuple[asyncio.Future[Results], Results]]) -> None:
    for future, results in settled:
        if not future.done():
            future.set_result(results)


def _set_errors(group: list[_Waiting], refusal: LogUnavailableError) -> None:
    for waiting in group:
        if not waiting.future.done():
            waiting.future.set_exception(refusal)


def _on_loop(group: list[_Waiting], call: Callable[[], object]) -> None:
    try:
        group[0].future.get_loop().call_soon_threadsafe(call)
    except RuntimeError:  # the loop is gone: nobody waits for the answer
        log.info("decision log: %d entries written after the last listener left", len(group))
