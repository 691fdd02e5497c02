"""Bearer tokens of a real issuer on loopback: good ones, every known attack, and its outages."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bentos.records.opening import open_store
from bentos.records.record import Window
from bentos.serving.access import issuer as access_issuer
from tests.service.access_keys import Keys
from tests.service.certificate import make_certificate
from tests.service.checks import assert_problem, series_of, total_of, value_of
from tests.service.driver import Answer, App, serving
from tests.service.issuer import AUDIENCE, Issuer, b64

JSON = "application/json"


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    """An issuer with an RSA and an EC key."""
    started = Issuer()
    started.add("first")
    started.add("second", "EC")
    yield started
    started.close()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """A keys file beside the issuer."""
    made = Keys(tmp_path_factory.mktemp("keys") / "keys.json")
    made.add("all")
    return made


@pytest.fixture(scope="module")
def app(quick: dict[str, str], issuer: Issuer, keys: Keys) -> Iterator[App]:
    """The service with keys and tokens."""
    limits = "requests_per_second=1000,concurrency=100"
    with serving(
        quick["binary"],
        keys_file=keys.path,
        oidc_issuer=issuer.url,
        oidc_audience=AUDIENCE,
        oidc_limits=limits,
    ) as started:
        yield started


def predict(app: App, token: str, row: Any) -> Answer:
    """Score a row with a token."""
    headers = {"content-type": JSON, "authorization": f"Bearer {token}"}
    return app.request("POST", "/v1/predict", json.dumps(row).encode(), headers=headers)


def test_good_tokens_and_keys_open_side_by_side(
    app: App, issuer: Issuer, keys: Keys, row: Any
) -> None:
    """Both algorithms of the settings, an audience among others, scopes as text or list."""
    for token in (
        issuer.token(),
        issuer.token("second"),
        issuer.token(aud=["other", AUDIENCE]),
        issuer.token(scope=["predict"]),
        issuer.token(exp=int(time.time()) - 30),
        issuer.token(nbf=int(time.time()) + 30),
    ):
        assert predict(app, token, row).status == 200
    assert predict(app, keys.texts["all"], row).status == 200


def test_the_scope_of_a_token_is_held(app: App, issuer: Issuer, row: Any) -> None:
    """A token without the scope gets 403, one with scopes of other services too."""
    for scope in (None, "", "openid", ["Predict"], {"predict": 1}, 7, "predict,feedback", "admin"):
        answer = predict(app, issuer.token(scope=scope), row)
        assert_problem(answer, 403, "forbidden")


def bad_tokens(issuer: Issuer) -> Iterator[tuple[str, str]]:
    """Tokens that must open nothing, and what each tries."""
    now = int(time.time())
    good = issuer.token()
    head, body, signature = good.split(".")
    public = issuer.keys["first"].as_pem(private=False)
    for alg in ("none", "None", "NONE", "nOnE"):
        yield f"alg {alg}", f"{b64({'alg': alg, 'kid': 'first'})}.{body}."
        yield f"alg {alg}, signed", f"{b64({'alg': alg, 'kid': 'first'})}.{body}.{signature}"
    for alg, hashed in (("HS256", "sha256"), ("HS384", "sha384"), ("HS512", "sha512")):
        for secret in (public, public.strip(), b"", b"secret-secret-secret-secret"):
            for one in ("first", "shared"):
                start = f"{b64({'alg': alg, 'kid': one})}.{body}"
                mac = hmac.new(secret, start.encode(), getattr(hashlib, hashed)).digest()
                yield f"{alg} with {one}", f"{start}.{b64(mac)}"
    yield "RS512, which the settings do not allow", issuer.token(alg="RS512")
    yield "another audience", issuer.token(aud="other")
    yield "another audience, in a list", issuer.token(aud=["other"])
    yield "a part of the audience", issuer.token(aud="scorin")
    yield "no audience", issuer.token(aud=None)
    yield "another issuer", issuer.token(iss="https://evil.example")
    yield "the issuer and more", issuer.token(iss=issuer.url + "/")
    yield "no issuer", issuer.token(iss=None)
    yield "expired", issuer.token(exp=now - 120)
    yield "no expiry", issuer.token(exp=None)
    for value in ("9999999999", True, [now + 300], 1e400, float("nan")):
        yield f"expiry {value!r}", issuer.token(exp=value)
    yield "not yet good", issuer.token(nbf=now + 600)
    yield "made in the future", issuer.token(iat=now + 600)
    name: Any
    for name in ("", "a b", "a\nb", "é", "x" * 129, 7, None, ["a"], {"a": 1}):
        yield f"client {name!r}", issuer.token(sub=name)
    kid: Any
    for kid in ("third", "", "../first", "first\0", "shared", "encryption", 1, ["first"], {"a": 1}):
        yield f"key id {kid!r}", f"{b64({'alg': 'RS256', 'kid': kid})}.{body}.{signature}"
    yield "no key id", f"{b64({'alg': 'RS256'})}.{body}.{signature}"
    evil = Issuer()
    evil.add("first")
    own = evil.keys["first"].as_dict(private=False)
    for header in (None, {"jwk": own}, {"jku": f"{evil.url}/keys"}, {"x5u": f"{evil.url}/keys"}):
        yield f"a key of its own, by {header}", evil.token(header=header, iss=issuer.url)
    assert evil.requests == 0
    evil.close()
    yield "an EC key's id with RS256", evil.token(header={"kid": "second"}, iss=issuer.url)
    yield "critical", issuer.sign({"alg": "RS256", "kid": "first", "crit": ["new"], "new": 1})
    yield "an unencoded payload", issuer.sign({"alg": "RS256", "kid": "first", "b64": False})
    yield "other claims", f"{head}.{b64(issuer.claims(scope='admin'))}.{signature}"
    yield "no signature", f"{head}.{body}."
    yield "signature of something else", f"{head}.{body}.{b64(b'x' * 256)}"
    yield "claims no object", f"{head}.{b64([1])}.{signature}"
    yield "not JSON", f"{b64(b'x')}.{b64(b'x')}.{b64(b'x')}"
    yield "deep", f"{b64(b'[' * 4000)}.x.x"
    yield "not base64", "é.!.?"
    yield "empty", ".."
    yield "long", f"{head}.{'A' * 100_000}.{signature}"
    yield "encrypted", "a.b.c.d.e"


def test_no_attack_opens_anything(app: App, issuer: Issuer, row: Any) -> None:
    """401 for each, in the shape of every other refusal; nothing of the token is said."""
    body, number = json.dumps(row).encode(), 0
    for what, token in bad_tokens(issuer):
        number += 1
        headers = {"content-type": JSON, "x-api-key": token}
        try:
            token.encode("latin-1")
        except UnicodeEncodeError:
            continue
        answer = app.run(_ask(app, body, headers, f"203.0.113.{number}"))
        document = assert_problem(answer, 401, "unauthorized")
        assert document["detail"] == "the key is not known", what
    assert number > 60


async def _ask(app: App, body: bytes, headers: dict[str, str], address: str) -> Answer:
    # Each from an address of its own: failed attempts of one address are slow.
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/predict", "query_string": b""}
    own = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    await app._asgi({**scope, "headers": own, "client": (address, 9)}, receive, send)
    named = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], named, sent[1]["body"])


def test_made_up_key_ids_make_few_fetches(app: App, issuer: Issuer, row: Any) -> None:
    """Fifty tokens with fifty unknown keys at once: at most one fetch, and good tokens go on."""
    body, before = json.dumps(row).encode(), issuer.requests

    async def flood() -> list[Answer]:
        asked = [
            _ask(
                app,
                body,
                {"content-type": JSON, "x-api-key": issuer.token(header={"kid": f"made-up-{n}"})},
                f"192.0.2.{n}",
            )
            for n in range(50)
        ]
        return list(await asyncio.gather(*asked))

    assert {answer.status for answer in app.run(flood())} == {401}
    assert issuer.requests - before <= 1
    assert predict(app, issuer.token(), row).status == 200


def test_the_client_is_recorded_and_counted_under_one_label(
    app: App, issuer: Issuer, keys: Keys, row: Any
) -> None:
    """The log has the claim as consumer; metrics have one label for all tokens."""
    answer = predict(app, issuer.token(sub="auth0|5f7c"), row)
    assert answer.status == 200
    assert predict(app, issuer.token(sub="auth0|5f7c"), {}).status == 422
    found: dict[str, str | None] = {}
    deadline = time.monotonic() + 30
    while answer.json()["id"] not in found:
        assert time.monotonic() < deadline
        time.sleep(0.1)
        store = open_store(f"sqlite:///{app.data}/records.db")
        store.check()
        found = {record.id: record.consumer for record in store.read(Window())}
        store.close()
    assert found[answer.json()["id"]] == "auth0|5f7c"
    exported = app.request("GET", "/metrics", headers=keys.headers("all")).body
    assert total_of(series_of(exported), "tabserve_problems_total", client="oidc") >= 1
    assert b"auth0" not in exported


@pytest.fixture
def restless() -> Iterator[Issuer]:
    """An issuer of one test's own."""
    started = Issuer()
    started.add("first")
    yield started
    started.close()


def test_an_issuer_that_is_down_is_no_refusal(
    quick: dict[str, str], restless: Issuer, row: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 while there are no keys, 200 once there are; then its outages stop nothing."""
    monkeypatch.setattr(access_issuer, "_COOLDOWN_SECONDS", 0.2)
    restless.instead = (500, b"")
    with serving(quick["binary"], oidc_issuer=restless.url, oidc_audience=AUDIENCE) as app:
        answer = predict(app, restless.token(), row)
        document = assert_problem(answer, 503, "issuer-down")
        assert answer.headers["retry-after"] == "10" and "127.0.0.1" not in document["detail"]
        assert app.get("/readyz").status == 200
        restless.instead = None
        time.sleep(0.5)
        token, other = restless.token(), restless.token(sub="another")
        assert predict(app, token, row).status == 200
        # The key is changed over: an unknown id is asked for, and what the old one signed is no
        # longer good once the issuer has taken it back.
        del restless.keys["first"]
        restless.add("next", "EC")
        time.sleep(0.3)
        assert predict(app, restless.token("next"), row).status == 200
        for gone in (token, other):
            assert predict(app, gone, row).status == 401
        restless.instead = (500, b"")
        time.sleep(0.5)
        assert predict(app, restless.token("next", sub="third"), row).status == 200


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b""),
        (302, b"http://127.0.0.1:1/"),
        (200, b"{"),
        (200, b"[]"),
        (200, b"{" + b" " * 2**20 + b"}"),
        (200, b'{"keys": []}'),
        (200, b'{"keys": 7}'),
        (200, b'{"keys": [7, {"kty": "RSA"}, {"kty": "oct", "k": "c2VjcmV0"}]}'),
        (200, json.dumps({"keys": [{}] * 1000}).encode()),
        (200, b"[" * 100_000),
    ],
)
async def test_answers_that_are_no_key_set_change_nothing(
    restless: Issuer, status: int, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The keys before stay in force, and a redirect is not followed."""
    monkeypatch.setattr(access_issuer, "_COOLDOWN_SECONDS", 0.0)
    keys = access_issuer.Issuer(restless.url, f"{restless.url}/keys")
    await keys.refresh()
    version = keys.version
    assert keys.find("first") is not None and not keys.is_down
    restless.instead = (status, body)
    await keys.refresh()
    assert keys.is_down and keys.has_keys and keys.find("first") is not None
    assert keys.version == version


async def test_https_with_a_certificate_that_is_not_trusted_is_no_issuer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Certificates are checked; a trusted one of SSL_CERT_FILE is taken."""
    monkeypatch.setattr(access_issuer, "_COOLDOWN_SECONDS", 0.0)
    certificate, key = make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    served = Issuer(context)
    served.add("first")
    keys = access_issuer.Issuer(served.url)
    await keys.refresh()
    assert keys.is_down and not keys.has_keys
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    await keys.refresh()
    served.close()
    assert not keys.is_down and keys.find("first") is not None


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"oidc_issuer": "http://issuer.example", "oidc_audience": "a"}, "OIDC_ISSUER.*https"),
        ({"oidc_issuer": "file:///etc/passwd", "oidc_audience": "a"}, "OIDC_ISSUER.*https"),
        ({"oidc_issuer": "https://u:p@issuer.example", "oidc_audience": "a"}, "neither user"),
        ({"oidc_issuer": "https://issuer.example"}, "needs TABSERVE_OIDC_AUDIENCE"),
        (
            {"oidc_issuer": "https://i.example", "oidc_audience": "a", "oidc_algorithms": "HS256"},
            "OIDC_ALGORITHMS",
        ),
        (
            {"oidc_issuer": "https://i.example", "oidc_audience": "a", "oidc_algorithms": "none"},
            "OIDC_ALGORITHMS",
        ),
        (
            {"oidc_issuer": "https://i.example", "oidc_audience": "a", "oidc_limits": "rows=1"},
            "OIDC_LIMITS",
        ),
        (
            {
                "oidc_issuer": "https://i.example",
                "oidc_audience": "a",
                "oidc_limits": "rows_per_second=nan",
            },
            "OIDC_LIMITS",
        ),
    ],
)
def test_settings_that_would_not_be_safe_stop_the_start(
    quick: dict[str, str], settings: dict[str, str], said: str
) -> None:
    """One line names the variable."""
    with pytest.raises(SystemExit, match=said), serving(quick["binary"], **settings):
        raise AssertionError("it started")


def test_value_of_tokens_is_in_no_log(
    app: App, issuer: Issuer, keys: Keys, row: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither a good nor a bad token is written to the log."""
    good = issuer.token(sub="logged")
    bad = good[:-8] + "AAAAAAAA"
    predict(app, good, row)
    predict(app, bad, row)
    exported = app.request("GET", "/metrics", headers=keys.headers("all")).body
    assert value_of(series_of(exported), "tabserve_access_issuer_down") == 0
    written = capsys.readouterr().err
    assert '"client":"logged"' in written
    for token in (good, bad):
        assert not any(part in written for part in token.split("."))
