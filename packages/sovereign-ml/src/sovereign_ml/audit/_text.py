"""Find addresses in text: URLs and known providers' hosts anywhere, other hosts only where a key announces one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from sovereign_ml.audit._mention import Mention, Payload, mention
from sovereign_ml.jurisdictions import parse
from sovereign_ml.jurisdictions._table import look_up, scheme_owner

_URL = re.compile(
    r"(?<![\w.+-])(?:[a-z][a-z0-9+.-]{1,30}:)?[a-z][a-z0-9+.-]{1,30}://[^\s\"'<>`\\|{}()\[\],;]*",
    re.I,
)
_SHORT = re.compile(r"(?<![\w/.-])(?:gh|gl|bb|dbfs|databricks-uc):[\w/][\w./-]*")
_SCP = re.compile(r"(?<![\w./-])[\w.-]+@[\w-]+(?:\.[\w-]+)+:(?!\d+\b)[\w./~-]+")
_HOST = re.compile(r"(?<![\w@/.:-])[a-z0-9_-]+(?:\.[a-z0-9_-]+)+(?::\d+)?(?![\w@(-])", re.I)
_ADDRESS_KEY = re.compile(
    r"(^|[._\s-])(host|hostname|hosts|allowed_hosts|endpoint|endpoint_?url|endpoint_?override|url|uri|server|registry"
    r"|broker|bootstrap_servers|connection_string)$",
    re.I,
)
_NAMED = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)+(:\d+)?|[a-z0-9_-]+:\d{2,5}", re.I)
_FILE_NAME = re.compile(
    r"\.(py|toml|ya?ml|json|md|txt|csv|lock|cfg|ini|sh|html|parquet|db|gz|pem|sock|key|log|ipynb|js|css)$"
)

_IMAGE_KEYS = {
    "image",
    "base_image",
    "baseimage",
    "container",
    "container_image",
    "containerimage",
    "newname",
}
_IMAGE = re.compile(r"[a-z0-9][\w./:@-]*", re.I)
_SECTION = re.compile(r"^\s*\[+\s*([^\]]+?)\s*\]+\s*(#.*)?$")
_KEY = re.compile(r"^\s*(?:export\s+|-\s+)?[\"']?([\w.-]+)[\"']?\s*[:=]")
_ASSIGNMENT = re.compile(r"(?:^|[\s\"'])([A-Z][A-Z0-9_]+)=")
_COMMENT = re.compile(r"(^|\s)#.*$")


def addresses(text: str, key: str = "") -> Iterator[tuple[str, str]]:
    """``(address, kind)`` of everything in ``text`` that is, or may be, an address outside this project."""
    taken: list[tuple[int, int]] = []
    for pattern in (_URL, _SHORT, _SCP):
        for match in pattern.finditer(text):
            if not _inside(match.start(), taken):
                taken.append(match.span())
                if not match.group().endswith(
                    "://"
                ):  # a bare scheme, as code tests for, is no address yet
                    yield match.group().rstrip(".:"), "url"
    for match in _HOST.finditer(text):
        if (
            not _inside(match.start(), taken)
            and look_up(match.group().partition(":")[0].lower()) is not None
        ):
            taken.append(match.span())
            yield match.group(), "host"
    if not taken and _ADDRESS_KEY.search(key):
        yield from ((host, "host") for host in _named_hosts(text))


def _inside(position: int, spans: list[tuple[int, int]]) -> bool:
    return any(start <= position < end for start, end in spans)


def _named_hosts(text: str) -> Iterator[str]:
    """Values under a key such as ``endpoint`` that look like ``name.tld``, ``name:port`` or an IPv4 address."""
    for word in re.split(r"[\s\"'\[\],=]+", text):
        named = (
            _NAMED.fullmatch(word)
            and not _FILE_NAME.search(word)
            and not re.fullmatch(r"[\d.]+", word)
        )
        if named or re.fullmatch(r"\d+(\.\d+){3}(:\d+)?", word):
            yield word


def lines(file: str, text: str) -> Iterator[Mention]:
    """Scan TOML, INI, shell, requirement and similar files: one key per line, under the section last seen."""
    section = key = ""
    for number, raw in enumerate(text.splitlines(), start=1):
        line = _COMMENT.sub("", raw)
        if found := _SECTION.match(line):
            section, key = found.group(1), ""
            continue
        if found := _KEY.match(line):
            key = found.group(1)
        yield from block(
            file, number, f"{section}.{key}".strip("."), line[found.end() :] if found else line
        )


def template_source(file: str, text: str) -> Iterator[Mention]:
    """Scan ``.cruft.json``: code comes from the template, and ``context`` lists choices not taken."""
    try:
        source = json.loads(text)["template"]
        line = next(n for n, row in enumerate(text.splitlines(), start=1) if '"template"' in row)
    except (ValueError, KeyError, TypeError, StopIteration):
        yield from lines(file, text)
        return
    for row in block(file, line, "template", str(source)):
        yield replace(row, component="ci", carries=(Payload.CODE,))


def block(file: str, first: int, key: str, text: str) -> Iterator[Mention]:
    """Scan one value that may span lines; ``first`` is the line on which it starts.

    In ``NAME=value``, as in environment lists, the name says more than the key around it.
    """
    if names_image(key, text):
        yield mention(file, first, key, text.strip(" \"',"), kind="image")
        return
    for offset, line in enumerate(text.splitlines()):
        assigned = _ASSIGNMENT.search(line)
        path = assigned.group(1) if assigned else key
        for address, kind in addresses(line, path):
            if _says_something(address):
                yield mention(file, first + offset, path, address, kind=kind)


def names_image(key: str, text: str) -> bool:
    """Whether ``key`` holds a container image and ``text`` is one, not a variable or a URL."""
    value = text.strip(" \"',")
    return key.rpartition(".")[2].lower() in _IMAGE_KEYS and _IMAGE.fullmatch(value) is not None


def _says_something(address: str) -> bool:
    """``http://`` alone, as before a variable, names nobody; ``s3://`` alone names Amazon."""
    scheme, colon, rest = address.partition("://")
    return (
        not colon
        or scheme_owner(scheme.lower()) is not None
        or re.search(r"[a-z0-9]", rest, re.I) is not None
    )


def with_s3_endpoints(found: Iterable[Mention], environ_endpoint: str | None) -> list[Mention]:
    """Give each ``s3://`` mention the endpoint of its own section, else the file's only one, else the environment's."""
    mentions = list(found)
    endpoints = [(row.key, row.address) for row in mentions if _names_endpoint(row)]
    return [_resolved(row, endpoints, environ_endpoint) for row in mentions]


def _names_endpoint(row: Mention) -> bool:
    return "endpoint" in row.key.rpartition(".")[2].lower() and not _is_s3(row)


def _is_s3(row: Mention) -> bool:
    owner = scheme_owner(parse(row.address).scheme)
    return owner is not None and owner.name == "Amazon Web Services"


def _resolved(
    row: Mention, endpoints: list[tuple[str, str]], environ_endpoint: str | None
) -> Mention:
    if not _is_s3(row):
        return row
    section = row.key.rpartition(".")[0]
    near = [address for key, address in endpoints if key.rpartition(".")[0] == section]
    everywhere = {address for _, address in endpoints}
    only = next(iter(everywhere)) if len(everywhere) == 1 else None
    chosen = near[0] if near else only or environ_endpoint
    return replace(row, s3_endpoint=chosen)
