"""Where services are: found by name, while somebody is asked there."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address

import pytest

from kubespan.daemon import resolving
from kubespan.daemon.resolving import ServicePlaces
from kubespan.model.address import Endpoint
from tests.discovery.host import until


def place(address: str, port: int = 443) -> Endpoint:
    return Endpoint(ip_address(address), port)


def test_names_and_addresses_lead_somewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolving, "INTERVAL", 0.01)
    targets = ["127.0.0.7:443", "[::1]:443"]

    async def scenario() -> None:
        heard = asyncio.Event()
        services = ServicePlaces(lambda: targets, heard.set)
        assert services.endpoints == frozenset()
        following = asyncio.ensure_future(services.follow())
        await asyncio.wait_for(heard.wait(), 30)
        await until(lambda: services.endpoints == {place("127.0.0.7"), place("::1")})
        targets[1:] = ["nowhere.invalid:443", "127.0.0.8:3000"]
        await until(lambda: place("127.0.0.8", 3000) in services.endpoints)
        assert services.endpoints == {place("127.0.0.7"), place("127.0.0.8", 3000)}
        following.cancel()

    asyncio.run(scenario())


@pytest.mark.parametrize("name", ["a..b:443", f"{'x' * 64}.invalid:443"])
def test_what_is_no_name_leads_nowhere(name: str) -> None:
    async def scenario() -> None:
        services = ServicePlaces(lambda: [name, "127.0.0.9:443"], lambda: None)
        following = asyncio.ensure_future(services.follow())
        await until(lambda: bool(services.endpoints))
        assert not following.done()
        assert services.endpoints == {place("127.0.0.9")}
        following.cancel()

    asyncio.run(scenario())


def test_the_same_are_not_asked_for_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def resolve(target: str) -> frozenset[Endpoint]:
        asked.append(target)
        return frozenset({place("127.0.0.7")})

    async def scenario() -> None:
        services = ServicePlaces(lambda: ["a:443"], lambda: None)
        following = asyncio.ensure_future(services.follow())
        await until(lambda: bool(asked))
        for _ in range(3):
            services.notice()
            await asyncio.sleep(0)
        assert asked == ["a:443"]
        following.cancel()

    monkeypatch.setattr(resolving, "_resolve", resolve)
    asyncio.run(scenario())


def test_others_are_asked_for_at_once_and_the_former_forgotten() -> None:
    targets = ["127.0.0.7:443"]

    async def scenario() -> None:
        services = ServicePlaces(lambda: targets, lambda: None)
        following = asyncio.ensure_future(services.follow())
        await until(lambda: services.endpoints == {place("127.0.0.7")})
        targets[:] = ["127.0.0.8:443"]
        services.notice()
        await until(lambda: services.endpoints == {place("127.0.0.8")})
        following.cancel()

    asyncio.run(scenario())


def test_a_name_leads_to_a_few_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or whoever answers for it could lead past the mesh wherever it likes."""
    few = [f"10.0.0.{number}" for number in range(1, 9)] + ["2001:db8::1"]
    answer = [*few, *(f"10.0.0.{number}" for number in range(9, 101))]

    async def scenario() -> frozenset[Endpoint]:
        async def getaddrinfo(*_: object, **__: object) -> list[tuple[object, ...]]:
            return [(2, 1, 6, "", (one, 443)) for one in answer for _ in range(2)]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
        services = ServicePlaces(lambda: ["a.example:443"], lambda: None)
        following = asyncio.ensure_future(services.follow())
        await until(lambda: bool(services.endpoints))
        following.cancel()
        return services.endpoints

    assert asyncio.run(scenario()) == set(map(place, few))
    answer.reverse()
    assert asyncio.run(scenario()) == set(map(place, few))


def test_others_are_asked_for_though_a_name_is_never_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resolving, "PATIENCE", 0.05)
    targets = ["slow:443"]

    async def resolve(target: str) -> frozenset[Endpoint]:
        if target == "slow:443":
            await asyncio.Event().wait()
        return frozenset({place("127.0.0.7")})

    async def scenario() -> None:
        services = ServicePlaces(lambda: targets, lambda: None)
        following = asyncio.ensure_future(services.follow())
        await asyncio.sleep(0)
        targets[:] = ["quick:443"]
        services.notice()
        await until(lambda: services.endpoints == {place("127.0.0.7")})
        following.cancel()

    monkeypatch.setattr(resolving, "_resolve", resolve)
    asyncio.run(scenario())


def test_a_slow_name_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(target: str) -> frozenset[Endpoint]:
        if target == "slow:443":
            await asyncio.Event().wait()
        return frozenset({place("127.0.0.7")})

    async def scenario() -> None:
        heard = asyncio.Event()
        services = ServicePlaces(lambda: ["slow:443", "quick:443"], heard.set)
        following = asyncio.ensure_future(services.follow())
        await asyncio.wait_for(heard.wait(), 30)
        assert services.endpoints == {place("127.0.0.7")}
        following.cancel()

    monkeypatch.setattr(resolving, "_resolve", resolve)
    asyncio.run(scenario())
