"""Propose the mapping of a file that nobody has described yet: `churn data suggest`."""
