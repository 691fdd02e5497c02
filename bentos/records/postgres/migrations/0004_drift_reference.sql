-- least: 2
-- What a drift run compared its window with, how many rows differed, and whether a person took the
-- window for normal. The service reads none of these tables: its older pods work on. A drift job
-- of before reads them by place, and is to be replaced together with this.

ALTER TABLE tabserve.drift_runs
    ADD COLUMN reference text NOT NULL DEFAULT 'training',
    ADD COLUMN distinct_rows bigint NOT NULL DEFAULT 0,
    ADD COLUMN accepted boolean NOT NULL DEFAULT false;

-- Results are read by window, and not by when a run was made.
CREATE INDEX drift_runs_window ON tabserve.drift_runs (job, model, version, until, time);
DROP INDEX tabserve.drift_runs_time;
