-- least: 1
-- The prediction log: predictions and outcomes in partitions, one for each UTC day.
--
-- A prediction's time is the one inside its id, so that a lookup by id and the read of a
-- window both go to the right partition, and there by the primary key.

CREATE TABLE tabserve.predictions (
    time timestamptz NOT NULL,
    id uuid NOT NULL,
    decode_us int4 NOT NULL,
    queue_us int4 NOT NULL,
    predict_us int4 NOT NULL,
    encode_us int4 NOT NULL,
    score float8,
    threshold float8,
    request_id text NOT NULL,
    model text NOT NULL,
    version text NOT NULL,
    contract text NOT NULL,
    environment text NOT NULL,
    -- json, not jsonb: the text stays as it was written, with -0.0 and \u0000.
    features json NOT NULL,
    scores json,
    label text,
    consumer text,
    subject text,
    subject_key text,
    warnings json NOT NULL,
    PRIMARY KEY (time, id)
) PARTITION BY RANGE (time);

CREATE INDEX predictions_subject ON tabserve.predictions (subject) WHERE subject IS NOT NULL;

-- `time` is that of the prediction.
CREATE TABLE tabserve.outcomes (
    time timestamptz NOT NULL,
    id uuid NOT NULL,
    revision int4 NOT NULL,
    outcome text NOT NULL,
    received timestamptz NOT NULL,
    request_id text NOT NULL,
    PRIMARY KEY (time, id, revision)
) PARTITION BY RANGE (time);

CREATE TABLE tabserve.registrations (
    model text NOT NULL,
    version text NOT NULL,
    document json NOT NULL,
    reference bytea,
    PRIMARY KEY (model, version)
);

CREATE TABLE tabserve.environments (id text PRIMARY KEY, document json NOT NULL);

-- Predictions of a subject made before `until` were erased, and never come back.
CREATE TABLE tabserve.erasures (subject text PRIMARY KEY, until timestamptz NOT NULL);

CREATE TABLE tabserve.events (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    time timestamptz NOT NULL,
    action text NOT NULL,
    details json NOT NULL
);

-- What a drift job needs: nothing that says whom a prediction is about, or who asked.
CREATE VIEW tabserve.drift_predictions AS
SELECT
    time, id, decode_us, queue_us, predict_us, encode_us, score, threshold,
    model, version, contract, environment, features, scores, label, warnings
FROM tabserve.predictions;

-- Whether a table is a partition at work; NULL where there is no such table. A retention that was
-- cut short leaves tables that are none any more, or are half detached.
CREATE FUNCTION tabserve.is_attached(name text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT inhparent IS NOT NULL AND NOT inhdetachpending
    FROM pg_class LEFT JOIN pg_inherits ON inhrelid = pg_class.oid
    WHERE relnamespace = 'tabserve'::regnamespace AND relname = name
$$;

-- Make the partitions of some days where they are missing, and attach those that are detached;
-- any number may call it at once.
CREATE FUNCTION tabserve.make_partitions(days date[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO'
AS $$
DECLARE
    missing record;
    state boolean;
    is_alone boolean := false;
BEGIN
    FOR missing IN
        SELECT asked.day, parents.parent, names.name
        FROM (SELECT DISTINCT day FROM unnest(days) AS day) AS asked,
            unnest(ARRAY['predictions', 'outcomes']) AS parents (parent),
            LATERAL (SELECT parent || '_' || to_char(day, 'YYYYMMDD') AS name) AS names
        WHERE tabserve.is_attached(names.name) IS DISTINCT FROM true
        -- Detached ones first: a wait for a retention must not keep others from the lock below.
        ORDER BY tabserve.is_attached(names.name) NULLS LAST, asked.day, parents.parent
    LOOP
        IF NOT is_alone AND tabserve.is_attached(missing.name) IS NOT NULL THEN
            -- A retention at work holds this and will drop the table. Who gets it knows that
            -- one was cut short, and that none begins before the table is attached.
            PERFORM pg_advisory_xact_lock(hashtextextended('tabserve.drop_before', 0));
            is_alone := true;
        END IF;
        -- Who comes second waits here, and then finds it made.
        PERFORM pg_advisory_xact_lock(hashtextextended('tabserve.make_partitions', 0));
        state := tabserve.is_attached(missing.name);
        CONTINUE WHEN state;
        IF state IS NULL THEN
            -- CREATE TABLE ... PARTITION OF would wait for every reader of the log.
            EXECUTE format(
                'CREATE TABLE tabserve.%I (LIKE tabserve.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)',
                missing.name, missing.parent
            );
        ELSIF NOT is_alone THEN
            RAISE EXCEPTION USING
                ERRCODE = 'object_in_use', MESSAGE = 'a retention is at work: try again';
        ELSIF EXISTS (
            SELECT FROM pg_inherits
            WHERE inhrelid = to_regclass('tabserve.' || missing.name) AND inhdetachpending
        ) THEN
            EXECUTE format(
                'ALTER TABLE tabserve.%I DETACH PARTITION tabserve.%I FINALIZE',
                missing.parent, missing.name
            );
        END IF;
        EXECUTE format(
            'ALTER TABLE tabserve.%I ATTACH PARTITION tabserve.%I FOR VALUES FROM (%L) TO (%L)',
            missing.parent, missing.name,
            missing.day || ' 00:00:00+00', missing.day + 1 || ' 00:00:00+00'
        );
    END LOOP;
END
$$;

-- Model and version of each prediction that is stored. Lateral: always by the primary key.
CREATE FUNCTION tabserve.find_predictions(times timestamptz[], ids uuid[])
RETURNS TABLE (id uuid, model text, version text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT found.id, found.model, found.version
    FROM unnest(times, ids) AS asked (time, id)
    CROSS JOIN LATERAL (
        SELECT stored.id, stored.model, stored.version
        FROM tabserve.predictions AS stored
        WHERE stored.time = asked.time AND stored.id = asked.id
        LIMIT 1
    ) AS found
$$;

-- Store outcomes of predictions that are stored, in their order; gives for each what became of it.
CREATE FUNCTION tabserve.add_outcomes(
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
            WHERE stored.time = asked.time AND stored.id = asked.id
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

-- A row of an erased subject that comes late, from a spool for example, is not stored.
CREATE FUNCTION tabserve.skip_erased() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (
        SELECT FROM tabserve.erasures AS erased
        WHERE erased.subject = NEW.subject AND NEW.time < erased.until
    ) THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER predictions_erased BEFORE INSERT ON tabserve.predictions
FOR EACH ROW WHEN (NEW.subject IS NOT NULL) EXECUTE FUNCTION tabserve.skip_erased();

REVOKE ALL ON ALL TABLES IN SCHEMA tabserve FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA tabserve FROM PUBLIC;
