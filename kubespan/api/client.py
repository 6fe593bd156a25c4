"""Asks a running node through its unix socket. Standard library only: commands must start quickly.

Whatever goes wrong is a Refused, with a line for people.
"""

from __future__ import annotations

import errno
import http.client
import json
import os
import socket
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import quote, urlencode

from kubespan.api.refusal import Reason, Refused

SOCKET: Final = "/run/kubespan/kubespan.sock"
SOCKET_VARIABLE: Final = "KUBESPAN_SOCKET"

MARGIN: Final = 10.0
"""Seconds beyond what an answer is expected to take."""

CHANGE_TIMEOUT: Final = 60.0
"""Seconds that a change may take."""

ANSWERS: Final = (http.client.OK, http.client.SERVICE_UNAVAILABLE)
"""The second says that a check does not hold; whoever is not there does not say so."""

ABSENT: Final = (errno.ENOENT, errno.ENOTDIR, errno.ECONNREFUSED)
FORBIDDEN: Final = (errno.EACCES, errno.EPERM)


def default_socket() -> str:
    """Return where a node is to be found."""
    return os.environ.get(SOCKET_VARIABLE) or SOCKET


class Client:
    """One node's window, asked once for every question. `path` is its socket."""

    def __init__(self, path: str = "") -> None:
        self._path = path or default_socket()

    def version(self) -> str:
        """Return the version that is running."""
        return str(self._answer("GET", "/v1/version")["version"])

    def kinds(self) -> Any:
        """Return what can be asked for."""
        return self._answer("GET", "/v1/kinds")

    def resources(
        self, kind: str, id_: str = "", namespace: str = "", *, secrets: bool = False
    ) -> Any:
        """Return all resources of a kind, or the one with an id."""
        return self._answer("GET", _resources("resources", kind, id_, namespace, secrets=secrets))

    def watch(
        self, kind: str, id_: str = "", namespace: str = "", *, secrets: bool = False
    ) -> Generator[Any, None, None]:
        """Yield a heading, then every resource, then every change, until the node goes."""
        target = _resources("watch", kind, id_, namespace, secrets=secrets)
        with self._asked("GET", target, timeout=None) as response:
            yield from map(json.loads, response)
        raise Refused(Reason.NOT_RUNNING, "the node has left")

    def status(self) -> Any:
        """Return how it stands with everything."""
        return self._answer("GET", "/v1/status")

    def holds(self, check: str) -> bool:
        """Whether the node is `live`, `ready`, or past its `startup`."""
        return bool(self._answer("GET", f"/check/{check}")["holds"])

    def wait(self, peers: int, timeout: float | None = None) -> int:
        """Return how many peers are up, as soon as so many are; `timeout` in seconds."""
        query = {"peers": str(peers)} | ({} if timeout is None else {"timeout": str(timeout)})
        patience = None if timeout is None else timeout + MARGIN
        return int(self._answer("GET", _target("/v1/wait", query), timeout=patience)["up"])

    def ping(self, peer: str, timeout: float) -> Any:
        """Return how long an echo from a peer took, and which way it went."""
        query = {"peer": peer, "timeout": str(timeout)}
        return self._answer("POST", _target("/v1/ping", query), timeout=timeout + MARGIN)

    def apply(self, text: bytes, *, dry_run: bool = False) -> Any:
        """Have the node take over a configuration; return what that changes."""
        query = {"dry_run": "1"} if dry_run else {}
        return self._answer("POST", _target("/v1/apply", query), text, timeout=CHANGE_TIMEOUT)

    def stop(self) -> None:
        """Have the node leave."""
        self._answer("POST", "/v1/stop", timeout=CHANGE_TIMEOUT)

    def _answer(
        self, method: str, target: str, body: bytes = b"", timeout: float | None = MARGIN
    ) -> Any:
        with self._asked(method, target, body, timeout) as response:
            return json.loads(response.read())

    @contextmanager
    def _asked(
        self, method: str, target: str, body: bytes = b"", timeout: float | None = MARGIN
    ) -> Iterator[http.client.HTTPResponse]:
        """Give an answer to be read, which is not a refusal. Raises Refused."""
        connection = _Connection(self._path, timeout)
        try:
            connection.request(method, target, body)
            with connection.getresponse() as response:
                if response.status == http.client.INTERNAL_SERVER_ERROR:
                    raise Refused(Reason.BUG, "the node failed at this, and its log says how")
                if response.status not in ANSWERS:
                    raise _refusal(response.read())
                yield response
        except TimeoutError:
            raise Refused(Reason.TIMED_OUT, f"no answer on {self._path}") from None
        except OSError as error:
            raise _unreachable(self._path, error) from error
        except (http.client.HTTPException, ValueError, LookupError, TypeError) as error:
            text = f"what answers on {self._path} is not a node of this version ({error!r})"
            raise Refused(Reason.FAULT, text) from error
        finally:
            connection.close()


class _Connection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str, timeout: float | None) -> None:
        super().__init__("kubespan", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Open the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _target(path: str, query: Mapping[str, str]) -> str:
    return f"{path}?{urlencode(query)}" if query else path


def _resources(verb: str, kind: str, id_: str, namespace: str, *, secrets: bool) -> str:
    query = {"id": id_, "namespace": namespace, "secrets": "1" if secrets else ""}
    path = f"/v1/{verb}/{quote(kind, safe='')}"
    return _target(path, {name: value for name, value in query.items() if value})


def _refusal(body: bytes) -> Refused:
    error = json.loads(body)["error"]
    return Refused(Reason(error["reason"]), error["text"])


def _unreachable(path: str, error: OSError) -> Refused:
    if error.errno in ABSENT:
        text = f"no node is running, for nobody answers on {path}; start one with `kubespan up`"
        return Refused(Reason.NOT_RUNNING, text)
    if error.errno in FORBIDDEN:
        text = f"not permitted to open {path}; do this as root, or as a member of its group"
        return Refused(Reason.NOT_PERMITTED, text)
    if isinstance(error, ConnectionError):
        return Refused(Reason.NOT_RUNNING, f"the node on {path} hung up")
    return Refused(Reason.FAULT, f"{path}: {error.strerror or error}")
