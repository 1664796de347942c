"""Step 1, data: transactions and customers, pseudonymised, in EUR and UTC."""

from __future__ import annotations

from pathlib import Path

from sovereign_ml.pipeline.intake import Intake
from sovereign_ml.storage.artifacts import summarise, writing


def data(source: Path, output: Path, *, intake: Intake) -> None:
    """Read the input named in ``source`` and write transactions, customers and groups as Parquet.

    Erased people, objectors (GDPR Art. 21(3)) and, where the lawful basis is consent, people who
    gave none are set aside here, before anything else sees them. Every row that was read is either
    kept or counted by the reason why not. Raises Misuse for input that cannot be read or mapped,
    Refused if no row is left.
    """
    tables = intake.read(source)  # DuckDB tables of purchases and people, mapped by [data.columns]
    with writing(output) as folder:
        tables.correct(folder)
        tables.mark_erased_and_expired()
        tables.mark_objectors()
        counts = tables.set_aside()
        tables.write(folder)
        summarise(
            folder,
            rows_in=counts.read,
            rows_out=counts.kept,
            headline=counts.headline,
            set_aside=counts.set_aside,
            source=tables.kind,
            erased_found=tables.erased_in(folder),
            lawful_basis=intake.lawful_basis,
        )
