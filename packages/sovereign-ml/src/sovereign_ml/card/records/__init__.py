"""Documents from the card's answers and facts: notice, records, assessments, sheets."""

from sovereign_ml.card.records.additions import FILE, Additions, read_additions
from sovereign_ml.card.records.document import Document, to_html
from sovereign_ml.card.records.sheet import Sheet
from sovereign_ml.card.records.write import DOCUMENTS, write_documents

__all__ = [
    "DOCUMENTS",
    "FILE",
    "Additions",
    "Document",
    "Sheet",
    "read_additions",
    "to_html",
    "write_documents",
]
