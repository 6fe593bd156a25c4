"""The addresses of services: found by name, and kept while a name leads nowhere."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address

import pytest

from kubespan.daemon import resolving
from kubespan.daemon.resolving import ServiceAddresses


def test_names_and_addresses_lead_somewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolving, "INTERVAL", 0.01)
    targets = ["127.0.0.7:443", "[::1]:443"]

    async def scenario() -> None:
        heard = asyncio.Event()
        services = ServiceAddresses(lambda: targets, heard.set)
        assert services.addresses == frozenset()
        following = asyncio.ensure_future(services.follow())
        await asyncio.wait_for(heard.wait(), 30)
        assert services.addresses == {ip_address("127.0.0.7"), ip_address("::1")}
        heard.clear()
        targets[:] = ["nowhere.invalid:443", "127.0.0.8:443"]
        await asyncio.wait_for(heard.wait(), 30)
        assert ip_address("127.0.0.8") in services.addresses
        following.cancel()

    asyncio.run(scenario())
