"""The systemd unit: it is well-formed, hardly exposed, and a node has all it needs under it.

There is no systemd to start it here. What the unit says of users, capabilities, mounts and folders
is done by hand instead, in namespaces of the test's own.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import starmap
from pathlib import Path

import pytest

from tests.daemon.lone import CONFIG, LoneNode
from tests.peers import REPOSITORY, leave_out, need

UNIT = REPOSITORY / "packaging" / "kubespan.service"
USER = "12345"
PATIENCE = 60.0


def analyze(*words: str) -> str:
    done = subprocess.run(
        ("systemd-analyze", *words, str(UNIT)), capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def test_the_service_is_hardly_exposed() -> None:
    need("systemd-analyze")
    found = re.search(
        r"Overall exposure level.*: (\d+[.]\d+)", analyze("security", "--offline=true")
    )
    assert found is not None
    assert float(found[1]) < 3


def test_every_setting_is_one() -> None:
    need("systemd-analyze")
    complaints = analyze("verify", "--man=no").splitlines()
    # The program is where the README puts it, which is not on this machine.
    assert [line for line in complaints if "is not executable" not in line] == []


def test_a_node_that_is_not_ready_yet_is_not_stopped() -> None:
    """It refuses meanwhile what might go out in clear, and would take that back."""
    assert said("TimeoutStartSec") == ["infinity"]


def said(setting: str) -> list[str]:
    """Return the words that the unit gives to a setting, one after another."""
    values = re.findall(rf"^{setting}=(.*)$", UNIT.read_text(), re.MULTILINE)
    return [word for value in values for word in value.split()]


def commands(setting: str) -> list[str]:
    """Return the commands of a setting that run as root, outside."""
    return re.findall(rf"^{setting}=-[+](.*)$", UNIT.read_text(), re.MULTILINE)


def bound(pair: str) -> str:
    source, _, place = pair.partition(":")
    return f"mkdir -p {place}; mount --bind {source} {place}"


def inside(capabilities: str) -> list[str]:
    """Return what the node finds, and how it is run."""
    writable = starmap("mount --bind {0} {0}; mount -o remount,bind,rw {0}".format, paths())
    drop = f"--bounding-set=-all,{capabilities} --inh-caps=-all,{capabilities}"
    user = f"--reuid={USER} --regid={USER} --clear-groups --no-new-privs"
    node = f"{sys.executable} -m kubespan.cli.main up"
    return [
        *map(bound, said("BindPaths")),
        "mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys",
        *writable,
        f"exec setpriv {user} {drop} --ambient-caps={capabilities} {node}",
    ]


def paths() -> Iterator[tuple[str]]:
    return ((path,) for path in said("ReadWritePaths"))


def script(folder: Path) -> str:
    """Return all that systemd does for the unit, with a /run of its own; then ask and end it."""
    runtime = [f"/run/{name}" for name in said("RuntimeDirectory")]
    names = (name.removeprefix("CAP_").lower() for name in said("AmbientCapabilities"))
    kubespan = f"{sys.executable} -m kubespan.cli.main"
    (folder / "inside").write_text("\n".join(["set -e", *inside(",".join(f"+{n}" for n in names))]))
    return "\n".join(
        [
            "set -e",
            "mount --make-rprivate /; mount -t tmpfs none /run",
            # As udev has it.
            "mknod -m 666 /run/tun c 10 200; mount --bind /run/tun /dev/net/tun",
            f"mkdir -p {' '.join(runtime)} /run/state; cat {folder}/node.yaml > /run/node.yaml",
            f"chown -R {USER}:{USER} {' '.join(runtime)} /run/state",
            *commands("ExecStartPre"),
            f"unshare -m sh {folder}/inside 2>&1 & node=$!",
            "trap 'kill -KILL $node' EXIT",
            f"until {kubespan} status --check startup; do kill -0 $node; sleep 0.1; done",
            "wg show kubespan",
            "kill -TERM $node; wait $node",
            "trap - EXIT",
            *commands("ExecStopPost"),
            "echo left: $(ls /run/wireguard)",
        ]
    )


@pytest.mark.netns
def test_a_node_has_all_it_needs_under_it(tmp_path: Path) -> None:
    need("ip", "nft", "wg", "setpriv", "unshare")
    reads = (
        "setpriv",
        f"--reuid={USER}",
        "--clear-groups",
        sys.executable,
        "-c",
        "import kubespan",
    )
    if subprocess.run(reads, cwd=REPOSITORY, capture_output=True, check=False).returncode:
        leave_out("needs a checkout that other users may read")
    lone = LoneNode(tmp_path)
    try:
        lone.namespace.sysctl("net/ipv4/conf/default/rp_filter", 1)
        environment = {
            **lone.environment,
            "KUBESPAN_CONFIG": "/run/node.yaml",
            "KUBESPAN_STATE_DIR": "/run/state",
            "KUBESPAN_SOCKET": "/run/kubespan/kubespan.sock",
        }
        assert lone.file.read_text() == CONFIG
        done = subprocess.run(
            ("ip", "netns", "exec", lone.namespace.name, "unshare", "-m", "sh", "-c",
             script(tmp_path)),
            env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
    finally:
        lone.close()
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'event="left the mesh"' in done.stdout
    assert "interface: kubespan" in done.stdout
    assert "level=warning" not in done.stdout
    assert "level=error" not in done.stdout
    assert done.stdout.endswith("left:\n")
