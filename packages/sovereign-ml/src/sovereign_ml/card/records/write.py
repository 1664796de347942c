"""Writing both records beside each other, as Markdown and as HTML."""

from __future__ import annotations

from pathlib import Path

from sovereign_ml.card.records.article30 import record_of_processing
from sovereign_ml.card.records.article35 import impact_assessment
from sovereign_ml.card.records.document import to_html, to_markdown
from sovereign_ml.card.schema import Card


def write_records(card: Card, folder: Path) -> tuple[Path, ...]:
    """Write the Article 30 entry and the draft impact assessment into ``folder``; return the files."""

    folder.mkdir(parents=True, exist_ok=True)
    documents = {"ropa": record_of_processing(card), "dpia": impact_assessment(card)}
    written = []
    for name, document in documents.items():
        for suffix, text in (("md", to_markdown(document)), ("html", to_html(document))):
            written.append(folder / f"{name}.{suffix}")
            written[-1].write_text(text, encoding="utf-8")
    return tuple(written)
