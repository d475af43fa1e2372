# SPDX-License-Identifier: Apache-2.0
"""A few JSON calls to Keystone and Neutron with the standard library alone."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from .errors import CloudError

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def call(
    method: str, url: str, body: Any = None, token: str = "", seconds: float = 60.0
) -> tuple[Any, dict[str, str]]:
    """One call: the decoded answer (None where empty) and its headers.

    Raises `CloudError` with the status and the service's own words on anything but 2xx.
    """
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if token:
        headers["X-Auth-Token"] = token
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)
    try:
        with _opener.open(request, timeout=seconds) as answer:
            text = answer.read()
            return (json.loads(text) if text else None), dict(answer.headers)
    except urllib.error.HTTPError as error:
        detail = error.read().decode(errors="replace")[:300]
        raise CloudError(f"{method} {url} answered {error.code}: {detail}") from error
    except OSError as error:
        raise CloudError(f"{method} {url} got no answer: {error}") from error


def answers(url: str) -> bool:
    """Whether a GET is answered with anything below 500 within two seconds."""
    try:
        with _opener.open(url, timeout=2):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False
