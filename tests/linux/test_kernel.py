"""The kernel: read, changed step by step, told of changes; refusals do not stop what follows."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from errno import EAFNOSUPPORT, EAGAIN, EEXIST, ENODEV, EPERM, ESRCH
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from kubespan.linux import kernel as module
from kubespan.linux.kernel import Kernel
from kubespan.linux.report import Failure
from kubespan.linux.steering import (
    Facts,
    LinkAddress,
    LinkSetting,
    Step,
    Verb,
    entering_steps,
    guarding_steps,
    removing_steps,
)
from kubespan.linux.tun import create_tun
from kubespan.model.errors import SystemFault
from tests.linux.plans import ADDRESS, ENTRANCES, PLAN, REFUSALS, RULES
from tests.linux.steered import by_name, run_in, steering
from tests.netns.namespace import Namespace

WAIT = 10.0
Work = Callable[[Kernel, "Told"], Coroutine[Any, Any, None]]


class Told:
    """What a kernel reported, to be awaited."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.changes: asyncio.Queue[str] = asyncio.Queue()

    def note(self, what: str) -> None:
        self._loop.call_soon_threadsafe(self.changes.put_nowait, what)

    async def next(self) -> str:
        return await asyncio.wait_for(self.changes.get(), WAIT)

    async def forget(self) -> None:
        """Let what has happened be told, and forget it."""
        await asyncio.sleep(0.1)
        while not self.changes.empty():
            self.changes.get_nowait()


def with_kernel(namespace: Namespace, work: Work) -> None:
    async def main() -> None:
        told = Told()
        kernel = Kernel("kubespan", partial(told.note, "change"), partial(told.note, "table"))
        kernel.start()
        try:
            await work(kernel, told)
        finally:
            kernel.stop()

    run_in(namespace, main)


@pytest.fixture
def tun(namespace: Namespace) -> Iterator[int]:
    made = namespace.inside(partial(create_tun, "kubespan"))
    yield made.descriptor
    os.close(made.descriptor)


async def bring(kernel: Kernel) -> tuple[tuple[str, ...], tuple[Failure, ...]]:
    facts = await kernel.read(by_name())
    steps = (*guarding_steps(PLAN, facts), *entering_steps(PLAN, facts))
    return await kernel.perform(steps)


@pytest.mark.netns
def test_a_plan_is_brought_about_read_back_and_removed(namespace: Namespace, tun: int) -> None:
    before = steering(namespace)

    async def work(kernel: Kernel, _: Told) -> None:
        done, failures = await bring(kernel)
        assert (len(done), failures) == (9, ())
        facts = await kernel.read(by_name())
        assert facts.link is not None
        assert set(facts.routes) >= set(REFUSALS)
        assert set(facts.rules) >= set(RULES)
        assert await bring(kernel) == ((), ())
        removed, failures = await kernel.perform(removing_steps(facts))
        assert (len(removed), failures) == (8, ())
        assert removing_steps(await kernel.read(by_name())) == ()

    with_kernel(namespace, work)
    after = steering(namespace)
    assert after.pop("link") == (True, 1420, ())
    assert after == {name: said for name, said in before.items() if name != "link"}


@pytest.mark.netns
def test_no_link_and_an_empty_host(namespace: Namespace) -> None:
    async def work(kernel: Kernel, _: Told) -> None:
        facts = await kernel.read(by_name())
        assert (facts.link, facts.addresses, facts.routes) == (None, (), ())
        assert {rule.priority for rule in facts.rules} == {0, 32766, 32767}

    with_kernel(namespace, work)


@pytest.mark.netns
def test_refusals_are_told_and_the_rest_goes_on(namespace: Namespace) -> None:
    nowhere = LinkAddress(ADDRESS, 64, 4711)
    steps = (
        Step(Verb.SET, LinkSetting(4711, is_up=True, mtu=1420)),
        Step(Verb.ADD, nowhere),
        Step(Verb.ADD, ENTRANCES[0]),
        Step(Verb.ADD, RULES[0]),
        Step(Verb.ADD, RULES[0]),
        Step(Verb.ADD, REFUSALS[0]),
        Step(Verb.ADD, REFUSALS[0]),
        Step(Verb.REMOVE, RULES[1]),
        Step(Verb.REMOVE, REFUSALS[1]),
        Step(Verb.REMOVE, nowhere),
    )

    async def work(kernel: Kernel, _: Told) -> None:
        done, failures = await kernel.perform(steps)
        # A rule that is there and a thing that is gone are as good as done.
        assert done == tuple(str(steps[at]) for at in (3, 4, 5, 7, 8, 9))
        assert [(failure.operation, failure.errno) for failure in failures] == [
            (str(steps[0]), ENODEV),
            (str(steps[1]), ENODEV),
            (str(steps[2]), ENODEV),
            (str(steps[6]), EEXIST),
        ]

    with_kernel(namespace, work)


@pytest.mark.netns
def test_what_matters_is_told_once_it_listens(namespace: Namespace, tun: int) -> None:
    async def work(kernel: Kernel, told: Told) -> None:
        assert await told.next() == "change"  # it listens
        await bring(kernel)
        await kernel.read(by_name())
        await kernel.listen_to_table()
        await kernel.listen_to_table()
        for command in (
            ("rule", "del", "priority", "32500"),
            ("-6", "route", "flush", "table", "180"),
            ("-6", "route", "del", "unreachable", "fd00:0:0:2::/64", "metric", "27507"),
            ("address", "flush", "dev", "kubespan"),
            ("link", "set", "kubespan", "mtu", "1400"),
            ("link", "del", "kubespan"),
        ):
            await told.forget()
            namespace.ip(*command)
            assert await told.next() == "change", command
        await told.forget()
        namespace.ip("route", "add", "203.0.113.0/24", "dev", "lo")
        namespace.ip("address", "add", "2001:db8::1/64", "dev", "lo")
        namespace.nft("table inet kubespan {}")
        assert await told.next() == "table"

    with_kernel(namespace, work)


class FakeError(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class InterruptedDumpError(FakeError):
    pass


class FakeLibrary:
    """Stands for pyroute2 on a kernel that gives these errors, one after another, then nothing."""

    NetlinkError = FakeError
    NetlinkDumpInterrupted = InterruptedDumpError

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)

    def AsyncIPRoute(self, **_: object) -> Any:  # noqa: N802
        return self

    async def __aenter__(self) -> Any:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def bind(self, **_: int) -> None:
        await asyncio.Event().wait()

    async def link(self, *_: object, **__: object) -> Any:
        raise FakeError(ENODEV)

    async def rule(self, *_: object, **__: object) -> Any:
        if self._errors:
            raise self._errors.pop(0)
        return _nothing()

    route = rule


async def _nothing() -> AsyncIterator[object]:
    for message in tuple[object]():
        yield message


def with_library(monkeypatch: pytest.MonkeyPatch, library: FakeLibrary) -> Facts:
    async def load() -> Any:
        return library

    async def main() -> Facts:
        kernel = Kernel("kubespan", lambda: None, lambda: None)
        kernel.start()
        try:
            return await kernel.read(by_name())
        finally:
            kernel.stop()

    monkeypatch.setattr(module, "library", load)
    return asyncio.run(main())


@pytest.mark.parametrize(
    "errors",
    [
        [],
        [InterruptedDumpError(-1)] * (module.ATTEMPTS - 1),
        [FakeError(EAFNOSUPPORT)] * 3,
    ],
)
def test_reading_goes_on(monkeypatch: pytest.MonkeyPatch, errors: list[Exception]) -> None:
    assert with_library(monkeypatch, FakeLibrary(*errors)) == Facts()


@pytest.mark.parametrize(
    ("files", "versions"), [(("dev",), (4,)), (("dev", "if_inet6"), (4, 6)), ((), (4, 6))]
)
def test_which_versions_of_ip_the_host_has(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: Sequence[str], versions: tuple[int, ...]
) -> None:
    """`ipv6.disable=1` on the kernel's command line is how Linux comes to have no IPv6."""
    monkeypatch.setattr(module, "NETWORK_FILES", tmp_path / "net")
    for name in files:
        (tmp_path / "net").mkdir(exist_ok=True)
        (tmp_path / "net" / name).touch()
    assert with_library(monkeypatch, FakeLibrary()).versions == versions


def test_ipv6_is_there_though_its_sockets_are_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """RestrictAddressFamilies= of systemd refuses them as a kernel does that has none."""
    genuine = socket.socket

    def make(family: int = -1, *others: Any, **words: Any) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(EAFNOSUPPORT, "no such socket")
        return genuine(family, *others, **words)

    monkeypatch.setattr(socket, "socket", make)
    assert with_library(monkeypatch, FakeLibrary()).versions == (4, 6)


@pytest.mark.parametrize(
    ("errors", "errno"),
    [
        ([InterruptedDumpError(-1)] * module.ATTEMPTS, EAGAIN),
        ([FakeError(EPERM)], EPERM),
        ([FakeError(ESRCH)], ESRCH),
    ],
)
def test_reading_fails(monkeypatch: pytest.MonkeyPatch, errors: Any, errno: int) -> None:
    with pytest.raises(SystemFault) as caught:
        with_library(monkeypatch, FakeLibrary(*errors))
    assert caught.value.errno == errno


def test_a_link_that_cannot_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object, **__: object) -> Any:
        raise FakeError(EPERM)

    library = FakeLibrary()
    monkeypatch.setattr(library, "link", refuse)
    with pytest.raises(SystemFault) as caught:
        with_library(monkeypatch, library)
    assert caught.value.errno == EPERM
