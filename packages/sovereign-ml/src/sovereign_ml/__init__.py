"""The template's guard rails: the same in every project, kept current by cruft. Knows nothing of churn."""
