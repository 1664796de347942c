"""The churn model of this team: data contract, features, estimator and steps."""
