-- least: 2
-- What drift runs found: one row a run and version, one row a feature of it.

CREATE TABLE tabserve.drift_runs (
    run text NOT NULL,
    time timestamptz NOT NULL,
    job text NOT NULL,
    model text NOT NULL,
    version text NOT NULL,
    outcome text NOT NULL,
    reason text NOT NULL,
    since timestamptz NOT NULL,
    until timestamptz NOT NULL,
    row_count bigint NOT NULL,
    sampled bigint NOT NULL,
    seed bigint NOT NULL,
    signal boolean NOT NULL,
    retraining text NOT NULL,
    PRIMARY KEY (model, version, run)
);

CREATE INDEX drift_runs_time ON tabserve.drift_runs (job, model, version, time);

CREATE TABLE tabserve.drift_features (
    model text NOT NULL,
    version text NOT NULL,
    run text NOT NULL,
    place int4 NOT NULL,
    feature text NOT NULL,
    kind text NOT NULL,
    test text NOT NULL,
    statistic float8,
    p_value float8,
    effect float8,
    drifted boolean NOT NULL,
    missing_rate float8,
    PRIMARY KEY (model, version, run, place),
    FOREIGN KEY (model, version, run) REFERENCES tabserve.drift_runs ON DELETE CASCADE
);

-- Whoever calls grant_roles later gives these rights too.
ALTER FUNCTION tabserve.grant_roles() RENAME TO grant_log_roles;

CREATE FUNCTION tabserve.grant_roles() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM tabserve.grant_log_roles();
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tabserve_drift') THEN
        GRANT SELECT, INSERT ON tabserve.drift_runs, tabserve.drift_features TO tabserve_drift;
    END IF;
END
$$;

REVOKE ALL ON FUNCTION tabserve.grant_roles() FROM PUBLIC;

SELECT tabserve.grant_roles();
