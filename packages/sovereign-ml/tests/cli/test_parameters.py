"""A function receives the table or connection that it uses, never the whole settings object."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import sovereign_ml

SOURCE = Path(sovereign_ml.__file__).parent
SETTINGS = "sovereign_ml.config.settings"
MAY_SEE_ALL = ("cli/", "pipeline/", "config/", "kubeflow/entry_points.py")
PASSES_ON = {
    "pipeline/source.py: refresh": "steps are run from four places, each with the settings at hand",
}
"""Functions that hand the settings to one other function and do nothing else, with the reason."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Taker:
    """A function with parameters that hold the settings, and what it does with them."""

    place: str
    calls: int
    reads: int

    @property
    def only_passes_on(self) -> bool:
        """Return whether the settings go to exactly one call, and nothing is read of them."""
        return self.calls == 1 and not self.reads


def settings_names(tree: ast.Module) -> set[str]:
    """Return how a module spells the class, such as ``Settings`` or ``settings.Settings``."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == SETTINGS:
            names |= {
                alias.asname or alias.name for alias in node.names if alias.name == "Settings"
            }
        elif isinstance(node, ast.ImportFrom) and node.module == SETTINGS.rpartition(".")[0]:
            names |= {f"{a.asname or a.name}.Settings" for a in node.names if a.name == "settings"}
        elif isinstance(node, ast.Import):
            names |= {f"{a.asname or a.name}.Settings" for a in node.names if a.name == SETTINGS}
    return names


def holds(annotation: ast.expr | None, names: set[str]) -> bool:
    """Return whether an annotation names the class, also in a union or as text."""
    if annotation is None:
        return False
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        annotation = ast.parse(annotation.value, mode="eval").body
    parts = [node for node in ast.walk(annotation) if isinstance(node, ast.Name | ast.Attribute)]
    return any(ast.unparse(part) in names for part in parts)


def takers(text: str, place: str) -> Iterator[Taker]:
    """Give every function of a module that has a parameter for the settings."""
    tree = ast.parse(text)
    names = settings_names(tree)
    for function in (node for node in ast.walk(tree) if isinstance(node, Function)):
        arguments = function.args
        every = (
            *arguments.posonlyargs,
            *arguments.args,
            *arguments.kwonlyargs,
            *filter(None, (arguments.vararg, arguments.kwarg)),
        )
        held = {argument.arg for argument in every if holds(argument.annotation, names)}
        if held:
            yield Taker(f"{place}: {function.name}", *uses(function, held))


def uses(function: Function, held: set[str]) -> tuple[int, int]:
    """Return how often the parameters ``held`` go to a call unchanged, and other uses of them."""

    def bare(node: ast.expr) -> bool:
        return isinstance(node, ast.Name) and node.id in held

    calls = 0
    for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
        values = [*call.args, *(keyword.value for keyword in call.keywords)]
        calls += sum(map(bare, values))
    every = sum(bare(node) for node in ast.walk(function) if isinstance(node, ast.Name))
    return calls, every - calls


def library() -> list[Taker]:
    """Return the functions of the installed library that take the settings."""
    functions: list[Taker] = []
    for path in sorted(SOURCE.rglob("*.py")):
        place = path.relative_to(SOURCE).as_posix()
        functions += takers(path.read_text(encoding="utf-8"), place)
    return functions


def test_only_the_command_line_and_the_pipeline_take_the_whole_settings() -> None:
    assert [taker.place for taker in library() if not taker.place.startswith(MAY_SEE_ALL)] == []


def test_no_function_only_passes_the_settings_on() -> None:
    assert {taker.place for taker in library() if taker.only_passes_on} == set(PASSES_ON)
    assert len(PASSES_ON) <= 5


@pytest.mark.parametrize(
    "text",
    [
        "from sovereign_ml.config.settings import Settings\ndef f(s: Settings): g(s)",
        "from sovereign_ml.config.settings import Settings as S\ndef f(s: S | None): g(1, s)",
        "from sovereign_ml.config import settings\ndef f(s: settings.Settings): g(x=s)",
        "import sovereign_ml.config.settings as c\nasync def f(*, s: c.Settings): return g(s)",
        "from sovereign_ml.config.settings import Settings\n"
        "class A:\n  def f(self, s: 'Settings'): g(s)",
    ],
)
def test_every_spelling_of_a_function_that_only_passes_them_on_is_noticed(text: str) -> None:
    [taker] = takers(text, "module.py")
    assert taker.only_passes_on


@pytest.mark.parametrize(
    "text",
    [
        "from sovereign_ml.config.settings import Settings\ndef f(s: Settings): g(s.root)",
        "from sovereign_ml.config.settings import Settings\ndef f(s: Settings): g(s); h(s)",
    ],
)
def test_a_function_that_uses_them_is_no_such_function(text: str) -> None:
    [taker] = takers(text, "module.py")
    assert not taker.only_passes_on


def test_settings_of_another_module_are_not_meant() -> None:
    text = "from sovereign_ml.service.settings import Settings\ndef f(s: Settings): g(s)"
    assert list(takers(text, "module.py")) == []
