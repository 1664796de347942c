"""One file per tool, its only importer."""
