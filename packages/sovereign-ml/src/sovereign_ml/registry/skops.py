"""skops: fitted scikit-learn pipelines on disk without pickle; unknown types are refused."""

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
    """Read an estimator. Raises Refused that names each type outside ``trusted``: it is not loaded then."""
    import skops.io

    if unknown := sorted(set(skops.io.get_untrusted_types(file=path)) - set(trusted)):
        raise Refused(
            f"{path.name} holds types that are not trusted: {', '.join(unknown)}; it is not loaded. Run `churn train`, "
            "or add a type that you have looked at to TRUSTED_TYPES in the project's model.py."
        )
    return skops.io.load(path, trusted=list(trusted))
