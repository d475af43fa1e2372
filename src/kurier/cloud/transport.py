# SPDX-License-Identifier: Apache-2.0
"""One call to Neutron, from the request to bytes or a `KurierError`. Blocking; for threads."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import requests
from keystoneauth1 import exceptions as ksa
from openstack.config.cloud_region import CloudRegion
from openstack.exceptions import SDKException

from kurier.cloud.bounds import Bounds, Clock, Flight
from kurier.cloud.calls import Call, CallCounter, HealthRecord
from kurier.cloud.errors import away, read_refusal, refused, unauthorized, unusable
from kurier.cloud.session import NeutronSession
from kurier.model.errors import Code, KurierError

_LOG = logging.getLogger(__name__)
_PAUSE = 0.2
"""Seconds before the second try of what may be repeated; three times as long for each further."""
_HIDDEN = "HTTPNotFound"
"""The type of a 404 by which a policy hides what is there."""
_POLICY_TRIES = 3
_POLICY_PAUSE = 1.0
_CLOUDS_FAULT = {Code.CLOUD_AWAY, Code.CLOUD_ERROR, Code.CREDENTIALS}
"""What tells of the cloud's health; everything else tells of the request."""


class _ByPolicy(Exception):
    """What a policy refused, perhaps too early."""

    def __init__(self, error: KurierError) -> None:
        super().__init__(error.sentence)
        self.error = error


class Transport:
    """Sends calls within their bounds, repeats what may be repeated, counts, logs, translates.

    A POST or PUT is never repeated: its answer may be what was lost.
    """

    def __init__(
        self,
        region: Callable[[], CloudRegion],
        bounds: Bounds,
        clock: Clock,
    ) -> None:
        self._bounds = bounds
        self._now = clock.now
        self._monotonic = clock.monotonic
        self._flight = Flight()
        self._session = NeutronSession(region, bounds, self._flight, clock.monotonic)
        self._closed = threading.Event()
        self.counter = CallCounter()
        self.record = HealthRecord()

    def send(self, call: Call) -> bytes:
        """The body of a success; raises KurierError, with Neutron's request id in its cause."""
        try:
            until = self._monotonic() + self._bounds.read * call.patience
            with self._flight.within(until):
                return self._tries(call, until)
        except KurierError as error:
            self._note(call, error)
            raise
        except Exception as error:
            unknown = KurierError(
                Code.CLOUD_ERROR, f"Neutron could not be asked to {call.doing}: {_brief(error)}."
            )
            self._note(call, unknown)
            raise unknown from error

    def close(self) -> None:
        """Cuts the pauses between tries short."""
        self._closed.set()

    def _tries(self, call: Call, until: float) -> bytes:
        for retry in range(self._bounds.retries if call.repeatable else 0):
            pause = _PAUSE * 3**retry
            try:
                return self._try(call)
            except KurierError as error:
                late = self._monotonic() + pause >= until
                if error.code is not Code.CLOUD_AWAY or late or self._closed.wait(pause):
                    raise
        return self._try(call)

    def _try(self, call: Call) -> bytes:
        """One try; what a policy refuses of a Neutron that is just back is asked again.

        A Neutron that has just started judges its first requests by policies that it has not
        loaded yet: it hides and forbids to an administrator what is his, for a second or two. A
        refusal did nothing, so that asking again is safe.
        """
        for _ in range(_POLICY_TRIES):
            try:
                return self._once(call)
            except _ByPolicy as refusal:
                if not self.record.just_back(self._now()) or self._closed.wait(_POLICY_PAUSE):
                    raise refusal.error from None
        try:
            return self._once(call)
        except _ByPolicy as refusal:
            raise refusal.error from None

    def _once(self, call: Call) -> bytes:
        began = self._monotonic()
        response: requests.Response | None = None
        try:
            response = self._exchange(call)
        finally:
            seconds = self._monotonic() - began
            self.counter.count(call, seconds)
            self._log(call, response, seconds)
        self.record.at(self._session.site.neutron)
        if response.status_code < 300:
            self.record.answered(self._now())
            return response.content
        raise self._refusal(call, response)

    def _exchange(self, call: Call) -> requests.Response:
        headers = {}
        if call.if_revision is not None:
            headers["If-Match"] = f"revision_number={call.if_revision}"
        try:
            return self._session.send(call.method, call.path, call.params, call.body, headers)
        except KurierError:
            raise
        except ksa.ClientException as error:
            raise self._unreached(error) from error
        except SDKException as error:
            raise unusable(
                f"The cloud's settings cannot be used: {_brief(error)}.", error
            ) from error

    def _refusal(self, call: Call, response: requests.Response) -> KurierError:
        refusal = read_refusal(response.status_code, response.content, _request_id(response))
        error = refused(call, refusal, self._session.site)
        if error.code is Code.POLICY or refusal.kind == _HIDDEN:
            self.record.answered(self._now())
            raise _ByPolicy(error)
        if error.code is Code.CLOUD_AWAY:
            self.record.away(self._now())
        elif refusal.kind:
            self.record.answered(self._now())
        if error.code is Code.CREDENTIALS:
            self._session.forget()
        return error

    def _unreached(self, error: ksa.ClientException) -> KurierError:
        """What an exception of keystoneauth means; answers of Neutron never get here."""
        site, flight = self._session.site, self._flight
        if _distrusted(flight.lost):
            return unusable(
                f"The certificate that {self._flight.url} shows is not trusted: name the right CA "
                "bundle as cacert in clouds.yaml or OS_CACERT.",
                error,
            )
        if flight.lost is not None or flight.status >= 500:
            return away(flight.url, site, self.record.away(self._now()), error)
        # So that corrected settings are taken up without a restart.
        self._session.forget()
        if isinstance(error, (ksa.EndpointNotFound, ksa.EmptyCatalog)):
            return unusable(
                f"Keystone's catalogue at {site.auth_url} has no network endpoint for these "
                f"settings ({_brief(error)}): check region_name, interface and the project.",
                error,
            )
        if isinstance(error, (ksa.Unauthorized, ksa.Forbidden)):
            return unauthorized(site, error)
        return unusable(
            f"Keystone at {site.auth_url} cannot be used as {site.user} ({_brief(error)}): check "
            "auth_url and the credentials in clouds.yaml or the OS_* variables.",
            error,
        )

    def _note(self, call: Call, error: KurierError) -> None:
        if error.code is Code.NOT_FOUND and call.method == "DELETE":
            return
        self.counter.count_error(error.code)
        cause = error.__cause__ or error.sentence
        if error.code in _CLOUDS_FAULT:
            self.record.failed(error.sentence, self._now())
            _LOG.warning("Neutron: could not %s: %s: %s", call.doing, error.code, cause)
        else:
            _LOG.info("Neutron: refused to %s: %s: %s", call.doing, error.code, cause)

    def _log(self, call: Call, response: requests.Response | None, seconds: float) -> None:
        level = logging.DEBUG if call.method == "GET" else logging.INFO
        if not _LOG.isEnabledFor(level):
            return
        status = response.status_code if response is not None else 0
        request_id = _request_id(response) if response is not None else ""
        _LOG.log(
            level,
            "Neutron: %s: %s %s, %s in %.0f ms %s",
            call.doing,
            call.method,
            call.path,
            status or "no answer",
            seconds * 1000,
            request_id,
            extra={"neutron_request_id": request_id, "neutron_status": status},
        )


def _request_id(response: requests.Response) -> str:
    return response.headers.get("x-openstack-request-id", "")


def _distrusted(error: BaseException | None) -> bool:
    return isinstance(error, requests.exceptions.SSLError) and "CERTIFICATE" in str(error).upper()


def _brief(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(". ")[:300]
