"""What a project may import is listed, documented and typed; the template keeps to it."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from small_project import PROJECT, environment
from sovereign_ml.public_api import PUBLIC, meaning, table

NAMES = [(module, name) for module, names in PUBLIC.items() for name in names]
LIBRARY = "sovereign_ml"
FILES = sorted(
    path
    for folder in ("src", "serve", "tests", "notebooks")
    for path in (PROJECT / folder).rglob("*.py")
)


def imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield the module and name of every import from the library, at any depth of the code.

    Of a module that is imported whole, every attribute that the code names counts.
    """
    whole: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == LIBRARY and alias.name != LIBRARY:
                    yield alias.name, "*"
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == LIBRARY:
            for alias in node.names:
                module = f"{node.module}.{alias.name}"
                if module in PUBLIC:
                    whole[alias.asname or alias.name] = module
                else:
                    yield str(node.module), alias.name
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module = whole.get(node.value.id, "")
            yield from [(module, node.attr)] if module else []


def annotated(function: object) -> bool:
    signature = inspect.signature(function)  # type: ignore[arg-type]
    parameters = [p for name, p in signature.parameters.items() if name not in ("self", "cls")]
    empty = inspect.Signature.empty
    return signature.return_annotation is not empty and all(
        parameter.annotation is not empty for parameter in parameters
    )


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_every_public_name_is_exported_documented_and_typed(module: str, name: str) -> None:
    home = import_module(module)
    assert home.__doc__
    assert name in home.__all__
    assert meaning(module, name), f"{module}.{name} says nothing about itself"
    value = getattr(home, name)
    if inspect.isfunction(value):
        assert annotated(value)
    if inspect.isclass(value):
        methods = [m for n, m in vars(value).items() if inspect.isfunction(m) and n[0] != "_"]
        for method in methods:
            assert method.__doc__, method.__qualname__
            assert annotated(method), method.__qualname__


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_the_template_imports_nothing_else(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert sorted(set(imports(tree)) - set(NAMES)) == []


def test_the_template_uses_what_is_public() -> None:
    """With the exceptions of what a team needs for a rule, a step, a model or a notebook of its own."""
    used = {pair for path in FILES for pair in imports(ast.parse(path.read_text(encoding="utf-8")))}
    for_extensions = {
        "sovereign_ml.card.rules",
        "sovereign_ml.config.tables",
        "sovereign_ml.model.scorecard",
        "sovereign_ml.model.trees",
        "sovereign_ml.notebook",
        "sovereign_ml.project",
    }
    assert {module for module, _ in set(NAMES) - used} <= for_extensions


@pytest.mark.parametrize(
    ("code", "foreign"),
    [
        ("from sovereign_ml.audit.secrets import scan", ("sovereign_ml.audit.secrets", "scan")),
        ("def f():\n    import sovereign_ml.storage.s3", ("sovereign_ml.storage.s3", "*")),
        ("from sovereign_ml.storage import s3", ("sovereign_ml.storage", "s3")),
        (
            "from sovereign_ml.storage import duckdb as db\ndb.load_files()",
            ("sovereign_ml.storage.duckdb", "load_files"),
        ),
        (
            "from sovereign_ml.card.rules import RULES",
            ("sovereign_ml.card.rules", "RULES"),
        ),
    ],
)
def test_an_import_of_something_else_would_be_seen(code: str, foreign: tuple[str, str]) -> None:
    assert set(imports(ast.parse(code))) - set(NAMES) == {foreign}


def test_the_table_in_the_documentation_is_what_the_module_prints(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sovereign_ml.public_api"],
        env=environment(tmp_path / "nowhere"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == table()
    page = Path(__file__).resolve().parents[2] / "API.md"
    assert page.read_text(encoding="utf-8") == table()
