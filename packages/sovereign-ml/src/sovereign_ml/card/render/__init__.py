"""The card for readers: HTML for people, Markdown for model hubs, CycloneDX for inventories."""

from sovereign_ml.card.render.cdx import render_cyclonedx
from sovereign_ml.card.render.html import render_html
from sovereign_ml.card.render.markdown import render_markdown

__all__ = ["render_cyclonedx", "render_html", "render_markdown"]
