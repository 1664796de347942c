"""skops: fitted scikit-learn pipelines on disk without pickle; unknown types are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sovereign_ml.errors import Refused

TRUSTED = (
    "numpy.arcsinh",
    "numpy.dtype",
    "scipy.interpolate._bsplines.BSpline",
    "scipy.interpolate._bsplines._BSpline",  # its name in the releases for Python 3.12 and newer
    "scipy._lib.array_api_compat.numpy._aliases.asarray",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
)
"""Types that our two pipelines need beyond what skops knows; each was looked at."""


def write(estimator: Any, path: Path) -> None:
    """Write a fitted estimator."""
    import skops.io

    skops.io.dump(estimator, path)


def read(path: Path) -> Any:
    """Read an estimator. Raises Refused that names each type outside ``TRUSTED``: it is not loaded then."""
    import skops.io

    if unknown := sorted(set(skops.io.get_untrusted_types(file=path)) - set(TRUSTED)):
        raise Refused(
            f"{path.name} holds types that are not trusted: {', '.join(unknown)}; it is not loaded. Run `churn train`, "
            "or add a type that you have looked at to TRUSTED in churn/tools/skops.py."
        )
    return skops.io.load(path, trusted=list(TRUSTED))
