"""The decision log: append-only, hash-chained, and durable before an answer leaves.

It is a SQLite file or a PostgreSQL database. ``append`` writes, and ``verify`` proves that nothing
was changed. ``erase_subject`` and ``expire`` blank entries that may no longer be kept. They leave a
tombstone, so that the chain still holds.
"""

from __future__ import annotations

from sovereign_ml.decision_log.chain import Verdict, verify
from sovereign_ml.decision_log.committer import Committer
from sovereign_ml.decision_log.corrected_decisions import note_rectification, rectification
from sovereign_ml.decision_log.entries import Draft, Entry, LogUnavailableError, Rejection
from sovereign_ml.decision_log.opening import open_log
from sovereign_ml.decision_log.store import DecisionLog

__all__ = [
    "Committer",
    "DecisionLog",
    "Draft",
    "Entry",
    "LogUnavailableError",
    "Rejection",
    "Verdict",
    "note_rectification",
    "open_log",
    "rectification",
    "verify",
]
