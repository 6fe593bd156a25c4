"""Our nftables table in the kernel: loaded when the plan changes or somebody changed it, else left.

Whether somebody did is asked of nft only after the kernel said that there is a reason to.
"""

from __future__ import annotations

from collections.abc import Callable
from errno import EINVAL, ENOENT
from typing import Final

from kubespan.linux import nft
from kubespan.linux.nftables import (
    STAND_IN,
    TABLE,
    TALOS_TABLE,
    Ruleset,
    fingerprint,
    has_everything,
    has_table,
    removal,
    ruleset,
    stand_in,
)
from kubespan.linux.report import Failure, Report
from kubespan.model.errors import ConfigError, SystemFault
from kubespan.model.finding import Finding, FindingKind
from kubespan.model.plan import NetworkPlan

LOAD: Final = "load nftables table inet kubespan"
REMOVE: Final = "remove nftables table inet kubespan"
TALOS: Final = Finding(
    FindingKind.TALOS,
    "there is a table `inet talos`: Talos steers packets on this machine already",
    "run kubespan on machines without Talos; Talos has KubeSpan built in",
)


class Table:
    """What was loaded, and how it looked then. One call at a time."""

    def __init__(self) -> None:
        self._loaded: NetworkPlan | None = None
        self._fingerprint = ""
        self._doubts = 0
        self._settled = 0
        self._findings: tuple[Finding, ...] = ()

    def doubt(self) -> None:
        """Look at the table again next time: somebody, maybe we, changed it."""
        self._doubts += 1

    async def bring(self, plan: NetworkPlan, marked: Callable[[], object] = lambda: None) -> Report:
        """Bring the table to the plan.

        `marked` is called as soon as packets are marked as it says, if that is before the end.
        """
        try:
            return await self._bring(plan, marked)
        except (SystemFault, ConfigError) as error:
            return self._failed(LOAD, error)

    async def remove(self) -> Report:
        """Leave no table of ours."""
        self._loaded = None
        try:
            if not _is_there(await nft.list_tables()):
                return Report()
            await nft.load(removal(TABLE, STAND_IN))
        except (SystemFault, ConfigError) as error:
            return self._failed(REMOVE, error)
        return Report((REMOVE,))

    async def _bring(self, plan: NetworkPlan, marked: Callable[[], object]) -> Report:
        if plan == self._loaded and not await self._is_touched():
            return Report(findings=self._findings)
        commands = ruleset(plan)
        tables = await nft.list_tables()
        self._findings = (TALOS,) if has_table(tables, TALOS_TABLE) else ()
        # Half of a replacement is neither the old plan nor the new one.
        self._loaded, self._settled = None, self._doubts
        await _replace(plan, commands, marked, is_there=_is_there(tables))
        listing = await nft.list_table(TABLE)
        # Otherwise somebody changed it in between; then nothing that is listed is like this.
        self._fingerprint = fingerprint(listing) if has_everything(listing, commands) else ""
        self._loaded = plan
        return Report((LOAD,), findings=self._findings)

    async def _is_touched(self) -> bool:
        if self._settled == self._doubts:
            return False
        doubts = self._doubts
        try:
            listing = await nft.list_table(TABLE)
        except nft.NftFault as fault:
            if fault.errno == ENOENT:
                return True
            raise
        self._settled = doubts
        return fingerprint(listing) != self._fingerprint

    def _failed(self, operation: str, error: SystemFault | ConfigError) -> Report:
        errno = error.errno if isinstance(error, SystemFault) else EINVAL
        return Report(failures=(Failure(operation, errno, str(error)),), findings=self._findings)


def _is_there(tables: Ruleset) -> bool:
    return has_table(tables, TABLE) or has_table(tables, STAND_IN)


async def _replace(
    plan: NetworkPlan, commands: Ruleset, marked: Callable[[], object], *, is_there: bool
) -> None:
    if not is_there:
        await nft.load(commands)
        marked()
        return
    await nft.load(stand_in(plan))
    marked()
    await nft.load(commands)
    await nft.load(removal(STAND_IN))
