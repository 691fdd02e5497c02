"""Shadow mode: a candidate gets a copy of every answered request, and answers nobody."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bentos.errors import ConfigurationError
from bentos.ids import new_id
from bentos.records.opening import open_store
from bentos.records.record import Record, Window
from bentos.serving.mirror import ANSWERS, unpack
from bentos.settings import read
from tests.service.checks import series_of, value_of
from tests.service.process import Server, server

NAME = "tabserve_mirrored_requests_total"
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def pair(
    quick: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, Server, str]]:
    """A service, its candidate, and the log of both."""
    folder = tmp_path_factory.mktemp("shadow")
    url = f"sqlite:///{folder}/records.db"
    common = {"TABSERVE_MODEL": quick["binary"], "TABSERVE_STORE_URL": url}
    (folder / "candidate").mkdir()
    with server(folder / "candidate", **common, TABSERVE_SHADOW="true") as candidate:
        candidate.wait_until_ready()
        mirror = {"TABSERVE_MIRROR_URL": f"http://127.0.0.1:{candidate.port}"}
        with server(folder, **common, **mirror) as stable:
            stable.wait_until_ready()
            yield stable, candidate, url


def read_log(url: str, *, is_shadow: bool) -> list[Record]:
    """All rows of one kind, by id."""
    with closing(open_store(url)) as store:
        return list(store.read(Window(is_shadow=is_shadow)))


def test_a_candidate_scores_beside_the_answers(
    pair: tuple[Server, Server, str], rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    """Each shadow row names the answer it was scored beside, and is none itself."""
    stable, _, url = pair
    first = stable.post("/v1/predict", rows[0]).json()
    mixed = [rows[1], {"unknown": 1}, rows[2]]
    batch = stable.post("/v1/predict/batch", {"instances": mixed}).json()
    packed = gzip.compress(json.dumps(rows[3]).encode())
    headers = {**JSON, "Content-Encoding": "gzip", "X-Request-Id": "packed"}
    assert stable.request("POST", "/v1/predict", packed, headers).status == 200
    large = stable.post("/v1/predict/batch", {"instances": rows[:200] * 3}).json()
    assert stable.post("/v1/predict", {"unknown": 1}).status == 422
    stable.wait_for(lambda: len(read_log(url, is_shadow=True)) == 604)
    stable.wait_for(lambda: len(read_log(url, is_shadow=False)) == 604)
    answers = {answer.id: answer for answer in read_log(url, is_shadow=False)}
    shadows = read_log(url, is_shadow=True)
    assert {shadow.shadow for shadow in shadows} == set(answers)
    given = [first, batch["predictions"][0], batch["predictions"][2], *large["predictions"]]
    assert {one["id"] for one in given} <= set(answers)
    for shadow in shadows:
        answer = answers[shadow.shadow or ""]
        assert shadow.id != answer.id
        assert bytes(shadow.features) == bytes(answer.features)
        assert (shadow.score, shadow.request_id) == (answer.score, answer.request_id)
    assert "packed" in {shadow.request_id for shadow in shadows}
    outcome = {"id": shadows[0].id, "outcome": 1}
    # Not yet known, as long as it is young; unknown later. Never recorded.
    assert stable.post("/v1/feedback", outcome).status in (404, 503)
    assert stable.post("/v1/feedback", {"id": first["id"], "outcome": 1}).status == 202
    assert mirrored(stable)["scored"] == 4


def mirrored(stable: Server) -> dict[str, float]:
    """Copies by what became of them."""
    found = series_of(stable.request("GET", "/metrics").body)
    results = ("scored", "refused", "failed", "dropped")
    return {one: value_of(found, NAME, result=one) for one in results}


@pytest.mark.parametrize("media_type", ["text/csv", "application/x-ndjson"])
def test_bulk_rows_of_a_candidate_are_no_answers(
    pair: tuple[Server, Server, str], rows: list[dict[str, Any]], media_type: str
) -> None:
    """A gateway may mirror any body: rows of tables and streams are marked as well."""
    _, candidate, url = pair
    answers, shadows = (len(read_log(url, is_shadow=kind)) for kind in (False, True))
    if media_type == "text/csv":
        lines = [rows[0], [json.dumps(value) for value in rows[0].values()]]
        body = "\n".join(
            ",".join("" if one == "null" else one.strip('"') for one in line) for line in lines
        ).encode()
    else:
        body = json.dumps(rows[0]).encode() + b"\n"
    answer = candidate.request("POST", "/v1/predict/batch", body, {"Content-Type": media_type})
    assert answer.status == 200
    candidate.wait_for(lambda: len(read_log(url, is_shadow=True)) == shadows + 1)
    assert len(read_log(url, is_shadow=False)) == answers


def test_the_answer_never_waits_for_the_candidate(
    pair: tuple[Server, Server, str], rows: list[dict[str, Any]]
) -> None:
    """Once the candidate is gone, answers go on, and the copies that are dropped are counted."""
    stable, candidate, _ = pair
    candidate.process.terminate()
    candidate.process.wait(60)
    for row in rows[:20]:
        assert stable.post("/v1/predict", row).status == 200
    stable.wait_for(lambda: mirrored(stable)["dropped"] + mirrored(stable)["failed"] == 20)


def test_only_ids_are_taken_for_ids() -> None:
    """A body without a mirror's head stays as it is, whatever the header says."""
    body = b'{"a": 1}'
    ids = [new_id(), new_id()]
    assert unpack({ANSWERS: b"2"}, "".join(ids).encode() + body) == (body, ids)
    for headers in ({}, {ANSWERS: b"2"}, {ANSWERS: b"-1"}, {ANSWERS: b"x"}, {ANSWERS: b"9" * 99}):
        assert unpack(headers, body) == (body, [])
    forged = b"x" * 36 + body
    assert unpack({ANSWERS: b"1"}, forged) == (forged, [])


@pytest.mark.parametrize(
    "url",
    ["candidate:3000", "ftp://candidate", "http:///secret", "http://x/path", "http://x:99999"],
)
def test_a_mirror_needs_a_host(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no address of a candidate stops the start with one line, which repeats no value."""
    monkeypatch.setenv("TABSERVE_MIRROR_URL", url)
    with pytest.raises(
        ConfigurationError, match=r"TABSERVE_MIRROR_URL: .*http://HOST:PORT"
    ) as found:
        read()
    assert url not in str(found.value)


def test_a_candidate_mirrors_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chain of candidates is refused at the start."""
    monkeypatch.setenv("TABSERVE_MIRROR_URL", "http://candidate:3000")
    monkeypatch.setenv("TABSERVE_SHADOW", "true")
    with pytest.raises(ConfigurationError, match=r"TABSERVE_SHADOW: .*mirrors nothing"):
        read()
