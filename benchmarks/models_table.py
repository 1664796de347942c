"""The comparison of kinds of model as a page."""

from __future__ import annotations

from typing import Any

SOURCES = {
    "Built-in shop": "The shop of `config.toml` as it is rendered: invented people.",
    "Online Retail": (
        "Real transactions: Chen, D. (2015), UCI Machine Learning Repository 352, "
        "doi 10.24432/C5BW33, CC BY 4.0. "
        "Mapped by `churn data suggest`, as the project's `docs/your-data.md` shows."
    ),
}
HEAD = """\
# Kinds of model, side by side

One run on {cores} shared cores, Python {python}: `python benchmarks/models.py PROJECT`. The numbers
are in `models.json`. The third kind is a team's own, a line in the days since the last purchase:
the class that the project's `docs/extending.md` shows. `monotone` keeps to the directions that
`contract.py` expects. The own class has one curve that rises by itself, so both of its rows are the
same model: the distance of their answers is the noise of this run.

- **C** is searched for each row on time-ordered folds. The figures are of the newest cut-off, which
  no fit has seen.
- **Intervals** are 95 %. **Difference** is that of the ROC AUC to the first row, paired: the same
  resamples.
- **Fidelity** is the largest gap in probability between the fit and the sum of the reasons.
  **Served** is the largest gap between the fit and the answer of the service.
- **Answer** is `POST /v1/score` over HTTP, with reasons and the decision log, one customer at a
  time: median of {asked:,}, and the 99th percentile. It is a multiple of the first row's median, as
  milliseconds of a shared machine say little.
- **Memory** is that of the whole service process after those answers.
"""
TABLE = """
## {name}

{source} {customers:,} customers of {cutoff}, base rate {base_rate:.3f}, {resamples} resamples.

| model | monotone | C | ROC AUC | difference | Brier | fidelity | served | answer | memory | model.json |
|---|---|---|---|---|---|---|---|---|---|---|
"""


def page(content: dict[str, Any]) -> str:
    """Return the page: a table for each data set."""
    head = HEAD.format(**content, asked=content["answers"] * content["rounds"])
    return head + "".join(map(_table, content["data"]))


def _table(data: dict[str, Any]) -> str:
    first = data["rows"][0]
    head = TABLE.format(**data, source=SOURCES[data["name"]])
    return head + "\n".join(_row(row, first) for row in data["rows"]) + "\n"


def _row(row: dict[str, Any], first: dict[str, Any]) -> str:
    answer, slow = (row[name] / first["answer_ms"] for name in ("answer_ms", "answer_p99_ms"))
    cells = [
        row["model"],
        "yes" if row["monotone"] else "no",
        f"{row['c']:g}",
        _interval(row["roc_auc"]),
        "" if row is first else _interval(row["roc_auc_difference"], "+"),
        _interval(row["brier"]),
        f"{row['fidelity']:.0e}",
        f"{row['served_gap']:.0e}",
        f"{answer:.2f}, 99 % {slow:.2f}",
        f"{row['memory_mb']:.0f} MB",
        f"{row['model_kb']:.0f} kB",
    ]
    return f"| {' | '.join(cells)} |"


def _interval(figure: dict[str, float], sign: str = "") -> str:
    value, low, high = (format(figure[name], f"{sign}.3f") for name in ("value", "low", "high"))
    return f"{value} ({low} to {high})" if sign else f"{value} ({low}-{high})"
