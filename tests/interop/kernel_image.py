"""Linux's own WireGuard, made bootable: Debian's cloud kernel and a small file system.

The kernel package is taken through apt into a cache in the home folder and unpacked there. It is
never installed, and nothing of it enters the tree. The initial file system is made anew for every
run from the host's own busybox, `wg`, `ping` and `tc`, because it takes a tenth of a second.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

META_PACKAGE = "linux-image-cloud-amd64"
MODULES = ("virtio_pci", "virtio_net", "wireguard", "sch_netem")
HOST_PROGRAMS = ("wg", "ping", "tc")
REQUIRED_TOOLS = ("qemu-system-x86_64", "busybox", "dpkg-deb", "wg", "ping", "tc")

INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/host:/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
for module in {modules}; do modprobe $module; done
ip link set lo up
stty -F /dev/ttyS1 raw -echo
exec sh /agent </dev/ttyS1 >/dev/ttyS1
"""

# The guest's half of the console protocol; kernel_guest.py holds the other half.
AGENT = """echo ready $(uname -r)
while read -r line; do
  echo "$line" | base64 -d >/tmp/command
  sh /tmp/command >/tmp/output 2>&1 </dev/null
  echo "$? $(base64 -w0 /tmp/output)"
done
"""


class KernelUnavailableError(Exception):
    """Debian's kernel image is neither cached nor to be had through apt."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """An unpacked kernel package."""

    root: Path

    @property
    def image(self) -> Path:
        """The bootable file."""
        return next((self.root / "boot").glob("vmlinuz-*"))

    @property
    def modules(self) -> Path:
        """The folder of this version's modules, with modules.dep made."""
        return next((self.root / "lib" / "modules").iterdir())


def cached_kernel() -> Kernel:
    """The newest kernel in the cache, taken through apt first if there is none.

    Raises KernelUnavailableError."""
    cache = _cache_folder()
    unpacked = sorted(path for path in cache.glob("linux-image-*") if path.is_dir())
    return Kernel(unpacked[-1] if unpacked else _fetch(cache))


def build_initramfs(kernel: Kernel, folder: Path) -> Path:
    """An uncompressed cpio archive in `folder` that boots into the agent."""
    root = folder / "root"
    for name in ("bin", "host", "proc", "sys", "dev", "tmp", "run"):
        (root / name).mkdir(parents=True)
    _write_script(root / "init", INIT.format(modules=" ".join(MODULES)))
    _write_script(root / "agent", AGENT)
    shutil.copy(_tool("busybox"), root / "bin" / "busybox")
    for program in HOST_PROGRAMS:
        _copy_program(Path(_tool(program)), root)
    _copy_modules(kernel.modules, root)
    return _archive(root, folder / "initramfs.cpio")


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "kubespan" / "linux"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _fetch(cache: Path) -> Path:
    try:
        depends = _output("apt-cache", "depends", META_PACKAGE)
    except (OSError, subprocess.CalledProcessError) as error:
        raise KernelUnavailableError(f"apt does not know {META_PACKAGE}: {error}") from error
    named = re.search(r"Depends: (linux-image-\S+)", depends)
    if named is None:
        raise KernelUnavailableError(f"{META_PACKAGE} depends on no kernel image")
    with tempfile.TemporaryDirectory(dir=cache, prefix="unpacking-") as work:
        return _unpack(_download(named[1], Path(work)), cache)


def _download(package: str, folder: Path) -> Path:
    try:
        _output("apt-get", "download", package, cwd=folder)
    except subprocess.CalledProcessError as error:
        raise KernelUnavailableError(f"cannot download {package}: {error.stderr}") from error
    return next(folder.glob("*.deb"))


def _unpack(package: Path, cache: Path) -> Path:
    root = package.parent / "root"
    _output("dpkg-deb", "-x", str(package), str(root))
    for version in (root / "lib" / "modules").iterdir():
        _output("busybox", "depmod", "-b", str(root), version.name)
    return root.rename(cache / package.stem)


def _write_script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def _copy_program(program: Path, root: Path) -> None:
    shutil.copy(program, root / "host" / program.name)
    for library in re.findall(r"/\S+", _output("ldd", str(program))):
        target = root / library.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, target)


def _copy_modules(modules: Path, root: Path) -> None:
    target = root / "lib" / "modules" / modules.name
    for module in _with_dependencies(modules):
        (target / module).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(modules / module, target / module)
    for index in modules.glob("modules.*"):
        shutil.copy(index, target)


def _with_dependencies(modules: Path) -> set[str]:
    wanted = re.compile(rf".*/({'|'.join(MODULES)})\.ko:")
    lines = (modules / "modules.dep").read_text().splitlines()
    return {path for line in lines if wanted.match(line) for path in line.replace(":", "").split()}


def _archive(root: Path, target: Path) -> Path:
    names = "\n".join(str(path.relative_to(root)) for path in sorted(root.rglob("*")))
    with target.open("wb") as out:
        command = ["busybox", "cpio", "-o", "-H", "newc"]
        subprocess.run(
            command,
            cwd=root,
            input=names.encode(),
            stdout=out,
            stderr=subprocess.DEVNULL,
            check=True,
        )
    return target


def _tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise FileNotFoundError(name)
    return path


def _output(*command: str, cwd: Path | None = None) -> str:
    return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True).stdout
