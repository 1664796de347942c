"""Rows about people on the servers of the profile eu: Redis, and every table of PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from sovereign_ml.config.connections import FeatureStores, LogLocation, database, required
from sovereign_ml.config.profiles import VARIABLES
from sovereign_ml.data_subjects.stores.feast_sqlite import KEY, entity_key
from sovereign_ml.data_subjects.stores.protocol import People, Trace
from sovereign_ml.errors import Misuse
from sovereign_ml.features import feast_stores

if TYPE_CHECKING:
    import psycopg

AT_ONCE = 10_000
TABLES = """SELECT format('%%I.%%I', table_schema, table_name), EXISTS (
        SELECT FROM information_schema.columns c
        WHERE (c.table_schema, c.table_name, c.column_name) = (t.table_schema, t.table_name, %s))
    FROM information_schema.tables t
    WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema')
    ORDER BY 1"""


@dataclass(frozen=True)
class PostgresDatabase:
    """A PostgreSQL database. ``secret`` names its address, ``url`` is the address if it is set."""

    secret: str
    url: SecretStr | None = field(repr=False)

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection]:
        """Connect. Raises Misuse where the address is not set or the server does not answer."""
        import psycopg

        url = database(self.url, self.secret).conninfo
        try:
            # VACUUM cannot run inside a transaction.
            with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
                yield connection
        except psycopg.Error as error:
            raise Misuse(
                f"PostgreSQL ({VARIABLES[self.secret]}): {type(error).__name__}. "
                "The same command goes on."
            ) from None

    def vacuum(self) -> None:
        """Free the dead rows that PostgreSQL keeps after changes and deletions."""
        with self.connection() as connection:
            connection.execute("VACUUM")


def log_database(log: LogLocation) -> PostgresDatabase:
    """Return the database of a decision log on a server."""
    return PostgresDatabase("decision_log", SecretStr(log.address) if log.address else None)


class RedisRows:
    """Feast's online store in Redis. The key of a customer holds the pseudonym."""

    name = "online store"

    def __init__(self, stores: FeatureStores) -> None:
        self._stores = stores

    def find(self, people: People) -> list[Trace]:
        """Return one trace for all keys about ``people``."""
        with feast_stores.reached(self._stores):
            count = sum(1 for _ in self._keys(_redis(self._stores), people))
        return [Trace(self.name, "Redis", count, "keys", "rows removed")] if count else []

    def remove(self, people: People, traces: Sequence[Trace]) -> None:
        """Delete the keys."""
        if traces:
            with feast_stores.reached(self._stores):
                keys = list(self._keys(_redis(self._stores), people))
            delete_keys(self._stores, keys)

    def _keys(self, api: Any, people: People) -> Iterator[bytes]:
        pattern = re.compile(b"|".join(re.escape(name.encode()) for name in people))
        # SCAN goes in steps, while KEYS would block the server.
        return (key for key in api.scan_iter(count=AT_ONCE) if pattern.search(key))


class PostgresRows:
    """Every table of a database: Feast's online rows are removed, anything else is reported.

    ``but`` names tables that another store answers for.
    """

    def __init__(self, name: str, database: PostgresDatabase, but: Collection[str] = ()) -> None:
        self.name, self._database, self._but = name, database, but

    def find(self, people: People) -> list[Trace]:
        """Return one trace for each table."""
        with self._database.connection() as connection:
            counts = [
                (table, online, _count(connection, table, people))
                for table, online in self._tables(connection)
            ]
        return [
            Trace(self.name, table, count, "rows", "rows removed" if online else "by hand")
            for table, online, count in counts
            if count
        ]

    def remove(self, people: People, traces: Sequence[Trace]) -> None:
        """Delete the rows of Feast's online tables, with the dead rows that PostgreSQL keeps."""
        with self._database.connection() as connection:
            for trace in (trace for trace in traces if trace.action == "rows removed"):
                keys = [entity_key(name) for name in people]
                connection.execute(
                    f"DELETE FROM {trace.place} WHERE {KEY} = ANY(%s)".encode(),  # noqa: S608
                    [keys],
                )
                connection.execute(f"VACUUM {trace.place}".encode())

    def _tables(self, connection: psycopg.Connection) -> list[tuple[str, bool]]:
        tables = connection.execute(TABLES, [KEY]).fetchall()
        return [
            (table, online) for table, online in tables if table.rpartition(".")[2] not in self._but
        ]


def stale(stores: FeatureStores, view: str, before: datetime) -> list[bytes]:
    """Return the keys in Redis whose features of ``view`` are older than ``before``."""
    from google.protobuf.timestamp_pb2 import Timestamp

    with feast_stores.reached(stores):
        api, keys = _redis(stores), []
        # Feast has a hash for each customer, and HGET fails on keys of another type.
        for key in api.scan_iter(count=AT_ONCE, _type="hash"):
            written = api.hget(key, f"_ts:{view}")
            if written and Timestamp.FromString(written).seconds < before.timestamp():
                keys.append(key)
    return sorted(keys)


def delete_keys(stores: FeatureStores, keys: Sequence[bytes]) -> None:
    """Delete keys of Redis."""
    with feast_stores.reached(stores):
        api = _redis(stores)
        for key in keys:
            api.delete(key)


def _count(connection: psycopg.Connection, table: str, people: People) -> int:
    """Return the number of rows of a table that mention ``people``."""
    # PostgreSQL shows bytes in hexadecimal form when a row is read as text.
    pattern = "|".join(form for name in people for form in (re.escape(name), name.encode().hex()))
    row = connection.execute(
        f"SELECT count(*) FROM {table} AS t WHERE t::text ~ %s".encode(),  # noqa: S608
        [pattern],
    ).fetchone()
    return int(row[0]) if row else 0


def _redis(stores: FeatureStores) -> Any:
    import redis

    url = required(stores.online_url, "online_store")
    return redis.Redis.from_url(url, socket_connect_timeout=10)
