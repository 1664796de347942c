"""Step 2, validate: rows that meet the data contract, and rejected rows with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from sovereign_ml.config.tables import ProjectSettings, ValidateSettings
from sovereign_ml.errors import Refused
from sovereign_ml.features import event_tables
from sovereign_ml.pipeline.great_expectations import JudgedTable, judge, run
from sovereign_ml.pipeline.validation_report import forget_refusal, refused_folder, report
from sovereign_ml.storage.artifacts import read_json, summarise, writing

from churn.contract import TABLES
from churn.expectations import suite


def validate(
    raw: Path, output: Path, *, config: ValidateSettings, project: ProjectSettings
) -> None:
    """Write the valid rows of each table, the rejected rows and an HTML report.

    A broken value of a protected column is emptied, and the person stays. Raises Refused if more
    than ``[validate] max_rejected_share`` of the rows of a table are rejected or lose a value.
    Report and rejected rows are then in ``<output>_refused``, which no later step reads.
    """
    contracts = event_tables.columns(raw, TABLES)
    tables = {name: pd.read_parquet(raw / f"{name}.parquet") for name in contracts}
    checks = {name: run(suite(name, c), tables[name], c) for name, c in contracts.items()}
    judged = {name: judge(tables[name], checks[name], c) for name, c in contracts.items()}
    limit = config.max_rejected_share
    problems = [text for name, result in judged.items() if (text := result.problem(name, limit))]
    with writing(refused_folder(output) if problems else output) as folder:
        for name, result in judged.items():
            result.valid.to_parquet(folder / f"{name}.parquet", index=False)
            result.rejected.to_parquet(folder / f"rejected_{name}.parquet", index=False)
        page = report(project.title, checks, judged, limit=limit, refused=bool(problems))
        (folder / "report.html").write_text(page, encoding="utf-8")
        summarise(
            folder,
            rows_in=judged["transactions"].rows,
            rows_out=len(judged["transactions"].valid),
            headline=f"rejected: {_words(judged)}; limit {limit:.2%} of each table",
            rejected=judged["transactions"].broken,
            broken={name: result.broken for name, result in judged.items()},
            newest_event=f"{tables['transactions']['event_time'].max():%Y-%m-%d}",
            data=read_json(raw / "summary.json"),
        )
    if problems:
        raise Refused(
            f"{'; '.join(problems)}. [validate] max_rejected_share allows {limit:.2%} of each "
            f"table. Read {output.name}_refused/report.html, correct the data or the contract, and "
            "run again."
        )
    forget_refusal(output)


def _words(judged: Mapping[str, JudgedTable]) -> str:
    """Return how much of each table is rejected, and how many rows lost a value but stay."""
    return ", ".join(
        f"{len(result.rejected):,} of {result.rows:,} {name}"
        + (f" ({len(result.emptied):,} lost a value)" if len(result.emptied) else "")
        for name, result in judged.items()
    )
