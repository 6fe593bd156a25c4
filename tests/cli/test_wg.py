"""The command `kubespan-wg`: what it takes from the command line, and what it says."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

import kubespan
from kubespan import fastpath
from kubespan.cli import wg
from kubespan.cli.wg import Invocation, LogLevel, invocation
from kubespan.model.errors import ConfigError
from tests.netns.lab import SOCKETS, eventually, holders, is_alive
from tests.netns.namespace import Namespace, run, unique_name
from tests.peers import need

STAMP = r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d"
NAME_TOO_LONG = "a-name-that-is-too-long"


@pytest.fixture(autouse=True)
def stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test's own process keeps its signals, and takes nothing from its environment."""
    monkeypatch.setattr(wg, "LEAVE_SIGNALS", ())
    for name in ("LOG_LEVEL", "WG_TUN_FD", "WG_UAPI_FD", "WG_PROCESS_FOREGROUND"):
        monkeypatch.delenv(name, raising=False)


# ---- arguments

WRONG: list[tuple[str, ...]] = [
    (),
    ("-f",),
    ("wg0", "wg1"),
    ("--versions",),
    ("--version", "wg0"),
    ("-f", "wg0", "wg1"),
]


@pytest.mark.parametrize("arguments", WRONG)
def test_wrong_arguments_are_answered_by_the_usage(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    assert wg.main(arguments) == 0
    assert capsys.readouterr().out.startswith("Usage: kubespan-wg ")


@pytest.mark.native
@pytest.mark.skipif(not fastpath.NATIVE, reason="the native module is not in use")
def test_the_usage_names_every_provider() -> None:
    from kubespan.fastpath import native  # noqa: PLC0415  the pure build cannot import it

    *others, last = native.PROVIDERS
    assert f"{', '.join(others)} or {last}" in wg.USAGE


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert wg.main(("--version",)) == 0
    assert capsys.readouterr().out.startswith(f"kubespan-wg v{kubespan.__version__}\n")


@pytest.mark.parametrize(
    ("arguments", "foreground"),
    [(("wg0",), False), (("-f", "wg0"), True), (("wg0", "--foreground"), True)],
)
def test_what_is_asked_for_is_run(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], foreground: bool
) -> None:
    asked: list[Invocation] = []
    monkeypatch.setattr(wg, "run", asked.append)
    assert wg.main(arguments) == 0
    assert [(one.interface, one.foreground) for one in asked] == [("wg0", foreground)]


# ---- environment

ERROR, VERBOSE, SILENT = LogLevel.ERROR, LogLevel.VERBOSE, LogLevel.SILENT
ENVIRONMENTS = [
    ({}, Invocation("wg0", False, ERROR, False, None, None)),
    ({"LOG_LEVEL": "verbose"}, Invocation("wg0", False, VERBOSE, True, None, None)),
    ({"LOG_LEVEL": "debug"}, Invocation("wg0", False, VERBOSE, True, None, None)),
    ({"LOG_LEVEL": "error"}, Invocation("wg0", False, ERROR, True, None, None)),
    ({"LOG_LEVEL": "silent"}, Invocation("wg0", False, SILENT, False, None, None)),
    ({"WG_PROCESS_FOREGROUND": "1"}, Invocation("wg0", True, ERROR, False, None, None)),
    ({"WG_PROCESS_FOREGROUND": "0"}, Invocation("wg0", False, ERROR, False, None, None)),
    ({"WG_TUN_FD": "5"}, Invocation("wg0", False, ERROR, False, 5, None)),
    ({"WG_UAPI_FD": "6"}, Invocation("wg0", False, ERROR, False, None, 6)),
    ({"WG_TUN_FD": ""}, Invocation("wg0", False, ERROR, False, None, None)),
]


@pytest.mark.parametrize(("environment", "expected"), ENVIRONMENTS)
def test_what_the_environment_asks_for(environment: dict[str, str], expected: Invocation) -> None:
    assert invocation("wg0", False, environment) == expected


@pytest.mark.parametrize("name", ["WG_TUN_FD", "WG_UAPI_FD"])
@pytest.mark.parametrize("text", ["x", "-1", "1.5", " 3", "\u0663"])
def test_what_is_no_descriptor_is_refused_by_its_name(name: str, text: str) -> None:
    with pytest.raises(ConfigError, match=name):
        invocation("wg0", False, {name: text})


# ---- errors


@pytest.mark.parametrize("name", [NAME_TOO_LONG, "with/slash", "with space", ".."])
def test_an_impossible_name_is_an_error_that_names_it(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert wg.main((name,)) == 1
    said = capsys.readouterr().err
    start = rf"ERROR: \({re.escape(name)}\) {STAMP} Failed to create TUN device: "
    assert re.fullmatch(start + ".+\n", said)


def test_a_silent_error_is_an_error_all_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOG_LEVEL", "silent")
    assert wg.main((NAME_TOO_LONG,)) == 1
    assert capsys.readouterr().err == ""


@pytest.mark.native
@pytest.mark.skipif(not fastpath.NATIVE, reason="the native module is not in use")
@pytest.mark.parametrize("arguments", [("-f", "wg0"), ("wg0",)])
@pytest.mark.parametrize("variable", ["KUBESPAN_AEAD", "KUBESPAN_THREADS"])
def test_what_a_variable_may_not_be_is_an_error_before_there_is_anything(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    arguments: tuple[str, ...],
) -> None:
    monkeypatch.setattr(wg, "_set_up", lambda _: pytest.fail("it went on"))
    monkeypatch.setenv(variable, "rot13")
    assert wg.main(arguments) == 1
    said = capsys.readouterr().err
    assert re.fullmatch(rf"ERROR: \(wg0\) {STAMP} {variable}='rot13': write .+ unset it\n", said)


def test_a_descriptor_that_is_no_tun_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    monkeypatch.setenv("WG_TUN_FD", str(null))
    assert wg.main(("-f", "wg0")) == 1
    os.close(null)
    said = capsys.readouterr().err
    assert re.fullmatch(rf"ERROR: \(wg0\) {STAMP} Failed to create TUN device: .+\n", said)


# ---- the whole


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    need("ip")
    one = Namespace("cli")
    yield one
    one.close()


@pytest.mark.netns
def test_it_is_ready_on_return_and_leaves_with_the_interface(namespace: Namespace) -> None:
    name = unique_name("c")
    path = SOCKETS / f"{name}.sock"
    done = subprocess.run(
        ("ip", "netns", "exec", namespace.name, sys.executable, "-m", "kubespan.cli.wg", name),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=30,
        check=False,
    )
    try:
        assert (done.returncode, done.stderr) == (0, b"")
        assert namespace.link(name)["mtu"] == 1420
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(str(path))
        (pid,) = holders(name)
        namespace.ip("link", "delete", name)
        eventually("the end", lambda: not is_alive(pid) and not path.exists())
    finally:
        run("ip", "-n", namespace.name, "link", "delete", name, check=False)
