"""Every metric that the service exports: its name, labels, buckets and help text.

All label sets are closed: routes are templates, features and classes come from the
contract, codes of reasons from the model's file, other reasons from the code, clients from the
keys, workers from their number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

# What became of an outcome that was sent, and of a request's copy for a candidate.
OutcomeResult = Literal["recorded", "unchanged", "unknown", "not_yet", "refused"]
MirrorResult = Literal["scored", "refused", "failed", "dropped"]

# From 0.5 ms, where a lone row is answered, to the default timeout of 10 s; fine where most
# answers are. 0.1 is the latency objective of the alerts.
_SECONDS = (
    *(0.0005, 0.001, 0.0015, 0.002, 0.003, 0.004, 0.005, 0.006, 0.008, 0.01),
    *(0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
# From a few rows into a local file, to the time limit of a statement.
_WRITE_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_WAIT_SECONDS = (0.0001, 0.00025, *_SECONDS)
_SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
# Powers of two up to the default `batch_max_rows`, and beyond for larger settings.
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
# Probabilities; finer at both ends, where most models have most of their scores.
_SCORES = (0.01, *(place / 20 for place in range(1, 20)), 0.99, 1.0)

_WORKER = ("worker",)
_FEATURE = ("feature",)
_MODEL = ("model", "version")

# Name: labels and help text.
COUNTERS: dict[str, tuple[tuple[str, ...], str]] = {
    "tabserve_requests": (
        ("route", "status", "version"),
        "Requests answered, by route template, status code and the model version served.",
    ),
    "tabserve_worker_requests": (_WORKER, "Requests answered, by worker."),
    "tabserve_problems": (
        ("kind", "client"),
        "Answers that are no success, by kind of problem and name of the client's key.",
    ),
    "tabserve_requests_shed": (("reason",), "Requests refused to protect the rest, by reason."),
    "tabserve_connections_closed": (
        ("reason",),
        "Connections closed on their client, by reason; those closed as idle are not counted.",
    ),
    "tabserve_rows": (("outcome",), "Rows received, by what became of them."),
    "tabserve_slow_rows": (
        (),
        "Rows that had to be read the slow way, mostly because they have faults.",
    ),
    "tabserve_faults": (("code",), "Faults found in rows and bodies, by code."),
    "tabserve_explained_rows": ((), "Rows whose score was explained."),
    "tabserve_explanation_violations": (
        ("check",),
        "Explanations that were held back, as they do not add up to the raw score, or are not of "
        "the score that was answered.",
    ),
    "tabserve_reasons": (("code",), "Reasons given with explained rows, by code."),
    "tabserve_outcomes": (("result",), "Outcomes sent as feedback, by what became of them."),
    "tabserve_batches": (
        ("reason",),
        "Batches, by what sent them off: the turn of the event loop, a full batch, the wait.",
    ),
    "tabserve_feature_missing": (_FEATURE, "Accepted rows without a value for a feature."),
    "tabserve_feature_out_of_range": (
        _FEATURE,
        "Accepted rows with a value outside the training range of a feature.",
    ),
    "tabserve_feature_unknown_category": (
        _FEATURE,
        "Accepted rows with a category that training never saw, scored as missing.",
    ),
    "tabserve_labels": ((*_MODEL, "label"), "Labels decided, by model version."),
    "tabserve_log_rows_enqueued": ((), "Rows taken for the prediction log."),
    "tabserve_log_rows_written": (
        (),
        "Rows that the prediction log's store has, those of earlier starts included.",
    ),
    "tabserve_log_rows_dropped": (("reason",), "Rows lost to the prediction log, by reason."),
    "tabserve_log_lines_dropped": (
        (),
        "Lines of the service's own log that were lost, as nobody read standard error.",
    ),
    "tabserve_mirrored_requests": (
        ("result",),
        "Answered requests for the candidate in shadow mode, by what became of the copy.",
    ),
    "process_cpu_seconds": (_WORKER, "User and system CPU time of a worker, in seconds."),
}

# Name: labels, bounds of the buckets and help text.
HISTOGRAMS: dict[str, tuple[tuple[str, ...], Sequence[float], str]] = {
    "tabserve_request_duration_seconds": (
        ("route", "version"),
        _SECONDS,
        "Time from a request's first byte seen to its answer handed over.",
    ),
    "tabserve_stage_duration_seconds": (
        ("stage",),
        _SECONDS,
        "Time that one stage of scoring took, for each request.",
    ),
    "tabserve_batch_rows": ((), _ROWS, "Rows scored by one call of the model, `/v1/predict` only."),
    "tabserve_batch_fill_ratio": (
        (),
        _SHARES,
        "Rows of a batch as a share of the most that it may have.",
    ),
    "tabserve_batch_wait_seconds": (
        (),
        _WAIT_SECONDS,
        "Time that the oldest row of a batch waited for it.",
    ),
    "tabserve_score": (
        _MODEL,
        _SCORES,
        "Scores: the probability of the second class, of the likeliest of several, or the value.",
    ),
    "tabserve_log_write_duration_seconds": (
        (),
        _WRITE_SECONDS,
        "Time that the store took for one write.",
    ),
}

# Name: labels, how several workers are put together, and help text.
GAUGES: dict[str, tuple[tuple[str, ...], Literal["livesum", "livemax"], str]] = {
    "tabserve_requests_in_flight": (
        _WORKER,
        "livesum",
        "Requests with a whole body that are not answered yet.",
    ),
    "tabserve_requests_in_flight_limit": (
        _WORKER,
        "livesum",
        "Requests that a worker holds at once before it sheds.",
    ),
    "tabserve_buffered_bytes": (_WORKER, "livesum", "Bytes of bodies that a worker holds."),
    "tabserve_buffered_bytes_limit": (
        _WORKER,
        "livesum",
        "Bytes of bodies that a worker holds before it sheds.",
    ),
    "tabserve_connections": (_WORKER, "livesum", "Connections that a worker has open."),
    "tabserve_connections_limit": (
        _WORKER,
        "livesum",
        "Connections that a worker may have open, for its setting and its file descriptors.",
    ),
    "tabserve_feature_training_missing_ratio": (
        _FEATURE,
        "livemax",
        "Share of the training rows without a value for a feature.",
    ),
    "tabserve_log_queue_rows": (
        (),
        "livesum",
        "Rows that are not in the store yet: in the buffer, or in the spool.",
    ),
    "tabserve_log_queue_capacity_rows": (
        (),
        "livesum",
        "Rows that the buffers of the prediction log hold before they drop any.",
    ),
    "tabserve_log_oldest_age_seconds": (
        (),
        "livemax",
        "Age of the oldest row that is not in the store yet; 0 where all are.",
    ),
    "tabserve_log_spool_bytes": (
        (),
        "livesum",
        "Bytes of rows on disk that are not in the store yet.",
    ),
    "tabserve_log_spool_capacity_bytes": (
        (),
        "livesum",
        "Bytes of rows that may lie on disk before any are dropped.",
    ),
    "tabserve_access_open": (
        (),
        "livemax",
        "1 where everyone is answered without a key, else 0.",
    ),
    "tabserve_access_keys": ((), "livemax", "Keys of the keys file that have not expired."),
    "tabserve_access_expiry_timestamp_seconds": (
        (),
        "livemax",
        "Unix time at which the first client will have no key any more; 0 where none will.",
    ),
    "tabserve_access_keys_stale": (
        (),
        "livemax",
        "1 where the keys file cannot be used as it is now, and the keys before are in force.",
    ),
    "tabserve_access_issuer_down": (
        (),
        "livemax",
        "1 where the keys of the tokens' issuer could not be fetched the last time.",
    ),
    "tabserve_ready": (
        _WORKER,
        "livesum",
        "1 for a worker that serves, once the model has proved itself, else 0.",
    ),
    "tabserve_workers_expected": ((), "livemax", "Workers that should run."),
    "tabserve_worker_heartbeat_timestamp_seconds": (
        _WORKER,
        "livemax",
        "When a worker's event loop last had a turn for this.",
    ),
    "tabserve_model_info": (
        (*_MODEL, "contract", "engine"),
        "livemax",
        "1 for the model that is served.",
    ),
    "tabserve_build_info": (
        ("version", "python", "bentoml"),
        "livemax",
        "1 for the versions of tabserve and what it stands on.",
    ),
    "tabserve_settings_info": (
        ("fingerprint",),
        "livemax",
        "1 for a digest of all settings but secrets: replicas with the same have the same.",
    ),
    "process_start_time_seconds": (_WORKER, "livemax", "When a worker started."),
    "process_resident_memory_bytes": (_WORKER, "livesum", "Memory that a worker has in RAM."),
    "process_open_fds": (_WORKER, "livesum", "Open file descriptors of a worker."),
    "process_max_fds": (_WORKER, "livesum", "File descriptors that a worker may have open."),
}
