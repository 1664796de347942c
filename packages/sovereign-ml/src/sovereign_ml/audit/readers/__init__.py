"""Readers by kind of file. Each yields the addresses of one file, with line and payload."""
