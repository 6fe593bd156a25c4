"""A clock that moves when it is told to."""

from __future__ import annotations

from kubespan.discovery.server.continuity import Moment


class SetClock:
    """Boot and wall time of one machine, for a storage to read."""

    def __init__(self) -> None:
        self.moment = Moment("boot", 1000.0, 1_700_000_000.0)

    def __call__(self) -> Moment:
        return self.moment

    def pass_time(self, seconds: float) -> None:
        """Both clocks go on."""
        boot_id, boot, wall = self.moment.boot_id, self.moment.boot, self.moment.wall
        self.moment = Moment(boot_id, boot + seconds, wall + seconds)

    def set_wall(self, wall: float) -> None:
        """Someone sets the wall clock."""
        self.moment = Moment(self.moment.boot_id, self.moment.boot, wall)

    def reboot(self, away: float) -> None:
        """The machine was off for so long, and has just begun."""
        self.moment = Moment(self.moment.boot_id + "'", 5.0, self.moment.wall + away)
