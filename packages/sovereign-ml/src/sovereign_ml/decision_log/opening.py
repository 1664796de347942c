"""Opener of the log that an address names."""

from __future__ import annotations

from collections.abc import Collection

from sovereign_ml.decision_log.entries import LogUnavailableError
from sovereign_ml.decision_log.store import DecisionLog
from sovereign_ml.jurisdictions import DatabaseAddressError, PostgresAddress, read_database_address

NO_LOG = (
    "there is no table of a decision log in this database; name the one that the service writes, "
    "which makes the table when it starts"
)


def open_log(
    address: str, *, tls: bool = False, plaintext: Collection[str] = (), existing: bool = False
) -> DecisionLog:
    """Return the log at ``address``.

    The address is ``postgresql://…``, ``host=… dbname=…``, ``sqlite:///path`` or a plain path.
    Missing tables are made. With ``existing``, a database without any log is refused instead, and
    nothing in it is changed: it would look like a log that holds. With ``tls``, another machine is reached encrypted or not at all, but
    for the hosts in ``plaintext``. Raises LogUnavailableError.
    """
    try:
        place = read_database_address(
            address,
            "the address of the decision log",
            tls=tls,
            plaintext=plaintext,
            plain_path=True,
        )
    except DatabaseAddressError as error:
        raise LogUnavailableError(f"decision log: {error}") from None
    if isinstance(place, PostgresAddress):
        from sovereign_ml.decision_log.postgres import Postgres

        server = Postgres(place.conninfo)
        if existing and not server.holds_log():
            server.close()
            raise LogUnavailableError(f"decision log in PostgreSQL: {NO_LOG}")
        return DecisionLog(server)
    from sovereign_ml.decision_log.sqlite import SQLite, holds_log

    if existing and not holds_log(place.path):
        raise LogUnavailableError(f"decision log {place.path}: {NO_LOG}")
    return DecisionLog(SQLite(place.path))
