"""Put the tracker and the rules of minimisation into one file that needs nothing else."""

from __future__ import annotations

import ast
import inspect
from types import ModuleType

from sovereign_ml.audit import pii_scan
from sovereign_ml.leaving import minimise
from sovereign_ml.leaving.both_tracks import new_track, tracker

PARTS: tuple[ModuleType, ...] = (pii_scan, minimise, new_track, tracker)
"""Modules of the file, each after those that it imports. They import the standard library only."""
_HEAD = '''\
"""Write runs to SageMaker and to MLflow at once. Printed by `churn leave tracker`.

Put this file beside the training script, and change one line of the script:

    -from sagemaker.experiments.run import Run
    +from both_tracks import Run

`load_run` is here too. The job needs the variables that `churn leave tracker --environment` prints.
Python 3.10 or later, and SageMaker's SDK. Do not edit: print it again after an upgrade.
"""
'''
_TAIL = """\
Run, load_run = tracked(installed_sdk(), PROJECT, os.environ)
"""


def one_file(project: str) -> str:
    """Return the source of ``both_tracks.py`` for the project of that name."""
    imports = {"import os"}
    bodies = []
    for module in PARTS:
        source = inspect.getsource(module)
        lines = source.splitlines()
        for node in ast.parse(source).body:
            if not _is_head(node):
                continue
            start, end = node.lineno - 1, node.end_lineno or node.lineno
            if not (isinstance(node, ast.Expr) or _is_own(node)):
                imports.add("\n".join(lines[start:end]))
            # Empty lines stay, so that the line numbers of the later nodes still hold.
            lines[start:end] = [""] * (end - start)
        title = module.__name__.rpartition(".")[2]
        bodies.append(f"# {title}\n\n" + "\n".join(lines).strip() + "\n")
    modules = "\n".join(sorted(imports, key=lambda line: (line.startswith("from"), line)))
    head = f"{_HEAD}\nfrom __future__ import annotations\n\n{modules}\n\nPROJECT = {project!r}\n"
    return "\n\n".join([head, *bodies, _TAIL])


def _is_head(node: ast.stmt) -> bool:
    """Return whether a node is an import, or the docstring at the top of a module."""
    return isinstance(node, ast.Import | ast.ImportFrom) or (
        isinstance(node, ast.Expr) and node.lineno == 1
    )


def _is_own(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and str(node.module).startswith(
        ("sovereign_ml", "__future__")
    )
