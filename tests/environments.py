"""The environments that a project ships, built from one lock each, and the imports they must serve.

`python tests/environments.py FOLDER` builds all of them in FOLDER.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from bake import ROOT

PROJECT = ROOT / "{{cookiecutter.project_slug}}"
SHIPPED = ("train", "serve")
RESOLVE = """
import importlib.util, json, os, sys
from sovereign_ml.egress.telemetry import silence
silence(os.environ)

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
"""Runs in the shipped environment: gets pairs of module and name, returns one problem or "" for each."""


class Import(NamedTuple):
    """One import statement: ``import module``, or ``from module import name``."""

    place: str
    module: str
    name: str


def build(name: str, folder: Path) -> Path:
    """Build the environment of ``<name>.lock`` below ``folder`` and return its Python.

    An environment of the same lock and interpreter is used again. ``train`` gets the project as
    `make setup` installs it, and nothing else that the lock does not name.
    """
    lock, target = PROJECT / f"requirements/{name}.lock", folder / name
    python, stamp = target / "bin/python", target / ".lock.sha256"
    parts = (lock.read_bytes(), (PROJECT / "pyproject.toml").read_bytes())
    digest = hashlib.sha256(b"\0".join((*parts, f"{PROJECT} {sys.version}".encode()))).hexdigest()
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == digest:
        return python
    shutil.rmtree(target, ignore_errors=True)
    _uv("venv", "--quiet", "--python", sys.executable, str(target))
    into = ("pip", "install", "--quiet", "--python", str(python))
    _uv(*into, "--require-hashes", "-r", str(lock))
    if name == "train":
        _uv(*into, "--no-deps", "--no-build-isolation", "--offline", "-e", str(PROJECT))
    stamp.write_text(digest, encoding="utf-8")
    return python


def _uv(*arguments: str) -> None:
    command = [str(Path(sys.executable).with_name("uv")), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"uv {' '.join(arguments)}: exit {done.returncode}\n{done.stderr}")


def imports(folders: Sequence[Path]) -> Iterator[Import]:
    """Yield every absolute import below ``folders``, inside functions too.

    Blocks under ``if TYPE_CHECKING:`` are left out, because they never run. An import guarded by
    ``except ImportError`` is yielded as any other: shipped code has no optional dependency.
    """
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
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


def unresolved(python: Path, folders: Sequence[Path], home: Path) -> list[str]:
    """Return one line for each import below ``folders`` that ``python`` cannot resolve."""
    statements = list(imports(folders))
    env = {
        "PATH": f"{python.parent}{os.pathsep}/usr/bin:/bin",
        "HOME": str(home),
        "PYTHONPATH": os.pathsep.join(map(str, folders)),
        # Without it, compiled modules would land in the template folder.
        "PYTHONPYCACHEPREFIX": os.environ.get("PYTHONPYCACHEPREFIX", str(home / "compiled")),
    }
    done = subprocess.run(
        [str(python), "-W", "ignore", "-c", RESOLVE],
        input=json.dumps([(item.module, item.name) for item in statements]),
        cwd=home,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    problems = json.loads(done.stdout.splitlines()[-1])
    pairs = zip(statements, problems, strict=True)
    return [f"{item.place}: {problem}" for item, problem in pairs if problem]


if __name__ == "__main__":
    for shipped in SHIPPED:
        build(shipped, Path(sys.argv[1]).resolve())
