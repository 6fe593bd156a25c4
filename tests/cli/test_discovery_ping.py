"""`kubespan discovery ping` against our server, against nobody, and against silence."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_address
from pathlib import Path

import pytest

from kubespan.cli import discovery_ping
from kubespan.cli.discovery_ping import Results, describe, ping_target, run
from kubespan.cli.main import main
from kubespan.config.target import Target
from kubespan.discovery.client import conversation
from kubespan.discovery.client.authorities import Authorities
from kubespan.discovery.client.conversation import Greeting
from kubespan.discovery.client.effects import Call, Failure, FailureReason
from kubespan.discovery.server.certificate import CertificateFiles
from kubespan.model.errors import ConfigError
from tests.cli.service import serving
from tests.discovery.authority import write_pair
from tests.discovery.host import Host, host

PING = ("discovery", "ping")


def pinged(target: Target, authorities: Authorities | None = None) -> tuple[int, list[str]]:
    lines: list[str] = []
    return asyncio.run(run(target, authorities, 1, lines.append)), lines


@pytest.mark.parametrize(
    ("text", "insecure", "target"),
    [
        ("https://discovery.example/", False, Target("discovery.example:443", insecure=False)),
        ("http://[::1]:3000", False, Target("[::1]:3000", insecure=True)),
        ("http://host", True, Target("host:80", insecure=True)),
        ("host:3000", False, Target("host:3000", insecure=False)),
        ("host", False, Target("host:443", insecure=False)),
        ("[2001:db8::1]:3000", True, Target("[2001:db8::1]:3000", insecure=True)),
    ],
)
def test_address_is_a_url_or_host_and_port(text: str, insecure: bool, target: Target) -> None:
    assert ping_target(text, insecure=insecure) == target


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("ftp://host",), "write https://"),
        (("https://host", "--insecure"), "https://host is TLS, and --insecure is not"),
        (("host:99999",), "the port is a number"),
        (("host", "--ca", "/none"), "/none: No such file"),
    ],
)
def test_mistake_is_one_line(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*PING, *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_answers_are_told_and_summed_up(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery_ping, "INTERVAL", 0.0)
    with serving("other:443") as where:
        assert main([*PING, where, "--insecure", "-n", "2"]) == 0
    first, second, summary = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{where}: answered in ")
    assert second.endswith(" ms, sees us at 127.0.0.1, sends us to other:443")
    assert summary.startswith("2 sent, 2 answered, min/avg/max ")


def test_nobody_there_is_1(capsys: pytest.CaptureFixture[str]) -> None:
    with serving() as where:
        pass
    assert main([*PING, f"http://{where}", "-n", "1"]) == 1
    first, summary = capsys.readouterr().out.splitlines()
    assert "cannot be reached" in first
    assert summary == "1 sent, 0 answered"


def test_silence_is_5(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "CALL_TIMEOUTS", {Call.HELLO: 0.2})
    with socket.create_server(("127.0.0.1", 0)) as silent:
        code, lines = pinged(Target(f"127.0.0.1:{silent.getsockname()[1]}", insecure=True))
    assert code == 5
    assert "does not answer" in lines[0]


def test_tls_is_checked(tmp_path: Path) -> None:
    pair = write_pair(tmp_path)

    async def scenario() -> None:
        async with host(certificate=CertificateFiles(*pair)) as one:
            assert await _code(one, Authorities(pair[0])) == 0
            assert await _code(one, Authorities(bundles=())) == 1

    asyncio.run(scenario())


async def _code(one: Host, authorities: Authorities) -> int:
    target = Target(str(one.server.listening), insecure=False)
    return await run(target, authorities, 1, lambda _: None)


def test_exit_code_of_mixed_failures() -> None:
    late, gone = Failure(FailureReason.TIMED_OUT), Failure(FailureReason.UNREACHABLE)
    assert Results([], [late, late]).exit_code == 5
    assert Results([], [late, gone]).exit_code == 1
    assert Results([0.1], [late, gone]).exit_code == 0


def test_what_a_service_says_in_words() -> None:
    assert describe(Greeting("", b"")) == "does not say where it sees us"
    seen = ip_address("2001:db8::1").packed
    assert describe(Greeting("", seen)) == "sees us at 2001:db8::1"
    assert describe(Greeting("\x1b[2J", seen)).endswith("something that is not host:port")


def test_target_error_is_a_config_error() -> None:
    with pytest.raises(ConfigError):
        ping_target("", insecure=False)
