"""The two records that follow from the card's answers: the Article 30 entry and the draft impact assessment."""

from sovereign_ml.card.records.article30 import record_of_processing
from sovereign_ml.card.records.article35 import impact_assessment
from sovereign_ml.card.records.document import Document, to_html, to_markdown
from sovereign_ml.card.records.write import write_records

__all__ = [
    "Document",
    "impact_assessment",
    "record_of_processing",
    "to_html",
    "to_markdown",
    "write_records",
]
