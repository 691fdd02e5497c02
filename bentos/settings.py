"""Every setting of the service, read once from the environment (`TABSERVE_*`) or `.env`."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from bentos import quota, service_links
from bentos.errors import ConfigurationError

PREFIX = "TABSERVE_"
# The drift job's own: it may share an environment or a `.env` with the service.
_OF_OTHERS = f"{PREFIX}DRIFT_"


# Scheme, host in lower case and port, and nothing after it.
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:\d{1,5})?|https?://\[[0-9a-f:.]+\](:\d{1,5})?")


class Settings(BaseSettings):
    """How one service behaves. The field `max_rows` is the variable `TABSERVE_MAX_ROWS`."""

    model_config = SettingsConfigDict(
        # Extra variables are ours to judge: `.env` may hold what other programs read.
        env_prefix=PREFIX,
        env_file=".env",
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    model: Annotated[str, NoDecode] = Field(
        "credit-default:latest",
        description="Bento model to serve, NAME:TAG. A built Bento keeps its own.",
    )
    workers: int = Field(
        1,
        ge=1,
        le=128,
        description="Worker processes, each with the model. `auto`: as many as whole CPUs in the "
        "quota of the cgroup.",
    )
    unknown_category: Literal["refuse", "missing"] = Field(
        "refuse",
        description="A category that training never saw: refuse the row, or score it as missing.",
    )
    max_rows: int = Field(10_000, ge=1, description="Most rows of one batch request.")
    explain_max_rows: int = Field(
        100,
        ge=1,
        le=10_000,
        description="Most rows of one request that asks for explanations, which take hundreds of "
        "times as long as scores.",
    )
    max_body_bytes: int = Field(
        16 * 2**20, ge=1024, description="Largest body of a request, after decompression, in bytes."
    )
    max_buffered_bytes: int = Field(
        128 * 2**20,
        ge=1024,
        description="Bytes of bodies that one worker holds at once; more are shed with 503.",
    )
    timeout_seconds: float = Field(
        10.0,
        gt=0,
        allow_inf_nan=False,
        description="Longest time from the whole body to its scores, in seconds.",
    )
    max_concurrency: int = Field(
        8192,
        ge=1,
        description="Requests that one worker holds at once; more are shed with 503.",
    )
    max_connections: int = Field(
        8192,
        ge=1,
        description="Connections that one worker has open at once, if it may have so many file "
        "descriptors. Near that the longest idle is closed for a new one; health is always "
        "answered.",
    )
    max_head_bytes: int = Field(
        32 * 2**10,
        ge=1024,
        description="Largest target and headers of a request, in bytes; there may be 100 headers.",
    )
    head_timeout_seconds: float = Field(
        10.0,
        gt=0,
        allow_inf_nan=False,
        description="Longest time from a request's first byte to the end of its headers, in "
        "seconds.",
    )
    idle_timeout_seconds: float = Field(
        75.0,
        gt=0,
        allow_inf_nan=False,
        description="How long a connection may be idle between two requests, in seconds. Longer "
        "than the 60 of most load balancers, so that they close it first.",
    )
    batch_max_rows: int = Field(
        128, ge=1, description="Most rows that one call of the model scores for `/v1/predict`."
    )
    batch_wait_ms: float = Field(
        0.0,
        ge=0,
        le=1000,
        description="How long a lone row waits for more rows, in milliseconds. 0 takes what "
        "arrived in the same turn of the event loop, and never waits.",
    )
    predict_threads: int = Field(
        1, ge=1, description="OpenMP threads of one call of the model. Workers scale better."
    )
    accelerator: bool = Field(
        True,
        description="Score LightGBM's trees with lignum where it is proved equal to the last bit.",
    )
    trust_code: bool = Field(
        False,
        description="Import models whose loading runs code that came with them, as `--trust-code`.",
    )
    access_log: bool = Field(True, description="One JSON line a request.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe level that is logged."
    )
    data_dir: Path = Field(
        Path(".tabserve"),
        description="Where the prediction log's file and spool are, and the default MLflow store.",
    )
    store_url: SecretStr = Field(
        SecretStr("sqlite:///"),
        description="Prediction log: `sqlite:///PATH` (no path: in the data directory), "
        "`postgresql://...`, `parquet:PATH_OR_URL`, or `none`.",
    )
    store_features: str = Field(
        "",
        description="Features that may be stored, separated by commas, or as a JSON array. "
        "Empty stores all; a new feature is not stored until it is listed.",
    )
    store_buffer_rows: int = Field(
        65_536,
        ge=1024,
        description="Rows of the log that one worker holds in memory; more are dropped, "
        "and counted.",
    )
    spool_max_bytes: int = Field(
        2**30,
        ge=0,
        description="Bytes of the log that one worker keeps on disk while the store is away. "
        "0 keeps none.",
    )
    subject_keys: SecretStr = Field(
        SecretStr(""),
        description="Keys for `X-Subject`, ID:HEX separated by commas; the first makes new "
        "tokens. Empty stores no subject.",
    )

    keys_file: str = Field(
        "",
        description="File of API keys (`tabserve keys`), read again when it changes. Empty "
        "answers everyone.",
    )
    oidc_issuer: str = Field(
        "",
        description="Issuer of bearer tokens (OIDC) that are taken as well, an https:// URL. "
        "Needs the extra `oidc`.",
    )
    oidc_audience: str = Field("", description="What a token's `aud` must name.")
    oidc_jwks_url: str = Field(
        "", description="The issuer's key set; empty asks its discovery document."
    )
    oidc_algorithms: str = Field(
        "RS256,ES256", description="Signature algorithms that a token may use."
    )
    oidc_scopes_claim: str = Field(
        "scope",
        description="Claim with the scopes, a text or a list; dots lead into objects "
        "(`realm_access.roles`).",
    )
    oidc_scope_prefix: str = Field(
        "", description="What stands before a scope in that claim, as in `tabserve:predict`."
    )
    oidc_client_claim: str = Field("sub", description="Claim that names the client in the log.")
    oidc_limits: str = Field(
        "",
        description="Limits of each client with a token, as "
        "`requests_per_second=5,rows_per_second=100,burst_seconds=2,concurrency=4`.",
    )
    require_keys: bool = Field(
        False,
        description="Refuse to start where neither keys nor an issuer of tokens are set.",
    )
    metrics_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="Port on which `/metrics` is answered, without a key, and on no other. 0 "
        "answers it with all else.",
    )
    metrics_host: str = Field("127.0.0.1", description="Address of that port.")
    cors_origins: str = Field(
        "",
        description="Origins whose pages a browser may let ask, `https://HOST[:PORT]` separated "
        "by commas.",
    )
    mirror_url: str = Field(
        "",
        description="Candidate that gets a copy of every answered request, `http://HOST:PORT`; it "
        "runs in shadow mode. Empty mirrors nothing.",
    )
    mirror_share: float = Field(
        1.0, gt=0, le=1, description="Share of the answered requests that is mirrored."
    )
    shadow: bool = Field(
        False,
        description="Log every row as one of a candidate in shadow mode, which is no answer.",
    )

    @field_validator("model")
    @classmethod
    def _is_tag(cls, value: str) -> str:
        name, _, version = value.partition(":")
        if not name or not version:
            raise ValueError("must be NAME:TAG, for example credit-default:latest")
        return value

    @field_validator("workers", mode="before")
    @classmethod
    def _count(cls, value: object) -> object:
        # 128 is the most that the field takes.
        return min(128, quota.find_cpus().whole) if value == "auto" else value

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, value: str) -> str:
        origins = [origin.strip() for origin in value.split(",")] if value else []
        if not all(_ORIGIN.fullmatch(origin) for origin in origins):
            raise ValueError("must be origins as browsers write them: https://app.example")
        return ",".join(origins)

    @field_validator("mirror_url")
    @classmethod
    def _is_host(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
            has_host = bool(parts.hostname) and parts.port != 0
        except ValueError:
            has_host = False
        is_bare = has_host and not (parts.path.strip("/") or parts.query or parts.username)
        if value and not (is_bare and parts.scheme in ("http", "https")):
            raise ValueError("must be http://HOST:PORT or https://HOST:PORT, with nothing after it")
        return value

    @field_validator("shadow")
    @classmethod
    def _mirrors_nothing(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("mirror_url"):
            raise ValueError("a candidate in shadow mode mirrors nothing: TABSERVE_MIRROR_URL")
        return value


def variable(field: str) -> str:
    """Name the environment variable of a field."""
    return f"{PREFIX}{field.upper()}"


def read(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings of this process.

    Raises ConfigurationError, one line, that names every unknown or malformed variable
    and repeats no value.
    """
    environment = os.environ if environment is None else environment
    known = {variable(field) for field in Settings.model_fields}
    # Names are read without regard to case, as pydantic-settings does.
    names = {name.upper() for name in (*environment, *dotenv_values(".env"))}
    names -= service_links.find(environment)
    unknown = [
        name
        for name in names
        if name.startswith(PREFIX) and not name.startswith(_OF_OTHERS) and name not in known
    ]
    if unknown:
        raise ConfigurationError("; ".join(_unknown(unknown, known)))
    try:
        return Settings()  # type: ignore[call-arg]  # filled from the environment
    except ValidationError as error:
        faults = (
            f"{variable(str(fault['loc'][0]))}: {fault['msg']}"
            for fault in error.errors(include_input=False, include_url=False)
        )
        raise ConfigurationError("; ".join(faults)) from None


def _unknown(names: Iterable[str], known: set[str]) -> Iterator[str]:
    for name in sorted(names):
        nearest = difflib.get_close_matches(name, known, n=1)
        yield f"{name} is not a setting" + (f", did you mean {nearest[0]}?" if nearest else "")


def fingerprint(settings: Settings) -> str:
    """A digest of all settings but secrets: equal settings have equal digests."""
    # A secret is dumped as asterisks, so the digest gives nothing of it away.
    plain = settings.model_dump(mode="json")
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:12]
