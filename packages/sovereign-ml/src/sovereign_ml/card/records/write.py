"""Writing every document into one folder, as a page for print and as data."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Final

from sovereign_ml.card.records import notice
from sovereign_ml.card.records.article30 import record_of_processing
from sovereign_ml.card.records.article35 import impact_assessment
from sovereign_ml.card.records.breach import breach_sheet
from sovereign_ml.card.records.document import Document, to_csv, to_data, to_html
from sovereign_ml.card.records.interest import interest_assessment
from sovereign_ml.card.records.processors import processor_list, transfer_assessment
from sovereign_ml.card.records.sheet import Sheet
from sovereign_ml.card.records.staff import staff_sheet

DOCUMENTS: Final[dict[str, Callable[[Sheet], Document]]] = {
    "notice": notice.privacy_notice,
    "notice-short": notice.short_notice,
    "ropa": record_of_processing,
    "dpia": impact_assessment,
    "lia": interest_assessment,
    "processors": processor_list,
    "transfers": transfer_assessment,
    "breach": breach_sheet,
    "staff": staff_sheet,
}
"""Each document by the name of its files."""


def write_documents(sheet: Sheet, folder: Path) -> dict[str, Document]:
    """Write every document into ``folder`` as HTML and JSON, and return them.

    The record of processing is written as CSV too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for name, make in DOCUMENTS.items():
        document = written[name] = make(sheet)
        data = to_data(document)
        if name == "notice":
            data["items"] = notice.items(sheet)
        texts = {"html": to_html(document), "json": json.dumps(data, indent=2, ensure_ascii=False)}
        if name == "ropa":
            texts["csv"] = to_csv(document)
        for suffix, text in texts.items():
            (folder / f"{name}.{suffix}").write_text(text.rstrip() + "\n", encoding="utf-8")
    return written
