"""The platform behind churn projects in the EU: law, data protection, audit, registry, pipeline and service."""

__version__ = "2026.11.0"
