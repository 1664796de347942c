"""Compare the answers of an old endpoint with those of the new model to the same requests.

The requests come from SageMaker's data capture. They are scored by the bundle that the service
serves, without a decision and without a log.
"""

from __future__ import annotations

import base64
import csv
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sovereign_ml.decisions.decision_policy import DecisionPolicy
from sovereign_ml.decisions.feature_contract import FeatureContract, FeatureSpec
from sovereign_ml.errors import Misuse
from sovereign_ml.model.scorecard import Floats, Scorecard

SKIPPED = "-"
"""Mark in the list of columns for a column that the new model does not use."""
_AT_ONCE = 20_000
_WORDS = ("score", "probability", "predicted_score", "prediction", "probabilities")
"""Members of an answer that hold the probability, by the names of SageMaker's own containers."""
_LISTS = ("predictions", "instances", "features", "data", "scores", "outputs")
"""Members that hold the rows of a request or an answer."""


class _NotRead(ValueError):
    """A captured request that cannot be compared. The message is the reason, without a value."""


@dataclass
class ScoreParity:
    """Result of the comparison. ``differences`` are new minus old probabilities, one per row."""

    tolerance: float
    lines: int = 0
    rows: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    """Counts of rows that could not be compared, or of lines without any, by reason."""
    differences: Floats = field(default_factory=lambda: np.empty(0))
    bands_changed: int = 0

    @property
    def over(self) -> int:
        """Return the number of rows whose probability differs by more than the tolerance."""
        return int((np.abs(self.differences) > self.tolerance).sum())

    @property
    def largest(self) -> float:
        """Return the largest absolute difference."""
        return float(np.abs(self.differences).max()) if len(self.differences) else 0.0

    def verdict(self, may_lack: float = 0) -> str:
        """Return "same", "differs", or "not shown" if a share over ``may_lack`` was skipped."""
        if self.over:
            return "differs"
        lacking = sum(self.skipped.values())
        whole = len(self.differences) and lacking <= may_lack * (lacking + len(self.differences))
        return "same" if whole else "not shown"

    def cause(self) -> str:
        """Return a likely cause of the differences, "" if none is over the tolerance."""
        if not self.over:
            return ""
        mean, spread = float(self.differences.mean()), float(self.differences.std())
        if spread <= max(self.tolerance, abs(mean)) / 10:
            return (
                f"every score is shifted by {mean:+.4f}: the calibration or the intercept differs"
            )
        if self.over < len(self.differences) / 20:
            return "few scores differ: check the spelling and the missing values of these rows"
        return "the scores differ row by row: other features, other units or another model"


def captured(folder: Path) -> list[Path]:
    """Return the files of data capture below ``folder``. Raises Misuse if there is none."""
    files = sorted(folder.rglob("*.jsonl"))
    if not files:
        raise Misuse(
            f"{folder} holds no captured request (*.jsonl): copy the files of data capture there "
            "(`churn leave script --data` does it)."
        )
    return files


def compare_scores(
    files: Iterable[Path],
    model: Scorecard,
    contract: FeatureContract,
    policy: DecisionPolicy,
    *,
    columns: Sequence[str] = (),
    answer: str = "",
    tolerance: float = 0.01,
) -> ScoreParity:
    """Score every captured request by ``model`` and compare with the endpoint's answer.

    ``columns`` names the values of a row in their order, with "-" for an unused one. A request in
    JSON with named values needs none. ``answer`` is the member of a JSON answer that holds the
    probability. Files are read line by line. Raises Misuse if ``columns`` lacks a feature or names
    none of the model.
    """
    specs = {spec.name: spec for spec in contract.features if spec.name in model.features}
    _check_columns(columns, specs)
    result = ScoreParity(tolerance)
    differences: list[Floats] = []
    rows: list[list[Any]] = []
    old: list[float] = []

    def score() -> None:
        if rows:
            table = dict(zip(specs, map(list, zip(*rows, strict=True)), strict=True))
            before, now = np.array(old), model.probability(table)
            differences.append(now - before)
            changed = policy.band_index(before) != policy.band_index(now)
            result.bands_changed += int(changed.sum())
        rows.clear()
        old.clear()

    for line in _lines(files):
        result.lines += 1
        try:
            pairs = list(_pairs(line, columns, answer))
        except _NotRead as error:
            result.skipped[str(error)] += 1
            continue
        for values, probability in pairs:
            result.rows += 1
            try:
                rows.append([_value(spec, values) for spec in specs.values()])
                old.append(_probability(probability))
            except _NotRead as error:
                result.skipped[str(error)] += 1
                # The row without its answer.
                del rows[len(old) :]
        if len(rows) >= _AT_ONCE:
            score()
    score()
    if differences:
        result.differences = np.concatenate(differences)
    return result


def _check_columns(columns: Sequence[str], specs: Mapping[str, FeatureSpec]) -> None:
    named = [name for name in columns if name != SKIPPED]
    unknown = sorted(set(named) - specs.keys())
    lacking = sorted(specs.keys() - set(named)) if columns else []
    twice = sorted(name for name, count in Counter(named).items() if count > 1)
    for names, problem in ((unknown, "no feature of the model"), (twice, "named twice")):
        if names:
            raise Misuse(
                f"Columns: {', '.join(names)}: {problem}. The model takes {', '.join(specs)}; "
                f"'{SKIPPED}' skips a column."
            )
    if lacking:
        raise Misuse(f"Columns: the model also takes {', '.join(lacking)}. Name every column.")


def _lines(files: Iterable[Path]) -> Iterator[str]:
    for path in files:
        with path.open(encoding="utf-8", errors="replace") as lines:
            yield from (line for line in lines if line.strip())


def _pairs(
    line: str, columns: Sequence[str], answer: str
) -> Iterator[tuple[Mapping[str, Any], Any]]:
    """Yield the named values and the old answer of each row of a captured request."""
    try:
        data = json.loads(line)["captureData"]
        sides = {side: _content(data[side]) for side in ("endpointInput", "endpointOutput")}
    except KeyError:
        raise _NotRead("a request without an answer, or an answer without its request") from None
    # A field of more than 128 KiB, such as a picture, is an error of the module csv.
    except (ValueError, TypeError, RecursionError, csv.Error):
        raise _NotRead("a line that is no captured request") from None
    requests = _rows(sides["endpointInput"])
    answers = _answers(sides["endpointOutput"], answer, len(requests))
    if len(answers) != len(requests):
        raise _NotRead("another number of answers than of rows")
    for row, probability in zip(requests, answers, strict=True):
        yield _named(row, columns), probability


def _content(side: Mapping[str, Any]) -> Any:
    """Return the parsed content: lists of text for CSV, JSON as it is."""
    text, encoding = side["data"], side.get("encoding", "")
    kind = str(side.get("observedContentType", "")).lower()
    if encoding == "BASE64":
        # By default Python skips foreign characters, and garbage would be compared.
        text = base64.b64decode(text, validate=True).decode("utf-8")
    if encoding == "JSON" or "json" in kind:
        return json.loads(text)
    if encoding != "CSV" and "csv" not in kind:
        # Nothing tells the format, and a single number is both.
        with suppress(ValueError):
            return json.loads(text)
    return [row for row in csv.reader(str(text).splitlines()) if row]


def _rows(content: Any) -> list[Any]:
    """Return the rows of a request or an answer, in any form of SageMaker's containers."""
    while isinstance(content, dict):
        inner = [content[name] for name in _LISTS if isinstance(content.get(name), list | dict)]
        if not inner:
            return [content]
        content = inner[0]
    if not isinstance(content, list):
        return [content]
    # One object per row, such as {"features": [...]}.
    if content and all(isinstance(row, dict) and row.keys() <= set(_LISTS) for row in content):
        return [row[next(iter(row))] for row in content]
    nested = any(isinstance(row, list | dict) for row in content)
    return content if nested else [content]


def _named(row: Any, columns: Sequence[str]) -> Mapping[str, Any]:
    if isinstance(row, dict):
        return row
    if not isinstance(row, list):
        raise _NotRead("a request that is neither a row nor named values")
    if not columns:
        raise _NotRead("a row without names: say --columns")
    if len(row) != len(columns):
        raise _NotRead("a row with another number of values than columns")
    return dict(zip(columns, row, strict=True))


def _answers(content: Any, member: str, count: int) -> list[Any]:
    """Return one answer for each of ``count`` rows, also from a single line, as XGBoost writes."""
    rows = _rows(content)
    if len(rows) == 1 and isinstance(rows[0], list) and len(rows[0]) == count:
        rows = rows[0]
    return [_answer(row, member) for row in rows]


def _answer(row: Any, member: str) -> Any:
    if isinstance(row, dict):
        names = [member] if member else [name for name in _WORDS if name in row]
        if not names or names[0] not in row:
            raise _NotRead("an answer without a probability: name its member with --answer")
        row = row[names[0]]
    if isinstance(row, list):
        if len(row) == 2 and not member:
            # The probabilities of both classes: the second is that of the target.
            return row[1]
        if len(row) != 1:
            raise _NotRead("an answer of several values")
        row = row[0]
    return row


def _value(spec: FeatureSpec, values: Mapping[str, Any]) -> Any:
    """Return a value as the service accepts it. Raises _NotRead where the service would refuse."""
    if spec.name not in values:
        raise _NotRead(f"a request without {spec.name}")
    value = values[spec.name]
    if value is None or value == "":
        if not spec.missing_allowed:
            raise _NotRead(f"{spec.name} is missing, which the service refuses")
        return None
    if spec.dtype == "string":
        return str(value)
    number = _number(value)
    if math.isnan(number) and spec.missing_allowed:
        return None
    low = -math.inf if spec.minimum is None else spec.minimum
    high = math.inf if spec.maximum is None else spec.maximum
    # NaN fails this comparison too, so it needs no case of its own.
    if math.isinf(number) or not low <= number <= high:
        raise _NotRead(f"{spec.name} is outside its limits or no number, which the service refuses")
    return number


def _number(value: Any) -> float:
    """Return a value as a number, infinity for one that is none. NaN stays a missing value."""
    try:
        return float(value)
    # JSON's whole numbers have no limit.
    except (TypeError, ValueError, OverflowError):
        return math.inf


def _probability(value: Any) -> float:
    number = _number(value)
    # To clip would make a probability of an answer in log-odds or per cent.
    if not 0 <= number <= 1:
        raise _NotRead("an answer that is no probability between 0 and 1")
    return number
