"""Dual tracking: a run is written to SageMaker and to MLflow at once, and both are compared."""
