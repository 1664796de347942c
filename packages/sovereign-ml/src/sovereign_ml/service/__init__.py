"""The churn service: it decides from a bundle, explains, and logs before it answers.

Every decision can be contested.
"""
