"""Tokens as the settings ask for them; without the setting nothing of it is imported."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import msgspec

from bentos.errors import ConfigurationError
from bentos.serving.access.keys import KeyLimits, are_limits
from bentos.settings import Settings, variable

if TYPE_CHECKING:
    from bentos.serving.access.issuer import Issuer
    from bentos.serving.access.tokens import Tokens

# No shared secret, and not `none`: what verifies a token must not be able to make one.
_ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)


def open_tokens(settings: Settings) -> tuple[Tokens, Issuer] | None:
    """Make what verifies tokens; None where the settings name no issuer.

    Raises ConfigurationError.
    """
    if not settings.oidc_issuer:
        return None
    if not settings.oidc_audience:
        raise ConfigurationError(
            "TABSERVE_OIDC_ISSUER needs TABSERVE_OIDC_AUDIENCE: without one, a token that the "
            "issuer made for another service would do"
        )
    if importlib.util.find_spec("joserfc") is None:
        raise ConfigurationError(
            "TABSERVE_OIDC_ISSUER needs joserfc: install tabserve[oidc], or build the Bento after "
            "`make lock BENTO_EXTRAS=oidc`"
        )
    from bentos.serving.access import issuer, tokens  # noqa: PLC0415 - joserfc is an extra

    for field in ("oidc_issuer", "oidc_jwks_url"):
        url = getattr(settings, field)
        try:
            if url:
                issuer.require_safe(url)
        except ValueError as error:
            raise ConfigurationError(f"{variable(field)}: {error}") from None
    algorithms = tuple(one.strip() for one in settings.oidc_algorithms.split(","))
    if not set(algorithms) <= _ALGORITHMS:
        known = ", ".join(sorted(_ALGORITHMS))
        raise ConfigurationError(f"{variable('oidc_algorithms')}: known are {known}")
    rules = tokens.TokenRules(
        settings.oidc_issuer,
        settings.oidc_audience,
        algorithms,
        settings.oidc_scopes_claim,
        settings.oidc_scope_prefix,
        settings.oidc_client_claim,
        _read_limits(settings.oidc_limits),
    )
    asked = issuer.Issuer(settings.oidc_issuer, settings.oidc_jwks_url)
    return tokens.Tokens(rules, asked), asked


def _read_limits(text: str) -> KeyLimits:
    name = variable("oidc_limits")
    try:
        parts = dict(part.split("=") for part in text.split(",") if part.strip())
        given = {member.strip(): value.strip() for member, value in parts.items()}
        limits = msgspec.convert(given, KeyLimits, strict=False)
    except (ValueError, msgspec.ValidationError):
        limits = None
    if limits is None or not are_limits(limits):
        members = ", ".join(f"{member}=..." for member in KeyLimits.__struct_fields__)
        raise ConfigurationError(f"{name}: must be like {members}")
    return limits
