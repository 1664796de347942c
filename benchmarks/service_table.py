"""The benchmark's results as a table, with the ratios that the service promises."""

from __future__ import annotations

from typing import Any

HEAD = """\
| service | ready | memory (processes, open files) | 1 connection | 16 connections | 64 connections |
|---|---|---|---|---|---|
"""


def table(content: dict[str, Any]) -> str:
    """Return the page: one row per service, then each promise beside its measurement."""
    ours, floor, bento, mlflow = content["results"]
    machine = content["machine"]
    lines = [
        "# The service beside others\n",
        f"One run on {machine['cores']} shared cores, Python {machine['python']}; wrk on loopback, "
        f"one worker each, median of {content['rounds']} runs of {content['seconds']} s per cell, "
        "all services up and taken in turn. "
        "Made by `benchmarks/service.py`; the numbers are in `service.json`.\n",
        HEAD + "\n".join(_row(result) for result in content["results"]),
        "\n| promise | measured |\n|---|---|\n" + "\n".join(_promises(ours, floor, bento, mlflow)),
    ]
    return "\n".join(lines) + "\n"


def _row(result: dict[str, Any]) -> str:
    cells = [f"{run['per_second']:,.0f}/s, 99 % {run['p99_ms']:.1f} ms" for run in result["runs"]]
    memory = f"{result['memory_mb']:.0f} MB ({result['processes']}, {result['descriptors']})"
    return (
        f"| {result['name']} | {result['ready_s']:.1f} s | {memory} | " + " | ".join(cells) + " |"
    )


def _promises(ours: Any, floor: Any, bento: Any, mlflow: Any) -> list[str]:
    p99 = ours["runs"][1]["p99_ms"]
    return [
        "| at most 128 MB after 50,000 requests "
        f"| {ours['memory_mb']:.0f} MB after {ours['requests']:,}, {ours['descriptors']} open files |",
        f"| ready within 5 s | {ours['ready_s']:.1f} s |",
        f"| 99 % under 20 ms at 16 connections | {p99:.1f} ms |",
        f"| at least 5 times BentoML + scikit-learn | {_ratios(ours, bento)} |",
        f"| at least 5 times `mlflow models serve` | {_ratios(ours, mlflow)} |",
        f"| at least half of the FastAPI no-op | {_ratios(ours, floor)} |",
    ]


def _ratios(ours: Any, other: Any) -> str:
    pairs = zip(ours["runs"], other["runs"], strict=True)
    return ", ".join(
        f"{a['per_second'] / b['per_second']:.2f} at {a['connections']:.0f}" for a, b in pairs
    )
