"""The commands of `churn`, one file per subject; each imports its libraries only when called."""
