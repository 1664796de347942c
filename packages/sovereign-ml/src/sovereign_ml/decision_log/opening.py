"""Open the log that an address names."""

from __future__ import annotations

from pathlib import Path

from sovereign_ml.decision_log.store import DecisionLog


def open_log(address: str) -> DecisionLog:
    """The log at ``address``: ``postgresql://…``, ``sqlite:///relative/path``, ``sqlite:////absolute`` or a plain path.

    Makes its tables when they are not there. Raises LogUnavailableError.
    """
    if address.startswith(("postgresql://", "postgres://")):
        from sovereign_ml.decision_log.postgres import Postgres

        return DecisionLog(Postgres(address))
    from sovereign_ml.decision_log.sqlite import SQLite

    return DecisionLog(SQLite(Path(address.removeprefix("sqlite:///"))))
