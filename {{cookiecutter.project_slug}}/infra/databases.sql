-- One database for each of MLflow and Feast; the decision log has the one that the image makes.
CREATE DATABASE mlflow;
CREATE DATABASE feast;
