"""Leave SageMaker: from a folder of its answers to MLflow, Feast and a deletion script."""
