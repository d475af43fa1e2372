# SPDX-License-Identifier: Apache-2.0
"""The authenticated way to Neutron: keystoneauth's session, and where Neutron's API begins."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping

import requests
from keystoneauth1.adapter import Adapter
from keystoneauth1.exceptions import EndpointNotFound
from openstack.config.cloud_region import CloudRegion

from kurier.cloud.bounds import BoundedAdapter, Bounds, Flight
from kurier.cloud.errors import Site


class NeutronSession:
    """One way to one Neutron. Safe in threads; no contact before the first request."""

    def __init__(
        self,
        region: Callable[[], CloudRegion],
        bounds: Bounds,
        flight: Flight,
        monotonic: Callable[[], float],
    ) -> None:
        self._region = region
        self._bounds = bounds
        self._flight = flight
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._adapter: Adapter | None = None
        self._base = ""
        self.site = Site(neutron="", auth_url="", user="this user")

    def send(
        self,
        method: str,
        path: str,
        params: tuple[tuple[str, str], ...],
        body: Mapping[str, object] | None,
        headers: Mapping[str, str],
    ) -> requests.Response:
        """Sends one request below `/v2.0`; after a 401 once more with a fresh token.

        Raises keystoneauth's exceptions where authentication or the connection fails; answers of
        Neutron are returned whatever their status.
        """
        adapter, base = self._way()
        return adapter.request(
            base + path,
            method,
            params=list(params),
            json=body,
            headers={"Accept": "application/json", **headers},
            raise_exc=False,
            authenticated=True,
            # keystoneauth's own sleeps by the machine's clock: set back by an hour, that one would
            # hold every request for an hour. How many are under way, the worker threads bound.
            rate_semaphore=contextlib.nullcontext(),
        )

    def forget(self) -> None:
        """Reads the settings and authenticates anew at the next request."""
        with self._lock:
            self._adapter, self._base = None, ""

    def _way(self) -> tuple[Adapter, str]:
        with self._lock:
            adapter, base = self._adapter, self._base
            if adapter is None:
                adapter = self._adapter = self._open()
        if not base:
            base = _versioned(adapter.get_endpoint() or "")
            with self._lock:
                self._base = base
                self.site = Site(base, self.site.auth_url, self.site.user)
        return adapter, base

    def _open(self) -> Adapter:
        region = self._region()
        session = region.get_session()
        bounded = BoundedAdapter(self._flight, self._bounds, self._monotonic)
        for scheme in ("http://", "https://"):
            session.session.mount(scheme, bounded)
        auth = region.get_auth_args()
        self.site = Site("", str(auth.get("auth_url") or ""), _who(auth))
        return Adapter(
            session=session,
            service_type=region.get_service_type("network"),
            service_name=region.get_service_name("network"),
            interface=region.get_interface("network"),
            region_name=region.get_region_name("network"),
            endpoint_override=region.get_endpoint("network"),
            connect_retries=0,
            status_code_retries=0,
        )


def _versioned(endpoint: str) -> str:
    """The URL with `/v2.0` at its end; catalogues have it with and without."""
    if not endpoint:
        raise EndpointNotFound("the catalogue has no network endpoint")
    base = endpoint.rstrip("/")
    return base if base.endswith("/v2.0") else base + "/v2.0"


def _who(auth: Mapping[str, object]) -> str:
    """Who the credentials stand for, without any secret."""
    for key, words in (
        ("application_credential_name", "application credential"),
        ("application_credential_id", "application credential"),
        ("username", "user"),
        ("user_id", "user"),
    ):
        if auth.get(key):
            return f"{words} {auth[key]}"
    return "the given token" if auth.get("token") else "this user"
