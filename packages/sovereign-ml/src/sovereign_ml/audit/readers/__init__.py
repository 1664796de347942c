"""Readers of the kinds of files: each yields the addresses of one file, with line and payload."""
