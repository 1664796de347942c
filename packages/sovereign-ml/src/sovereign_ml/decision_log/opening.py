"""Opener of the log that an address names."""

from __future__ import annotations

from collections.abc import Collection

from sovereign_ml.decision_log.entries import LogUnavailableError
from sovereign_ml.decision_log.store import DecisionLog
from sovereign_ml.jurisdictions import DatabaseAddressError, PostgresAddress, read_database_address


def open_log(address: str, *, tls: bool = False, plaintext: Collection[str] = ()) -> DecisionLog:
    """Return the log at ``address``.

    The address is ``postgresql://…``, ``host=… dbname=…``, ``sqlite:///path`` or a plain path.
    Missing tables are made. With ``tls``, another machine is reached encrypted or not at all, but
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

        return DecisionLog(Postgres(place.conninfo))
    from sovereign_ml.decision_log.sqlite import SQLite

    return DecisionLog(SQLite(place.path))
