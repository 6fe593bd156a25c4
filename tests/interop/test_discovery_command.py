"""`kubespan discovery watch --announce` as an official client sees it: one more of its nodes."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path

import pytest

from kubespan.config.read import read_config
from tests.interop.discovery_cluster import Cluster, node
from tests.interop.discovery_go import PATIENCE, GoPeers
from tests.interop.discovery_server import DiscoveryServer
from tests.peers import REPOSITORY

pytestmark = [
    pytest.mark.interop,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(900),  # the first test may have to build the program
]


async def test_the_command_is_a_member(
    go: GoPeers, server: DiscoveryServer, tmp_path: Path
) -> None:
    file = await configuration(tmp_path, server.endpoint)
    config = read_config(file).config
    assert config.cluster_secret is not None
    cluster = Cluster(go, server.endpoint, id=config.cluster_id, secret=config.cluster_secret.raw)
    (member,) = await cluster.populate("their-one")
    words = ("discovery", "watch", "--announce", "-c", str(file), "--state", str(tmp_path / "own"))
    command = await run_kubespan(*words, "-o", "json")
    try:
        assert command.stdout is not None
        seen_by_us = json.loads(await asyncio.wait_for(command.stdout.readline(), PATIENCE))
        assert seen_by_us["spec"]["hostname"] == node("their-one").hostname
        await member.until(lambda member: len(member.table) == 1)
        (known,) = member.table.values()
        assert known.affiliate.hostname == "ours.example.org"
        assert known.affiliate.kubespan.public_key
        command.terminate()
        assert await asyncio.wait_for(command.wait(), PATIENCE) == 0
        await member.sees({})
    finally:
        if command.returncode is None:
            command.kill()
            await command.wait()


async def configuration(folder: Path, endpoint: str) -> Path:
    """Return a new cluster's configuration, which names a host of ours."""
    file = folder / "cluster.yaml"
    url = f"http://{endpoint}"
    words = ("gen", "config", "--with-kubespan", "--discovery", url, "-o", str(file))
    assert await (await run_kubespan(*words)).wait() == 0
    with file.open("a") as more:
        more.write("hostname: ours.example.org\n")
    return file


async def run_kubespan(*words: str) -> Process:
    """Start our command line."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "kubespan.cli.main", *words),
        cwd=REPOSITORY,
        stdin=DEVNULL,
        stdout=PIPE,
    )
