"""Train, document, register, serve and audit models on infrastructure that the team controls."""

__version__ = "2026.11.0"
