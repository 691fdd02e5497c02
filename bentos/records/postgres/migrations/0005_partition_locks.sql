-- least: 2
-- One order of locks for all that make partitions: first 'tabserve.drop_before', where it is
-- needed at all, then 'tabserve.make_partitions'. The first version took them in the other order
-- too, where another session had made a partition meanwhile, and two such calls blocked each other.

-- Make the partitions of some days where they are missing, and attach those that are detached.
-- Any number of sessions may call it at once.
CREATE OR REPLACE FUNCTION tabserve.make_partitions(days date[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO'
AS $$
DECLARE
    missing record;
    state boolean;
    has_drop_lock boolean := false;
    has_make_lock boolean := false;
BEGIN
    FOR missing IN
        SELECT asked.day, parents.parent, names.name
        FROM (SELECT DISTINCT day FROM unnest(days) AS day) AS asked,
            unnest(ARRAY['predictions', 'outcomes']) AS parents (parent),
            LATERAL (SELECT parent || '_' || to_char(day, 'YYYYMMDD') AS name) AS names
        WHERE tabserve.is_attached(names.name) IS DISTINCT FROM true
        -- Detached tables first: they need the lock that comes first.
        ORDER BY tabserve.is_attached(names.name) NULLS LAST, asked.day, parents.parent
    LOOP
        IF NOT has_drop_lock AND NOT has_make_lock AND NOT tabserve.is_attached(missing.name) THEN
            -- A retention holds this lock while it works, and will drop the table. The session
            -- that gets the lock knows that the retention was cut short, and that none begins
            -- before the table is attached again.
            PERFORM pg_advisory_xact_lock(hashtextextended('tabserve.drop_before', 0));
            has_drop_lock := true;
        END IF;
        -- A second session waits here, and then finds the partition made.
        PERFORM pg_advisory_xact_lock(hashtextextended('tabserve.make_partitions', 0));
        has_make_lock := true;
        state := tabserve.is_attached(missing.name);
        CONTINUE WHEN state;
        IF state IS NULL THEN
            -- CREATE TABLE ... PARTITION OF would wait for every reader of the log.
            EXECUTE format(
                'CREATE TABLE tabserve.%I (LIKE tabserve.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)',
                missing.name, missing.parent
            );
        ELSIF NOT has_drop_lock THEN
            -- A retention detached it after this call began. Waiting for the retention now would
            -- take the locks in the wrong order.
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
