"""Installer of the parent's egress guard.

Python imports this file where its folder is on PYTHONPATH.
"""

import importlib.machinery
import os
import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_PACKAGES = str(_HERE.parents[2])


def _guard() -> None:
    before = sys.path[:]
    sys.path.append(_PACKAGES)
    try:
        from sovereign_ml.egress import guard
    finally:
        sys.path[:] = before
    guard.install_from(os.environ)  # noqa: TID251 - there is no settings object yet


def _run_hidden_sitecustomize() -> None:
    """Run the sitecustomize of the machine. Python imports only one, and this file hides it."""
    path = [entry for entry in sys.path if Path(entry or ".").resolve() != _HERE]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", path)
    if spec is not None and spec.origin is not None:
        exec(  # noqa: S102
            compile(Path(spec.origin).read_bytes(), spec.origin, "exec"),
            {"__name__": "sitecustomize"},
        )


try:
    _guard()
except Exception as error:
    # Python itself would only print the error and go on without the guard.
    sys.stderr.write(
        f"The egress guard could not be installed: {error}. "
        "Unset SOVEREIGN_EGRESS to run without it.\n"
    )
    os._exit(2)
_run_hidden_sitecustomize()
