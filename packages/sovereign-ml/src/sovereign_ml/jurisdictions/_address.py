"""Parser of addresses: scheme, host and port of URLs, bare hosts, and the forms of git and S3.

It also reads spellings that are meant to hide a host.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

IP = ipaddress.IPv4Address | ipaddress.IPv6Address

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):(//)?", re.IGNORECASE)
_SCP = re.compile(r"[\w.-]+@([\w.-]+):(?!\d+(?:/|$))(.*)")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"(0x[0-9a-f]*|\d+)")
_NEEDS_HOST = {"", "http", "https", "ws", "wss", "ftp", "sftp", "ssh", "git", "grpc"}
_HOSTLESS = {
    "file",
    "data",
    "memory",
    "mem",
    "blob",
    "about",
    "mailto",
    "javascript",
    "sqlite",
    "duckdb",
    "unix",
    # Python's logging configuration uses ext and cfg, Java uses classpath.
    "ext",
    "cfg",
    "classpath",
}


_SHARED_SECOND_LEVEL = re.compile(
    r"(?:co|com|org|net|gov|gob|go|ac|edu|or|ne|nom|web|biz)\.[a-z]{2}"
)
"""Endings such as co.uk and com.pl, below which anybody registers a name."""


def covers(domain: str, host: str) -> bool:
    """Return whether what is said of ``domain`` holds for ``host``: itself, or a host below it.

    Both are lower case. An ending below which strangers register names, such as ``com`` or
    ``co.uk``, covers no host below it: nobody can speak for all of them.
    """
    shared = "." not in domain or _SHARED_SECOND_LEVEL.fullmatch(domain) is not None
    return host == domain or (not shared and host.endswith(f".{domain}"))


@dataclass(frozen=True, slots=True)
class Address:
    """Parts of an address.

    ``problem`` says why the address cannot be trusted. Then ``host`` is what could be read of it.
    """

    text: str
    scheme: str = ""
    host: str = ""
    port: int | None = None
    ip: IP | None = None
    ascii_only: bool = True
    problem: str = ""


def parse(text: str) -> Address:
    """Read ``text`` as a URL, ``host[:port][/path]``, or ``user@host:path`` (git). Never raises."""
    stripped = text.strip()
    if not stripped:
        return Address(text, problem="empty")
    if re.search(r"[\s\\\x00-\x1f\x7f]", stripped):
        return Address(text, problem="contains white space, a control character or a backslash")
    if scp := _SCP.fullmatch(stripped):
        return _with_host(text, "ssh", scp.group(1), None)
    scheme, rest = _split_scheme(stripped)
    if scheme.split("+")[0] in _HOSTLESS:
        return Address(text, scheme=scheme)
    if stripped.startswith(("/", "./", "../", "~")) and not stripped.startswith("//"):
        return Address(text, scheme="file")
    return _with_authority(text, scheme, rest)


def _split_scheme(text: str) -> tuple[str, str]:
    """Return scheme and rest: ``https`` and ``//h/p`` for ``https://h/p``.

    ``localhost:80`` has no scheme. A prefix such as ``jdbc:`` is removed.
    """
    text = re.sub(r"^(jdbc|git\+|hg\+):?(?=[a-z])", "", text, flags=re.IGNORECASE)
    match = _SCHEME.match(text)
    if match is None or (not match.group(2) and re.match(r"\d+(/|$)", text[match.end() :])):
        return "", text if text.startswith("//") else f"//{text}"
    scheme = match.group(1).lower()
    if not match.group(2) and "." in scheme:
        return "", f"//{text}"
    rest = text[match.end(1) + 1 :]
    return scheme, rest if rest.startswith("//") else f"//{rest}"


def _with_authority(text: str, scheme: str, rest: str) -> Address:
    try:
        parts = urlsplit(rest)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        return Address(text, scheme=scheme, problem=str(error))
    # Programs disagree on which @ ends the user name, so the host is uncertain.
    if parts.netloc.count("@") > 1:
        return Address(text, scheme=scheme, host=host, problem="more than one @ before the path")
    if not host:
        return Address(text, scheme=scheme, problem="no host" if scheme in _NEEDS_HOST else "")
    return _with_host(text, scheme, host, port)


def _with_host(text: str, scheme: str, host: str, port: int | None) -> Address:
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return _with_name(text, scheme, host, port)
    # ::ffff:10.0.0.1 is 10.0.0.1 in the spelling of IPv6.
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return Address(text, scheme, str(ip), port, ip)


def _with_name(text: str, scheme: str, host: str, port: int | None) -> Address:
    try:
        plain = host.encode("idna").decode("ascii").lower().removesuffix(".")
    except UnicodeError as error:
        return Address(
            text, scheme, host, port, ascii_only=False, problem=f"not a host name: {error}"
        )
    problem = ""
    labels = plain.split(".")
    if len(plain) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        problem = "not a host name"
    # No top-level domain is a number, and resolvers read 0x7f000001 as an address.
    elif _NUMBER.fullmatch(labels[-1]):
        problem = "an IP address in a disguised spelling"
    return Address(text, scheme, plain, port, None, host.isascii(), problem)
