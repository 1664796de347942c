"""Addresses in Python constants, Dockerfiles and notebooks."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import replace

from sovereign_ml.audit._mention import Mention, mention
from sovereign_ml.audit._named import python_calls
from sovereign_ml.audit._normalise import VARIABLE
from sovereign_ml.audit._text import block, lines, names_image

_FROM = re.compile(r"^\s*FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?", re.I)
_COPY = re.compile(r"^\s*COPY\s+.*--from=(\S+)", re.I)
_ARG = re.compile(r"^\s*ARG\s+(\w+)=[\"']?([^\s\"']+)", re.I)
_IMAGE_LINE = re.compile(r"^\s*(?:FROM\s|COPY\s.{0,100}--from=)(.{0,300})$", re.I | re.M)
_SYNTAX = re.compile(r"^#\s*syntax=(\S+)", re.I)


def python(file: str, text: str) -> Iterator[Mention]:
    """String constants, joined where code joins them, and clients; docstrings are left out.

    A file that does not parse is read line by line.
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        yield from lines(file, text)
        return
    try:
        yield from list(_constants(file, tree, ""))
        yield from python_calls(file, tree)
    except RecursionError:
        yield from lines(file, text)


def _constants(file: str, node: ast.AST, key: str) -> Iterator[Mention]:
    text = _joined(node)
    if key == "help" and isinstance(node, ast.Call) and not _shows(node):
        key = ""  # print(post("https://…")) sends first
    if text is not None:
        yield from block(file, getattr(node, "lineno", 1), key, text)
    # the parts of a joined text may still hold an address of their own, such as a default
    if text is None or not isinstance(node, ast.Constant):
        for name, child in _named_children(node):
            inner = name or key
            if key and name and isinstance(node, ast.Dict) and key.isidentifier():
                inner = f"{key}.{name}"
            if not _is_docstring(child) and (text is None or not _is_part(child)):
                yield from _constants(file, child, key if key == "help" else inner)


def _is_part(node: ast.AST) -> bool:
    """Part of a joined text that has been looked at already."""
    return _joined(node) is not None or isinstance(node, ast.FormattedValue)


def _joined(node: ast.AST) -> str | None:
    """The text that an expression builds, with ``VARIABLE`` for what is not written down; None for no text."""
    if isinstance(node, ast.Constant):
        value = node.value.decode("latin-1") if isinstance(node.value, bytes) else node.value
        return value if isinstance(value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(_joined(part) or VARIABLE for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        parts = [_joined(part) for part in _added(node)]
        if not any(parts):
            return None
        return "".join(VARIABLE if part is None else part for part in parts)
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "join"
    ):
        glue = _joined(node.func.value)
        items = node.args[0] if node.args else None
        if glue is not None and isinstance(items, ast.List | ast.Tuple):
            return glue.join(_joined(item) or VARIABLE for item in items.elts)
    return None


def _added(node: ast.AST) -> list[ast.AST]:
    """The terms of ``a + b + c``, left to right, without recursion."""
    terms: list[ast.AST] = []
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        terms.append(node.right)
        node = node.left
    return [node, *reversed(terms)]


def _named_children(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Children with the name that they are assigned, passed or stored under."""
    if isinstance(node, ast.Assign | ast.AnnAssign):
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        at = target.slice if isinstance(target, ast.Subscript) else None  # os.environ["NAME"]
        text = at.value if isinstance(at, ast.Constant) and isinstance(at.value, str) else ""
        name = text or ast.unparse(target)
        yield from ((name, child) for child in ast.iter_child_nodes(node))
    elif isinstance(node, ast.Assert) and node.msg is not None:
        yield from (("", node.test), ("help", node.msg))
    elif isinstance(node, ast.Raise) or (isinstance(node, ast.Call) and _tells(node)):
        yield from (("help", child) for child in ast.iter_child_nodes(node))
    elif isinstance(node, ast.keyword):
        yield node.arg or "", node.value
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            name = key.value if isinstance(key, ast.Constant) and isinstance(key.value, str) else ""
            yield from [("", key)] if key is not None else []
            yield name, value
    else:
        yield from (("", child) for child in ast.iter_child_nodes(node))


def _shows(node: ast.Call) -> bool:
    """A call that shows a text to a person, an exception or the making of its text."""
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return _tells(node) or name in ("format", "join") or name.endswith(("Error", "Warning", "Exit"))


def _tells(node: ast.Call) -> bool:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return name in {
        "print",
        "echo",
        "warn",
        "warning",
        "info",
        "debug",
        "error",
        "exception",
        "critical",
        "markdown",
        "setup",  # of setuptools: the pages of the project
    }


def _is_docstring(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def dockerfile(file: str, text: str) -> Iterator[Mention]:
    """Base images, images copied from, the syntax directive, and addresses in the instructions."""
    arguments: dict[str, str] = {}
    stages = {"scratch"}
    # an argument that a base image is made of is said there
    in_images = set(re.findall(r"\$\{?(\w+)", " ".join(_IMAGE_LINE.findall(text))))
    for number, line in enumerate(text.splitlines(), start=1):
        if found := _ARG.match(line):
            arguments[found.group(1)] = found.group(2)
            if found.group(1) in in_images:
                continue
        if found := _SYNTAX.match(line) or _COPY.match(line) or _FROM.match(line):
            image = _filled(found.group(1), arguments)
            if image.lower() not in stages and not image.isdigit() and names_image("image", image):
                yield mention(file, number, "image", image, kind="image")
            if found.re is _FROM and found.group(2):
                stages.add(found.group(2).lower())
        elif not line.lstrip().startswith("#"):
            yield from block(file, number, "Dockerfile", line)


def _filled(image: str, arguments: dict[str, str]) -> str:
    return re.sub(
        r"\$\{?(\w+)(?::-([^}]*))?\}?",
        lambda match: arguments.get(match.group(1), match.group(2) or match.group()),
        image,
    )


def jenkins(file: str, text: str) -> Iterator[Mention]:
    """A pipeline in Groovy: images of its agents, and addresses as in any other text."""
    for number, line in enumerate(text.splitlines(), start=1):
        for match in _AGENT.finditer(line[:1000]):
            if names_image("image", match.group(1)):
                yield mention(file, number, "image", match.group(1), kind="image")
    yield from lines(file, text)


_AGENT = re.compile(r"\bimage(?:\s+|\s{0,3}\(\s{0,3})[\"']([\w./:@-]{2,200})[\"']")
_CELL = re.compile(r'^\s*"cell_type":\s*"(\w+)",?\s*$')


def notebook(file: str, text: str) -> Iterator[Mention]:
    """Scan a notebook by its lines, each of which is a line of a cell. Links in text cells carry nothing."""
    yield from _cells(file, text)
    cell = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if kind := _CELL.match(line[:80]):
            cell = kind.group(1)
        if not re.match(r'\s*"(image/|text/html|id|cell_type)', line[:80]):
            source = line.replace("\\n", " ").replace('\\"', '"')
            source = re.sub(r"^\s*\"|\",?\s*$", "", source) if len(source) < 20_000 else source
            if cell == "code":
                source = re.sub(r"(^|\s)#(?!!).*$", "", source[:20_000]) + source[20_000:]
            yield from block(
                file, number, "description" if cell == "markdown" else "notebook", source
            )


def _cells(file: str, text: str) -> Iterator[Mention]:
    """The clients that the code cells open; what one cell imports the next ones use."""
    try:
        cells = [
            cell["source"] for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"
        ]
        sources = ["".join(cell) if isinstance(cell, list) else str(cell) for cell in cells]
    except (ValueError, KeyError, TypeError, RecursionError):
        return
    parts = []
    for source in sources:
        plain = re.sub(r"(?m)^(\s*)[!%?].*$", r"\1pass", source)
        try:
            ast.parse(plain)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        parts.append(plain)
    whole = "\n".join(parts)
    rows, raw = whole.splitlines(), text.splitlines()
    for row in python_calls(file, ast.parse(whole)):
        written = json.dumps(rows[row.line - 1], ensure_ascii=False)[1:-1]
        line = next((number for number, line in enumerate(raw, 1) if written in line), 1)
        yield replace(row, line=line)
