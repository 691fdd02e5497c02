#!/bin/sh
# Run once, by the image, when the database is made: the logins of the service and of the drift
# job, with the rights that the migrations give to their roles.
psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
\getenv service_password SERVICE_PASSWORD
\getenv drift_password DRIFT_PASSWORD
CREATE ROLE tabserve_service NOLOGIN;
CREATE ROLE tabserve_drift NOLOGIN;
CREATE ROLE scorer LOGIN PASSWORD :'service_password' IN ROLE tabserve_service;
CREATE ROLE drift LOGIN PASSWORD :'drift_password' IN ROLE tabserve_drift;
SQL
