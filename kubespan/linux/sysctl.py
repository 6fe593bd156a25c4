"""Kernel parameters that keep the mesh's packets out, and the command that mends each.

Sets one, on the mesh's own link; all others are the host's, and only read. Those of the calling
thread's network namespace.
Linux Documentation/networking/ip-sysctl.rst (rp_filter, src_valid_mark, disable_ipv6).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from kubespan.model.constants import KUBESPAN_LINK
from kubespan.model.finding import Finding, FindingKind

PARAMETERS: Final = Path("/proc/sys/net")
STRICT: Final = 1


def accept_answers(link: str = KUBESPAN_LINK, parameters: Path = PARAMETERS) -> bool:
    """Let the mesh's own link take packets whose way back is not by it; tell whether it does.

    The link is ours, and what all links have in common is not: that is only found.
    """
    place = parameters / "ipv4" / "conf" / link / "rp_filter"
    with suppress(OSError):
        if _read(place, absent=0):
            place.write_text("0")
    return not _ipv4(parameters, link, "rp_filter")


def sysctl_findings(
    uplinks: Iterable[str], link: str = KUBESPAN_LINK, parameters: Path = PARAMETERS
) -> tuple[Finding, ...]:
    """Return what is in the way on the mesh's link and on those that others' packets come in by."""
    found = [*_on_mesh(link, parameters), *_ipv6(link, parameters)]
    for uplink in uplinks:
        if uplink != link:
            found += _on_uplink(uplink, parameters)
    return tuple(found)


def _on_mesh(link: str, parameters: Path) -> Iterator[Finding]:
    # The link has no IPv4 address, and most of what comes out of it has no route into it that is
    # seen without a mark: strict and loose filters both drop it, with src_valid_mark and without.
    settings = {name: _ipv4(parameters, name, "rp_filter") for name in ("all", link)}
    if max(settings.values()):
        lines = " ".join(f"net.ipv4.conf.{name}.rp_filter=0" for name in settings if settings[name])
        yield Finding(
            FindingKind.REVERSE_PATH_FILTER,
            f"reverse-path filtering on {link} (all={settings['all']}, {link}={settings[link]})"
            " drops IPv4 packets that come out of the mesh",
            f"sysctl -w {lines}",
        )


def _on_uplink(name: str, parameters: Path) -> Iterator[Finding]:
    # What is to be forwarded into the mesh is marked, and with its mark its source is in the mesh.
    is_strict = _effective(parameters, name, "rp_filter") == STRICT
    if is_strict and _effective(parameters, name, "src_valid_mark"):
        yield Finding(
            FindingKind.REVERSE_PATH_FILTER,
            f"strict reverse-path filtering with src_valid_mark on {name} drops IPv4 packets that"
            " are to be forwarded into the mesh",
            f"sysctl -w net.ipv4.conf.all.src_valid_mark=0 net.ipv4.conf.{name}.src_valid_mark=0",
        )


def _ipv6(link: str, parameters: Path) -> Iterator[Finding]:
    if _read(parameters / "ipv6" / "conf" / link / "disable_ipv6", absent=0):
        yield Finding(
            FindingKind.IPV6_DISABLED,
            f"IPv6 is disabled on {link}, and the mesh's own addresses are IPv6",
            f"sysctl -w net.ipv6.conf.{link}.disable_ipv6=0",
        )


def _effective(parameters: Path, link: str, key: str) -> int:
    """Return what counts on a link: the larger of its own setting and that of all."""
    return max(_ipv4(parameters, name, key) for name in ("all", link))


def _ipv4(parameters: Path, link: str, key: str) -> int:
    return _read(parameters / "ipv4" / "conf" / link / key, absent=0)


def _read(path: Path, *, absent: int) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return absent  # the link is gone, or it is a kernel without
