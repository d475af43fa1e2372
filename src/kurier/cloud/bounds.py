# SPDX-License-Identifier: Apache-2.0
"""How long a call to the cloud may take, and the HTTP adapter that holds it to that.

keystoneauth hides several HTTP requests behind one call: discovery, a token, the call itself,
a fresh token after a 401. A time-out for each of them bounds nothing, so here one deadline per
thread is spent by all the requests of a call together.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

import requests
from keystoneauth1.session import TCPKeepAliveAdapter

if TYPE_CHECKING:
    from requests._types import TimeoutType, VerifyType


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of the work with the cloud.

    `connect`: seconds until a TCP connection stands. `read`: seconds that one call may take with
    all that belongs to it (authentication, retries), or its multiple where many ports are made
    by one call (`Call.patience`). `workers`: calls in flight at once.
    `retries`: how often what may be repeated is tried again, if time is left.
    """

    connect: float = 3.0
    read: float = 8.0
    workers: int = 8
    retries: int = 2


class Clock(Protocol):
    """Time, as the composition root chooses it."""

    def now(self) -> datetime:
        """Aware UTC time."""

    def monotonic(self) -> float:
        """Seconds."""


class Flight(threading.local):
    """What the current thread's call may still take, and what it met on its way."""

    until: float | None = None
    """Monotonic seconds by which the call ends; None where no call is under way."""
    url: str = ""
    """Where the last HTTP request went."""
    status: int = 0
    """What it was answered with; 0 while there is no answer."""
    lost: requests.RequestException | None = None
    """Why it got no answer, or None where it did."""

    @contextmanager
    def within(self, until: float) -> Iterator[None]:
        """A call that ends at `until` (monotonic seconds) at the latest."""
        self.until = until
        self.note("", 0, None)
        try:
            yield
        finally:
            self.until = None

    def note(self, url: str, status: int, lost: requests.RequestException | None) -> None:
        """Sets what is known of the last HTTP request."""
        self.url, self.status, self.lost = url, status, lost


class BoundedAdapter(TCPKeepAliveAdapter):
    """Gives every HTTP request what is left of its call's time, and notes how it failed."""

    def __init__(self, flight: Flight, bounds: Bounds, monotonic: Callable[[], float]) -> None:
        self._flight = flight
        self._bounds = bounds
        self._monotonic = monotonic
        super().__init__(pool_maxsize=bounds.workers)

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: TimeoutType = None,
        verify: VerifyType = True,
        cert: str | tuple[str, str] | None = None,
        proxies: dict[str, str] | None = None,
    ) -> requests.Response:
        flight, url = self._flight, request.url or ""
        flight.note(url, 0, None)
        left = self._bounds.read if flight.until is None else flight.until - self._monotonic()
        try:
            if left <= 0:
                raise requests.ConnectTimeout("no time was left for this request", request=request)
            limits = (min(self._bounds.connect, left), left)
            response = super().send(request, stream, limits, verify, cert, proxies)
        except requests.RequestException as error:
            flight.note(url, 0, error)
            raise
        flight.note(url, response.status_code, None)
        return response
