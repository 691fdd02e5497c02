-- least: 2
-- Rows that a candidate scored beside an answer: `shadow` names the answer, or is empty where it is
-- not known. An older pod writes answers alone, and an older drift job reads a view that has
-- answers alone: both work on.

-- A retention at work is waited for. One that was cut short leaves tables that are no partitions
-- now, and are attached again later: they need the same columns.
SELECT pg_advisory_xact_lock(hashtextextended('tabserve.drop_before', 0));

DO $$
DECLARE
    part record;
BEGIN
    FOR part IN
        SELECT relname AS name, inhparent IS NOT NULL AS is_half_detached
        FROM pg_class LEFT JOIN pg_inherits ON inhrelid = pg_class.oid
        WHERE relnamespace = 'tabserve'::regnamespace AND relkind = 'r'
            AND relname ~ '^predictions_[0-9]{8}$' AND NOT tabserve.is_attached(relname)
    LOOP
        IF part.is_half_detached THEN
            EXECUTE format(
                'ALTER TABLE tabserve.predictions DETACH PARTITION tabserve.%I FINALIZE', part.name
            );
        END IF;
        EXECUTE format('ALTER TABLE tabserve.%I ADD COLUMN shadow text', part.name);
    END LOOP;
END
$$;

ALTER TABLE tabserve.predictions ADD COLUMN shadow text;

CREATE OR REPLACE VIEW tabserve.drift_predictions AS
SELECT
    time, id, decode_us, queue_us, predict_us, encode_us, score, threshold,
    model, version, contract, environment, features, scores, label, warnings, shadow
FROM tabserve.predictions WHERE shadow IS NULL;

CREATE VIEW tabserve.drift_shadows AS
SELECT
    time, id, decode_us, queue_us, predict_us, encode_us, score, threshold,
    model, version, contract, environment, features, scores, label, warnings, shadow
FROM tabserve.predictions WHERE shadow IS NOT NULL;

-- Outcomes belong to answers.
CREATE OR REPLACE FUNCTION tabserve.find_predictions(times timestamptz[], ids uuid[])
RETURNS TABLE (id uuid, model text, version text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT found.id, found.model, found.version
    FROM unnest(times, ids) AS asked (time, id)
    CROSS JOIN LATERAL (
        SELECT stored.id, stored.model, stored.version
        FROM tabserve.predictions AS stored
        WHERE stored.time = asked.time AND stored.id = asked.id AND stored.shadow IS NULL
        LIMIT 1
    ) AS found
$$;

CREATE OR REPLACE FUNCTION tabserve.add_outcomes(
    times timestamptz[], ids uuid[], outcomes text[], request_ids text[], most_revisions int4
) RETURNS text[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    taken text[] := '{}';
    asked record;
    last record;
BEGIN
    -- An erasure at work holds this alone: what it erases must not get an outcome after it looked.
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('tabserve.forget', 0));
    -- Those who post for the same prediction wait for each other. 64 locks, always taken in
    -- the same order: the server has room for so many, and no deadlock can arise.
    PERFORM pg_advisory_xact_lock(hashtext('tabserve.add_outcomes'), slot)
    FROM (SELECT DISTINCT uuid_hash(id) & 63 AS slot FROM unnest(ids) AS id ORDER BY slot) AS slots;
    FOR asked IN SELECT * FROM unnest(times, ids, outcomes, request_ids)
        AS posted (time, id, outcome, request_id)
    LOOP
        IF NOT EXISTS (
            SELECT FROM tabserve.predictions AS stored
            WHERE stored.time = asked.time AND stored.id = asked.id AND stored.shadow IS NULL
        ) THEN
            taken := taken || 'unknown'::text;
            CONTINUE;
        END IF;
        SELECT stored.revision, stored.outcome INTO last FROM tabserve.outcomes AS stored
        WHERE stored.time = asked.time AND stored.id = asked.id
        ORDER BY stored.revision DESC LIMIT 1;
        IF FOUND AND last.outcome = asked.outcome THEN
            taken := taken || 'unchanged'::text;
        ELSIF last.revision >= most_revisions THEN
            taken := taken || 'too_many'::text;
        ELSE
            INSERT INTO tabserve.outcomes VALUES (
                asked.time, asked.id, coalesce(last.revision, 0) + 1, asked.outcome,
                date_trunc('milliseconds', clock_timestamp()), asked.request_id
            );
            taken := taken || 'recorded'::text;
        END IF;
    END LOOP;
    RETURN taken;
END
$$;

-- Whoever calls grant_roles later gives this right too.
ALTER FUNCTION tabserve.grant_roles() RENAME TO grant_drift_roles;

CREATE FUNCTION tabserve.grant_roles() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM tabserve.grant_drift_roles();
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tabserve_drift') THEN
        GRANT SELECT ON tabserve.drift_shadows TO tabserve_drift;
    END IF;
END
$$;

REVOKE ALL ON FUNCTION tabserve.grant_roles() FROM PUBLIC;

SELECT tabserve.grant_roles();
