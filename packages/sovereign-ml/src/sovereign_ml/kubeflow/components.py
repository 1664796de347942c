"""One thin component a step: Kubeflow sees artifacts, the step sees paths. kfp ships the text of each function.

No `from __future__ import annotations` here: kfp reads the annotations as objects.
"""

from kfp.dsl import Dataset, Input, Output


def data(raw: Output[Dataset]) -> None:
    """Step 1. The input is what config.toml of the image names."""
    from sovereign_ml.kubeflow.local_runner import run_step_on

    run_step_on("data", {}, raw.path)


def validate(raw: Input[Dataset], valid: Output[Dataset]) -> None:
    """Step 2."""
    from sovereign_ml.kubeflow.local_runner import run_step_on

    run_step_on("validate", {"raw": raw.path}, valid.path)


def features(valid: Input[Dataset], features: Output[Dataset]) -> None:
    """Step 3."""
    from sovereign_ml.kubeflow.local_runner import run_step_on

    run_step_on("features", {"valid": valid.path}, features.path)


def train(features: Input[Dataset], model: Output[Dataset]) -> None:
    """Step 4."""
    from sovereign_ml.kubeflow.local_runner import run_step_on

    run_step_on("train", {"features": features.path}, model.path)


def evaluate(
    model: Input[Dataset],
    features: Input[Dataset],
    valid: Input[Dataset],
    metrics: Output[Dataset],
) -> None:
    """Step 5."""
    from sovereign_ml.kubeflow.local_runner import run_step_on

    paths = {"model": model.path, "features": features.path, "valid": valid.path}
    run_step_on("evaluate", paths, metrics.path)


def card(
    model: Input[Dataset],
    metrics: Input[Dataset],
    features: Input[Dataset],
    valid: Input[Dataset],
    card: Output[Dataset],
) -> None:
    """Step 6."""
    from sovereign_ml.kubeflow.local_runner import run_step_on

    paths = {
        "model": model.path,
        "metrics": metrics.path,
        "features": features.path,
        "valid": valid.path,
    }
    run_step_on("card", paths, card.path)


def register(
    model: Input[Dataset],
    metrics: Input[Dataset],
    card: Input[Dataset],
    bundle: Output[Dataset],
) -> None:
    """Step 7."""
    from sovereign_ml.kubeflow.local_runner import run_step_on

    run_step_on(
        "register", {"model": model.path, "metrics": metrics.path, "card": card.path}, bundle.path
    )


def score(
    bundle: Input[Dataset],
    features: Input[Dataset],
    valid: Input[Dataset],
    scores: Output[Dataset],
) -> None:
    """Step 8."""
    from sovereign_ml.kubeflow.local_runner import run_step_on

    run_step_on(
        "score",
        {"bundle": bundle.path, "features": features.path, "valid": valid.path},
        scores.path,
    )
