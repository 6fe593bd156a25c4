"""Identity files: Talos's to the byte, made once, kept, and never overwritten."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from kubespan.model.errors import ConfigError, SystemFault
from kubespan.model.keys import PrivateKey
from kubespan.model.resources import NodeIdentity
from kubespan.state.directory import StateDirectory
from kubespan.state.identity import (
    GENERATED_MAC_FILE,
    KUBESPAN_IDENTITY_FILE,
    NODE_IDENTITY_FILE,
    load_generated_mac,
    load_kubespan_identity,
    load_node_identity,
    load_private_key,
)
from tests.hosts import CARD

REPOSITORY = Path(__file__).resolve().parents[2]
CLUSTER_ID = "8XuV9TZHW08DOk3bVxQjH9ih_TBKjnh-j44tsCLSBzo="
NODE_ID = "sou7yy34ykX3n373Zw1DXKb8zD7UnyKT6HT3QDsGH6L"
NODE_BYTES = bytes.fromhex("be871ac0d0dd31fa4caca753b0f3f1b2970f5c19dfbde7dd7932e37cb2eeea2c")
PRIVATE = "gNoasoKOJzl+/B+uXhvsBVxv81OcVLrlcmQ5jQwZO08="
PUBLIC = "NzW8oeIH5rJyY5lefD9WRoHWWRr/Q6DwsDjMX+xKjT4="
OTHER_PUBLIC = "Oak2fBEWngBhwslBxDVgnRNHXs88OAp4kjroSX0uqUE="
# The published form of Talos's file, with the key pair of its documentation.
KUBESPAN_FILE = f'address: ""\nsubnet: ""\nprivateKey: {PRIVATE}\npublicKey: {PUBLIC}\n'
NODE_FILE = f"nodeId: {NODE_ID}\n"
CARD_OF_TALOS = replace(CARD, mac=bytes.fromhex("ea711bb2ccee"))

Load = Callable[[StateDirectory, Callable[[int], bytes]], object]
LOADS: list[tuple[str, Load]] = [
    (NODE_IDENTITY_FILE, load_node_identity),
    (KUBESPAN_IDENTITY_FILE, load_private_key),
    (GENERATED_MAC_FILE, load_generated_mac),
]
every_file = pytest.mark.parametrize(("name", "load"), LOADS)


@pytest.fixture
def directory(tmp_path: Path) -> StateDirectory:
    return StateDirectory.open(tmp_path / "state")


def put(directory: StateDirectory, name: str, text: str) -> Path:
    path = directory.path / name
    path.write_text(text)
    path.chmod(0o600)
    return path


def giving(raw: bytes) -> Callable[[int], bytes]:
    def random(size: int) -> bytes:
        assert size == len(raw)
        return raw

    return random


def no_random(size: int) -> bytes:
    pytest.fail(f"{size} random bytes were asked for")


# ------------------------------------------------------------------------------ made and kept


def test_a_node_identity_is_written_as_talos_writes_it(directory: StateDirectory) -> None:
    assert load_node_identity(directory, giving(NODE_BYTES)) == NodeIdentity(NODE_ID)
    assert (directory.path / NODE_IDENTITY_FILE).read_bytes() == NODE_FILE.encode()


def test_a_key_is_written_as_talos_writes_it(directory: StateDirectory) -> None:
    raw = PrivateKey.from_base64(PRIVATE).raw
    assert load_private_key(directory, giving(raw)).public_key.base64() == PUBLIC
    assert (directory.path / KUBESPAN_IDENTITY_FILE).read_bytes() == KUBESPAN_FILE.encode()


def test_any_key_is_written_in_that_form(directory: StateDirectory) -> None:
    for number in range(64):
        key = load_private_key(directory, giving(number.to_bytes(32, "big")))
        path = directory.path / KUBESPAN_IDENTITY_FILE
        assert path.read_text() == (
            f'address: ""\nsubnet: ""\nprivateKey: {key.base64()}\n'
            f"publicKey: {key.public_key.base64()}\n"
        )
        path.unlink()


@pytest.mark.parametrize(
    ("raw", "mac"),
    [
        ("000000000000", "02:00:00:00:00:00"),
        ("ffffffffffff", "fe:ff:ff:ff:ff:ff"),
        ("101112131415", "12:11:12:13:14:15"),  # a number to base 60, for YAML
        ("0d0e0f101112", "0e:0e:0f:10:11:12"),
    ],
)
def test_a_generated_mac_is_no_cards(directory: StateDirectory, raw: str, mac: str) -> None:
    made = load_generated_mac(directory, giving(bytes.fromhex(raw)))
    assert made.hex(":") == mac
    assert made[0] & 0b11 == 0b10
    assert mac in (directory.path / GENERATED_MAC_FILE).read_text()
    assert load_generated_mac(directory, no_random) == made


@every_file
def test_a_file_is_private_and_kept(directory: StateDirectory, name: str, load: Load) -> None:
    made = load(directory, os.urandom)
    path = directory.path / name
    before = (path.stat().st_ino, path.read_bytes())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load(StateDirectory.open(directory.path), no_random) == made
    assert (path.stat().st_ino, path.read_bytes()) == before
    assert list(directory.path.iterdir()) == [path]


def test_the_address_follows_from_the_first_card(directory: StateDirectory) -> None:
    identity = load_kubespan_identity(directory, CLUSTER_ID, (CARD_OF_TALOS,), os.urandom)
    assert identity.address == IPv6Address("fd7f:175a:b97c:5602:e871:1bff:feb2:ccee")
    assert load_kubespan_identity(directory, CLUSTER_ID, (CARD_OF_TALOS,), no_random) == identity
    assert [path.name for path in directory.path.iterdir()] == [KUBESPAN_IDENTITY_FILE]


def test_without_a_card_the_address_is_kept_all_the_same(directory: StateDirectory) -> None:
    identity = load_kubespan_identity(directory, CLUSTER_ID, (), os.urandom)
    assert load_kubespan_identity(directory, CLUSTER_ID, (), no_random) == identity
    assert identity.subnet.contains(identity.address)
    # EUI-64 turns the bit of locally administered addresses round.
    assert identity.address.packed[8] & 0b11 == 0
    kept = sorted(path.name for path in directory.path.iterdir())
    assert kept == sorted([KUBESPAN_IDENTITY_FILE, GENERATED_MAC_FILE])


# -------------------------------------------------------------------------- what Talos may say


@pytest.mark.parametrize(
    "text",
    [
        KUBESPAN_FILE,
        KUBESPAN_FILE.replace('address: ""', "address: fd7f:175a:b97c:5602::1/128"),
        KUBESPAN_FILE.replace('subnet: ""', "subnet: fd7f:175a:b97c:5602::/64"),
        KUBESPAN_FILE.replace('""', "null"),
        f"publicKey: {PUBLIC}\nprivateKey: {PRIVATE}\n",
    ],
)
def test_files_of_talos_are_taken(directory: StateDirectory, text: str) -> None:
    path = put(directory, KUBESPAN_IDENTITY_FILE, text)
    assert load_private_key(directory, no_random).base64() == PRIVATE
    assert path.read_text() == text


# ---------------------------------------------------------------------- what cannot be used

BAD = [
    *((name, text) for name, _ in LOADS for text in ("", "\x01", "[]", "nodeId", "other: x\n")),
    *((NODE_IDENTITY_FILE, NODE_FILE[:end]) for end in range(1, len(NODE_FILE) - 1)),
    (NODE_IDENTITY_FILE, f"{NODE_FILE}other: x\n"),
    (NODE_IDENTITY_FILE, 'nodeId: ""\n'),
    (NODE_IDENTITY_FILE, "nodeId: my-laptop\n"),
    (NODE_IDENTITY_FILE, f"nodeId: {'A' * 43}\n"),
    (NODE_IDENTITY_FILE, f"nodeId: {NODE_ID}A\n"),
    *((KUBESPAN_IDENTITY_FILE, KUBESPAN_FILE[:end]) for end in range(1, len(KUBESPAN_FILE) - 1)),
    (KUBESPAN_IDENTITY_FILE, KUBESPAN_FILE.replace(PUBLIC, OTHER_PUBLIC)),
    (KUBESPAN_IDENTITY_FILE, KUBESPAN_FILE.replace(PUBLIC, '""')),
    (KUBESPAN_IDENTITY_FILE, 'address: ""\nsubnet: ""\nprivateKey: ""\npublicKey: ""\n'),
    (
        KUBESPAN_IDENTITY_FILE,
        # It would be clamped to the key that belongs to that public key.
        f"privateKey: {'A' * 43}=\npublicKey: {PrivateKey(bytes(32)).public_key.base64()}\n",
    ),
    (KUBESPAN_IDENTITY_FILE, f"{KUBESPAN_FILE}mac: x\n"),
    *(
        (GENERATED_MAC_FILE, f"mac: {mac}\n")
        for mac in ("''", "00:00:00:00:00:00", "03:00:00:00:00:01", "02:00:00:00:01", "0200")
    ),
    (GENERATED_MAC_FILE, "mac: 02:00:00:00:00:0\n"),
]


@pytest.mark.parametrize(("name", "text"), BAD)
def test_what_cannot_be_used_is_said_and_left(
    directory: StateDirectory, name: str, text: str
) -> None:
    path = put(directory, name, text)
    before = path.stat()
    with pytest.raises(ConfigError) as caught:
        dict(LOADS)[name](directory, no_random)
    assert str(caught.value).startswith(f"{path}: ")
    assert str(caught.value).endswith("restore it from a copy, or move it away for a new identity")
    assert PRIVATE[:6] not in str(caught.value)
    assert path.read_text() == text
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert list(directory.path.iterdir()) == [path]


@every_file
def test_what_others_may_read_is_said_and_left(
    directory: StateDirectory, name: str, load: Load
) -> None:
    load(directory, os.urandom)
    path = directory.path / name
    path.chmod(0o644)
    with pytest.raises(ConfigError, match=f"chmod 600 {path}"):
        load(directory, no_random)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


# ------------------------------------------------------------------------- several at one time


@every_file
def test_whoever_is_first_is_right(directory: StateDirectory, name: str, load: Load) -> None:
    rival: list[object] = []

    def overtaken(size: int) -> bytes:
        # Between our looking and our writing, another process does both.
        rival.append(load(directory, os.urandom))
        return os.urandom(size)

    assert [load(directory, overtaken)] == rival
    assert [path.name for path in directory.path.iterdir()] == [name]


def test_a_file_that_vanishes_at_once_is_an_error(
    directory: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StateDirectory, "read", lambda *_: None)
    with pytest.raises(ConfigError, match="it is torn"):
        load_node_identity(directory, os.urandom)


def test_threads_that_start_at_once_agree(directory: StateDirectory) -> None:
    together = threading.Barrier(8)
    found: list[NodeIdentity] = []

    def random(size: int) -> bytes:
        # All have seen that there is no file before any of them makes it.
        together.wait(timeout=60)
        return os.urandom(size)

    def start() -> None:
        found.append(load_node_identity(directory, random))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert load_node_identity(directory, no_random) == found[0]


CHILD = """
import os, sys
from pathlib import Path
from kubespan.state.directory import StateDirectory
from kubespan.state.identity import load_kubespan_identity, load_node_identity
print("ready", flush=True)
sys.stdin.readline()
directory = StateDirectory.open(Path(sys.argv[1]))
node = load_node_identity(directory, os.urandom)
identity = load_kubespan_identity(directory, "test-cluster-id", (), os.urandom)
print(node.node_id, identity.public_key, identity.address)
"""


def test_processes_that_start_at_once_agree(tmp_path: Path) -> None:
    children = [
        subprocess.Popen(
            (sys.executable, "-c", CHILD, str(tmp_path / "state")),
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    said = {child.communicate(timeout=60)[0] for child in children}
    assert len(said) == 1
    assert len(said.pop().split()) == 3
    assert not [path for path in (tmp_path / "state").iterdir() if path.name.startswith(".")]


CRASH = """
import os, signal, sys
from pathlib import Path
from kubespan.state.directory import StateDirectory
from kubespan.state.identity import load_private_key
directory = StateDirectory.open(Path(sys.argv[1]))
steps = 0
def stop(name):
    real = getattr(os, name)
    def step(*arguments, **options):
        global steps
        if steps == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        steps += 1
        return real(*arguments, **options)
    setattr(os, name, step)
for name in ("fchmod", "fsync", "link", "unlink"):
    stop(name)
load_private_key(directory, os.urandom)
"""


@pytest.mark.parametrize(
    ("step", "exists"), [(0, False), (1, False), (2, False), (3, True), (4, True)]
)
def test_a_crash_leaves_all_of_it_or_nothing(tmp_path: Path, step: int, exists: bool) -> None:
    command = (sys.executable, "-c", CRASH, str(tmp_path / "state"), str(step))
    done = subprocess.run(command, cwd=REPOSITORY, check=False, timeout=60)
    assert done.returncode == -9
    directory = StateDirectory.open(tmp_path / "state")
    assert (directory.path / KUBESPAN_IDENTITY_FILE).exists() is exists
    key = load_private_key(directory, no_random if exists else os.urandom)
    assert load_private_key(directory, no_random) == key


def test_a_full_disk_leaves_nothing(
    directory: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "full")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(SystemFault, match="No space left"):
            load_private_key(directory, os.urandom)
    assert list(directory.path.iterdir()) == []
