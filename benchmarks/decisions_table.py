"""The benchmark's results as a page, with what the service promises."""

from __future__ import annotations

from typing import Any

PROMISED_MS, PROMISED_MB = 50, 200
HEAD = """\
# A decision log with a history

One run on {cores} shared cores, Python {python}: the service as it is shipped, one request after the
other, on a log of {decisions:,} decisions and {reviews:,} reviews ({size_gb} GB in SQLite), and on one of
{short:,} decisions. Times are the fastest of {rounds} requests in milliseconds, with the median in brackets;
the ratio is that of the medians. The four logs take turns, so that noise hits all alike. Load average
of the machine meanwhile: {load:.0f}. Above the number of cores, times say how long a request waited for
a core, and only the ratios count. Made by `benchmarks/decisions.py`; the numbers are in `decisions.json`.

| what | {columns} |
|---|{rule}
{rows}

Promised: each of these requests under {promised_ms} ms on a quiet machine, the process under {promised_mb} MB. {proof}
"""


def table(result: dict[str, Any]) -> str:
    """The page: a row for each route, and how much longer it takes on the long log."""
    short, long = result["logs"][:2], result["logs"][2:]
    columns = []
    for one, other in zip(long, short, strict=True):
        columns += [f"{one['database']}, {log['decisions']:,}" for log in (other, one)] + ["ratio"]
    rows = []
    for what in long[0]["fastest_ms"]:
        cells = [what]
        for one, other in zip(long, short, strict=True):
            cells += [
                f"{log['fastest_ms'][what]} ({log['median_ms'][what]})" for log in (other, one)
            ]
            cells.append(f"{one['median_ms'][what] / other['median_ms'][what]:.1f}")
        rows.append("| " + " | ".join(cells) + " |")
    for what, name in (("memory of the process, MB", "memory_mb"), ("ready after, s", "ready_s")):
        cells = [what]
        for one, other in zip(long, short, strict=True):
            cells += [str(other[name]), str(one[name]), f"{one[name] / other[name]:.1f}"]
        rows.append("| " + " | ".join(cells) + " |")
    verified = " and ".join(
        f"{seconds:.0f} s ({one['database']})"
        for (_, seconds), one in zip(result["proofs"], long, strict=False)
    )
    entries = result["proofs"][0][0] if verified else 0
    proof = f"`verify` read all {entries:,} entries in {verified}: the chain holds."
    return HEAD.format(
        **result,
        short=short[0]["decisions"],
        columns=" | ".join(columns),
        rule="---|" * len(columns),
        rows="\n".join(rows),
        promised_ms=PROMISED_MS,
        promised_mb=PROMISED_MB,
        proof=proof if verified else "",
    )
