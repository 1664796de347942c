"""Addresses in Python: constants, joined where code joins them, and clients."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from sovereign_ml.audit._mention import Mention
from sovereign_ml.audit._named import python_calls
from sovereign_ml.audit._normalise import VARIABLE
from sovereign_ml.audit.readers.text_lines import block, lines


def python(file: str, text: str) -> Iterator[Mention]:
    """Yield string constants, joined where code joins them, and clients.

    Docstrings are left out. A file that does not parse is read line by line.
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
    """Parse Python, or a Jinja template of it.

    A line of the template becomes empty, and a variable becomes a name.
    """
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
            if key and name and isinstance(node, ast.Dict) and key.replace(".", "_").isidentifier():
                inner = f"{key}.{name}"
            if not _is_docstring(child) and (text is None or not _is_part(child)):
                yield from _constants(file, child, key if key == "help" else inner)


def _is_part(node: ast.AST) -> bool:
    """Return True for part of a joined text that has been looked at already."""
    return _joined(node) is not None or isinstance(node, ast.FormattedValue)


def _joined(node: ast.AST) -> str | None:
    """Return the text that an expression builds, with ``VARIABLE`` for what is unknown, or None."""
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
    """Return the terms of ``a + b + c``, left to right, without recursion."""
    terms: list[ast.AST] = []
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        terms.append(node.right)
        node = node.left
    return [node, *reversed(terms)]


def _named_children(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Yield children with the name that they are assigned, passed or stored under."""
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
    elif isinstance(node, ast.Call) and node.args and _function(node) in _CONNECTS:
        first, *others = node.args
        yield "host", first.elts[0] if isinstance(first, ast.Tuple) and first.elts else first
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


def _function(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


_CONNECTS = {
    *("connect", "connect_ex", "create_connection", "open_connection", "sendto", "Telnet"),
    *("HTTPConnection", "HTTPSConnection", "SMTP", "SMTP_SSL", "FTP", "FTP_TLS", "IMAP4"),
    *("IMAP4_SSL", "POP3", "POP3_SSL"),
}


def _shows(node: ast.Call) -> bool:
    """Return True for a call that shows a text to a person.

    An exception, and a call that builds its text, count too.
    """
    name = _function(node)
    return _tells(node) or name in ("format", "join") or name.endswith(("Error", "Warning", "Exit"))


def _sets(node: ast.Call) -> bool:
    """Return True for a call with the name of a setting and its value or default.

    An example is ``conf.set("x.endpoint", "…")``.
    """
    name = _function(node)
    if name not in _SETTERS or len(node.args) < 2:
        return False
    first = node.args[0]
    return (
        isinstance(first, ast.Constant)
        and re.fullmatch(r"[\w.-]{2,80}", str(first.value)) is not None
    )


_SETTERS = {"get", "set", "getenv", "putenv", "setenv", "setdefault", "config", "option", "put"}


def _tells(node: ast.Call) -> bool:
    return _function(node) in {
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
