"""The one reader of database addresses, for PostgreSQL and SQLite.

It accepts what libpq and SQLAlchemy accept, and nothing else. An unknown part is refused in one
line. It never becomes the name of a file, and no part of an address that may hold a password is
repeated.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

WRITE = "write postgresql://<user>:<password>@<host>:5432/<database>"
DRIVERS = ("psycopg", "psycopg_async", "psycopg2", "psycopg2cffi", "asyncpg", "pg8000")
POSTGRES = re.compile(rf"(?:postgresql|postgres)(?P<driver>\+(?:{'|'.join(DRIVERS)}))?://")
SQLITE = re.compile(r"sqlite(?:\+pysqlite)?:///")
OTHERS = re.compile(r"(mysql|mariadb|mssql|oracle|mongodb|rediss?|https?|file|sqlite|POSTGRESQL)\b")
"""Parts of a refused address that may be repeated, because they hold nobody's password."""
PLAINTEXT = "CHURN_DATABASE_PLAINTEXT_HOSTS"
"""Variable with hosts (comma between them) that are declared to be in the same private network."""
UNFILLED = re.compile(r"^~[\w.-]*(?=/|$)|(?:^|(?<=/))\$\w+|\$\{\w*\}?|%\(\w*\)s?|\{\{|^<[^/]*>")
"""Parts of a path that a shell, compose or a template replaces before a program reads it."""
ENCRYPTED = ("require", "verify-ca", "verify-full")


class DatabaseAddressError(ValueError):
    """An address that cannot be used.

    The message gives the reason, in one line and without the address.
    """


@dataclass(frozen=True)
class PostgresAddress:
    """A PostgreSQL database, as the parameters of libpq."""

    parameters: Mapping[str, str] = field(repr=False)

    @property
    def conninfo(self) -> str:
        """Return the address in the form that psycopg takes."""
        from psycopg.conninfo import make_conninfo

        return make_conninfo(**self.parameters)

    @property
    def hosts(self) -> tuple[str, ...]:
        """Return the hosts on the network that it names, none for a socket of this machine."""
        named = _split(self.parameters.get("host")) + _split(self.parameters.get("hostaddr"))
        return tuple(dict.fromkeys(host for host in named if not _is_socket(host)))

    @property
    def port(self) -> int:
        """Return the port of the first host."""
        return int(_split(self.parameters.get("port"))[0] or 5432)

    @property
    def sqlalchemy(self) -> str:
        """Return the address in the form that SQLAlchemy takes, for the driver psycopg."""
        remaining = {name: quote(value, safe="") for name, value in self.parameters.items()}
        user, password, name = (remaining.pop(part, "") for part in ("user", "password", "dbname"))
        login = f"{user}:{password}@" if password else f"{user}@" if user else ""
        place = ""
        if len(self.hosts) == 1 and "hostaddr" not in remaining:
            host, port = self.hosts[0], remaining.pop("port", "")
            del remaining["host"]
            place = (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")
        query = "&".join(f"{option}={value}" for option, value in remaining.items())
        return f"postgresql+psycopg://{login}{place}/{name}" + (f"?{query}" if query else "")

    @property
    def environment(self) -> dict[str, str]:
        """Return the address as variables.

        They are for a program whose command line everybody on the machine can read.
        """
        names = {default["keyword"]: default["envvar"] for default in _defaults()}
        return {names[name]: value for name, value in self.parameters.items() if names.get(name)}


@dataclass(frozen=True)
class FileAddress:
    """A SQLite file."""

    path: Path


def read_database_address(
    text: str,
    variable: str,
    *,
    tls: bool = False,
    plaintext: Collection[str] = (),
    plain_path: bool = False,
) -> PostgresAddress | FileAddress:
    """Read the address that ``variable`` holds. Raises DatabaseAddressError.

    With ``tls``, the way to another machine is encrypted or refused, but for the hosts in
    ``plaintext``, which somebody named as being in the same private network. With ``plain_path``, a
    path without ``sqlite:///`` is a file too.
    """
    text = text.strip()
    if not text or not text.isprintable():
        raise DatabaseAddressError(f"{variable} is empty or holds a line break: {WRITE}.")
    if SQLITE.match(text):
        return _file(SQLITE.sub("", text, count=1), variable)
    if plain_path and (text.startswith(("/", "./", "../")) or not re.search(r"[:=@'\"]", text)):
        return _file(text, variable)
    parameters = _parameters(text, variable)
    return PostgresAddress(_encrypted(parameters, variable, plaintext) if tls else parameters)


def read_postgres_address(text: str, variable: str) -> PostgresAddress:
    """Read an address that has to be PostgreSQL's. Raises DatabaseAddressError."""
    address = read_database_address(text, variable)
    if isinstance(address, FileAddress):
        raise DatabaseAddressError(f"{variable} names a SQLite file, not a server: {WRITE}.")
    return address


def _file(path: str, variable: str) -> FileAddress:
    # Nobody has replaced these: they would become folders of that name where the program runs.
    if unfilled := UNFILLED.search(path):
        raise DatabaseAddressError(
            f"{variable} holds {unfilled[0]!r}, which only a shell or a template fills in: write the "
            "whole path."
        )
    # SQLite sees the name as Path writes it: ./:memory: is :memory: then.
    shortest = str(Path(path)) if path else ""
    if not path or shortest.startswith((":memory:", "file:")) or "?" in path or "://" in path:
        raise DatabaseAddressError(
            f"{variable} names no file on a disk: write sqlite:///folder/decisions.db, or "
            "sqlite:////folder/decisions.db for an absolute path, without options."
        )
    return FileAddress(Path(path))


def _parameters(text: str, variable: str) -> dict[str, str]:
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    match = POSTGRES.match(text)
    if not match and ("://" in text or "=" not in text):
        other = OTHERS.match(text)
        scheme = f" ('{other[0]}:')" if other else ""
        raise DatabaseAddressError(
            f"{variable} is no address of PostgreSQL or SQLite{scheme}: {WRITE}."
        )
    if match:
        _known_options(text, variable)
        rest = text[match.end() :]
        text = f"postgresql://{_host_of_query(rest) if match['driver'] else rest}"
    try:
        parsed: dict[str, Any] = conninfo_to_dict(text)
    except (ProgrammingError, ValueError):
        # libpq's own message repeats the address.
        raise DatabaseAddressError(
            f"{variable} cannot be read: {WRITE}, with %40 for @, %2F for / and %3A for : in the "
            "password."
        ) from None
    parameters = {name: str(value) for name, value in parsed.items() if value not in (None, "")}
    _possible(parameters, variable)
    return parameters


def _known_options(text: str, variable: str) -> None:
    """Refuse options that libpq does not know, by name.

    ``pgbouncer=true`` and ``schema=public`` are Prisma's.
    """
    try:
        options = parse_qsl(urlsplit(text).query, keep_blank_values=True)
    except ValueError:  # libpq says more below
        return
    keywords = {default["keyword"] for default in _defaults()} | {"ssl"}
    unknown = sorted({name for name, _ in options if name not in keywords})
    if unknown and all(re.fullmatch(r"[A-Za-z_]{1,40}", name) for name in unknown):
        raise DatabaseAddressError(
            f"{variable} has the option {', '.join(unknown)}, which PostgreSQL does not know: "
            "leave it out."
        )


def _host_of_query(rest: str) -> str:
    """Return the address with SQLAlchemy's hosts in the query in the form of libpq.

    SQLAlchemy writes ``?host=a:5432&host=b:5432``.
    """
    place, _, query = rest.partition("?")
    options = parse_qsl(query, keep_blank_values=True)
    hosts = [value for name, value in options if name == "host"]
    if not any(":" in host and not _is_socket(host) for host in hosts) and len(hosts) < 2:
        return rest
    pairs = [host.rpartition(":") if ":" in host else (host, "", "") for host in hosts]
    others = [(name, value) for name, value in options if name != "host"]
    others += [("host", ",".join(pair[0] for pair in pairs))]
    others += [("port", ",".join(pair[2] for pair in pairs))]
    written = "&".join(f"{name}={quote(value, safe=',')}" for name, value in others)
    return f"{place}?{written}"


def _possible(parameters: Mapping[str, str], variable: str) -> None:
    """Refuse pieces of a password where host or port are: libpq would repeat them."""
    ports = _split(parameters.get("port"))
    good = all(not port or (port.isdecimal() and 0 < int(port) < 65536) for port in ports)
    hosts = _split(parameters.get("host")) + _split(parameters.get("hostaddr"))
    if not good or any("@" in host[1:] or re.search(r"\s", host) for host in hosts):
        raise DatabaseAddressError(
            f"{variable} has no host and port that can be: {WRITE}, with %40 for @, %2F for / and "
            "%3A for : in the password."
        )


def _encrypted(
    parameters: Mapping[str, str], variable: str, plaintext: Collection[str]
) -> Mapping[str, str]:
    """Add ``sslmode=require`` for another machine, whatever libpq's variables hold."""
    ambient = {default["keyword"]: default["val"] for default in _defaults()}
    where = parameters.get("hostaddr") or ambient.get("hostaddr")
    where = where or parameters.get("host") or ambient.get("host")
    elsewhere = parameters.get("service") or ambient.get("service")
    # Decided by the place to which libpq connects in the end: PGHOSTADDR goes before the host that
    # was named.
    declared = {host.strip().lower() for host in plaintext}
    if not elsewhere and all(_is_here(host) or host.lower() in declared for host in _split(where)):
        return parameters
    mode = parameters.get("sslmode") or ambient.get("sslmode") or ""
    if "sslmode" in parameters and mode not in ENCRYPTED:
        allowed = ", ".join(ENCRYPTED)
        raise DatabaseAddressError(
            f"{variable} asks for sslmode={mode[:12]}, and the server is another machine: profile "
            f"eu allows {allowed}. A host in the same private network may be named in {PLAINTEXT}."
        )
    return {**parameters, "sslmode": mode if mode in ENCRYPTED else "require"}


def _split(value: str | None) -> list[str]:
    return (value or "").split(",")


def _is_socket(host: str) -> bool:
    return not host or host.startswith(("/", "@"))


def _is_here(host: str) -> bool:
    if _is_socket(host) or host == "localhost":
        return True
    try:
        return ip_address(unquote(host)).is_loopback
    except ValueError:
        return False


def _defaults() -> list[dict[str, str]]:
    """Return every parameter of libpq, its variable, and the variable's value now."""
    from psycopg import pq

    def text(value: bytes | None) -> str:
        return (value or b"").decode(errors="replace")

    return [
        {"keyword": text(option.keyword), "envvar": text(option.envvar), "val": text(option.val)}
        for option in pq.Conninfo.get_defaults()
    ]
