# SPDX-License-Identifier: Apache-2.0
"""The outbox: work that an answer promised and that Neutron or the switch shall do afterwards.

Jobs are rows of the ledger, written in the transaction of the answer that made them due. Each is
idempotent, so that a kill between any two instructions loses nothing and repeats harmlessly. A job
that fails is tried again, later and later, for ever: giving up would be a leak.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum

from kurier.model.errors import Code, KurierError
from kurier.model.records import Job
from kurier.service.protocols import Clock, Ledger
from kurier.service.traffic import Traffic

LOG = logging.getLogger(__name__)
_WORKERS = 4
_FIRST_BACKOFF = 1.0
_SOON = 0.01
"""The shortest pause, in seconds: the rest of a subtraction may be too small to add to a clock."""
SETTLE_DELAY = 0.7
"""Seconds until the engine surely knows which container an endpoint belongs to."""


class JobKind(StrEnum):
    """What the outbox can do."""

    SETTLE = "settle"
    """Tell Neutron whose a port is: a container's (name, device id, DNS name, tags, exposed
    ports), or its pool's again."""
    DROP_PORT = "drop-port"
    """Unplug a port that was given up and delete it, or give it back to whose it was."""
    DROP_NETWORK = "drop-network"
    """Take an engine network's mark off Neutron, and the network too if it is the last."""
    FORGET_NETWORK = "forget-network"
    """Ask the engine whether it still knows a network whose range it gave back."""
    DROP_POOL = "drop-pool"
    """Remove what was made to draw a range that no network came for."""
    DROP_ENDPOINT = "drop-endpoint"
    """Remove the port of an endpoint that the ledger never knew, by its tags."""
    DROP_GROUP = "drop-group"
    """Remove a group for exposed ports that no port of this host wears."""
    SWEEP_GROUP = "sweep-group"
    """Remove groups of a name for exposed ports that a kill or a lost answer left half-made."""
    DROP_KURYR_POOL = "drop-kuryr-pool"
    """Remove a subnet pool that kuryr-libnetwork made for one network."""
    DROP_PLUG = "drop-plug"
    """Remove a device from the switch that the ledger does not know."""
    NAME_NETWORK = "name-network"
    """Learn from the engine what its user called a network; the reconciler asks again."""
    DROP_STRAY = "drop-stray"
    """Delete a port of this host's that the ledger does not know."""


Handler = Callable[[Job], Awaitable[None]]


STANDS_BACK = {JobKind.SETTLE, JobKind.DROP_PORT, JobKind.DROP_GROUP}
"""What can wait while containers start and stop."""
PRESSING = "pressing"
"""In a job's payload: a user waits for what it does, so that it never stands back."""
UNANSWERED = "unanswered"
"""In a job's payload: Neutron may yet carry out a write whose answer was lost, so that the job is
done again, less and less often, for `settle.unanswered` seconds."""
PRECAUTION = "precaution"
"""In a job's payload: it only looks whether something is left, and most likely nothing is; nobody
waits for it."""
LOST_ANSWER_DELAY = 12.0
"""Seconds until a write whose answer was lost has most likely ended in Neutron, either way."""


class Outbox:
    """Runs the ledger's jobs, a few at once, each kind and key by one worker at a time.

    Some kinds stand back while `traffic` is not quiet, for `lag` seconds at most; then one at a
    time goes on all the same.
    """

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        backoff_max: float,
        traffic: Traffic | None = None,
        lag: float = 30.0,
        unanswered: float = 300.0,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._backoff_max = backoff_max
        self._traffic = traffic
        self._lag = timedelta(seconds=lag)
        self._unanswered = timedelta(seconds=unanswered)
        self._handlers: dict[str, Handler] = {}
        self._running: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._wake = asyncio.Event()

    def handle(self, kind: JobKind, handler: Handler) -> None:
        """Names the handler of a kind."""
        self._handlers[kind] = handler

    def add(self, kind: JobKind, key: str, *, delay: float = 0.0, **payload: str) -> None:
        """Writes a job; call it inside the transaction that makes it due. `delay` in seconds."""
        now = self._clock.now()
        self._ledger.put_job(
            Job(kind, key, now + timedelta(seconds=delay), created_at=now, payload=payload)
        )
        self._wake.set()

    def last_look(self, job: Job) -> bool:
        """Whether nothing more can come of the unanswered write that a job is about, or it is about
        none; until then what tells of it stays in the ledger.
        """
        if UNANSWERED not in job.payload or job.created_at is None:
            return True
        return self._clock.now() - job.created_at >= self._unanswered

    async def settle(self, kind: JobKind, key: str) -> None:
        """Runs one job now and waits for it; raises its error. The job stays if it fails."""
        job = self._ledger.job(kind, key)
        if job is not None:
            await asyncio.shield(self._start(job))

    async def ended(self, kind: JobKind, key: str) -> None:
        """Waits until a job that runs now has ended, well or not."""
        task = self._running.get((kind, key))
        if task is not None:
            await asyncio.wait({task})

    async def run(self) -> None:
        """Works for ever; cancel it to stop."""
        while True:
            self._wake.clear()
            pause = self._start_due()
            try:
                await asyncio.wait_for(self._wake.wait(), pause)
            except TimeoutError:
                continue

    async def stop(self) -> None:
        """Ends what is under way; every job that did not finish is still in the ledger."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start_due(self) -> float:
        """Starts what is due and has a worker; tells the seconds until the next look."""
        now = self._clock.now()
        quiet_in = self._traffic.quiet_in() if self._traffic else 0.0
        waiting = [job for job in self._ledger.jobs() if (job.kind, job.key) not in self._running]
        pause = 60.0
        for job in sorted(waiting, key=lambda job: job.due):
            if len(self._running) >= _WORKERS:
                return 60.0
            if job.due > now:
                return min(pause, max((job.due - now).total_seconds(), _SOON))
            if quiet_in and self._stands_back(job, now):
                pause = max(quiet_in, _SOON)
                continue
            self._start(job)
        return pause

    def _stands_back(self, job: Job, now: datetime) -> bool:
        if job.kind not in STANDS_BACK or PRESSING in job.payload:
            return False
        late = job.created_at is None or now - job.created_at >= self._lag
        return not late or bool(self._running)

    def _start(self, job: Job) -> asyncio.Task[None]:
        name = (job.kind, job.key)
        running = self._running.get(name)
        if running is not None:
            return running
        task = asyncio.create_task(self._work(job), name=f"{job.kind} {job.key}")
        self._running[name] = task
        task.add_done_callback(lambda _: self._finished(name))
        # Whoever waits for it has its error; he may have given up, or there may be nobody.
        task.add_done_callback(_consume)
        return task

    def _finished(self, name: tuple[str, str]) -> None:
        self._running.pop(name, None)
        self._wake.set()

    async def _work(self, job: Job) -> None:
        try:
            await self._handlers[job.kind](job)
        except KurierError as error:
            self._postpone(job, error.sentence)
            raise
        except Exception as error:
            LOG.exception("job %s %s failed", job.kind, job.key)
            self._postpone(job, f"{type(error).__name__}: {error}")
            raise
        if self._ledger.job(job.kind, job.key) != job:
            return
        if self.last_look(job):
            self._ledger.drop_job(job.kind, job.key)
        else:
            self._look_again(job)

    def _look_again(self, job: Job) -> None:
        now = self._clock.now()
        age = now - (job.created_at or now)
        due = now + max(age, timedelta(seconds=LOST_ANSWER_DELAY))
        payload = {**job.payload, PRECAUTION: "looked before"}
        self._ledger.put_job(replace(job, due=due, attempts=0, last_error="", payload=payload))

    def _postpone(self, job: Job, sentence: str) -> None:
        current = self._ledger.job(job.kind, job.key)
        if current is None:
            return
        wait = min(_FIRST_BACKOFF * 2 ** min(current.attempts, 10), self._backoff_max)
        LOG.warning("job %s %s: %s Next try in %.0f s.", job.kind, job.key, sentence, wait)
        due = self._clock.now() + timedelta(seconds=wait)
        self._ledger.put_job(
            replace(current, due=due, attempts=current.attempts + 1, last_error=sentence)
        )


def is_owed(job: Job) -> bool:
    """Whether a job is work that somebody waits for, rather than one more look."""
    return PRECAUTION not in job.payload or job.attempts > 0


def is_unanswered(error: BaseException) -> bool:
    """Whether what failed so may have been carried out all the same, now or later."""
    if isinstance(error, KurierError):
        return error.code in (Code.CLOUD_AWAY, Code.CLOUD_ERROR)
    return True


def why_again(error: BaseException) -> dict[str, str]:
    """The payload of the job that undoes what ended in an error."""
    return {UNANSWERED: str(error) or type(error).__name__} if is_unanswered(error) else {}


def _consume(task: asyncio.Task[None]) -> None:
    """The error was logged and written into the job; the task has nobody else to tell."""
    if not task.cancelled():
        task.exception()
