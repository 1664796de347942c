"""Providers named by a type, a block or a client instead of a host: rules of ``words.toml``."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from sovereign_ml.audit._mention import Mention
from sovereign_ml.audit._normalise import VARIABLE, normalise
from sovereign_ml.audit._payloads import Payload, component_of, fits, is_document
from sovereign_ml.audit._services import by_imports, by_setting

_ARN = re.compile(r"\barn:(aws[\w-]{0,10}):([\w-]{1,40}):([\w-]{0,30}):[^\s\"',;)]{0,300}")


@dataclass(frozen=True, slots=True)
class _Rule:
    files: str
    key: re.Pattern[str] | None
    key_full: re.Pattern[str] | None
    pattern: re.Pattern[str] | None
    words: tuple[tuple[str, str], ...]
    stands_for: str
    unless: Any
    names: tuple[str, ...]
    first: tuple[tuple[str, str], ...]
    carries: tuple[Payload, ...]


@cache
def _rules(kind: str) -> tuple[_Rule, ...]:
    path = Path(__file__).with_name("words.toml")
    return tuple(_rule(row) for row in tomllib.loads(path.read_text(encoding="utf-8"))[kind])


@lru_cache(maxsize=4096)
def _rules_for(kind: str, name: str) -> tuple[_Rule, ...]:
    """Return the rules for a file of this name."""
    rules = _rules(kind)
    return tuple(
        rule for rule in rules if any(fits(name, pattern) for pattern in rule.files.split("|"))
    )


def _rule(row: dict[str, Any]) -> _Rule:
    unless = row.get("unless", "")
    return _Rule(
        files=row.get("files", "*"),
        key=re.compile(rf"({row['key']})", re.IGNORECASE) if "key" in row else None,
        key_full=re.compile(row["key_full"]) if "key_full" in row else None,
        pattern=re.compile(row["pattern"]) if "pattern" in row else None,
        words=tuple(row.get("words", {}).items()),
        stands_for=row.get("stands_for", ""),
        unless=re.compile(unless) if isinstance(unless, str) and unless else tuple(unless),
        names=tuple(row.get("names", ())),
        first=tuple(row.get("first", {}).items()),
        carries=tuple(Payload(word) for word in row["carries"]),
    )


def _named(
    file: str,
    line: int,
    key: str,
    word: str,
    address: str,
    carries: tuple[Payload, ...],
    unless: Any = None,
) -> Mention:
    component = component_of(carries)
    unless = unless if isinstance(unless, re.Pattern) else None
    return Mention(file, line, key, address, "name", component, carries, word=word, unless=unless)


def by_key(file: str, line: int, key: str, value: str) -> Iterator[Mention]:
    """Yield the providers that ``key = value`` names by a word."""
    if is_document(file):
        return
    word = value.strip(" \t\"',;").rstrip(")\"' ")
    last = key.rpartition(".")[2]
    if not word or len(word) > 300 or "\n" in word:
        return
    for arn in _ARN.finditer(word) if word.startswith("arn:") else ():
        yield from _arn(file, line, key, arn)
    yield from by_setting(file, line, key, word)
    plain = normalise(word)
    if plain in ("", VARIABLE, "null", "none", "~") or "://" in plain:
        return
    for rule in _rules_for("key", _name(file)):
        if rule.key is None or not rule.key.fullmatch(last):
            continue
        if rule.key_full and not rule.key_full.search(key):
            continue
        address = next((to for mask, to in rule.words if fnmatch(plain.lower(), mask)), "")
        if not address and rule.pattern and rule.pattern.search(plain):
            address = rule.stands_for
        if address:
            label = f"{last}: {word}" if rule.words else last
            yield _named(file, line, key, label, address, rule.carries, rule.unless)
            return


def by_line(file: str, number: int, line: str) -> Iterator[Mention]:
    """Yield the providers that a line of Terraform, or an ARN anywhere, names."""
    if is_document(file):
        return
    if "arn:aws" in line and len(line) < 20_000:
        for arn in _ARN.finditer(line):
            # The value of a key is reported with its key, by `by_key`.
            if not line[: arn.start()].rstrip(" \"'").endswith((":", "=")):
                yield from _arn(file, number, "", arn)
    for rule in _rules_for("line", _name(file)):
        match = rule.pattern.search(line[:300]) if rule.pattern else None
        if match is None:
            continue
        word = match.group().strip()
        yield _named(file, number, "line", word, rule.stands_for, rule.carries, rule.unless)
        return


def _arn(file: str, line: int, key: str, match: re.Match[str]) -> Iterator[Mention]:
    partition, service, region = match.groups()
    # Such an ARN names a role, and no place where data lies.
    if service in ("iam", "sts"):
        return
    suffix = "amazonaws.eu" if partition == "aws-eusc" else "amazonaws.com"
    host = ".".join(part for part in (service, region, suffix) if part)
    carries = (Payload.PERSONAL_DATA, Payload.MODEL, Payload.METADATA)
    yield _named(file, line, key, match.group(), f"https://{host}", carries)


def python_calls(file: str, tree: ast.AST) -> Iterator[Mention]:
    """Yield the clients that a module opens without naming an endpoint."""
    nodes = list(ast.walk(tree))
    names = _imported(nodes)
    calls = [(node, _dotted(node.func, names)) for node in nodes if isinstance(node, ast.Call)]
    rest = []
    for node, name in _variables(nodes):
        yield from by_setting(file, node.lineno, name, "read")
    for node, dotted in calls:
        rule = _call_rule(dotted)
        if rule is not None:
            yield from _call(file, node, dotted, rule)
        elif dotted:
            rest.append((node, dotted))
    yield from by_imports(file, nodes, rest)


def _variables(nodes: list[ast.AST]) -> Iterator[tuple[Any, str]]:
    """Yield each variable that code reads.

    It is read by ``os.environ["NAME"]``, ``os.environ.get("NAME")`` or ``os.getenv("NAME")``.
    """
    for node in nodes:
        at = node.slice if isinstance(node, ast.Subscript) else None
        at = node.args[0] if isinstance(node, ast.Call) and node.args else at
        if not isinstance(at, ast.Constant) or not isinstance(at.value, str):
            continue
        reader = ast.unparse(getattr(node, "func", getattr(node, "value", at)))
        if reader in _ENVIRONMENT_READERS:
            yield node, at.value


_ENVIRONMENT_READERS = (
    "os.environ",
    "environ",
    "os.getenv",
    "getenv",
    "os.environ.get",
    "environ.get",
)


def _imported(nodes: list[ast.AST]) -> dict[str, str]:
    """Return the full dotted name of each imported name."""
    names: dict[str, str] = {}
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]
                names[alias.asname or first] = alias.name if alias.asname else first
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    # a session that is given a name is followed to its clients
    for node in nodes:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            dotted = _dotted(node.value.func, names)
            if dotted.endswith(_SESSIONS) and isinstance(node.targets[0], ast.Name | ast.Attribute):
                names.setdefault(ast.unparse(node.targets[0]), dotted)
    return names


_SESSIONS = ("boto3.Session", "boto3.session.Session", ".get_session")


@cache
def _call_rule(dotted: str) -> _Rule | None:
    rules = _rules("call") if dotted else ()
    fits = (rule for rule in rules if any(fnmatch(dotted, pattern) for pattern in rule.names))
    return next(fits, None)


def _call(file: str, node: ast.Call, dotted: str, rule: _Rule) -> Iterator[Mention]:
    keywords = {word.arg for word in node.keywords}
    if None in keywords or any(word in keywords for word in rule.unless):
        return
    first = node.args[0] if node.args else next((word.value for word in node.keywords), None)
    value = first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else ""
    if rule.pattern and not rule.pattern.search(value):
        return
    address = dict(rule.first).get(value, rule.stands_for)
    if address:
        word = f'{dotted}("{value}")' if value and rule.first else f"{dotted}()"
        yield _named(file, node.lineno, dotted, word, address, rule.carries)


def _dotted(node: ast.AST, names: dict[str, str]) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        if parts and isinstance(node.value, ast.Name) and f"{node.value.id}.{node.attr}" in names:
            # a session that an object keeps: self.session.client("s3")
            return ".".join([names[f"{node.value.id}.{node.attr}"], *reversed(parts)])
        parts.append(node.attr)
        node = node.value
    if isinstance(node, ast.Call):  # boto3.Session().client("s3")
        inner = _dotted(node.func, names)
        return ".".join([inner, *reversed(parts)]) if inner.endswith(_SESSIONS) else ""
    if not isinstance(node, ast.Name) or node.id not in names:
        return f"?.{parts[0]}" if parts and parts[0] in ("push_to_hub", "to_gbq", "format") else ""
    return ".".join([names[node.id], *reversed(parts)])


def _name(file: str) -> str:
    return file.rpartition("/")[2]
