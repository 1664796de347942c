-- A role and a database for each server, so that a hole in one opens no other. psql 15 or newer reads the passwords
-- from the environment; where one is missing, the start stops. The service's role gets its rights on the log's tables
-- from `churn decisions prepare --role log_service`, which is run once as log_owner.
\getenv mlflow MLFLOW_DATABASE_PASSWORD
\getenv feast FEAST_DATABASE_PASSWORD
\getenv owner LOG_OWNER_PASSWORD
\getenv service LOG_SERVICE_PASSWORD
CREATE ROLE mlflow LOGIN PASSWORD :'mlflow';
CREATE ROLE feast LOGIN PASSWORD :'feast';
CREATE ROLE log_owner LOGIN PASSWORD :'owner';
CREATE ROLE log_service LOGIN PASSWORD :'service';
CREATE DATABASE mlflow OWNER mlflow;
CREATE DATABASE feast OWNER feast;
ALTER DATABASE decisions OWNER TO log_owner;
REVOKE ALL ON DATABASE mlflow, feast, decisions FROM PUBLIC;
GRANT CONNECT ON DATABASE decisions TO log_service;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
