"""Fitted scikit-learn pipelines as skops files, without pickle. Unknown types are refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sovereign_ml.errors import Refused

__all__ = ["read", "write"]


def write(estimator: Any, path: Path) -> None:
    """Write a fitted estimator to ``path``."""
    import skops.io

    skops.io.dump(estimator, path)


def read(path: Path, trusted: Sequence[str]) -> Any:
    """Return the estimator in ``path``. Raises Refused for types outside ``trusted``."""
    import skops.io

    if unknown := sorted(set(skops.io.get_untrusted_types(file=path)) - set(trusted)):
        raise Refused(
            f"{path.name} holds types that are not trusted: {', '.join(unknown)}. It was not "
            "loaded. Run `churn train`, or review the type and add it to TRUSTED_TYPES in the "
            "project's model.py."
        )
    return skops.io.load(path, trusted=list(trusted))
