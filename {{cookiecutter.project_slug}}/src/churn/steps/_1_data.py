"""Step 1, data: transactions and customers, pseudonymised, in EUR and UTC."""

from __future__ import annotations

from pathlib import Path

from sovereign_ml.config.tables import FeatureSettings
from sovereign_ml.pipeline.intake import Intake
from sovereign_ml.pipeline.validation_report import forget_refusal, refused_folder
from sovereign_ml.storage.artifacts import summarise, writing


def data(source: Path, output: Path, *, intake: Intake, windows: FeatureSettings) -> None:
    """Read the input named in ``source`` and write transactions, customers and groups as Parquet.

    Erased people, objectors (GDPR Art. 21(3)) and, where the lawful basis is consent, people who
    gave none are set aside here, before anything else sees them. Every row that was read is either
    kept or counted by the reason why not. Raises Misuse for input that cannot be read or mapped,
    Refused if no row is left or if the input does not look right (``[data.checks]``). The values
    that cannot be used are then in ``<output>_refused``.
    """
    tables = intake.read(source)  # DuckDB tables of purchases and people, mapped by [data.columns]
    with writing(output) as folder:
        tables.correct(folder)  # first, so that all checks see the corrected values
        match = tables.match_customers()  # before marks that the table does not have itself
        tables.mark_erased_and_expired()
        tables.mark_objectors()
        counts = tables.set_aside()
        headline = tables.check(counts, match, windows, refused_folder(output))
        tables.write(folder)
        summarise(
            folder,
            rows_in=counts.read,
            rows_out=counts.kept,
            headline=headline,
            set_aside=counts.set_aside,
            customers_met=match.facts() if match else None,
            events=tables.event_facts(),
            source=tables.kind,
            erased_found=tables.erased_in(folder),  # counted in the files, not in the intent
            lawful_basis=intake.lawful_basis,
        )
    forget_refusal(output)
