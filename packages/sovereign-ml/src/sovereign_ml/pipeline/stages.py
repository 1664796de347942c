"""The DVC stages, made from the table of steps.

`churn stages` writes dvc.yaml, which is never edited by hand.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sovereign_ml.errors import Refused
from sovereign_ml.project import Project, Step

__all__ = ["check", "write"]

FILE = "dvc.yaml"
LOCK = "requirements/train.lock"
LIBRARY = "data/library.json"
HEADER = """# Written by `churn stages` from the table of steps; a change here is lost.
# persist: a step replaces its artifact only when the new one is whole; without it DVC deletes the old one first.
"""


def write(root: Path, project: Project) -> Path:
    """Write ``dvc.yaml`` of the project in ``root`` and return its path."""
    path = root / FILE
    path.write_text(text(root, project), encoding="utf-8")
    return path


def check(root: Path, project: Project) -> None:
    """Raise Refused if ``dvc.yaml`` differs from the table of steps and their imports."""
    path = root / FILE
    if not path.is_file() or path.read_text(encoding="utf-8") != text(root, project):
        raise Refused(
            f"{FILE} is not what the steps and their imports say: `churn stages` writes it anew."
        )


def text(root: Path, project: Project) -> str:
    """Return the content of ``dvc.yaml``."""
    import yaml

    stages = {step.verb: _stage(step, root, project) for step in project.steps}
    # DVC reads the folders from config.toml, so that they are written in one place.
    content = {"vars": ["config.toml:paths"], "stages": stages}
    return HEADER + yaml.safe_dump(content, sort_keys=False, width=100)


def _stage(step: Step, root: Path, project: Project) -> dict[str, Any]:
    """Return one stage of DVC.

    It depends on its inputs, the project's own files, the lock and the library.
    """
    inputs = [f"${{paths.{noun}}}" for noun in step.reads]
    stage: dict[str, Any] = {
        "cmd": f"churn {step.verb}",
        "deps": [*inputs, *own_files(step, root, project), *step.files, LOCK, LIBRARY],
    }
    if step.params:
        stage["params"] = [{"config.toml": list(step.params)}]
    stage["outs"] = [{f"${{paths.{step.writes}}}": {"persist": True}}]
    return stage


def own_files(step: Step, root: Path, project: Project) -> list[str]:
    """Return the project's files that the step imports, relative to ``root``.

    Indirect imports count too.
    """
    package = root / "src" / project.package
    start = [package / "steps" / f"_{step.number}_{step.verb}.py"]
    if step.reads_project:
        # Loaded by name, so no import shows them: the team's rules, and what makes the reference.
        named = [package / f"{name}.py" for name in ("rules", "features", "evaluation")]
        start += [package / "project.py", *(path for path in named if path.is_file())]
    return sorted(path.relative_to(root).as_posix() for path in with_imports(start, package))


def with_imports(start: Sequence[Path], package: Path) -> set[Path]:
    """Return the files ``start`` and those of ``package`` that they import.

    Indirect imports count too.
    """
    waiting, files = list(start), set[Path]()
    while waiting:
        path = waiting.pop()
        if path not in files:
            files.add(path)
            waiting += _imported(path, package)
    return files


def _imported(path: Path, package: Path) -> Iterator[Path]:
    """Yield the files of the package that the file imports, at any depth of its code."""
    folders = path.relative_to(package).parent.parts
    # Whoever imports the file runs the files of its folders first.
    yield from _files_of(package, folders)
    home = (package.name, *folders)
    # Parsed and not imported: an import runs the code, and misses imports inside functions.
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), filename=str(path))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            # One dot is the folder of the file, and each further dot the folder above.
            base = home[: len(home) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            # `from package import features` may name a module or a value, so both are tried.
            names = [module, *(f"{module}.{alias.name}" for alias in node.names)]
        for name in names:
            top, *rest = name.split(".")
            if top == package.name:
                yield from _files_of(package, rest)


def _files_of(package: Path, names: Sequence[str]) -> Iterator[Path]:
    """Yield the files that Python runs to import the dotted ``names`` below ``package``."""
    for depth in range(len(names) + 1):
        place = package.joinpath(*names[:depth])
        # A folder runs its own file before a module in it is imported.
        if (start := place / "__init__.py").is_file() and _has_code(start):
            yield start
    if names and (module := place.with_suffix(".py")).is_file():
        yield module


def _has_code(path: Path) -> bool:
    """Return whether the file does more than name its folder in a docstring."""
    statements = ast.parse(path.read_text(encoding="utf-8"), filename=str(path)).body
    return any(
        not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        for node in statements
    )
