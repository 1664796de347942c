"""Step 2, validate: rows that satisfy the contract; the others with the expectation that they broke."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from churn import contract
from sovereign_ml.config.settings import Settings
from sovereign_ml.errors import Refused
from sovereign_ml.pipeline.great_expectations import Check
from sovereign_ml.pipeline.great_expectations import validate as check
from sovereign_ml.pipeline.validation_report import validation_page
from sovereign_ml.storage.artifacts import need, read_json, summarise, writing

if TYPE_CHECKING:
    import pandas as pd

TABLES = {
    "transactions": contract.TRANSACTIONS,
    "customers": contract.CUSTOMERS,
    "groups": contract.GROUPS,
}


def validate(raw: Path, output: Path, *, settings: Settings) -> None:
    """Check each table of ``raw`` and write what passes, what is rejected and an HTML report.

    Raises Refused if more than ``[validate] max_rejected_share`` of the transactions are rejected; the report and
    the rejected rows are then in ``<output>_refused``, because the next step must not find them.
    """
    import pandas as pd

    need(raw, "data")
    limit = settings.validate_.max_rejected_share
    tables = {name: pd.read_parquet(raw / f"{name}.parquet") for name in TABLES}
    checks = {name: check(tables[name], columns) for name, columns in TABLES.items()}
    rejected = {name: _rejected(tables[name], checks[name]) for name in TABLES}
    rows, bad = len(tables["transactions"]), len(rejected["transactions"])
    refused, aside = bad > limit * rows, _aside(output)
    with writing(aside if refused else output) as folder:
        for name, table in tables.items():
            table.drop(index=rejected[name].index).to_parquet(
                folder / f"{name}.parquet", index=False
            )
            rejected[name].to_parquet(folder / f"rejected_{name}.parquet", index=False)
        page = validation_page(
            settings, checks, {n: len(t) for n, t in tables.items()}, rejected, limit, refused
        )
        (folder / "report.html").write_text(page, encoding="utf-8")
        by_rule = rejected["transactions"]["expectation"].value_counts().sort_index()
        summarise(
            folder,
            rows_in=rows,
            rows_out=rows - bad,
            headline=f"{bad:,} of {rows:,} rows rejected ({bad / rows:.2%}, limit {limit:.2%})",
            rejected={str(k): int(v) for k, v in by_rule.items()},
            newest_event=f"{tables['transactions']['event_time'].max():%Y-%m-%d}",
            data=read_json(raw / "summary.json"),
        )
    if not refused:
        forget_refusal(output)
    else:
        raise Refused(
            f"{bad:,} of {rows:,} transactions ({bad / rows:.2%}) break the contract; [validate] max_rejected_share "
            f"allows {limit:.2%}. Read {output.name}_refused/report.html, mend the data or the contract, and run again."
        )


def forget_refusal(output: Path) -> None:
    """Remove what an earlier, refused run left: it would read like that of the rows that are valid now.

    DVC may bring the valid rows back from its cache without running the step, so a whole run calls this too.
    """
    shutil.rmtree(_aside(output), ignore_errors=True)


def _aside(output: Path) -> Path:
    return output.with_name(f"{output.name}_refused")


def _rejected(table: pd.DataFrame, checks: list[Check]) -> pd.DataFrame:
    """The rows that broke an expectation, with the first one that they broke."""
    reason: dict[int, str] = {}
    for one in checks:
        for row in one.rows:
            reason.setdefault(row, f"{one.expectation}({one.column})")
    found = table.iloc[sorted(reason)].copy()
    found["expectation"] = [reason[row] for row in sorted(reason)]
    return found
