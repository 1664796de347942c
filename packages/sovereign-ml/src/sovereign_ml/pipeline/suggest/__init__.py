"""Proposal of a mapping for a file that nobody has described yet: `churn data suggest`."""
