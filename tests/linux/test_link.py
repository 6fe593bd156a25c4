"""The link monitor: up, down, MTU, moves between namespaces, and the end of the interface."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from kubespan.linux import link as module
from kubespan.linux.link import UNKNOWN, LinkMonitor, LinkState
from kubespan.linux.tun import Tun, create_tun
from kubespan.model.errors import SystemFault
from tests.netns.lab import eventually
from tests.netns.namespace import Namespace

pytestmark = pytest.mark.netns
WAIT = 10.0


class Watch:
    """An interface, a monitor of it in the same namespace, and what that reported."""

    def __init__(self, namespace: Namespace, longest_burst: int = 0) -> None:
        self.namespace = namespace
        self.states: SimpleQueue[LinkState | None] = SimpleQueue()
        self.tun: Tun = namespace.inside(partial(create_tun, "wg0"))
        self.monitor = LinkMonitor(self.tun, self.states.put, longest_burst=longest_burst)

    def start(self) -> None:
        self.namespace.inside(self.monitor.start)

    def next(self) -> LinkState | None:
        return self.states.get(timeout=WAIT)

    def close(self) -> None:
        self.monitor.stop()
        os.close(self.tun.descriptor)


@pytest.fixture
def watch(namespace: Namespace) -> Iterator[Watch]:
    made = Watch(namespace)
    yield made
    made.close()


def test_the_state_at_the_start(watch: Watch) -> None:
    watch.namespace.ip("link", "set", "wg0", "up", "mtu", "1300")
    watch.start()
    assert watch.next() == LinkState(is_up=True, mtu=1300)


def test_changes_are_reported_once_each(watch: Watch) -> None:
    watch.start()
    assert watch.next() == LinkState(is_up=False, mtu=1420)
    for words, state in (
        (("up",), LinkState(is_up=True, mtu=1420)),
        (("mtu", "1380"), LinkState(is_up=True, mtu=1380)),
        (("down",), LinkState(is_up=False, mtu=1380)),
        (("up", "mtu", "9000"), LinkState(is_up=True, mtu=9000)),
    ):
        watch.namespace.ip("link", "set", "wg0", *words)
        seen = watch.next()
        if len(words) == 3 and seen != state:
            seen = watch.next()  # one command, two changes
        assert seen == state
    # What changes nothing that matters is not reported.
    watch.namespace.ip("link", "set", "wg0", "txqueuelen", "77")
    watch.namespace.ip("link", "set", "wg0", "down")
    assert watch.next() == LinkState(is_up=False, mtu=9000)


def test_another_interface_does_not_matter(watch: Watch) -> None:
    watch.start()
    assert watch.next() == LinkState(is_up=False, mtu=1420)
    watch.namespace.ip("link", "add", "name", "other", "type", "veth")
    watch.namespace.ip("link", "set", "other", "up", "mtu", "1000")
    watch.namespace.ip("link", "set", "wg0", "mtu", "1400")
    assert watch.next() == LinkState(is_up=False, mtu=1400)


def test_a_new_name_is_followed(watch: Watch) -> None:
    watch.start()
    assert watch.next() == LinkState(is_up=False, mtu=1420)
    watch.namespace.ip("link", "set", "wg0", "name", "wg7")
    watch.namespace.ip("link", "set", "wg7", "up")
    assert watch.next() == LinkState(is_up=True, mtu=1420)


def test_a_move_is_followed_there_and_back(watch: Watch, elsewhere: Namespace) -> None:
    watch.start()
    assert watch.next() == LinkState(is_up=False, mtu=1420)
    watch.namespace.ip("link", "set", "wg0", "up")
    assert watch.next() == LinkState(is_up=True, mtu=1420)
    watch.namespace.ip("link", "set", "wg0", "netns", elsewhere.name)
    assert watch.next() == LinkState(is_up=False, mtu=1420)
    elsewhere.ip("link", "set", "wg0", "up")
    assert watch.next() == LinkState(is_up=True, mtu=1420)
    elsewhere.ip("link", "set", "wg0", "mtu", "1234")
    assert watch.next() == LinkState(is_up=True, mtu=1234)
    elsewhere.ip("link", "set", "wg0", "netns", watch.namespace.name)
    assert watch.next() == LinkState(is_up=False, mtu=1234)
    watch.namespace.ip("link", "set", "wg0", "up")
    assert watch.next() == LinkState(is_up=True, mtu=1234)


def test_an_interface_of_its_name_left_behind_is_not_taken_for_it(
    watch: Watch, elsewhere: Namespace
) -> None:
    watch.namespace.ip("link", "set", "wg0", "netns", elsewhere.name)
    watch.namespace.ip("link", "add", "name", "wg0", "type", "veth")
    watch.namespace.ip("link", "set", "wg0", "up", "mtu", "1000")
    watch.start()
    assert watch.next() == LinkState(is_up=False, mtu=1420)
    watch.namespace.ip("link", "set", "wg0", "mtu", "1001")
    elsewhere.ip("link", "set", "wg0", "up")
    assert watch.next() == LinkState(is_up=True, mtu=1420)


@pytest.mark.parametrize("moved", [False, True])
def test_deletion_is_the_end(watch: Watch, elsewhere: Namespace, moved: bool) -> None:
    watch.start()
    assert watch.next() == LinkState(is_up=False, mtu=1420)
    place = watch.namespace
    if moved:
        place.ip("link", "set", "wg0", "netns", elsewhere.name)
        place = elsewhere
    place.ip("link", "del", "wg0")
    assert watch.next() is None


def test_deletion_together_with_its_namespace(watch: Watch, elsewhere: Namespace) -> None:
    watch.start()
    assert watch.next() == LinkState(is_up=False, mtu=1420)
    watch.namespace.ip("link", "set", "wg0", "netns", elsewhere.name)
    elsewhere.ip("link", "set", "wg0", "up")
    assert watch.next() == LinkState(is_up=True, mtu=1420)
    elsewhere.close()
    assert watch.next() is None


def test_where_it_may_not_be_entered_the_interface_counts_as_up(
    watch: Watch, elsewhere: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int) -> None:
        raise SystemFault("enter a network namespace", 1)

    monkeypatch.setattr(module, "enter_network_namespace", refuse)
    watch.namespace.ip("link", "set", "wg0", "netns", elsewhere.name)
    watch.start()
    assert watch.next() == UNKNOWN


def test_after_the_end_nothing_is_reported(watch: Watch) -> None:
    watch.start()
    assert watch.next() == LinkState(is_up=False, mtu=1420)
    watch.monitor.stop()
    watch.namespace.ip("link", "set", "wg0", "up")
    assert "kubespan-link" not in {thread.name for thread in threading.enumerate()}
    assert watch.states.empty()


def test_bursts_are_limited(namespace: Namespace) -> None:
    watch = Watch(namespace, longest_burst=21)
    try:
        watch.start()
        assert watch.next() == LinkState(is_up=False, mtu=1420)
        # Whatever is asked for first is done before a later change is reported.
        namespace.ip("link", "set", "wg0", "up")
        assert watch.next() == LinkState(is_up=True, mtu=1420)
        assert "gso_max_segs 21" in namespace.ip("-d", "link", "show", "wg0")
    finally:
        watch.close()


def test_our_own_namespace_is_told_from_others(namespace: Namespace) -> None:
    with Path("/run/netns", namespace.name).open() as file:
        descriptor = file.fileno()
        assert not module._is_own(descriptor)
        assert namespace.inside(lambda: module._is_own(descriptor))
    assert not module._is_own(descriptor)


def reason_to_look(monitor: LinkMonitor) -> asyncio.Event | None:
    """Return what the monitor waits for, None while it does something else."""
    task = monitor._thread._task
    coroutine: Any = task and task.get_coro()
    while coroutine is not None and getattr(coroutine, "__name__", "") != "_watch":
        coroutine = getattr(coroutine, "cr_await", None)
    frame = coroutine and coroutine.cr_frame
    is_due: asyncio.Event | None = frame and frame.f_locals.get("is_due")
    return is_due if is_due and is_due._waiters else None


def test_it_ends_though_it_is_woken_at_that_moment(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_AT_LEAST_EVERY", 3600.0)
    watch.start()
    eventually("it waits", lambda: reason_to_look(watch.monitor) is not None, WAIT)
    is_due, thread = reason_to_look(watch.monitor), watch.monitor._thread

    def wake_and_cancel() -> None:
        assert is_due is not None
        assert thread._task is not None
        is_due.set()
        asyncio.get_running_loop().call_soon(thread._task.cancel)

    thread.call(wake_and_cancel)
    thread._thread.join(WAIT)
    assert not thread._thread.is_alive()
