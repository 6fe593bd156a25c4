"""The netlink thread: it runs a coroutine elsewhere, takes calls, ends, and messages never end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from functools import partial
from queue import SimpleQueue
from typing import Any, Self

import pytest
import uvloop

from kubespan.linux.netlink import NetlinkThread, follow, subscribe
from kubespan.model.errors import InternalError

WAIT = 10.0


def test_the_coroutine_runs_in_a_thread_of_that_name() -> None:
    told: SimpleQueue[threading.Thread] = SimpleQueue()

    async def main() -> None:
        told.put(threading.current_thread())

    thread = NetlinkThread("some-name", main)
    thread.start()
    ran_in = told.get(timeout=WAIT)
    assert ran_in.name == "some-name"
    assert ran_in is not threading.current_thread()
    thread.stop()
    assert not ran_in.is_alive()


def test_stopping_cancels_and_waits() -> None:
    told: SimpleQueue[str] = SimpleQueue()

    async def main() -> None:
        told.put("begun")
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            told.put("ended")

    thread = NetlinkThread("kubespan-test", main)
    thread.start()
    assert told.get(timeout=WAIT) == "begun"
    thread.stop()
    assert told.get_nowait() == "ended"


def test_calls_are_made_in_the_thread_and_in_order() -> None:
    told: SimpleQueue[tuple[int, str]] = SimpleQueue()

    def note(number: int) -> None:
        told.put((number, threading.current_thread().name))

    async def main() -> None:
        await asyncio.Event().wait()

    thread = NetlinkThread("kubespan-test", main)
    thread.start()
    for number in range(3):
        thread.call(partial(note, number))
    heard = [told.get(timeout=WAIT) for _ in range(3)]
    thread.stop()
    assert heard == [(number, "kubespan-test") for number in range(3)]


def test_neither_before_nor_after_is_anything_called() -> None:
    called: list[int] = []

    async def main() -> None:
        await asyncio.Event().wait()

    thread = NetlinkThread("kubespan-test", main)
    thread.call(lambda: called.append(1))
    thread.stop()
    thread.start()
    thread.stop()
    thread.call(lambda: called.append(2))
    thread.stop()
    assert called == []


async def forever() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_what_is_asked_is_done_there_and_answered_here(loop: Any) -> None:
    async def name(refuse: bool) -> str:
        await asyncio.sleep(0)
        if refuse:
            raise ConnectionError("refused")
        return threading.current_thread().name

    async def main() -> str:
        thread = NetlinkThread("kubespan-test", forever)
        thread.start()
        try:
            with pytest.raises(ConnectionError, match="refused"):
                await thread.ask(partial(name, refuse=True))
            return await thread.ask(partial(name, refuse=False))
        finally:
            thread.stop()

    with asyncio.Runner(loop_factory=loop) as runner:
        assert runner.run(main()) == "kubespan-test"


def test_stopping_cancels_what_is_asked() -> None:
    async def main() -> None:
        thread = NetlinkThread("kubespan-test", forever)
        thread.start()
        asked = asyncio.ensure_future(thread.ask(forever))
        await asyncio.sleep(0)
        thread.stop()
        with pytest.raises(asyncio.CancelledError):
            await asked
        with pytest.raises(InternalError, match="kubespan-test is asked while it does not run"):
            await thread.ask(forever)

    asyncio.run(main())


def test_whoever_stops_waiting_cancels_what_was_asked() -> None:
    told: SimpleQueue[str] = SimpleQueue()

    async def operation() -> None:
        told.put("begun")
        try:
            await forever()
        finally:
            told.put("ended")

    async def main() -> None:
        thread = NetlinkThread("kubespan-test", forever)
        thread.start()
        asked = asyncio.ensure_future(thread.ask(operation))
        assert await asyncio.to_thread(told.get, timeout=WAIT) == "begun"
        asked.cancel()
        assert await asyncio.to_thread(told.get, timeout=WAIT) == "ended"
        thread.stop()

    asyncio.run(main())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_fails_does_not_let_anyone_wait() -> None:
    is_asked = threading.Event()

    async def fail() -> None:
        await asyncio.to_thread(is_asked.wait)
        raise ConnectionError("no netlink here")

    async def wait() -> None:
        is_asked.set()
        await forever()

    async def main() -> None:
        thread = NetlinkThread("kubespan-test", fail)
        thread.start()
        with pytest.raises(InternalError, match="kubespan-test ended while it was asked"):
            await thread.ask(wait)
        thread.stop()

    asyncio.run(main())


class Batches:
    """Stands for a netlink socket, whose iterations end with every batch."""

    def __init__(self, *batches: list[str]) -> None:
        self.groups = 0
        self._batches = iter(batches)

    async def bind(self, *, groups: int) -> None:
        self.groups = groups

    async def get(self) -> AsyncIterator[str]:
        for message in next(self._batches):
            yield message


def test_messages_go_on_after_a_batch() -> None:
    async def main() -> list[str]:
        socket = Batches(["a", "b"], [], ["c"])
        messages = await subscribe(socket, 0x51)
        assert socket.groups == 0x51
        return [await anext(messages) for _ in range(3)]

    assert asyncio.run(main()) == ["a", "b", "c"]


class LostError(Exception):
    """Stands for pyroute2's NetlinkError."""


class Library:
    """Stands for pyroute2, every socket of which loses messages after some."""

    NetlinkError = LostError

    def __init__(self, *lives: list[str]) -> None:
        self._lives = iter(lives)

    def AsyncIPRoute(self) -> Any:  # noqa: N802
        messages = next(self._lives)

        class Socket(Batches):
            async def __aenter__(self) -> Self:
                return self

            async def __aexit__(self, *_: object) -> None:
                told.append("closed")

            async def get(self) -> AsyncIterator[str]:
                for message in messages:
                    yield message
                raise LostError

        told = self.told
        return Socket()

    told: list[str]


def test_following_begins_again_when_messages_are_lost() -> None:
    library = Library(["a"], ["b", "c"])
    library.told = told = []

    async def main() -> None:
        with pytest.raises(RuntimeError):  # there is no third socket
            await follow(library, 1, lambda: told.append("begin"), told.append)

    asyncio.run(main())
    assert told == ["begin", "a", "closed", "begin", "b", "c", "closed"]
