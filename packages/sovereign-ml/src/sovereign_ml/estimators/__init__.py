"""Estimators of a project, with scikit-learn's interface and a form that the service reads."""
