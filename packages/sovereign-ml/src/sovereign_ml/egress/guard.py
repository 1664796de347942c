"""Egress guard: refuse name look-ups and connections outside loopback and the allow-list.

The guard is an audit hook (PEP 578). It cannot be removed, and it sees every socket that Python
opens, also in threads and asyncio. Unix sockets pass. A name passed to ``socket.connect`` is
resolved by CPython before the hook runs, but the connection is refused.

It does not see native code that connects by itself: libpq, gRPC, DuckDB's httpfs, Arrow's S3, and
uvloop, on which the service runs. Their own settings, the network policy and ``tests/egress`` cover
that. Nor does it see a child process that is not Python, or that starts with ``-I``, ``-E``, ``-S``
or a ``PYTHONPATH`` of its own.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import os
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from pathlib import Path
from types import FrameType
from typing import Any

VARIABLE = "SOVEREIGN_EGRESS"
"""Variable that carries the allow-list to child processes as JSON.

``egress/boot/sitecustomize.py`` reads it.
"""

_LOOK_UPS = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"})
_CALLS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg", "socket.getnameinfo"})
_WATCHED = _LOOK_UPS | _CALLS
_HTTP_CLIENTS = {
    *("urllib3", "requests", "httpx", "httpcore", "anyio"),
    *("aiohttp", "botocore", "aiobotocore", "websockets"),
}
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

log = logging.getLogger("sovereign_ml.egress.guard")


class EgressRefusedError(PermissionError):
    """Connection to a host that the policy does not allow.

    It is an ``OSError``, so that clients handle it like a network that is down.
    """


class _State:
    """Hosts that are allowed now, and refusals so far."""

    def __init__(self) -> None:
        self.names: frozenset[str] = frozenset()
        self.suffixes: tuple[str, ...] = ()
        self.networks: tuple[_Network, ...] = ()
        self.addresses: set[str] = set()
        self.setting = ""
        self.record: Path | None = None
        self.refused: Counter[tuple[str, str]] = Counter()
        self.hooked = False


_state = _State()
_lock = threading.Lock()


def install(
    allowed_hosts: Iterable[str] = (), *, profile: str = "local", record: Path | None = None
) -> None:
    """Refuse everything but loopback and ``allowed_hosts`` from now on.

    A host is a name (``s3.fr-par.scw.cloud``), a suffix (``*.scw.cloud``), an address or a network
    (``10.0.0.0/8``). A port is ignored. Another call replaces the allow-list. ``record`` is a file
    to which each refusal is appended as one JSON line, across processes.
    """
    hosts = [_bare(host) for host in allowed_hosts]
    with _lock:
        _state.networks = tuple(net for host in hosts if (net := _network(host)) is not None)
        _state.suffixes = tuple(host[1:] for host in hosts if host.startswith("*."))
        _state.names = frozenset({"localhost", "", socket.gethostname().lower(), *hosts})
        # A connection to 0.0.0.0 or :: reaches this host.
        _state.addresses = {"127.0.0.1", "::1", "0.0.0.0", "::", ""}  # noqa: S104
        _state.setting = f"the hosts of [profile.{profile}] in config.toml"
        _state.record = record
        # An audit hook cannot be removed, so a second call must not add another one.
        if not _state.hooked:
            _state.hooked = True
            # The hook sees only addresses at a connection, so those of allowed names are noted.
            for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex"):
                setattr(socket, name, _remembering(getattr(socket, name)))
            sys.addaudithook(_hook)


def is_installed() -> bool:
    """Return whether this process has the guard."""
    return _state.hooked


def install_from(environ: Mapping[str, str]) -> bool:
    """Install the guard that a parent process put into ``environ``, and return whether it did.

    A value that cannot be read allows loopback only.
    """
    if VARIABLE not in environ:
        return False
    try:
        carried = json.loads(environ[VARIABLE])
        install(
            carried["allowed_hosts"], profile=carried["profile"], record=inherited_record(environ)
        )
    except (ValueError, KeyError, TypeError):
        install()
    return True


def inherited_record(environ: Mapping[str, str]) -> Path | None:
    """Return the file in which the parent process records refusals, None where it has none."""
    try:
        path = json.loads(environ[VARIABLE])["record"]
        return Path(path) if path else None
    except (ValueError, KeyError, TypeError):
        return None


def extend_to_children(
    environ: MutableMapping[str, str],
    allowed_hosts: Iterable[str] = (),
    *,
    profile: str = "local",
    record: Path | None = None,
) -> None:
    """Make Python processes that start with ``environ`` install the guard before other imports.

    A process with ``-I``, ``-E``, ``-S`` or another ``PYTHONPATH`` does not.
    """
    carried = {
        "allowed_hosts": list(allowed_hosts),
        "profile": profile,
        "record": str(record) if record else None,
    }
    environ[VARIABLE] = json.dumps(carried)
    boot = str(Path(__file__).with_name("boot"))
    folders = environ.get("PYTHONPATH", "").split(os.pathsep)
    others = [folder for folder in folders if folder not in ("", boot)]
    environ["PYTHONPATH"] = os.pathsep.join([boot, *others])


def summary() -> list[str]:
    """Return one line for each host and caller that was refused in this process.

    The line says how often, and which setting would allow the host.
    """
    lines = []
    for (host, caller), count in sorted(_state.refused.items()):
        times = "once" if count == 1 else f"{count} times"
        line = f"The egress guard refused {host} {times} to {caller}: not among {_state.setting}."
        lines.append(line)
    return lines


def _bare(host: str) -> str:
    """Return ``example.eu`` for ``Example.EU.:5432``. Leave IPv6 addresses and networks whole."""
    host = host.strip().lower()
    return (host.partition(":")[0] if host.count(":") == 1 else host.strip("[]")).rstrip(".")


def _network(host: str) -> _Network | None:
    try:
        return ipaddress.ip_network(host, strict=False)
    except ValueError:
        return None


def _hook(event: str, args: tuple[Any, ...]) -> None:
    """Pass on the events of sockets."""
    # A step that checks rows causes a million audit events, so only one comparison stands here.
    if event in _WATCHED:
        _inspect(event, args)


def _inspect(event: str, args: tuple[Any, ...]) -> None:
    if event in _LOOK_UPS:
        _check(args[0], event)
        return
    # The address is the last argument. AF_UNIX passes a string or bytes, AF_NETLINK and AF_VSOCK
    # pass tuples of integers: those are no hosts. CPython reads the item itself, so a subclass of
    # tuple or str with methods of its own must not answer for it.
    address = args[-1]
    if isinstance(address, tuple) and address:
        host = tuple.__getitem__(address, 0)
        if type(host) is str and host in _state.addresses:
            return
        if isinstance(host, (str, bytes, bytearray)):
            _check(host, event)


def _check(host: str | bytes | bytearray | None, event: str) -> None:
    if host is None:
        return
    text = host if isinstance(host, str) else memoryview(host).tobytes().decode("ascii", "replace")
    name = str.__str__(text).lower().rstrip(".")
    if not _allowed(name):
        _refuse(name, event)


def _allowed(name: str) -> bool:
    is_listed = name in _state.names or name in _state.addresses
    if is_listed or name.endswith((".localhost", *_state.suffixes)):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_loopback or any(address in network for network in _state.networks):
        _state.addresses.add(name)
        return True
    return str(address) in _state.addresses


def _refuse(host: str, event: str) -> None:
    caller = _caller()
    _state.refused[host, caller] += 1
    message = (
        f"Refused {event.removeprefix('socket.')} to {host} from {caller}: "
        f"only loopback and {_state.setting} are allowed. "
        "Add the host there if the policy permits it."
    )
    if _state.refused[host, caller] == 1:
        log.warning(message)
    if _state.record:
        with _state.record.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"host": host, "event": event, "caller": caller}) + "\n")
    raise EgressRefusedError(message)


def _caller() -> str:
    """Return ``module:line`` of the code that opened the connection.

    It is the nearest frame outside this file, the standard library and the HTTP clients.
    """
    frame: FrameType | None = sys._getframe(1)
    nearest = None
    while frame is not None:
        module = str(frame.f_globals.get("__name__", "?"))
        top = module.partition(".")[0]
        if module != __name__ and top not in sys.stdlib_module_names and top not in _HTTP_CLIENTS:
            return f"{module}:{frame.f_lineno}"
        nearest = nearest or f"{module}:{frame.f_lineno}"
        frame = frame.f_back
    return nearest or "?"


def _remembering(resolve: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a resolver so that the addresses of an allowed name are allowed too."""

    def resolver(*args: Any, **kwargs: Any) -> Any:
        answer = resolve(*args, **kwargs)
        if isinstance(answer, str):
            _state.addresses.add(answer)
        elif isinstance(answer, tuple):
            _state.addresses.update(answer[2])
        else:
            _state.addresses.update(entry[4][0] for entry in answer)
        return answer

    resolver.__wrapped__ = resolve  # type: ignore[attr-defined]
    return resolver
