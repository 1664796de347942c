"""Addresses in one line: URLs and known providers' hosts.

Other hosts count only where a key announces one.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Iterator

from sovereign_ml.audit._normalise import normalise, only_variable
from sovereign_ml.jurisdictions import country_codes, parse
from sovereign_ml.jurisdictions._table import look_up

_SCHEME = re.compile(r"(?:[a-z][a-z0-9+]{1,20}:)?(?<![a-z0-9+])[a-z][a-z0-9+-]{0,30}$", re.I)
_LONGEST_SCHEME = 52
_REST = re.compile(
    r"(?:[^\s\"'<>`\\|{}()\[\],;@/]*@)?(?:\[[0-9a-f:.%]{2,45}\]"
    r"(?::\d+)?)?[^\s\"'<>`\\|{}()\[\],;]*",
    re.I,
)
_INNER = re.compile(r"[=?&/](https?://[^\s&]+)", re.I)
_SHORT = re.compile(r"(?<![\w/.-])(?:gh|gl|bb|dbfs|databricks-uc):[\w/][\w./-]*")
_SCP = re.compile(r"(?<![\w./-])[\w.-]{1,64}@[\w-]++(?:\.[\w-]++)++:(?!\d+\b)[\w./~-]+")
_HOST = re.compile(
    r"(?<![\w@/.-])\.*+((?:[a-z0-9_-]++\.)++[a-z0-9_-]++(?::\d++)?+)(?![\w@(-])", re.I
)
_NO_SCHEME = re.compile(r"(?<![\w:/.])//((?:[a-z0-9_-]++\.)++[a-z]{2,20}\b[^\s\"'<>`]*)", re.I)
ADDRESS_KEY = re.compile(
    r"(^|[._\s-]|PG|DB|MYSQL|REDIS|MONGO|SMTP)(host|hostname|hosts|hostaddr|allowed_hosts|endpoint"
    r"|endpoint_?url"
    r"|endpoint_?override|url|uri|server|servers|registry|broker|brokers|bootstrap_servers"
    r"|connection_string|external_?name)$"
    r"|[a-z](Host|Hostname|Endpoint|Server|Broker|Proxy)$|(?<!no)[._]proxy$|^proxy$"
    r"|\bproxies\.\w+$",
    re.I,
)
# under these only a number is an address: a name there is a setting of the network itself
_NUMBER_KEY = re.compile(
    r"(^|[._\s-])(extra_hosts|dns|nameservers?|cidr|external_?ips?"
    r"|(?:addresses|endpoints)[.]ips?)$",
    re.I,
)
# libpq, ODBC and JDBC write keys into a text, and command lines have options
_INNER_KEY = re.compile(
    r"(?:^|[\s;\"'(,&?]|\.proxy)(?:host(?:addr|name)?|server|data source"
    r"|bootstrap[._]servers)(?:\s{0,3}=\s{0,3}|\s{1,3}(?='))"
    r"[\"']?(?:tcp:)?([\w.-]{1,253}(?::\d{2,5})?)(?![\w.(\[])"
    r"|\s(?:-h|--(?:[\w-]{1,30}-)?(?:host|hostname|server|endpoint|broker"
    r"|bootstrap-servers?))[=\s]\s{0,3}[\"']?"
    r"([\w.-]{1,253}(?::\d{2,5})?)(?![\w.(\[])",
    re.I,
)
# programs that open a connection to a host and a port, or to a number
_OPENS = re.compile(
    r"\b(?:nc|ncat|netcat|telnet)\s(?:\s{0,3}-[\w-]{1,20}(?:[\s=]\d{1,6})?\s){0,8}\s{0,5}"
    r"([\w.-]{4,253})\s{1,5}\d{1,5}\b"
    r"|jdbc:oracle:\w{1,10}:[^@\s]{0,100}@(?://)?([\w.-]{4,253})(?=[:/])"
    r"|/dev/(?:tcp|udp)/([\w.:-]{4,253})/"
    r"|\b(?:TCP|UDP|OPENSSL|SSL|SOCKS4A?|PROXY)[46]?(?:-CONNECT)?:([\w.-]{4,253}):\d"
    r"|\s@@([\w.-]{4,253})(?=[:;\s]|$)|\s-connect\s{1,3}([\w.-]{4,253}):\d"
    r"|\b(?:ssh|sftp|sshfs|autossh)\s[^|;&]{0,150}?[\w.-]{1,64}@([\w.-]{4,253})(?![\w.@-])"
    r"|\b(?:ftp|lftp|sftp|tftp|smbclient|rsh)\s(?:-\S{1,20}\s){0,5}(?://)?([\w.-]{4,253})(?=[\s/:]"
    r"|$)"
    r"|\b(?:curl|wget|https?)\s(?:[^|;&]{0,300}\s)?[\"']?((?:\d{1,3}\.){3}\d{1,3})(?=[:/\s\"']|$)"
)
# an address of rclone that needs no configuration: :s3,provider=AWS,env_auth:bucket/key
_RCLONE = re.compile(
    r"(?<![\w:/.]):(s3|gcs|azureblob|azurefiles|b2|drive|gphotos|dropbox|onedrive|box|mega|pcloud"
    r"|sharefile)"
    r"((?:,\w{1,40}(?:=(?:\"[^\"]{0,200}\"|'[^']{0,200}'"
    r"|[^\s,:'\"]{0,200}))?){0,20}):(?=[\w/{$<.-]|[\"'\s]|$)"
)
_REMOTES = {
    "s3": "s3://",
    "gcs": "gs://",
    "azureblob": "az://",
    "azurefiles": "az://",
    "b2": "https://backblazeb2.com/",
    "drive": "https://drive.google.com/",
    "gphotos": "https://photos.google.com/",
    "dropbox": "https://dropbox.com/",
    "onedrive": "https://onedrive.live.com/",
    "box": "https://box.com/",
    "mega": "https://mega.nz/",
    "pcloud": "https://pcloud.com/",
    "sharefile": "https://sharefile.com/",
}
_OWN_ENDPOINT = re.compile(
    r"(?i)\b(?:endpoint=|provider=[\"']?(?!aws\b|other\b|[\"']|,|$)\w|env_endpoint)"
)
_NAMED = re.compile(
    r"(?:[a-z0-9_-]{1,63}\.){1,10}[a-z0-9_-]{1,63}(:\d+)?|[a-z0-9_-]{1,63}:\d{2,5}", re.I
)
_NUMBER = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?=(?:/\d{1,2})?(?![\w./]))")
_EXPRESSION = re.compile(
    r"(module|var|local|each|data|secrets|steps|vars|matrix|env|github|needs|inputs|self|os|this"
    r"|values|params"
    r"|settings|config|cfg|conf|args|kwargs|context|ctx|opts|options|props|app|outputs|resource"
    r"|resources|request"
    r"|response|window|document|process|import|cls)\.",
    re.I,
)
_FILE_NAME = re.compile(
    r"\.(py|toml|ya?ml|json|md|txt|csv|lock|cfg|ini|sh|html|parquet|db|gz|pem|sock|key|log|ipynb"
    r"|js|css)$"
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
_ENCODED = re.compile(r"(?<![\w+/=-])[A-Za-z0-9+/_-]{16,4000}={0,2}(?![\w+/=-])")
LONGEST_LINE = 5_000
"""Number of characters of a line that are searched at once.

A longer line is cut at blanks, quotes and commas.
"""


def addresses(text: str, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield ``(address, kind)`` of everything in ``text`` that is, or may be, an address.

    Addresses within this project are left out.
    """
    text = normalise(_decoded(text))
    if ":" in text:
        text = _RCLONE.sub(_remote, text)
    spans: list[tuple[int, int]] = []
    yield from _urls(text, spans)
    for pattern in (_SHORT, _SCP) if ":" in text else ():
        for match in pattern.finditer(text):
            if not _inside(match.start(), spans):
                spans.append(match.span())
                yield match.group().rstrip(".:"), "url"
    yield from _known_hosts(text, spans)
    if not spans:
        yield from ((host, "host") for host in _announced(text[:LONGEST_LINE], key))


def _announced(text: str, key: str) -> Iterator[str]:
    """Yield hosts known by their place alone: under a key, behind an option or a program."""
    if _NUMBER_KEY.search(key):
        yield from _NUMBER.findall(text)
        return
    if ADDRESS_KEY.search(key):
        yield from _named_hosts(text)
    elif "=" in text or "-h" in text or "'" in text:
        for match in _INNER_KEY.finditer(text):
            yield from _named_hosts(match[1] or match[2])
    for match in _OPENS.finditer(text):
        yield from _named_hosts(next(group for group in match.groups() if group))


def _decoded(text: str) -> str:
    """Return the text and the address behind base64 in it, as in a Kubernetes Secret."""
    hidden = []
    for match in _ENCODED.finditer(text):
        word = match.group().replace("-", "+").replace("_", "/")
        try:
            plain = base64.b64decode(word + "=" * (-len(word) % 4), validate=True).decode("ascii")
        except ValueError:
            continue
        plain = plain.strip()
        host = re.split(r"[^\w.-]", plain.lower(), maxsplit=1)[0]
        if plain.isprintable() and "://" in plain:
            hidden.append(plain)
        elif plain.isprintable() and look_up(host):
            hidden.append(host)
    return " ".join([text, *hidden]) if hidden else text


def _remote(match: re.Match[str]) -> str:
    """Return the destination of an rclone address.

    Where the address names an endpoint, it is returned itself.
    """
    remote = match.group(1)
    if remote == "s3" and _OWN_ENDPOINT.search(match.group(2)):
        return match.group()
    return f" {_REMOTES[remote]}"


def _urls(text: str, spans: list[tuple[int, int]]) -> Iterator[tuple[str, str]]:
    """Yield URLs, found by their ``://``. Text in front of the scheme does not hide them."""
    at = text.find("://")
    while at >= 0:
        before = text[max(0, at - _LONGEST_SCHEME) : at]
        scheme = _SCHEME.search(before)
        rest = _REST.match(text, at + 3)
        end = rest.end() if rest else at + 3
        if scheme:
            start = at - len(scheme.group())
            # a bare scheme, as code tests for, is no address yet
            if end > at + 3 and not _inside(start, spans):
                spans.append((start, end))
                yield text[start:end].rstrip(".:"), "url"
                yield from _nested(text[at + 3 : end])
        at = text.find("://", max(end, at + 3))


def _nested(rest: str) -> Iterator[tuple[str, str]]:
    """Yield an address inside another, as in ``?next=https://…``.

    The first one decides where a request goes next.
    """
    match = _INNER.search(rest[:2000])
    if match and look_up(parse(match.group(1)).host) is not None:
        yield match.group(1).rstrip(".:"), "url"


def _known_hosts(text: str, spans: list[tuple[int, int]]) -> Iterator[tuple[str, str]]:
    if "." not in text:
        return
    for match in _NO_SCHEME.finditer(text) if "//" in text else ():
        host = match.group(1).partition("/")[0].lower()
        if not _inside(match.start(), spans) and look_up(host.partition(":")[0]) is not None:
            spans.append(match.span())
            yield match.group(), "url"
    for match in _HOST.finditer(text):
        host = match.group(1).partition(":")[0].lower()
        if look_up(host) is not None and not _inside(match.start(1), spans):
            spans.append(match.span(1))
            yield match.group(1), "host"


def _inside(position: int, spans: list[tuple[int, int]]) -> bool:
    # the spans grow to the right within each pattern, so the last ones decide almost always
    return any(start <= position < end for start, end in reversed(spans))


def _named_hosts(text: str) -> Iterator[str]:
    """Yield values under a key such as ``endpoint`` that look like a host.

    They are ``name.tld``, ``name:port`` or an IPv4 address. An expression
    (``module.redis.endpoint``) and a dotted Python path are none, because their last word is no
    top-level domain.
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
