"""The key log: enough of every handshake's secrets for a packet analyser to read the tunnel.

Off unless the operator names a file, and whoever turns it on must be told loudly. The format is
the one that Wireshark's dissector reads from its `wg.keylog_file` preference: `NAME = base64`, one
key a line, a preshared key belonging to the ephemeral key above it. Never reads the file back.
"""

from __future__ import annotations

import os
from pathlib import Path

from kubespan.model.errors import SystemFault
from kubespan.model.keys import PresharedKey, PrivateKey, PublicKey

VARIABLE = "KUBESPAN_KEYLOG"


class KeyLog:
    """A file, readable by its owner only, that grows by four lines a handshake."""

    def __init__(self, path: Path) -> None:
        """Open the file at `path` to be appended to. Raises SystemFault."""
        self.path = path
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._fd = os.open(path, flags, 0o600)
        except OSError as error:
            raise SystemFault(f"open the key log {path}", error.errno or 0) from error

    @property
    def warning(self) -> str:
        """What the operator must see, whatever the log level."""
        return f"{VARIABLE} is set: whoever reads {self.path} can decrypt this tunnel's traffic"

    def record(
        self,
        local_private: PrivateKey,
        remote_public: PublicKey,
        ephemeral_private: PrivateKey,
        preshared: PresharedKey,
    ) -> None:
        """Add what decrypts the session of this ephemeral key.

        A file that cannot be written to is no reason to lose the handshake: the lines are lost.
        """
        lines = (
            f"LOCAL_STATIC_PRIVATE_KEY = {local_private.base64()}\n"
            f"REMOTE_STATIC_PUBLIC_KEY = {remote_public.base64()}\n"
            f"LOCAL_EPHEMERAL_PRIVATE_KEY = {ephemeral_private.base64()}\n"
            f"PRESHARED_KEY = {preshared.base64()}\n"
        )
        try:
            os.write(self._fd, lines.encode("ascii"))
        except OSError:
            return

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)
