-- least: 2
-- The codes of the reasons that went out with a prediction, NULL where none were asked for. Older
-- pods name their columns and work on. `drift_predictions` stays as it is: no reason is drift.

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
        EXECUTE format('ALTER TABLE tabserve.%I ADD COLUMN reasons json', part.name);
    END LOOP;
END
$$;

ALTER TABLE tabserve.predictions ADD COLUMN reasons json;
