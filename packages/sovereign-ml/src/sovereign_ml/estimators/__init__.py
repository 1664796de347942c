"""Estimators that a project may train: scikit-learn's interface, and a form that the service reads."""
