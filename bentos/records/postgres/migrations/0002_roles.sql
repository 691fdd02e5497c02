-- least: 1
-- Rights: two roles without a login, to be granted to the roles that log in.
--
-- Roles are of the whole server, and making them takes CREATEROLE. Where that lacks, the log
-- works without them. An administrator may make them later and run tabserve.grant_roles().

CREATE FUNCTION tabserve.grant_roles() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['tabserve_service', 'tabserve_drift'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role);
            EXCEPTION
                -- Another database's log is being made on this server.
                WHEN duplicate_object OR unique_violation THEN NULL;
                WHEN insufficient_privilege THEN
                    RAISE WARNING 'role % is missing and takes CREATEROLE to make: the log goes without it', role;
                    CONTINUE;
            END;
        END IF;
        EXECUTE format('GRANT USAGE ON SCHEMA tabserve TO %I', role);
        EXECUTE format(
            'GRANT SELECT ON tabserve.migrations, tabserve.registrations, tabserve.environments TO %I',
            role
        );
        IF role = 'tabserve_service' THEN
            GRANT INSERT ON tabserve.predictions, tabserve.registrations, tabserve.environments
                TO tabserve_service;
            GRANT EXECUTE ON FUNCTION
                tabserve.make_partitions(date[]),
                tabserve.find_predictions(timestamptz[], uuid[]),
                tabserve.add_outcomes(timestamptz[], uuid[], text[], text[], int4)
                TO tabserve_service;
        ELSE
            GRANT SELECT ON tabserve.drift_predictions TO tabserve_drift;
            -- Not by whose request an outcome came.
            GRANT SELECT (time, id, revision, outcome, received) ON tabserve.outcomes
                TO tabserve_drift;
        END IF;
    END LOOP;
END
$$;

REVOKE ALL ON FUNCTION tabserve.grant_roles() FROM PUBLIC;

SELECT tabserve.grant_roles();
