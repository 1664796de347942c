"""Fitted scikit-learn pipelines as skops files, without pickle. Unknown types are refused."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sovereign_ml.errors import Refused

__all__ = ["read", "write"]


def write(estimator: Any, path: Path) -> None:
    """Write a fitted estimator to ``path``."""
    _skops().dump(estimator, path)


def read(path: Path, trusted: Sequence[str]) -> Any:
    """Return the estimator in ``path``. Raises Refused for types outside ``trusted``."""
    skops = _skops()
    if unknown := sorted(set(skops.get_untrusted_types(file=path)) - set(trusted)):
        raise Refused(
            f"{path.name} holds types that are not trusted: {', '.join(unknown)}. It was not "
            "loaded. Run `churn train`, or review the type and add it to TRUSTED_TYPES in the "
            "project's model.py."
        )
    return skops.load(path, trusted=list(trusted))


def _skops() -> Any:
    """Return ``skops.io``, imported at the first call."""
    # It lists all estimators, so it imports every module of scikit-learn. One of them brings dask
    # in, and no estimator is behind it: scikit-learn passes over modules that cannot be imported.
    hidden = "dask" not in sys.modules
    if hidden:
        sys.modules["dask"] = None  # type: ignore[assignment]
    try:
        import skops.io
    finally:
        if hidden:
            del sys.modules["dask"]
    return skops.io
