"""Find addresses in text: URLs and known providers' hosts anywhere, other hosts only where a key announces one."""

from __future__ import annotations

import base64
import ipaddress
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from sovereign_ml.audit._mention import (
    CODE_LINE,
    DOWNLOAD,
    LINK,
    SENDS,
    Mention,
    Payload,
    fits,
    is_document,
    mention,
)
from sovereign_ml.audit._named import by_key, by_line
from sovereign_ml.audit._normalise import normalise, only_variable
from sovereign_ml.jurisdictions import country_codes, parse
from sovereign_ml.jurisdictions._table import look_up, scheme_owner

_SCHEME = re.compile(r"(?:[a-z][a-z0-9+]{1,20}:)?(?<![a-z0-9+])[a-z][a-z0-9+-]{0,30}$", re.I)
_LONGEST_SCHEME = 52
_REST = re.compile(
    r"(?:[^\s\"'<>`\\|{}()\[\],;@/]*@)?(?:\[[0-9a-f:.%]{2,45}\](?::\d+)?)?[^\s\"'<>`\\|{}()\[\],;]*",
    re.I,
)
_INNER = re.compile(r"[=?&/](https?://[^\s&]+)", re.I)
_SHORT = re.compile(r"(?<![\w/.-])(?:gh|gl|bb|dbfs|databricks-uc):[\w/][\w./-]*")
_SCP = re.compile(r"(?<![\w./-])[\w.-]{1,64}@[\w-]++(?:\.[\w-]++)++:(?!\d+\b)[\w./~-]+")
_HOST = re.compile(
    r"(?<![\w@/.-])\.*+((?:[a-z0-9_-]++\.)++[a-z0-9_-]++(?::\d++)?+)(?![\w@(-])", re.I
)
_NO_SCHEME = re.compile(r"(?<![\w:/.])//((?:[a-z0-9_-]++\.)++[a-z]{2,20}\b[^\s\"'<>`]*)", re.I)
_ADDRESS_KEY = re.compile(
    r"(^|[._\s-]|PG|DB|MYSQL|REDIS|MONGO|SMTP)(host|hostname|hosts|hostaddr|allowed_hosts|endpoint|endpoint_?url"
    r"|endpoint_?override|url|uri|server|servers|registry|broker|brokers|bootstrap_servers|connection_string)$"
    r"|[a-z](Host|Hostname|Endpoint|Server|Broker)$",
    re.I,
)
# under these only a number is an address: a name there is a setting of the network itself
_NUMBER_KEY = re.compile(r"(^|[._\s-])(extra_hosts|dns|nameservers?|cidr|external_?ips?)$", re.I)
# libpq, ODBC and JDBC write keys into a text, and command lines have options
_INNER_KEY = re.compile(
    r"(?:^|[\s;\"'(,&?])(?:host(?:addr|name)?|server|data source|bootstrap[._]servers)(?:\s{0,3}=\s{0,3}|\s{1,3}(?='))"
    r"[\"']?(?:tcp:)?([\w.-]{1,253}(?::\d{2,5})?)(?![\w.(\[])"
    r"|\s(?:-h|--(?:[\w-]{1,30}-)?(?:host|hostname|server|endpoint|broker|bootstrap-servers?))[=\s]\s{0,3}[\"']?"
    r"([\w.-]{1,253}(?::\d{2,5})?)(?![\w.(\[])",
    re.I,
)
_NAMED = re.compile(
    r"(?:[a-z0-9_-]{1,63}\.){1,10}[a-z0-9_-]{1,63}(:\d+)?|[a-z0-9_-]{1,63}:\d{2,5}", re.I
)
_NUMBER = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?=(?:/\d{1,2})?(?![\w./]))")
_EXPRESSION = re.compile(
    r"(module|var|local|each|data|secrets|steps|vars|matrix|env|github|needs|inputs|self|os|this|values|params"
    r"|settings|config|cfg|conf|args|kwargs|context|ctx|opts|options|props|app|outputs|resource|resources|request"
    r"|response|window|document|process|import|cls)\.",
    re.I,
)
_FILE_NAME = re.compile(
    r"\.(py|toml|ya?ml|json|md|txt|csv|lock|cfg|ini|sh|html|parquet|db|gz|pem|sock|key|log|ipynb|js|css)$"
)
# beyond the country codes: what a bare word under `host` or `endpoint` must end with to be a host
_GENERIC = frozenset(
    [
        "com",
        "org",
        "net",
        "edu",
        "gov",
        "mil",
        "int",
        "eu",
        "io",
        "ai",
        "app",
        "dev",
        "cloud",
        "tech",
        "site",
        "online",
        "store",
        "shop",
        "xyz",
        "biz",
        "info",
        "digital",
        "network",
        "group",
        "company",
        "systems",
        "services",
        "software",
        "solutions",
        "agency",
        "media",
        "studio",
        "global",
        "world",
        "email",
        "host",
        "hosting",
        "space",
        "website",
        "internal",
        "corp",
        "home",
        "example",
        "invalid",
        "test",
        "localhost",
        "svc",
        "arpa",
        "berlin",
        "paris",
        "amsterdam",
        "wien",
        "koeln",
        "hamburg",
    ]
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
_KEY = re.compile(
    r"^\s*(?:-\s+)?(?:(?:export|const|let|var|val|final|static|public|private|readonly|String|ENV)\s+){0,5}"
    r"[\"']?([\w.$@/-]+)[\"']?\s*(?:<-|[?+:]{0,2}=|:)(?!//)"
)
_PAIR = re.compile(r"^\s*[\w.]{1,60}\(\s*[\"']([\w.-]{2,80})[\"']\s*,(?=\s*[\"'])")
# what has comments of C: /* … */ and //
_BRACES = (
    *("*.java", "*.kt", "*.kts", "*.scala", "*.go", "*.rs", "*.cs", "*.swift"),
    *("*.js", "*.mjs", "*.cjs", "*.ts", "*.jsx", "*.tsx", "*.cpp", "*.c"),
    *("*.h", "*.dart"),
)
# in code a bare word is an expression, a text stands in quotes
_CODE = (*_BRACES, "*.R", "*.r", "*.php", "*.rb", "*.vue")
_IN_QUOTES = re.compile(r"\"[^\"]*\"|'[^']*'|`[^`]*`")
_ASSIGNMENT = re.compile(r"(?:^|[\s\"'])([A-Z][A-Z0-9_]+)=|\(([A-Z][A-Z0-9_]+) ?= ?(?!=)")
_HASH, _SLASHES, _DASHES, _SEMICOLON = r"(^|\s)#.*$", r"(^|\s)//.*$", r"(^|\s)--\s.*$", r"^\s*;.*$"
_STARS = r"/\*.*?\*/|^\s*\*(\s.*)?$"
_C_LIKE = (
    *_BRACES,
    *("*.css", "*.scss", "*.cc", "*.hpp", "*.groovy", "*.gradle", "*.proto", "*.jsonc"),
    *("*.json5", "*.bicep"),
)
_COMMENTS = (
    (("*.tf", "*.tfvars", "*.hcl", "*.php"), re.compile(rf"{_STARS}|{_HASH}|{_SLASHES}")),
    ((*_C_LIKE, "Jenkinsfile"), re.compile(rf"{_STARS}|{_SLASHES}|(?<![:\w])///?!?\s.*$")),
    (("*.sql",), re.compile(rf"{_STARS}|{_DASHES}")),
    (("*.ini", "*.cfg", "*.conf", ".dvc/config*"), re.compile(rf"{_HASH}|{_SEMICOLON}")),
    (("*.html", "*.htm", "*.xml", "*.md"), re.compile(r"<!--.*?-->")),
    (("*.json",), re.compile(r"^\s*//.*$")),
    (("*",), re.compile(_HASH)),
)
# where a comment of several lines opens: a glob ("src/**") and an address pattern (".../*") open none
_OPENS = re.compile(r"(?:^|[;{},)])\s*/\*(?!.*\*/)")
_MARKUP = ("*.html", "*.htm", "*.xml", "*.vue")
_STARRED = ("*.tf", "*.tfvars", "*.hcl", "*.sql", "*.php", "Jenkinsfile", *_C_LIKE)
_ENCODED = re.compile(r"(?<![\w+/=-])[A-Za-z0-9+/_-]{16,4000}={0,2}(?![\w+/=-])")
LONGEST_LINE = 5_000
"""Characters of a line that are looked at in one go; a longer one is cut at blanks, quotes and commas."""


def addresses(text: str, key: str = "") -> Iterator[tuple[str, str]]:
    """``(address, kind)`` of everything in ``text`` that is, or may be, an address outside this project."""
    text = normalise(_decoded(text))
    taken: list[tuple[int, int]] = []
    yield from _urls(text, taken)
    for pattern in (_SHORT, _SCP) if ":" in text else ():
        for match in pattern.finditer(text):
            if not _inside(match.start(), taken):
                taken.append(match.span())
                yield match.group().rstrip(".:"), "url"
    yield from _known_hosts(text, taken)
    if not taken and _NUMBER_KEY.search(key):
        yield from ((number, "host") for number in _NUMBER.findall(text[:LONGEST_LINE]))
    elif not taken and _ADDRESS_KEY.search(key):
        yield from ((host, "host") for host in _named_hosts(text))
    elif not taken and ("=" in text or "-h" in text or "'" in text):
        for match in _INNER_KEY.finditer(text[:LONGEST_LINE]):
            yield from ((host, "host") for host in _named_hosts(match.group(1) or match.group(2)))


def _decoded(text: str) -> str:
    """The text with what base64 hides behind it, as in a Kubernetes Secret, where that is an address."""
    found = []
    for match in _ENCODED.finditer(text):
        word = match.group().replace("-", "+").replace("_", "/")
        try:
            plain = base64.b64decode(word + "=" * (-len(word) % 4), validate=True).decode("ascii")
        except ValueError:
            continue
        if plain.strip().isprintable() and ("://" in plain or look_up(plain.strip().lower())):
            found.append(plain.strip())
    return " ".join([text, *found]) if found else text


def _urls(text: str, taken: list[tuple[int, int]]) -> Iterator[tuple[str, str]]:
    """URLs, found by their ``://``; whatever stands in front of the scheme does not hide them."""
    at = text.find("://")
    while at >= 0:
        before = text[max(0, at - _LONGEST_SCHEME) : at]
        scheme = _SCHEME.search(before)
        rest = _REST.match(text, at + 3)
        end = rest.end() if rest else at + 3
        if scheme:
            start = at - len(scheme.group())
            # a bare scheme, as code tests for, is no address yet
            if end > at + 3 and not _inside(start, taken):
                taken.append((start, end))
                yield text[start:end].rstrip(".:"), "url"
                yield from _nested(text[at + 3 : end])
        at = text.find("://", max(end, at + 3))


def _nested(rest: str) -> Iterator[tuple[str, str]]:
    """An address inside another, as in ``?next=https://…``, of which the first decides where a request goes next."""
    match = _INNER.search(rest[:2000])
    if match and look_up(parse(match.group(1)).host) is not None:
        yield match.group(1).rstrip(".:"), "url"


def _known_hosts(text: str, taken: list[tuple[int, int]]) -> Iterator[tuple[str, str]]:
    if "." not in text:
        return
    for match in _NO_SCHEME.finditer(text) if "//" in text else ():
        host = match.group(1).partition("/")[0].lower()
        if not _inside(match.start(), taken) and look_up(host.partition(":")[0]) is not None:
            taken.append(match.span())
            yield match.group(), "url"
    for match in _HOST.finditer(text):
        host = match.group(1).partition(":")[0].lower()
        if look_up(host) is not None and not _inside(match.start(1), taken):
            taken.append(match.span(1))
            yield match.group(1), "host"


def _inside(position: int, spans: list[tuple[int, int]]) -> bool:
    # the spans grow to the right within each pattern, so the last ones decide almost always
    return any(start <= position < end for start, end in reversed(spans))


def _named_hosts(text: str) -> Iterator[str]:
    """Values under a key such as ``endpoint`` that look like ``name.tld``, ``name:port`` or an IPv4 address.

    An expression (``module.redis.endpoint``) and a dotted Python path are none: their last word is no top-level domain.
    """
    for word in re.split(r"[\s\"'\[\],=]+", text[:LONGEST_LINE]):
        is_ip = re.fullmatch(r"\d+(\.\d+){3}(:\d+)?", word) or _is_ipv6(word)
        named = _NAMED.fullmatch(word) and not _FILE_NAME.search(word) and _is_host(word)
        if is_ip or named:
            yield f"[{word}]" if word.count(":") > 1 else word


def _is_ipv6(word: str) -> bool:
    if word.count(":") < 2:
        return False
    try:
        return ipaddress.ip_address(word).version == 6
    except ValueError:
        return False


def _is_host(word: str) -> bool:
    name, colon, _ = word.partition(":")
    if only_variable(name) or re.fullmatch(r"[\d.]+", word):
        return False
    top = name.rpartition(".")[2]
    is_domain = (
        "." in name and top == top.lower() and (top in _GENERIC or top.upper() in country_codes())
    )
    return bool(colon) or (is_domain and _EXPRESSION.match(word) is None)


def lines(file: str, text: str) -> Iterator[Mention]:
    """Scan TOML, INI, shell, requirement and all other text: one key per line, under the section last seen."""
    comment = next(
        pattern for names, pattern in _COMMENTS if any(fits(file, name) for name in names)
    )
    section = key = ""
    tag = ""  # what has been opened of a tag that goes on in the next line
    markup = any(fits(file, name) for name in _MARKUP)
    document = is_document(file)
    code = any(fits(file, name) for name in _CODE)
    command = ""
    rows = text.splitlines()
    if markup or any(fits(file, name) for name in _STARRED):
        rows = list(_without_long_comments(rows, markup=markup))
    for number, raw in enumerate(rows, start=1):
        line = comment.sub("", raw) if len(raw) <= LONGEST_LINE else raw
        if not line.strip():
            continue
        if match := _SECTION.match(line[:300]):
            section, key = match.group(1), ""
            continue
        match = _KEY.match(line[:300]) or (_PAIR.match(line[:300]) if code else None)
        if document:  # "Note: see https://…" is a sentence, NAME=https://… a setting
            key = ""
            match = match if match and line[match.end() - 1] == "=" else None
        if match:
            key = match.group(1)
        # the key of an .npmrc is an address itself: //host/:_authToken=…
        rest = line[match.end() :] if match and "//" not in match.group(1) else line
        yield from by_line(file, number, line)
        opened = f"{tag} {line[: match.end()]}" if markup and match else tag
        path = f"{section}.{key}".strip(".")
        if code and key and "://" not in rest and _ADDRESS_KEY.search(path):
            rest = " ".join(_IN_QUOTES.findall(rest))
        yield from block(file, number, path, rest, before=f"{opened} {command}".strip())
        # what a backslash carries on in the next line is one command
        command = f"{command} {line[:-1]}"[-300:] if line.endswith("\\") else ""
        if markup:
            last = f"{tag} {line[-300:]}".rpartition("<")[2]
            tag = f"<{last}" if ">" not in last and len(last) < 300 else ""


def _without_long_comments(rows: list[str], *, markup: bool) -> Iterator[str]:
    """The lines of a text; those inside a comment of several lines are empty."""
    closing = "-->" if markup else "*/"
    inside = False
    for row in rows:
        if inside:
            _, end, rest = row.partition(closing)
            inside = not end
            yield rest
        elif markup and "<!--" in row and "-->" not in row.rpartition("<!--")[2]:
            inside = True
            yield row.rpartition("<!--")[0]
        elif not markup and (match := _OPENS.search(row[:LONGEST_LINE])):
            inside = True
            yield row[: match.start() + 1]
        else:
            yield row


def template_source(file: str, text: str) -> Iterator[Mention]:
    """Scan ``.cruft.json``: code comes from the template, and ``context`` lists choices not taken."""
    try:
        source = json.loads(text)["template"]
        line = next(n for n, row in enumerate(text.splitlines(), start=1) if '"template"' in row)
    except (ValueError, KeyError, TypeError, StopIteration, RecursionError):
        yield from lines(file, text)
        return
    for row in block(file, line, "template", str(source)):
        yield replace(row, component="ci", carries=(Payload.CODE,))


def block(file: str, first: int, key: str, text: str, before: str = "") -> Iterator[Mention]:
    """Scan one value that may span lines; ``first`` is the line on which it starts.

    In ``NAME=value``, as in environment lists, the name says more than the key around it. ``before`` is what stands in
    front, such as a tag that an earlier line opened.
    """
    if names_image(key, text):
        yield mention(file, first, key, text.strip(" \"',"), kind="image")
        return
    yield from by_key(file, first, key, text)
    command = before
    for offset, whole in enumerate(text.splitlines()):
        for line in _pieces(whole):
            assigned = _ASSIGNMENT.search(line)
            path = assigned.group(1) or assigned.group(2) if assigned else key
            if assigned and path != key:
                yield from by_key(file, first + offset, path, line[assigned.end() :])
            for address, kind in addresses(line, path):
                if _says_something(address):
                    at = max(0, line.find(address[:12]))
                    # in a text for people a sentence goes on after NAME=value
                    beyond = (
                        assigned
                        and is_document(file)
                        and line[assigned.end() : at].strip("\"'`<") != ""
                    )
                    row = mention(file, first + offset, key if beyond else path, address, kind=kind)
                    yield _by_command(
                        row, f"{command} {line[:at]}"[-400:], f"{command} {line[:1000]}"
                    )
        command = f"{command} {whole[-300:-1]}"[-300:] if whole.endswith("\\") else before


def _by_command(row: Mention, before: str, line: str) -> Mention:
    """What a command or a link in front of an address says: code is fetched, or a person may click."""
    if CODE_LINE.search(before) or DOWNLOAD.search(line):
        return replace(row, component="ci", carries=(Payload.CODE,))
    if LINK.search(before):
        return replace(row, component="link", carries=())
    if row.carries == (Payload.CODE,) and SENDS.search(line):
        return replace(row, component="other", carries=(Payload.METADATA,))
    return row


def _pieces(line: str) -> Iterator[str]:
    """A line, or the parts of a very long one (a minified script): no address spans a quote, a blank or a comma."""
    if len(line) <= LONGEST_LINE:
        yield line
        return
    for part in re.split(r"[\s\"',;]+", line):
        if "." in part or "://" in part:
            for start in range(0, len(part), LONGEST_LINE):
                yield part[start : start + LONGEST_LINE]


def names_image(key: str, text: str) -> bool:
    """Whether ``key`` holds a container image and ``text`` is one, not a variable or a URL."""
    value = text.strip(" \"',")
    return (
        key.rpartition(".")[2].lower() in _IMAGE_KEYS
        and len(value) < 500
        and _IMAGE.fullmatch(value) is not None
        and not value.startswith(("var.", "local.", "module.", "each.", "data."))
    )


def _says_something(address: str) -> bool:
    """``http://`` alone, as before a variable, names nobody; ``s3://`` alone names Amazon."""
    scheme, colon, rest = address.partition("://")
    if not colon:
        return not only_variable(address)
    if scheme_owner(scheme.lower()) is not None:
        return True
    host = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    host = re.sub(r":\d+$", "", host)
    return re.search(r"[a-z0-9]", host, re.I) is not None and not only_variable(host)


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
