"""Find the imports of a folder of code that an environment cannot resolve."""

from __future__ import annotations

import ast
import json
import os
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from sovereign_ml.egress.telemetry import silence

RESOLVE = """
import importlib, importlib.util, json, sys

def resolves(module):
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False

def problem(module, name):
    if not resolves(module):
        return f"no module {module}"
    if not name or resolves(f"{module}.{name}"):
        return ""
    try:
        return "" if hasattr(importlib.import_module(module), name) else f"no {name} in {module}"
    except ImportError as error:
        return f"{module}: {error}"

print(json.dumps([problem(*item) for item in json.load(sys.stdin)]))
"""
"""Runs in the shipped environment. It gets pairs of module and name, and returns one problem or ""
for each."""


class Import(NamedTuple):
    """One import statement: ``import module``, or ``from module import name``."""

    place: str
    module: str
    name: str


def imports(folder: Path, files: Iterable[Path]) -> Iterator[Import]:
    """Yield every absolute import of ``files``, inside functions too, with its place in ``folder``.

    Blocks under ``if TYPE_CHECKING:`` are left out, because they never run. An import guarded by
    ``except ImportError`` is yielded as any other: shipped code has no optional dependency.
    """
    for path in sorted(files):
        for node in _running(ast.parse(path.read_text(encoding="utf-8"))):
            place = f"{path.relative_to(folder)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import):
                yield from (Import(place, alias.name, "") for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield from (Import(place, node.module, alias.name) for alias in node.names)


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """Yield ``node`` and what is in it, without what only type checkers read."""
    yield node
    children: Sequence[ast.AST] = tuple(ast.iter_child_nodes(node))
    if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
        children = node.orelse
    for child in children:
        yield from _running(child)


def unresolved(
    python: Path, folder: Path, files: Iterable[Path], path: Sequence[Path], home: Path
) -> list[str]:
    """Return one line for each import of ``files`` that ``python`` cannot resolve.

    ``path`` are the folders that its process looks for modules in before its own.
    """
    statements = list(imports(folder, files))
    env = {
        "PATH": f"{python.parent}{os.pathsep}/usr/bin:/bin",
        "HOME": str(home),
        "PYTHONPATH": os.pathsep.join(map(str, path)),
        # Without it, compiled modules would land in the template folder.
        "PYTHONPYCACHEPREFIX": os.environ.get("PYTHONPYCACHEPREFIX", str(home / "compiled")),
    }
    silence(env)
    result = subprocess.run(
        [str(python), "-W", "ignore", "-c", RESOLVE],
        input=json.dumps([(item.module, item.name) for item in statements]),
        cwd=home,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-4000:]
    problems = json.loads(result.stdout.splitlines()[-1])
    pairs = zip(statements, problems, strict=True)
    return [f"{item.place}: {problem}" for item, problem in pairs if problem]
