"""Addresses in Python constants, Dockerfiles and notebooks."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from sovereign_ml.audit._mention import Mention, mention
from sovereign_ml.audit._text import block, lines, names_image

_FROM = re.compile(r"^\s*FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?", re.I)
_COPY = re.compile(r"^\s*COPY\s+.*--from=(\S+)", re.I)
_ARG = re.compile(r"^\s*ARG\s+(\w+)=[\"']?([^\s\"']+)", re.I)
_SYNTAX = re.compile(r"^#\s*syntax=(\S+)", re.I)


def python(file: str, text: str) -> Iterator[Mention]:
    """String constants, docstrings left out; a file that does not parse is read line by line."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        yield from lines(file, text)
        return
    yield from _constants(file, tree, "")


def _constants(file: str, node: ast.AST, key: str) -> Iterator[Mention]:
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            yield from block(file, node.lineno, key, node.value)
        return
    for name, child in _named_children(node):
        if not _is_docstring(child):
            yield from _constants(file, child, name or key)


def _named_children(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Children with the name that they are assigned, passed or stored under."""
    if isinstance(node, ast.Assign | ast.AnnAssign):
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        yield from ((ast.unparse(target), child) for child in ast.iter_child_nodes(node))
    elif isinstance(node, ast.keyword):
        yield node.arg or "", node.value
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            name = key.value if isinstance(key, ast.Constant) and isinstance(key.value, str) else ""
            yield from [("", key)] if key is not None else []
            yield name, value
    else:
        yield from (("", child) for child in ast.iter_child_nodes(node))


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
    for number, line in enumerate(text.splitlines(), start=1):
        if found := _ARG.match(line):
            arguments[found.group(1)] = found.group(2)
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
        r"\$\{?(\w+)(?::-[^}]*)?\}?",
        lambda match: arguments.get(match.group(1), match.group()),
        image,
    )


def notebook(file: str, text: str) -> Iterator[Mention]:
    """A notebook keeps each source line on its own line of the file, so the file's lines are the cell's lines."""
    for number, line in enumerate(text.splitlines(), start=1):
        if not re.match(r'\s*"(image/|text/html|id|cell_type)', line):
            yield from block(file, number, "notebook", line.replace("\\n", " ").replace('\\"', '"'))
