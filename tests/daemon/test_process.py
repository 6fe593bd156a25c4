"""The process: where it is found, how its log comes out, and what ends it."""

from __future__ import annotations

import io
import logging
import signal
import subprocess
from pathlib import Path

import pytest

from kubespan.cli.log import create_log
from kubespan.daemon.loglimit import BURST, LimitedLog
from kubespan.daemon.process import Places, bridge_log
from tests.daemon.lone import PATIENCE, LoneNode
from tests.peers import need


def test_wg_finds_the_one_node_where_it_looks_and_others_beside_their_sockets() -> None:
    assert Places().wireguard == Path("/var/run/wireguard")
    assert Places(Path("/somewhere/else.sock")).wireguard == Path("/somewhere/wireguard")


def test_what_the_data_plane_says_comes_out_of_the_same_log() -> None:
    written = io.StringIO()
    logger = logging.getLogger("kubespan")
    former = logger.handlers, logger.level, logger.propagate
    try:
        limited = LimitedLog(create_log(logging.INFO, written), logging.INFO)
        bridge_log(limited.log, logging.INFO)
        logging.getLogger("kubespan.device").warning("said %s", "so")
        for number in range(BURST + 2):
            logger.error("peer(%s) - %s", number, "Handshake failed")
        logger.debug("not said")
    finally:
        logger.handlers, logger.level, logger.propagate = former
    limited.tell()
    assert 'level=warning event="said so"' in written.getvalue()
    assert "not said" not in written.getvalue()
    assert written.getvalue().count("Handshake failed") == BURST
    assert 'lines=2 see="kubespan get kubespanpeerstatuses"' in written.getvalue()


@pytest.mark.netns
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_in_peace_when_asked(lone: LoneNode, number: signal.Signals) -> None:
    lone.start()
    assert lone.process is not None
    lone.process.send_signal(number)
    assert lone.process.wait(PATIENCE) == 0
    log = lone.log.read_text()
    assert 'event="the mesh is steered"' in log
    assert log.rstrip().endswith('event="left the mesh"')


@pytest.mark.netns
def test_the_root_of_a_user_namespace_is_told_why_it_cannot_be(lone: LoneNode) -> None:
    need("unshare")
    ip, netns, execute, name, *program = lone.command("up")
    done = subprocess.run(
        (ip, netns, execute, name, "unshare", "-Ur", *program),
        env=lone.environment, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "kubespan: KS-USERNS: " in done.stderr
    assert "unshare -Urn" in done.stderr


@pytest.mark.netns
def test_a_manager_is_told(lone: LoneNode) -> None:
    lone.start()
    assert lone.run("wait", "--peers", "0").stdout == "0 peers are up\n"
