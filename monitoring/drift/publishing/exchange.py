"""One request to another program: within a time, to that host alone, its answer's status only.

NotTaken    it was not taken; the message says why, and holds neither URL nor header
"""

from __future__ import annotations

from collections.abc import Mapping
from http.client import HTTPException
from threading import Thread
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener


class NotTaken(Exception):
    """The other side did not take what it was sent."""


class _Staying(HTTPRedirectHandler):
    """Follows no redirect: it would become a GET, and take the token to another host."""

    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER = build_opener(_Staying)


def send(
    url: str, method: str, headers: Mapping[str, str], body: bytes, timeout_seconds: float
) -> None:
    """Send one request over http or https, and wait for its status. Raises NotTaken.

    `timeout_seconds`: for all of it. A socket's own timeout begins anew with every byte, and
    looking up a name has none.
    """
    said: list[str] = []

    def work() -> None:
        said.append(_try(url, method, headers, body, timeout_seconds))

    # A daemon: what still waits for the other side must not keep the job from ending.
    worker = Thread(target=work, daemon=True)
    worker.start()
    worker.join(timeout_seconds)
    if not said:
        raise NotTaken(f"no answer within {timeout_seconds:g} s")
    if said[0]:
        raise NotTaken(said[0])


def _try(
    url: str, method: str, headers: Mapping[str, str], body: bytes, timeout_seconds: float
) -> str:
    """Why it was not taken; empty where it was."""
    try:
        request = Request(url, data=body, headers=dict(headers), method=method)  # noqa: S310 - the settings take http and https alone
        # The body is not read: a slow one would cost time.
        _OPENER.open(request, timeout=timeout_seconds).close()
    except HTTPError as error:
        error.close()
        where = ", a redirect, which is not followed" if 300 <= error.code < 400 else ""
        return f"HTTP {error.code}{where}"
    except URLError as error:
        return str(error.reason) or type(error).__name__
    except (HTTPException, ValueError) as error:
        # Not HTTP, or no URL, or no header: the message may hold any of them.
        return type(error).__name__
    except Exception as error:
        return (str(error) if isinstance(error, OSError) else "") or type(error).__name__
    return ""
