"""The churn service: decides from a bundle, explains, logs before it answers, and can be contested."""
