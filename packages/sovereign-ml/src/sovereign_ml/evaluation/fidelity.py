"""Comparison of the shipped scorecard with the fitted pipeline from which it was made.

``model.json`` is a translation of a fitted pipeline. Anything that the translation does not know
would be lost silently. So both are compared before the file is written, and once more before it is
registered.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sovereign_ml.decisions.feature_contract import FeatureContract
from sovereign_ml.errors import Refused
from sovereign_ml.model.scorecard import Curve, Floats, Scorecard

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LIMIT", "PROBES", "check_probes", "columns_of", "largest_gap", "misfits", "write_model"]

LIMIT = 1e-9
"""Largest difference in probability between pipeline and scorecard, which allows rounding only."""
PROBES = "probes.json"
"""File of invented rows with the probabilities of the pipeline, beside ``model.json``."""
_ROWS = 200
_EXACT = 1e-7  # a difference in log-odds up to this counts as explained


def write_model(folder: Path, scorecard: Scorecard, fitted: Any, inputs: pd.DataFrame) -> None:
    """Write ``model.json`` and `PROBES` into ``folder`` if ``scorecard`` agrees with ``fitted``.

    ``inputs`` are the rows that ``fitted`` was trained on. Raises Refused with the names of the
    blocks of coefficients that are not in the scorecard.
    """
    import pandas as pd

    probes = pd.DataFrame(_probes(scorecard, inputs))
    for rows, kind in ((inputs, "training rows"), (probes, "made-up rows")):
        gap = largest_gap(scorecard, fitted, rows)
        if not gap <= LIMIT:
            raise Refused(_difference(scorecard, fitted, rows, gap, kind))
    content = {
        "rows": json.loads(probes.to_json(orient="records", double_precision=15)),
        "probability": [float(f"{p:.12g}") for p in _probability(fitted, probes)],
    }
    text = scorecard.model_dump_json(indent=2) + "\n"
    (folder / "model.json").write_text(text, encoding="utf-8")
    (folder / PROBES).write_text(json.dumps(content) + "\n", encoding="utf-8")


def largest_gap(scorecard: Scorecard, fitted: Any, inputs: pd.DataFrame) -> float:
    """Return the largest difference in probability between ``scorecard`` and ``fitted``."""
    shipped = scorecard.probability(columns_of(inputs))
    return float(np.abs(shipped - _probability(fitted, inputs)).max())


def check_probes(scorecard: Scorecard, path: Path) -> None:
    """Compare ``scorecard`` with the probabilities of the pipeline in the file ``path``.

    Raises Refused where the file is missing or unreadable, or where probabilities differ.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        rows, expected = content["rows"], np.asarray(content["probability"], dtype=np.float64)
        columns = {name: [row[name] for row in rows] for name in scorecard.features}
        gap = float(np.abs(scorecard.probability(columns) - expected).max())
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise Refused(
            f"{path.name} of the model does not fit it ({type(error).__name__}: {error}). "
            "The bundle cannot be compared with the fitted model without it. "
            "Run `churn train` again."
        ) from None
    if not gap <= LIMIT:
        raise Refused(
            "The model of the bundle is not the fitted one: their probabilities differ by up to "
            f"{gap:.2g} on {len(expected)} made-up rows; {LIMIT:g} is allowed. "
            "Run `churn train` again."
        )


def misfits(scorecard: Scorecard, contract: FeatureContract) -> list[str]:
    """Return the differences between features of ``scorecard`` and ``contract``, one sentence each.

    Names, kinds and order have to be the same: numbers in the contract's order, then
    categories.
    """
    problems = []
    for kind, parts in (("float", scorecard.numeric), ("string", scorecard.categorical)):
        shipped = [part.name for part in parts]
        declared = [spec.name for spec in contract.features if spec.dtype == kind]
        noun = {"float": "Numbers", "string": "Categories"}[kind]
        if odd := [name for name in shipped if name not in declared]:
            problems.append(
                f"{noun} of the model that the contract does not have: {', '.join(odd)}."
            )
        if odd := [name for name in declared if name not in shipped]:
            problems.append(
                f"{noun} of the contract that the model does not have: {', '.join(odd)}."
            )
        elif shipped != declared and len(shipped) == len(declared):
            problems.append(f"{noun} of the model are in the order {', '.join(shipped)}.")
    return problems


def _probes(scorecard: Scorecard, inputs: pd.DataFrame) -> dict[str, list[Any]]:
    """Return made-up rows: at, between and beyond the knots, every named category, and gaps."""
    # Values are drawn for each feature by itself, so that interactions of two features show.
    rng = np.random.default_rng(0)
    columns = {}
    for part in scorecard.parts:
        gap = [None] if inputs[part.name].isna().any() else []
        if isinstance(part, Curve):
            middles = [(a + b) / 2 for a, b in zip(part.knots, part.knots[1:], strict=False)]
            beyond = [part.knots[0] - 1, 2 * abs(part.knots[-1]) + 1]
            values: list[Any] = [*part.knots, *middles, *beyond, *gap]
        else:
            values = [*part.log_odds, *gap] or [None]
        columns[part.name] = [values[i] for i in rng.integers(len(values), size=_ROWS)]
    return {name: columns[str(name)] for name in inputs.columns if name in columns}


def columns_of(inputs: pd.DataFrame) -> dict[str, NDArray[Any]]:
    """Return the values of ``inputs`` by feature, each of shape (n,): what a scorecard takes."""
    return {str(name): values.to_numpy() for name, values in inputs.items()}


def _probability(fitted: Any, inputs: pd.DataFrame) -> Floats:
    with warnings.catch_warnings(action="ignore"):  # such as a category that was not seen
        result: Floats = fitted.predict_proba(inputs)[:, 1]
    return result


def _difference(
    scorecard: Scorecard, fitted: Any, rows: pd.DataFrame, gap: float, kind: str
) -> str:
    blocks = _lost_blocks(scorecard, fitted, rows)
    where = (
        f"Not in the scorecard as fitted: {', '.join(blocks)}. Give these blocks their part in "
        "to_scorecard(), or make what they compute a feature of the contract."
        if blocks
        else "No block of coefficients of the pipeline explains the difference: "
        "compare to_scorecard() with the estimator."
    )
    return (
        f"The scorecard is not the fitted model: their probabilities differ by up to {gap:.2g} on "
        f"{len(rows):,} {kind}; {LIMIT:g} is allowed. {where}"
    )


def _lost_blocks(scorecard: Scorecard, fitted: Any, rows: pd.DataFrame) -> list[str]:
    """Return the blocks of columns that explain the difference in log-odds, or most of it."""
    blocks = _blocks(fitted, rows)
    p = np.clip(_probability(fitted, rows), 1e-15, 1 - 1e-15)
    rest = np.log(p / (1 - p)) - scorecard.log_odds(columns_of(rows))
    if not blocks or not np.isfinite(rest).all():
        return []
    for name, part in fitted[-2].output_indices_.items():
        if name in blocks and np.ptp(rest - blocks[name] @ fitted[-1].coef_[0, part]) <= _EXACT:
            return [name]  # left out as a whole
    chosen: list[str] = []
    remainder = _unexplained(rest, [])
    # Greedy: the block that explains most comes first, and blocks made needless by later ones go.
    while np.abs(remainder).max() > _EXACT and len(chosen) < len(blocks):
        tried = {
            name: _unexplained(rest, [blocks[other] for other in (*chosen, name)])
            for name in blocks
            if name not in chosen
        }
        best = min(tried, key=lambda name: float(np.square(tried[name]).sum()))
        if np.square(tried[best]).sum() > 0.9 * np.square(remainder).sum():
            break  # no block has anything to do with the remainder
        remainder = tried[best]
        chosen.append(best)
    needed = np.abs(remainder).max() + _EXACT
    for name in list(chosen):
        others = [blocks[other] for other in chosen if other != name]
        if others and np.abs(_unexplained(rest, others)).max() <= needed:
            chosen.remove(name)
    return chosen


def _blocks(fitted: Any, rows: pd.DataFrame) -> dict[str, Floats]:
    """Return the columns of each named block before the last step, none for other pipelines."""
    parts = (
        getattr(fitted[-2], "output_indices_", {}) if len(getattr(fitted, "steps", ())) > 1 else {}
    )
    if not parts or not hasattr(fitted[-1], "coef_"):
        return {}
    with warnings.catch_warnings(action="ignore"):
        matrix = fitted[:-1].transform(rows)
    dense: Floats = (
        matrix.toarray() if hasattr(matrix, "toarray") else np.asarray(matrix, dtype=np.float64)
    )
    return {name: dense[:, part] for name, part in parts.items() if part.stop > part.start}


def _unexplained(values: Floats, blocks: list[Floats]) -> Floats:
    """Return the part of ``values`` (n,) that no weights of ``blocks`` and no constant explain."""
    matrix = np.column_stack([np.ones(len(values)), *blocks])
    remainder: Floats = values - matrix @ np.linalg.lstsq(matrix, values, rcond=None)[0]
    return remainder
