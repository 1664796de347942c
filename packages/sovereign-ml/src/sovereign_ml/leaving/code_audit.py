"""Find where code uses SageMaker or boto3, by file and line, and say what replaces each use."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

from sovereign_ml.errors import Misuse

_SKIPPED = {
    *(".git", ".venv", "venv", "node_modules", "__pycache__", ".ipynb_checkpoints", ".tox"),
    *(".mypy_cache", ".pytest_cache", ".ruff_cache"),
}
_DOCUMENTS = ("*.md", "*.rst", "*.adoc", "*.txt", "*.csv", "*.jsonl", "*.parquet", "*.html")
_LARGEST = 5_000_000
"""Largest size of a file in bytes. Larger files are data, not code."""
_CLIENT = re.compile(
    r"(?:(?:boto3|botocore|aioboto3|aiobotocore)\b.*|sagemaker\b.*\.boto_session)"
    r"\.(?:client|resource|create_client)"
)
_OF_SESSION = {
    "sagemaker_client": "sagemaker",
    "sagemaker_runtime_client": "sagemaker-runtime",
    "sagemaker_featurestore_runtime_client": "sagemaker-featurestore-runtime",
    "sagemaker_metrics_client": "sagemaker-metrics",
}
"""Clients of boto3 that are attributes of a session of the SDK."""
_WAITED = re.compile(r"(\w+?)_(?:in_service|stopped|deleted|completed_or_stopped|created|updated)")
"""Names of waiters, such as ``endpoint_in_service``."""
_SDK = re.compile(r"sagemaker\b|sagemaker_|smexperiments|smdebug|smclarify")


@dataclass(frozen=True, eq=False)
class CodeRule:
    """One kind of use. The head of ``code_rules.toml`` explains its patterns."""

    id: str
    what: str
    names: Sequence[str] = ()
    methods: Sequence[str] = ()
    operations: Sequence[str] = ()
    services: Sequence[str] = ()
    text: str = ""
    files: Sequence[str] = ()
    replaced_by: str = ""
    instead: str = ""


@dataclass(frozen=True, order=True)
class CodeUse:
    """A use of SageMaker or boto3. ``seen`` is the name in the code, never its value."""

    file: str
    line: int
    rule: str
    seen: str


@dataclass
class CodeAudit:
    """Every use, the number of files that were read, and the reason for each that was not."""

    uses: list[CodeUse] = field(default_factory=list)
    files: int = 0
    not_read: dict[str, str] = field(default_factory=dict)


@cache
def rules() -> tuple[CodeRule, ...]:
    """Return the rules of ``code_rules.toml``."""
    path = Path(__file__).with_name("code_rules.toml")
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    return tuple(CodeRule(**row) for row in table["rule"])


def audit_code(root: Path) -> CodeAudit:
    """Return every use in the files below ``root``. Raises Misuse if there is no file."""
    if not root.is_dir():
        raise Misuse(f"{root} is no folder: name the folder of the code that runs on SageMaker.")
    result = CodeAudit()
    for path in sorted(_files(root)):
        name = path.relative_to(root).as_posix()
        text = _text(path)
        if text is None:
            result.not_read[name] = "binary, a link, or over 5 MB"
            continue
        uses = uses_in(name, text)
        if uses is None:
            result.not_read[name] = "a document or a table"
            continue
        result.files += 1
        result.uses += uses
    if not result.files:
        raise Misuse(f"{root} holds no file of code: name the folder of the code.")
    return result


def _files(folder: Path) -> Iterator[Path]:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            if entry.name not in _SKIPPED:
                yield from _files(entry)
        else:
            yield entry


def _text(path: Path) -> str | None:
    if path.is_symlink() or not path.is_file() or path.stat().st_size > _LARGEST:
        return None
    data = path.read_bytes()
    return None if b"\0" in data[:8000] else data.decode("utf-8", "replace")


def uses_in(file: str, text: str) -> list[CodeUse] | None:
    """Return the uses in a file by its name, or None for a document, in which nothing runs."""
    name = file.rpartition("/")[2]
    declared = {row for row in rules() if any(fnmatchcase(name, mask) for mask in row.files)}
    if any(fnmatchcase(name.lower(), mask) for mask in _DOCUMENTS) and not declared:
        return None
    if name.endswith(".ipynb"):
        uses = _notebook(text)
    elif name.endswith((".py", ".pyi")):
        uses = _python(text)
    else:
        uses = _lines(text, declared)
    if uses is None:
        # A file that does not parse, such as one with conflict markers, is read line by line.
        uses = [*_lines(text, declared), *_imports_by_line(text)]
    if name == "setup.py":
        uses = [*uses, *_lines(text, declared)]
    return sorted({CodeUse(file, line, rule.id, name_in_code) for line, rule, name_in_code in uses})


Found = list[tuple[int, CodeRule, str]]


def _lines(text: str, declared: set[CodeRule]) -> Found:
    uses = []
    for number, line in enumerate(text.split("\n"), 1):
        # Very long lines are minified code or data.
        if not line.lstrip().startswith(("#", "//")) and len(line) < 20_000:
            uses += [(number, rule, code) for rule, code in _in_text(line, declared)]
    return uses


def _in_text(text: str, declared: set[CodeRule]) -> Iterator[tuple[CodeRule, str]]:
    for rule in rules():
        if rule.text and (not rule.files or rule in declared):
            for match in re.finditer(rule.text, text):
                code = re.sub(r"\d{12}", "<account>", match.group().strip(" \"'-"))[:80]
                operation = code.rpartition(" ")[2].replace("-", "_") if rule.id == "C20" else ""
                yield _rule_of_operation(operation) or rule, code


def _imports_by_line(text: str) -> Found:
    uses = []
    for number, line in enumerate(text.split("\n"), 1):
        if match := re.match(r"\s*(?:from|import)\s+([\w.]+)", line):
            rule = _rule_of_name(match[1])
            uses += [(number, rule, match[1])] if rule else []
    return uses


def _notebook(text: str) -> Found | None:
    """Return the uses in the code cells, at the lines of the .ipynb file. Cells share names."""
    try:
        cells = json.loads(text)["cells"]
        # Python ends a line at a lone \r too, and its numbers count these lines.
        sources = [
            re.sub(r"\r\n?", "\n", "".join(c["source"])) for c in cells if c["cell_type"] == "code"
        ]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    raw, placed, names, start = text.split("\n"), Found(), dict[str, str](), 0
    for source in sources:
        # Magics and shell commands are no Python.
        plain = re.sub(r"(?m)^(\s*)[!%?].*$", r"\1pass", source)
        rows = source.split("\n")
        parsed = _python(plain, names)
        shell = [row if re.match(r"\s*[!%]", row) or parsed is None else "" for row in rows]
        # A cell that parses and uses nothing may still have the words in a text.
        uses = _imports_by_line(source) if parsed is None else list(parsed)
        uses += _lines("\n".join(shell), set())
        for line, rule, code in sorted(uses, key=lambda use: use[0]):
            written = json.dumps(rows[line - 1], ensure_ascii=False)[1:-1]
            at = next((n for n in range(start, len(raw)) if written in raw[n]), start)
            placed.append((at + 1, rule, code))
            start = at
    return placed


def _python(text: str, names: dict[str, str] | None = None) -> Found | None:
    """Return the uses in Python, or None if it does not parse. ``names`` are bound already."""
    try:
        tree = ast.parse(text)
        reader = _Reader({} if names is None else names)
        # Twice, because a function may use a name that is bound further below.
        for _ in range(2):
            reader.uses.clear()
            reader.visit(tree)
        return reader.uses
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


class _Reader(ast.NodeVisitor):
    """Visitor that resolves imports and assignments to full names, as ``aws:sagemaker.search``."""

    def __init__(self, names: dict[str, str]) -> None:
        self._names = names
        self.uses: Found = []

    def _add(self, node: ast.AST, name: str) -> None:
        if rule := _rule_of_name(name):
            code = name.removeprefix("aws:").replace("()", "")
            self.uses.append((getattr(node, "lineno", 1), rule, code))

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            first = alias.name.partition(".")[0]
            self._names[alias.asname or first] = alias.name if alias.asname else first
            self._add(node, alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.level:
            return
        for alias in node.names:
            name = f"{node.module}.{alias.name}"
            self._names[alias.asname or alias.name] = name
            self._add(node, name)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.generic_visit(node)
        name = self._full(node.value)
        for target in node.targets:
            self._bind(target, name)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.generic_visit(node)
        self._bind(node.target, self._full(node.value) if node.value else "")

    def visit_withitem(self, node: ast.withitem) -> None:
        self.generic_visit(node)
        if node.optional_vars is not None:
            self._bind(node.optional_vars, self._full(node.context_expr))

    def _bind(self, target: ast.AST, name: str) -> None:
        if name and isinstance(target, ast.Name | ast.Attribute):
            self._names[ast.unparse(target)] = name

    def visit_Attribute(self, node: ast.Attribute) -> None:
        name = self._full(node)
        if name:
            self._add(node, name)
        elif rule := _rule_of_operation(node.attr) if node.attr.count("_") > 1 else None:
            # A client may come as an argument: three words identify an operation well enough.
            self.uses.append((node.lineno, rule, node.attr))
        inner: ast.AST = node
        while isinstance(inner, ast.Attribute):
            inner = inner.value
        if not isinstance(inner, ast.Name):
            self.visit(inner)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load) and (name := self._full(node)):
            self._add(node, name)

    def visit_Call(self, node: ast.Call) -> None:
        name = self._full(node)
        if name.startswith("aws:"):
            self._add(node, name)
            for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
                self.visit(argument)
        else:
            self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        # A docstring runs nothing.
        if not isinstance(node.value, ast.Constant):
            self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self.uses += [(node.lineno, rule, code) for rule, code in _in_text(node.value, set())]

    def _full(self, node: ast.AST) -> str:
        """Return the full name of an expression of SageMaker's SDK or boto3, else ""."""
        if isinstance(node, ast.Name):
            return self._names.get(node.id, "")
        if isinstance(node, ast.Attribute):
            return self._names.get(ast.unparse(node)) or self._member(node)
        if isinstance(node, ast.Call):
            return self._called(node, self._full(node.func))
        return self._full(node.value) if isinstance(node, ast.Await) else ""

    def _member(self, node: ast.Attribute) -> str:
        name = self._full(node.value)
        if name.startswith("sagemaker") and node.attr in _OF_SESSION:
            return f"aws:{_OF_SESSION[node.attr]}"
        return f"{name}.{node.attr}" if name else ""

    def _called(self, node: ast.Call, name: str) -> str:
        """Return the name of the result of a call of ``name``: a client, or an object."""
        if _CLIENT.fullmatch(name):
            return f"aws:{_service(node)}"
        if not name.startswith("aws:"):
            return f"{name}()" if name else ""
        client, _, method = name.rpartition(".")
        if method in ("get_paginator", "get_waiter"):
            operation = _WAITED.sub(r"describe_\1", _first_text(node))
            return f"{client}.{operation}"
        return name


def _service(call: ast.Call) -> str:
    named = [k.value for k in call.keywords if k.arg == "service_name"]
    return _first_text(call, named) or "a service that is not written down"


def _first_text(call: ast.Call, more: list[ast.expr] | None = None) -> str:
    for node in [*call.args[:1], *(more or ())]:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value
    return ""


def _rule_of_name(name: str) -> CodeRule | None:
    """Return the rule of a full name, or None if it names nothing of AWS."""
    if name.startswith("aws:"):
        service, _, operation = name.removeprefix("aws:").partition(".")
        return _rule_of_client(service, operation)
    if _SDK.match(name) and "()." in name:
        method = name.rpartition(".")[2]
        if rule := next((rule for rule in rules() if method in rule.methods), None):
            return rule
    plain = name.replace("()", "")
    if plain == "sagemaker":
        return _by_id()["C14"]
    # The rule with the longest name is the most specific one.
    best: tuple[int, CodeRule] | None = None
    for rule in rules():
        for start in rule.names:
            if (plain == start or plain.startswith(f"{start}.")) and len(start) > (best or (0,))[0]:
                best = (len(start), rule)
    return best[1] if best else None


def _rule_of_client(service: str, operation: str) -> CodeRule:
    named = _by_id()
    if not service.startswith(("sagemaker", "runtime.sagemaker")):
        return named["C30"]
    if service != "sagemaker":
        return next((rule for rule in rules() if service in rule.services), named["C31"])
    if not operation:
        return named["C14"]
    return _rule_of_operation(operation.partition(".")[0]) or named["C31"]


def _rule_of_operation(operation: str) -> CodeRule | None:
    """Return the rule with the longest pattern that fits an operation of the API."""
    fitting = [
        (len(mask), rule.id)
        for rule in rules()
        for mask in rule.operations
        if fnmatchcase(operation, mask) and (mask[0] != "*" or _is_operation(operation))
    ]
    return _by_id()[max(fitting)[1]] if fitting else None


@cache
def _is_operation(name: str) -> bool:
    """Return whether SageMaker's API has an operation of this name."""
    from botocore import xform_name

    from sovereign_ml.leaving.dump import service_model

    return name in {xform_name(operation) for operation in service_model().operation_names}


@cache
def _by_id() -> Mapping[str, CodeRule]:
    return {rule.id: rule for rule in rules()}
