"""The contenders' estimator: splines and a logistic regression on random numbers."""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np

NAMES = tuple(os.environ["INPUTS"].split(","))
"""The inputs of the service that they are compared with."""


def fitted() -> Any:
    """A fitted pipeline."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import SplineTransformer

    random = np.random.default_rng(7)
    features = random.gamma(2.0, 10.0, (2000, len(NAMES)))
    labels = random.random(2000) < 1 / (1 + np.exp(2 - features[:, 0] / 10))
    return make_pipeline(
        SplineTransformer(degree=1, n_knots=6), LogisticRegression(max_iter=500)
    ).fit(features, labels)


def save(folder: str) -> None:
    """As an MLflow model for ``mlflow models serve``."""
    import mlflow

    trusted = [
        "scipy.interpolate._bsplines.BSpline",
        "scipy._lib.array_api_compat.numpy._aliases.asarray",
    ]
    mlflow.sklearn.save_model(fitted(), folder, skops_trusted_types=trusted)


if __name__ == "__main__":
    save(sys.argv[1])
