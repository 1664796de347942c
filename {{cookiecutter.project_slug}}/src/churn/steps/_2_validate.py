"""Step 2, validate: rows that meet the data contract, and rejected rows with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sovereign_ml.config.tables import ProjectSettings, ValidateSettings
from sovereign_ml.errors import Refused
from sovereign_ml.features import event_tables
from sovereign_ml.pipeline.file_validation import JudgedFile, judging
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
    suites = {name: (suite(name, columns), columns) for name, columns in contracts.items()}
    limit = config.max_rejected_share
    with judging(raw, output, suites) as judged:
        problems = [text for name, file in judged.items() if (text := file.problem(name, limit))]
        transactions = judged["transactions"]
        with writing(refused_folder(output) if problems else output) as folder:
            checks = {name: file.checks for name, file in judged.items()}
            page = report(project.title, checks, judged, limit=limit, refused=bool(problems))
            (folder / "report.html").write_text(page, encoding="utf-8")
            summarise(
                folder,
                rows_in=transactions.rows,
                rows_out=transactions.valid_rows,
                headline=f"rejected: {_words(judged)}; limit {limit:.2%} of each table",
                rejected=transactions.broken,
                broken={name: file.broken for name, file in judged.items()},
                newest_event=transactions.newest("event_time"),
                data=read_json(raw / "summary.json"),
            )
            for file in judged.values():
                file.move_into(folder)
    if problems:  # only now, because a person needs the report to act on it
        raise Refused(
            f"{'; '.join(problems)}. [validate] max_rejected_share allows {limit:.2%} of each "
            f"table. Read {output.name}_refused/report.html, correct the data or the contract, and "
            "run again."
        )
    forget_refusal(output)  # an older refusal would look like one of this data


def _words(judged: Mapping[str, JudgedFile]) -> str:
    """Return how much of each table is rejected, and how many rows lost a value but stay."""
    return ", ".join(
        f"{file.rejected_rows:,} of {file.rows:,} {name}"
        + (f" ({file.emptied_rows:,} lost a value)" if file.emptied_rows else "")
        for name, file in judged.items()
    )
