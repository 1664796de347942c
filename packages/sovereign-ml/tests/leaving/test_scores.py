"""Scores of the old endpoint's captured answers against those of the new bundle."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bundles
from sagemaker_double import Account, dumped
from small_project import load
from sovereign_ml.cli.main import application
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.leaving.scores import ScoreParity, captured, compare_scores

MODEL, CONTRACT, POLICY = bundles.model(), bundles.contract(), bundles.policy()
NAMES = MODEL.features
Encoded = tuple[str, str, str]
"""Content type, encoding and text of one side of a captured request."""


def people(count: int, seed: int = 0) -> tuple[list[dict[str, Any]], list[float]]:
    """Random requests with the probability that the model gives them."""
    columns = bundles.customers(count, seed)
    scores = [float(p) for p in MODEL.probability(columns)]
    rows = []
    for number in range(count):
        values = {name: columns[name][number] for name in NAMES}
        rows.append({k: None if _missing(v) else v.item() if hasattr(v, "item") else v for k, v in values.items()})  # fmt: skip
    return rows, scores


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def line(request: Encoded, answer: Encoded) -> str:
    def side(content: Encoded) -> dict[str, str]:
        kind, encoding, text = content
        if encoding == "BASE64":
            text = base64.b64encode(text.encode()).decode()
        return {"observedContentType": kind, "data": text, "encoding": encoding}

    data = {"endpointInput": side(request), "endpointOutput": side(answer)}
    return json.dumps({"captureData": data, "eventMetadata": {}, "eventVersion": "0"})


def text_of(row: dict[str, Any]) -> str:
    return ",".join("" if row[name] is None else str(row[name]) for name in NAMES)


def wrote(folder: Path, lines: list[str]) -> list[Path]:
    path = folder / "AllTraffic/2026/11/01/00/part.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return captured(folder)


def compared(folder: Path, lines: list[str], **more: Any) -> ScoreParity:
    return compare_scores(wrote(folder, lines), MODEL, CONTRACT, POLICY, **more)


def as_csv(encoding: str) -> Callable[[list[Any], list[float]], str]:
    return lambda rows, scores: line(
        ("text/csv", encoding, "\n".join(map(text_of, rows))),
        ("text/csv; charset=utf-8", encoding, ",".join(map(repr, scores))),
    )


FORMS: dict[str, Callable[[list[Any], list[float]], str]] = {
    "csv": as_csv("CSV"),
    "base64": as_csv("BASE64"),
    "a score a line": lambda rows, scores: line(
        ("text/csv", "CSV", "\n".join(map(text_of, rows))),
        ("text/csv", "CSV", "\n".join(map(repr, scores))),
    ),
    "instances": lambda rows, scores: line(
        ("application/json", "JSON", json.dumps({"instances": [{"features": list(r.values())} for r in rows]})),
        ("application/json", "JSON", json.dumps({"predictions": [{"score": s, "predicted_label": 1} for s in scores]})),
    ),
    "named": lambda rows, scores: line(
        ("application/json", "BASE64", json.dumps({"instances": rows})),
        ("application/json", "BASE64", json.dumps([[1 - s, s] for s in scores])),
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [1, 2, 3])
def test_equal_scores_are_the_same_in_every_form(tmp_path: Path, form: str, size: int) -> None:
    rows, scores = people(6 * size, seed=size)
    starts = range(0, len(rows), size)
    lines = [FORMS[form](rows[at : at + size], scores[at : at + size]) for at in starts]
    result = compared(tmp_path, lines, columns=NAMES, tolerance=1e-9)
    assert (result.verdict(), result.skipped, len(result.differences)) == ("same", {}, 6 * size)


@pytest.mark.parametrize("seed", range(5))
def test_planted_differences_are_found_exactly_and_noise_is_none(tmp_path: Path, seed: int) -> None:
    rows, scores = people(300, seed)
    noise = [float(np.float32(score)) for score in scores]
    clean = compared(tmp_path / "a", [as_csv("CSV")([r], [s]) for r, s in zip(rows, noise, strict=True)], columns=NAMES)  # fmt: skip
    assert (clean.verdict(), clean.cause()) == ("same", "")
    planted = set(np.random.default_rng(seed).choice(300, 7, replace=False).tolist())
    moved = [s + (0.02 if s < 0.5 else -0.02) * (n in planted) for n, s in enumerate(noise)]
    lines = [as_csv("CSV")([row], [score]) for row, score in zip(rows, moved, strict=True)]
    result = compared(tmp_path / "b", lines, columns=NAMES)
    assert set(np.flatnonzero(np.abs(result.differences) > 0.01).tolist()) == planted
    assert (result.verdict(), result.over) == ("differs", 7)
    assert result.largest == pytest.approx(0.02, abs=1e-6)
    assert "few scores differ" in result.cause()
    bands = POLICY.band_index(moved) != POLICY.band_index(scores)
    assert result.bands_changed == int(np.sum(bands))
    shifted = [as_csv("CSV")([r], [s * 0.9 + 0.05]) for r, s in zip(rows, scores, strict=True)]
    assert compared(tmp_path / "c", shifted, columns=NAMES).verdict() == "differs"


def test_what_cannot_be_compared_is_counted_and_is_no_agreement(tmp_path: Path) -> None:
    (row,), (score,) = people(1)
    good = as_csv("CSV")([row], [score])
    answer = ("text/csv", "CSV", repr(score))
    named: dict[str, Any] = {**row, "recency_days": -1}
    lines = [
        good,
        "{}",
        "not json",
        json.dumps({"captureData": {"endpointInput": {}}}),
        line(("text/csv", "CSV", "1,2"), answer),
        line(("text/csv", "CSV", text_of(row)), ("text/csv", "CSV", "0.1\n0.2\n0.3")),
        line(("text/csv", "CSV", text_of(row)), ("text/csv", "CSV", "1.7")),
        line(("application/json", "JSON", json.dumps(named)), answer),
        line(("application/json", "JSON", json.dumps({"recency_days": 1})), answer),
        line(("text/csv", "CSV", "x" * 200_000), answer),
        line(("image/png", "BASE64", base64.b64encode(b"x" * 200_000).decode()), answer),
        line(("application/json", "JSON", json.dumps({**row, "recency_days": 10**400})), answer),
        line(
            ("text/csv", "CSV", text_of(row)),
            ("application/json", "JSON", json.dumps({"score": 10**400})),
        ),
        line(("text/csv", "CSV", text_of(row)), ("application/json", "JSON", '{"label": 1}')),
    ]
    result = compared(tmp_path, lines, columns=NAMES)
    assert len(result.differences) + sum(result.skipped.values()) == len(lines)
    assert len(result.skipped) >= 7
    assert result.verdict() == "not shown"
    assert (result.verdict(may_lack=0.93), result.verdict(may_lack=0.92)) == ("same", "not shown")
    text = str(dict(result.skipped))
    assert str(row["recency_days"]) not in text  # a reason never repeats a value
    nothing = compared(tmp_path / "b", ["{}"], columns=NAMES)
    assert nothing.verdict(may_lack=1) == "not shown"


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (NAMES[:-1], f"also takes {NAMES[-1]}"),
        ((*NAMES, "old_name"), "old_name: no feature"),
        ((*NAMES, NAMES[0]), "named twice"),
    ],
)
def test_columns_that_do_not_fit_the_model_are_one_line(
    tmp_path: Path, columns: tuple[str, ...], words: str
) -> None:
    with pytest.raises(Misuse, match=words):
        compared(tmp_path, ["{}"], columns=columns)
    (row,), (score,) = people(1)
    request = ("text/csv", "CSV", f"id-1,{text_of(row)}")
    skipped = line(request, ("text/csv", "CSV", repr(score)))
    assert compared(tmp_path, [skipped], columns=("-", *NAMES)).verdict() == "same"


def test_the_command_says_its_verdict_and_reads_only_the_dump(
    new_project: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    root = new_project()
    project = load(root)
    monkeypatch.setattr("sovereign_ml.cli.leave.differences.load_settings", lambda _: project)
    bundles.write_bundle(project.path("bundle"))
    folder = dumped(Account(runs=0), tmp_path / "dump")
    rows, scores = people(20)
    wrote(folder / "capture/churn", [as_csv("CSV")(rows, scores)])

    def call(endpoint: str) -> None:
        command = ["leave", "parity", str(folder), "--endpoint", endpoint]
        application()([*command, "--columns", ",".join(NAMES)], standalone_mode=False)

    call("churn")
    assert "20 of 20 rows compared" in (shown := capsys.readouterr().out)
    assert shown.endswith("Verdict: same.\n")
    wrote(folder / "capture/churn", [as_csv("CSV")(rows, [s * 0.9 for s in scores])])
    with pytest.raises(Refused, match="Verdict: differs"):
        call("churn")
    report = json.loads((root / "governance/leaving/report.json").read_text())
    assert report["steps"]["parity"]["verdict"] == "differs"
    for endpoint, words in (("other", "no captured request"), ("../..", "points out of the dump")):
        with pytest.raises(Misuse, match=words):
            call(endpoint)
