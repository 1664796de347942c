"""Addresses in Python constants, Dockerfiles and notebooks."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from sovereign_ml.audit._mention import Mention, Payload, context, mention
from sovereign_ml.audit._named import python_calls
from sovereign_ml.audit._normalise import VARIABLE
from sovereign_ml.audit._services import by_text
from sovereign_ml.audit._text import block, lines, names_image

_FROM = re.compile(r"^\s*FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?", re.I)
_COPY = re.compile(r"^\s*COPY\s+.*--from=(\S+)", re.I)
_ARG = re.compile(r"^\s*ARG\s+(\w+)=[\"']?([^\s\"']+)", re.I)
_IMAGE_LINE = re.compile(r"^\s*(?:FROM\s|COPY\s.{0,100}--from=)(.{0,300})$", re.I | re.M)
_INSTRUCTION = re.compile(r"^\s*(?:FROM|COPY)\s", re.I)
_OLD_ENV = re.compile(r"^\s*ENV\s+(\w+)\s+([^=]+)$", re.I)
_SYNTAX = re.compile(r"^#\s*syntax=(\S+)", re.I)


def python(file: str, text: str) -> Iterator[Mention]:
    """String constants, joined where code joins them, and clients; docstrings are left out.

    A file that does not parse is read line by line.
    """
    try:
        tree = _parsed(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        yield from lines(file, text)
        return
    try:
        yield from list(_constants(file, tree, ""))
        yield from python_calls(file, tree)
    except RecursionError:
        yield from lines(file, text)


def _parsed(text: str) -> ast.Module:
    """Parse Python, or a Jinja template of it: a line of the template is empty, a variable is a name."""
    try:
        return ast.parse(text)
    except SyntaxError:
        if "{%" not in text and "{{" not in text:
            raise
    plain = re.sub(r"(?m)^[ \t]*\{[%#].{0,500}?[%#]\}[ \t]*$", "", text)
    return ast.parse(re.sub(r"\{\{[^{}\n]{0,300}\}\}", VARIABLE, plain))


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
        # what is raised is an exception, whatever its class is called
        raised = (
            node.exc if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) else node
        )
        yield from (("help", child) for child in ast.iter_child_nodes(raised))
    elif isinstance(node, ast.Call) and _sets(node):
        first, value, *others = node.args
        yield "", first
        yield str(getattr(first, "value", "")), value
        yield from (("", child) for child in (*others, *node.keywords, node.func))
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


def _sets(node: ast.Call) -> bool:
    """A call that is given the name of a setting and its value or default: ``conf.set("x.endpoint", "…")``."""
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name not in _SETTERS or len(node.args) < 2:
        return False
    first = node.args[0]
    return (
        isinstance(first, ast.Constant)
        and re.fullmatch(r"[\w.-]{2,80}", str(first.value)) is not None
    )


_SETTERS = {"get", "set", "getenv", "putenv", "setenv", "setdefault", "config", "option", "put"}


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
    command = ""
    for number, written in enumerate(text.splitlines(), start=1):
        line = written
        comment = line.lstrip().startswith("#")
        goes_on = line.rstrip().endswith("\\") and not comment
        # a base image may stand in the line after its FROM
        joined = f"{command} {line}" if command.lstrip()[:4].upper() in ("FROM", "COPY") else line
        before, command = command, f"{command} {written.rstrip()[:-1]}"[-300:] if goes_on else ""
        if goes_on and _INSTRUCTION.match(joined):
            continue
        line = joined
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
        elif found := _OLD_ENV.match(line):
            yield from block(file, number, found.group(1), found.group(2))
        elif not comment:
            yield from block(file, number, "Dockerfile", line, before=before)


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
_PICTURES = re.compile(r"image/|text/html$")
_MAGIC = re.compile(r"\s*(?:[!?]|%%?\w|\w[\w, ]{0,60}=\s*[!%])")


def notebook(file: str, text: str) -> Iterator[Mention]:
    """Scan the cells and outputs of a notebook, each at its line in the file.

    Code is read as Python, so that comments count nothing; magics and commands as a shell script. Links in text cells
    carry nothing. A file that is not a notebook is read line by line.
    """
    try:
        cells = [dict(cell) for cell in json.loads(text)["cells"]]
        found = list(_cells(file, cells, _Finder(text.splitlines())))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        yield from lines(file, text)
        return
    yield from found


class _Finder:
    """Find the line of the file that holds a line of a cell, from where the last one was found."""

    def __init__(self, raw: list[str]) -> None:
        self._raw = raw
        self._at = 0

    def line(self, written: str) -> int:
        """Return the number of the next line that holds ``written``, from 1."""
        text = json.dumps(written[:200], ensure_ascii=False)[1:-1]
        plain = json.dumps(written[:200])[1:-1]
        for start in (self._at, 0):
            for number in range(start, len(self._raw)):
                if text in self._raw[number] or plain in self._raw[number]:
                    self._at = number
                    return number + 1
        return self._at + 1


def _cells(file: str, cells: list[dict[str, Any]], finder: _Finder) -> Iterator[Mention]:
    parts: list[str] = []
    places: list[int] = []
    for cell in cells:
        source = _text_of(cell.get("source", ""))
        numbers = [finder.line(line) for line in source.splitlines()]
        if cell.get("cell_type") != "code":
            for number, line in zip(numbers, source.splitlines(), strict=True):
                yield from block(file, number, "description", line)
            continue
        plain, commands = _split_magics(source)
        yield from _placed(lines("cell.sh", commands), file, numbers)
        yield from _placed(by_text("cell.sh", commands), file, numbers)
        try:
            ast.parse(plain)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            yield from _placed(lines("cell.sh", plain), file, numbers)
        else:
            parts.append(plain)
            places += numbers
        for output in cell.get("outputs") or ():
            for line in _shown_lines(output):
                if "." in line or ":" in line:
                    yield from block(file, finder.line(line), "notebook", line)
    # what one cell imports the next ones use
    yield from _placed(python("cell.py", "\n".join(parts)), file, places)


def _placed(found: Iterable[Mention], file: str, numbers: list[int]) -> Iterator[Mention]:
    for row in found:
        at = numbers[min(row.line, len(numbers)) - 1] if numbers else 1
        component, carries = row.component, row.carries
        if row.kind in ("url", "host") and carries != (Payload.CODE,) and carries:
            component, carries = context(file, row.key, row.address)
        yield replace(row, file=file, line=at, component=component, carries=carries)


def _split_magics(source: str) -> tuple[str, str]:
    """The Python of a cell, and its magics and commands, each with empty lines in place of the other."""
    rows = source.splitlines()
    first = next((row for row in rows if row.strip()), "")
    if first.startswith("%%") and not first.startswith(("%%time", "%%capture", "%%prun")):
        return "", source
    python_rows, command_rows = [], []
    for row in rows:
        magic = _MAGIC.match(row[:200]) is not None
        indent = row[: len(row) - len(row.lstrip())]
        python_rows.append(f"{indent}pass" if magic else row)
        command_rows.append(row.lstrip().lstrip("!") if magic else "")
    return "\n".join(python_rows), "\n".join(command_rows)


def _shown_lines(output: dict[str, Any]) -> Iterator[str]:
    data = output.get("data") or {}
    texts = [_text_of(value) for kind, value in data.items() if not _PICTURES.match(kind)]
    for text in (_text_of(output.get("text", "")), *texts):
        yield from text.splitlines()


def _text_of(value: Any) -> str:
    if isinstance(value, dict):
        return json.dumps(value)
    return "".join(map(str, value)) if isinstance(value, list) else str(value)
