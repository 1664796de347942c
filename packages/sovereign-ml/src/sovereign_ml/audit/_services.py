"""Services reached by a library, a command, a variable or a file: ``services.toml``.

No address is written down for them.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sovereign_ml.audit._mention import Mention
from sovereign_ml.audit._payloads import Payload, component_of, fits, plain_name

_IMPORTS: tuple[tuple[str, tuple[str, ...], re.Pattern[str]], ...] = (
    (
        "node",
        ("js", "mjs", "cjs", "ts", "jsx", "tsx", "vue", "svelte"),
        re.compile(r"(?:\bfrom|\brequire\(|\bimport\(?)\s{0,5}[\"'](@?[\w./-]{1,100})[\"']"),
    ),
    (
        "jvm",
        ("java", "kt", "kts", "scala", "groovy", "cs"),
        re.compile(r"^\s{0,8}(?:import|using)\s+(?:static\s+)?([\w.]{1,150})"),
    ),
    ("go", ("go",), re.compile(r"^\s{0,8}(?:import\s+)?(?:[\w.]+\s+)?\"([\w./-]{3,150})\"")),
    (
        "r",
        ("r", "rmd", "qmd"),
        re.compile(r"\b(?:library|require|requireNamespace|loadNamespace)\([\"']?([\w.]{2,40})"),
    ),
    ("r", ("r", "rmd", "qmd"), re.compile(r"(?<![\w.])([\w.]{2,40}):::?\w")),
    ("terraform", ("tf",), re.compile(r"^\s{0,20}provider\s+\"([\w-]+)\"")),
    ("terraform", ("tf",), re.compile(r"^\s{0,20}(?:resource|data)\s+\"([a-z0-9]+)_")),
    (
        "terraform",
        ("tf",),
        re.compile(r"^\s{0,20}source\s*=\s*\"(?:[\w.]+/)?[\w-]+/(?:[\w-]+/)?([\w-]+)\""),
    ),
    ("terraform", ("tf.json",), re.compile(r"\"provider\"\s*:\s*[\[{]+\s*\"([\w-]+)\"")),
)
_COMMAND_FILES = (
    *("*.sh", "*.bash", "*.zsh", "*.fish", "*.ps1", "*.bat", "*.cmd", "*.y*ml", "*.mk", "*.toml"),
    *(
        "Makefile",
        "makefile",
        "Justfile",
        "justfile",
        "*Dockerfile*",
        "*Containerfile*",
        "Jenkinsfile",
    ),
    *("Procfile", "crontab*", "package.json", "tox.ini", "MLproject"),
    *("*.service", "*.cron", "*/cron.d/*", "cron.d/*"),
)
# Start of a command in a line of a shell, of a systemd unit or of a crontab, with or without the
# folder of the program.
_COMMAND_START = (
    r"(?:^|[|;&(`\"'@]|\$\(|\b(?:sudo|then|do|else|RUN|run:|exec|xargs|uvx?|npx)\b"
    r"|\bExec\w{4,10}=[-@:+!]{0,2}"
    r"|^(?:[\d*][\d*/,-]{0,20}\s{1,5}){5}(?:\w{1,20}\s)?)\s{0,20}-?\s{0,5}(?:/[\w./-]{1,60}/)?"
)
# what the variable of a client ends with; an address says more than its name
_SETTING_ENDS = (
    *("_KEY", "_APIKEY", "_TOKEN", "_SECRET", "_SID", "_PAT", "_PASSWORD", "_CREDENTIALS", "_ID"),
    *("_WEBHOOK", "_PROJECT", "_ENTITY", "_WORKSPACE", "_ACCOUNT", "_CONNECTION_STRING", "_ENV"),
    *("_SERVICE", "_TRACING", "_HTTP_PATH", "_DATABASE", "_USER", "_ROLE", "_WAREHOUSE"),
)
_ENDPOINT_WORDS = {
    *("endpoint", "endpoint_url", "base_url", "api_base", "api_host", "host", "server_url", "url"),
    *("dsn", "account_url", "client_options", "api_endpoint", "base_path", "instance_url", "site"),
    *("endpoint_override", "client_kwargs", "server"),
}
_NO_VALUE = ("", '""', "''", "null", "none", "~", "false", "changeme")


@dataclass(frozen=True, slots=True)
class Service:
    """One row of the table: destination, payloads, and the words by which it is called."""

    address: str
    carries: tuple[Payload, ...]
    words: dict[str, tuple[str, ...]]
    commands: re.Pattern[str] | None
    endpoint: re.Pattern[str] | None


@cache
def services() -> tuple[Service, ...]:
    """Return every row of ``services.toml``."""
    path = Path(__file__).with_name("services.toml")
    return tuple(
        _service(row) for row in tomllib.loads(path.read_text(encoding="utf-8"))["service"]
    )


def _service(row: dict[str, Any]) -> Service:
    kinds = ("python", "node", "jvm", "go", "r", "terraform", "settings", "files", "on_import")
    commands = "|".join(row.get("commands", ()))
    return Service(
        address=row["address"],
        carries=tuple(Payload(word) for word in row["carries"]),
        words={kind: tuple(row.get(kind, ())) for kind in kinds},
        commands=re.compile(f"{_COMMAND_START}(?:{commands})") if commands else None,
        endpoint=re.compile(row["endpoint"]) if "endpoint" in row else None,
    )


@cache
def _index(kind: str) -> dict[str, Service]:
    return {word: service for service in services() for word in service.words[kind]}


@cache
def _any_command() -> re.Pattern[str]:
    """Return the first words of all commands. They rule out most lines at once."""
    return re.compile("|".join(row.commands.pattern for row in services() if row.commands))


def mention_of(file: str, line: int, key: str, word: str, service: Service) -> Mention:
    """Return the mention of a service by ``word``.

    Where the file names another endpoint, the word means nothing.
    """
    component = component_of(service.carries)
    carries = service.carries
    return Mention(
        file,
        line,
        key,
        service.address,
        "name",
        component,
        carries,
        word=word,
        unless=service.endpoint,
    )


def by_package(kind: str, name: str) -> Service | None:
    """Return the service whose package ``name`` is, or lies below.

    ``@aws-sdk/`` and ``Azure.`` are whole scopes.
    """
    index = _index(kind)
    if kind == "terraform":
        return index.get(name)
    separators = "." if kind in ("python", "jvm") else "./" if kind == "node" else "/"
    for end in [len(name), *(at for at in range(len(name) - 1, 0, -1) if name[at] in separators)]:
        for start in (name[:end], name[: end + 1]):
            if start in index:
                return index[start]
    # go and jvm packages carry a version or a name glued to the start: aws-sdk-go-v2
    if kind in ("go", "jvm", "python"):
        glued = (word for word in index if word[-1] in "_/-" or kind == "go")
        return next((index[word] for word in glued if name.startswith(word)), None)
    return None


def by_text(file: str, text: str) -> Iterator[Mention]:
    """Yield the services of a file, from imports, provider blocks, commands and its own purpose."""
    name = file.rpartition("/")[2]
    for word, owner in _index("files").items():
        if fits(file, word):
            yield mention_of(file, 1, "file", name, owner)
    lower = plain_name(name).lower()
    rules = [
        (kind, pattern)
        for kind, endings, pattern in _IMPORTS
        if lower.endswith(tuple(f".{ending}" for ending in endings))
    ]
    commands = any(fits(file, pattern) for pattern in _COMMAND_FILES)
    if not rules and not commands:
        return
    for number, line in enumerate(text.splitlines(), start=1):
        # a line of a crontab may begin with a star
        if len(line) > 2000 or line.lstrip().startswith(
            ("#", "//", "--", "*")[: 4 if rules else 3]
        ):
            continue
        for kind, pattern in rules:
            for match in pattern.finditer(line):
                imported = by_package(kind, match.group(1))
                if imported is not None:
                    yield mention_of(file, number, kind, match.group().strip(" \"'"), imported)
        if commands and _any_command().search(line) and "--endpoint" not in line:
            for service in services():
                if service.commands and (hit := service.commands.search(line)):
                    word = hit.group().strip(" -\"'@$(;|&`")
                    yield mention_of(file, number, "command", word, service)


def by_setting(file: str, line: int, key: str, value: str) -> Iterator[Mention]:
    """Yield the service whose variable, such as ``OPENAI_API_KEY``, has a value."""
    name = key.rpartition(".")[2]
    if not name.isupper() or len(name) > 80 or value.strip().lower() in _NO_VALUE:
        return
    if not name.endswith(_SETTING_ENDS):
        return
    words = name.lower().split("_")
    for start in range(min(2, len(words))):  # AIRFLOW_OPENAI_API_KEY has a word of its own in front
        for end in range(min(start + 3, len(words) - 1), start, -1):
            service = _index("settings").get("_".join(words[start:end]))
            if service is not None:
                yield mention_of(file, line, name, name, service)
                return


def by_imports(
    file: str, nodes: Iterable[ast.AST], calls: Iterable[tuple[ast.Call, str]]
) -> Iterator[Mention]:
    """Yield the services that a module calls by a library.

    A service is left out if one of these calls names an endpoint.
    """
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if service := _index("on_import").get(alias.name):
                    yield mention_of(file, node.lineno, alias.name, f"import {alias.name}", service)
    first_calls: dict[str, tuple[int, str, Service]] = {}
    elsewhere: set[str] = set()
    for call, dotted in calls:
        service = by_package("python", dotted)
        last = dotted.rpartition(".")[2]
        if service is None or last.endswith(("Error", "Exception", "Warning")):
            continue
        if any(word.arg in _ENDPOINT_WORDS for word in call.keywords):
            elsewhere.add(service.address)
        first_calls.setdefault(service.address, (call.lineno, dotted, service))
    for address, (line, dotted, service) in first_calls.items():
        if address not in elsewhere:
            yield mention_of(file, line, dotted, f"{dotted}()", service)
