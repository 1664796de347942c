"""Step 2, validate: rows that meet the data contract, and rejected rows with the reason."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from sovereign_ml.config.tables import ProjectSettings, ValidateSettings
from sovereign_ml.errors import Refused
from sovereign_ml.pipeline.great_expectations import broken_rows, run
from sovereign_ml.pipeline.validation_report import forget_refusal, refused_folder, report
from sovereign_ml.storage.artifacts import need, read_json, summarise, writing

from churn.contract import TABLES
from churn.expectations import suite


def validate(
    raw: Path, output: Path, *, config: ValidateSettings, project: ProjectSettings
) -> None:
    """Write the valid rows of each table, the rejected rows and an HTML report.

    Raises Refused if more than ``[validate] max_rejected_share`` of the transactions are rejected.
    Report and rejected rows are then in ``<output>_refused``, which no later step reads.
    """
    need(raw, "data")
    tables = {name: pd.read_parquet(raw / f"{name}.parquet") for name in TABLES}
    checks = {name: run(suite(name, TABLES[name]), tables[name], TABLES[name]) for name in TABLES}
    rejected = {name: broken_rows(tables[name], checks[name]) for name in TABLES}
    rows, bad = len(tables["transactions"]), len(rejected["transactions"])
    limit = config.max_rejected_share
    refused = bad > limit * rows
    with writing(refused_folder(output) if refused else output) as folder:
        for name, table in tables.items():
            valid = table.drop(index=rejected[name].index)
            valid.to_parquet(folder / f"{name}.parquet", index=False)
            rejected[name].to_parquet(folder / f"rejected_{name}.parquet", index=False)
        page = report(project.title, checks, tables, rejected, limit=limit, refused=refused)
        (folder / "report.html").write_text(page, encoding="utf-8")
        by_rule = rejected["transactions"]["expectation"].value_counts().sort_index()
        summarise(
            folder,
            rows_in=rows,
            rows_out=rows - bad,
            headline=f"{bad:,} of {rows:,} rows rejected ({bad / rows:.2%}, limit {limit:.2%})",
            rejected={str(rule): int(count) for rule, count in by_rule.items()},
            newest_event=f"{tables['transactions']['event_time'].max():%Y-%m-%d}",
            data=read_json(raw / "summary.json"),
        )
    if refused:
        raise Refused(
            f"{bad:,} of {rows:,} transactions ({bad / rows:.2%}) break the contract; [validate] "
            f"max_rejected_share allows {limit:.2%}. Read {output.name}_refused/report.html, "
            "correct the data or the contract, and run again."
        )
    forget_refusal(output)
