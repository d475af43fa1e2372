# SPDX-License-Identifier: Apache-2.0
"""The outbox over a real ledger and a clock moved by hand: nothing promised is ever lost."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kurier.ledger import SqliteLedger
from kurier.model.errors import Code, KurierError
from kurier.model.records import Job
from kurier.service.outbox import JobKind, Outbox
from kurier.service.traffic import Traffic

KIND = JobKind.DROP_PORT
LAG = 20.0
AWAY = KurierError(Code.CLOUD_AWAY, "Neutron is away.")


async def turns() -> None:
    """Gives every task as many turns as its work can take; nothing here waits for real time."""
    for _ in range(50):
        await asyncio.sleep(0)


class HandClock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self._now = datetime(2026, 5, 1, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._now.timestamp()

    def move(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


class Host:
    """A ledger in a folder, its outbox, and what the outbox's handler was given."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = HandClock()
        self.done: list[Job] = []
        self.failures: list[Exception] = []
        self.start()

    def start(self) -> None:
        self.ledger = SqliteLedger(self.folder)
        self.traffic = Traffic(self.clock)
        self.outbox = Outbox(self.ledger, self.clock, 30.0, self.traffic, lag=LAG)
        self.outbox.handle(KIND, self.work)
        self.outbox.handle(JobKind.NAME_NETWORK, self.nothing)

    async def work(self, job: Job) -> None:
        self.done.append(job)
        if self.failures:
            raise self.failures.pop(0)

    async def nothing(self, job: Job) -> None:
        """The handler of a job that only wakes the outbox."""

    async def look(self) -> None:
        """Has the running outbox look at its jobs, and lets it finish what is due."""
        self.outbox.add(JobKind.NAME_NETWORK, "wake")
        await turns()
        assert self.ledger.job(JobKind.NAME_NETWORK, "wake") is None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.outbox.run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await self.outbox.stop()


def stored(host: Host) -> Job:
    job = host.ledger.job(KIND, "lease")
    assert job is not None
    return job


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    yield made
    made.ledger.close()


async def test_a_job_that_is_due_is_done_and_forgotten(host: Host) -> None:
    async with host.running():
        host.outbox.add(KIND, "lease", why="test")
        await host.look()
    assert [job.payload for job in host.done] == [{"why": "test"}]
    assert host.ledger.jobs() == []


async def test_a_job_waits_for_its_time(host: Host) -> None:
    async with host.running():
        host.outbox.add(KIND, "lease", delay=12.0)
        host.clock.move(11.9)
        await host.look()
        assert host.done == []
        host.clock.move(0.1)
        await host.look()
    assert len(host.done) == 1


async def test_a_failure_is_tried_again_later_and_later(host: Host) -> None:
    host.failures = [AWAY] * 8
    pauses = []
    async with host.running():
        host.outbox.add(KIND, "lease")
        for tries in range(1, 9):
            await host.look()
            assert len(host.done) == tries
            assert (stored(host).attempts, stored(host).last_error) == (tries, "Neutron is away.")
            pause = (stored(host).due - host.clock.now()).total_seconds()
            pauses.append(pause)
            host.clock.move(pause - 0.01)
            await host.look()
            assert len(host.done) == tries  # not before its time
            host.clock.move(0.01)
        await host.look()
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]
    assert host.ledger.jobs() == []


async def test_a_defect_is_kept_and_told_like_a_refusal(host: Host) -> None:
    host.failures = [ZeroDivisionError("by nought")]
    async with host.running():
        host.outbox.add(KIND, "lease")
        await host.look()
    assert stored(host).last_error == "ZeroDivisionError: by nought"


async def test_one_that_fails_holds_up_no_other(host: Host) -> None:
    host.failures = [AWAY]
    async with host.running():
        host.outbox.add(KIND, "lease")
        await host.look()
        host.outbox.add(KIND, "other")
        await host.look()
    assert [job.key for job in host.done] == ["lease", "other"]
    assert [job.key for job in host.ledger.jobs()] == ["lease"]


async def test_a_job_that_is_replaced_while_it_runs_runs_again(host: Host) -> None:
    async def replaced(job: Job) -> None:
        host.done.append(job)
        if len(host.done) == 1:
            host.clock.move(1.0)
            host.outbox.add(KIND, "lease", round="second")

    host.outbox.handle(KIND, replaced)
    async with host.running():
        host.outbox.add(KIND, "lease", round="first")
        await host.look()
    assert [job.payload["round"] for job in host.done] == ["first", "second"]
    assert host.ledger.jobs() == []


async def test_one_worker_at_a_time_for_a_job(host: Host) -> None:
    gate = asyncio.Event()
    at_once: list[int] = []

    async def slow(job: Job) -> None:
        at_once.append(len(at_once))
        await gate.wait()

    host.outbox.handle(KIND, slow)
    async with host.running():
        host.outbox.add(KIND, "lease")
        await host.look()
        waiting = asyncio.create_task(host.outbox.settle(KIND, "lease"))
        host.clock.move(1.0)
        host.outbox.add(KIND, "lease")
        await host.look()
        assert at_once == [0]
        gate.set()
        await waiting
        await host.look()
    assert at_once == [0, 1]  # the replacement, after the first had ended


async def test_settling_does_it_now_and_tells_the_error(host: Host) -> None:
    host.failures = [AWAY]
    host.outbox.add(KIND, "lease", delay=3600.0)
    with pytest.raises(KurierError, match="Neutron is away"):
        await host.outbox.settle(KIND, "lease")
    assert stored(host).attempts == 1
    await host.outbox.settle(KIND, "lease")
    assert host.ledger.jobs() == []
    await host.outbox.settle(KIND, "lease")  # what is settled is settled
    assert len(host.done) == 2


async def test_whoever_stops_waiting_stops_nothing(host: Host) -> None:
    begun, gate = asyncio.Event(), asyncio.Event()
    untaken: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: untaken.append(told))

    async def slow(job: Job) -> None:
        begun.set()
        await gate.wait()
        raise AWAY

    host.outbox.handle(KIND, slow)
    host.outbox.add(KIND, "lease")
    waiting = asyncio.create_task(host.outbox.settle(KIND, "lease"))
    await begun.wait()
    waiting.cancel()
    gate.set()
    with suppress(asyncio.CancelledError):
        await waiting
    await turns()
    gc.collect()
    assert stored(host).last_error == "Neutron is away."
    assert untaken == []  # it is in the job; the loop has nothing to complain of


async def test_what_a_stop_cut_off_is_done_after_the_restart(host: Host) -> None:
    begun = asyncio.Event()

    async def endless(job: Job) -> None:
        begun.set()
        await asyncio.Event().wait()

    host.outbox.handle(KIND, endless)
    async with host.running():
        host.outbox.add(KIND, "lease", why="promised")
        await begun.wait()
    host.ledger.close()
    host.start()
    async with host.running():
        await host.look()
    assert [job.payload for job in host.done] == [{"why": "promised"}]
    assert host.ledger.jobs() == []


async def test_attempts_and_pauses_outlive_a_restart(host: Host) -> None:
    host.failures = [AWAY] * 3
    host.outbox.add(KIND, "lease")
    for _ in range(3):
        with pytest.raises(KurierError):
            await host.outbox.settle(KIND, "lease")
    host.ledger.close()
    host.start()
    assert stored(host).attempts == 3
    async with host.running():
        await host.look()
        assert len(host.done) == 3
        host.clock.move(4.0)
        await host.look()
    assert len(host.done) == 4


async def test_a_job_of_an_undone_transaction_never_was(host: Host) -> None:
    async with host.running():
        with suppress(InterruptedError), host.ledger.transaction():
            host.outbox.add(KIND, "lease")
            raise InterruptedError
        await host.look()
    assert host.done == []


async def test_what_can_wait_stands_back_while_containers_start(host: Host) -> None:
    async with host.running():
        with host.traffic.call():
            host.outbox.add(KIND, "lease")
            await host.look()
            assert host.done == []
        host.clock.move(1.0)
        await host.look()
        assert host.done == []
        host.clock.move(1.0)
        await host.look()
    assert [job.key for job in host.done] == ["lease"]


async def test_in_a_burst_without_end_it_waits_no_longer_than_the_lag(host: Host) -> None:
    async with host.running():
        with host.traffic.call():
            host.outbox.add(KIND, "lease")
            host.clock.move(LAG - 0.1)
            await host.look()
            assert host.done == []
            host.clock.move(0.1)
            await host.look()
            assert [job.key for job in host.done] == ["lease"]


async def test_what_a_user_waits_for_stands_back_for_nothing(host: Host) -> None:
    """The ports that a container publishes are shut until it is done."""
    async with host.running():
        with host.traffic.call():
            host.outbox.add(KIND, "lease", pressing="opens ports")
            host.outbox.add(KIND, "other")
            await host.look()
            assert [job.key for job in host.done] == ["lease"]
