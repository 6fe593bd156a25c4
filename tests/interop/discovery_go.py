"""Members of a cluster that are the official client library, and single calls through its stubs.

All of them live in one process of the program that discovery_build.py builds. This is the test's
end of the line: orders go in, events come out, and each member keeps what it was seen to know.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
from google.protobuf import json_format
from google.protobuf.message import Message

from kubespan.discovery.proto import client_pb2, server_pb2

PATIENCE = 60.0
"""Seconds after which an event is not coming at all."""

LONGEST_LINE = 1 << 26
"""Bytes: an event may tell of 1,024 affiliates at their limits."""

TTL = 1800.0
"""Seconds, as Talos asks for."""

CODES = {code.value[0]: code for code in grpc.StatusCode}
REPLIES: dict[str, type[Message]] = {
    "Hello": server_pb2.HelloResponse,
    "AffiliateUpdate": server_pb2.AffiliateUpdateResponse,
    "AffiliateDelete": server_pb2.AffiliateDeleteResponse,
    "List": server_pb2.ListResponse,
    "Watch": server_pb2.WatchResponse,
}


class OrderError(Exception):
    """The program could not do what it was told."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server is, and from which address one speaks to it."""

    endpoint: str
    """As gRPC writes it."""

    source: str = ""
    ca: str = ""
    """Path of a certificate to trust; without one, nothing is encrypted."""

    def words(self) -> dict[str, str]:
        """Return it as an order has it."""
        return {"endpoint": self.endpoint, "source": self.source, "ca": self.ca}


@dataclass(frozen=True, slots=True)
class Seen:
    """One affiliate as the library handed it out, and when."""

    affiliate: client_pb2.Affiliate
    endpoints: tuple[client_pb2.Endpoint, ...]
    at: float = field(compare=False)

    @classmethod
    def read(cls, event: Mapping[str, Any], at: float) -> Seen:
        """Read what the program wrote."""
        return cls(
            json_format.ParseDict(event["affiliate"], client_pb2.Affiliate()),
            tuple(json_format.ParseDict(e, client_pb2.Endpoint()) for e in event["endpoints"]),
            at,
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """How a call ended."""

    code: grpc.StatusCode
    message: str
    replies: tuple[Any, ...] = ()

    @property
    def reply(self) -> Any:
        """The one reply."""
        assert self.code is grpc.StatusCode.OK, f"{self.code}: {self.message}"
        return self.replies[0]


@dataclass
class Member:
    """One node that runs the official client."""

    go: GoPeers
    cluster: str
    affiliate: str
    table: dict[str, Seen] = field(default_factory=dict)
    """What it knows, by node id."""

    public_ip: bytes = b""
    logs: list[str] = field(default_factory=list)
    """What its library complained about."""

    notified: int = 0
    gone_at: dict[str, float] = field(default_factory=dict)
    acknowledged: Counter[str] = field(default_factory=Counter)
    """How many of its calls went well, by method."""

    answered_at: dict[str, float] = field(default_factory=dict)
    """When the last of them was answered, by method."""

    @property
    def name(self) -> str:
        """What orders and events call it."""
        return f"{self.cluster}/{self.affiliate}"

    async def set(
        self,
        affiliate: client_pb2.Affiliate,
        endpoints: Iterable[client_pb2.Endpoint] = (),
        others: Mapping[str, Iterable[client_pb2.Endpoint]] | None = None,
    ) -> float:
        """Tell the library what it is to tell the others; return when it was told."""
        harvest = [{"affiliate": k, "endpoints": _texts(v)} for k, v in (others or {}).items()]
        done = await self.go.order(
            "set",
            self.name,
            affiliate=_text(affiliate),
            endpoints=_texts(endpoints),
            others=harvest,
        )
        return float(done["began"])

    async def delete(self) -> float:
        """Have the library withdraw its affiliate; return when it was told."""
        return float((await self.go.order("delete", self.name))["began"])

    async def stop(self) -> None:
        """End it without a word to the server."""
        await self.go.order("stop", self.name)

    async def until(self, holds: Callable[[Member], bool]) -> None:
        """Return once this holds of what it knows."""
        await self.go.until(
            lambda: holds(self), lambda: f"{self.name} knows {sorted(self.table)}; {self.logs}"
        )

    async def sees(self, expected: Mapping[str, Seen], since: float = 0.0) -> None:
        """Return once it knows exactly these, by what it heard since a moment."""

        def holds() -> bool:
            fresh = all(one.at >= since for one in self.table.values())
            return fresh and self.table == expected

        await self.go.until(holds, lambda: self._difference(expected))

    def _difference(self, expected: Mapping[str, Seen]) -> str:
        names = sorted(self.table.keys() | expected.keys())
        wrong = [name for name in names if self.table.get(name) != expected.get(name)]
        first = wrong and f"; {wrong[0]} is {self.table.get(wrong[0])}"
        return f"{self.name} is wrong or late about {wrong or names}{first or ''}; {self.logs}"

    def hear(self, event: dict[str, Any]) -> None:
        """Take in one event about it."""
        match event["event"]:
            case "seen":
                self.notified += 1
                self.public_ip = base64.b64decode(event["public_ip"] or "")
                for one in event["changed"]:
                    seen = Seen.read(one, event["at"])
                    self.table[seen.affiliate.node_id] = seen
                for name in event["gone"]:
                    del self.table[name]
                    self.gone_at[name] = event["at"]
            case "called":
                self.acknowledged[event["method"]] += event["code"] == 0
                self.answered_at[event["method"]] = event["at"]
            case "log":
                self.logs.append(f"{event['message']}: {event.get('error', '')}")


class GoPeers:
    """The program, as a context that ends it."""

    def __init__(self, program: Path) -> None:
        self._program = program
        self._process: Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._members: dict[str, Member] = {}
        self._waiting: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._news = asyncio.Condition()
        self._names = (f"call-{n}" for n in itertools.count())

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            self._program, stdin=PIPE, stdout=PIPE, limit=LONGEST_LINE
        )
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._reader is not None
        self._process.stdin.close()
        await asyncio.wait_for(self._process.wait(), PATIENCE)
        await self._reader

    async def member(
        self,
        place: Place,
        *,
        cluster: str,
        affiliate: str,
        secret: bytes,
        ttl: float = TTL,
        version: str = "v1.14.0",
    ) -> Member:
        """Start one node, which listens but says nothing of itself yet.

        When it listens, the library has nothing left to do: what is set then is told once.
        """
        member = Member(self, cluster, affiliate)
        self._members[member.name] = member
        await self.order(
            "start",
            member.name,
            cluster=cluster,
            affiliate=affiliate,
            secret=base64.b64encode(secret).decode(),
            ttl=ttl,
            version=version,
            **place.words(),
        )
        await member.until(lambda member: member.notified > 0)
        return member

    async def call(
        self,
        place: Place,
        method: str,
        request: Mapping[str, Any] | None = None,
        *,
        body: bytes | None = None,
        timeout: float = PATIENCE,  # noqa: ASYNC109  the caller's deadline is what travels
        **more: Any,
    ) -> Answer:
        """Make one call: with a request through the generated stubs, or with a body as it is."""
        words: dict[str, Any] = {"method": method, "request": request or {}, "timeout": timeout}
        if body is not None:
            words["body"] = base64.b64encode(body).decode()
        told = await self.order("call", next(self._names), **words, **place.words(), **more)
        return _answer(method, told)

    async def watch(self, place: Place, cluster: str) -> tuple[str, Answer]:
        """Open a watch; return its name, for `drain`, and its first message or its end."""
        name = next(self._names)
        request = {"cluster_id": cluster}
        told = await self.order("open", name, request=request, timeout=PATIENCE, **place.words())
        return name, _answer("Watch", told)

    async def drain(self, name: str, *, seconds: float = PATIENCE) -> Answer:
        """Read a watch to its end, or for so long; return all that came and how it ended."""
        return _answer("Watch", await self.order("drain", name, seconds=seconds))

    async def pings(self, place: Place, count: int, every: float) -> tuple[int, str]:
        """Send HTTP/2 pings without a call; return how many came back, and why not all did."""
        name = next(self._names)
        told = await self.order("pings", name, count=count, every=every, **place.words())
        return told["acknowledged"], told["goaway"]

    async def order(self, do: str, name: str, **words: Any) -> dict[str, Any]:
        """Have one order carried out; return the event that says so. Raises OrderError."""
        assert self._process is not None
        assert self._process.stdin is not None
        line = json.dumps({"do": do, "name": name, **words}).encode() + b"\n"
        self._waiting[name] = asyncio.get_running_loop().create_future()
        self._process.stdin.write(line)
        await self._process.stdin.drain()
        event = await asyncio.wait_for(self._waiting[name], PATIENCE)
        if event["event"] == "failed":
            raise OrderError(f"{do} {name}: {event['error']}")
        return event

    async def until(self, holds: Callable[[], bool], say: Callable[[], str]) -> None:
        """Return once this holds; it is asked again after every event."""
        try:
            async with asyncio.timeout(PATIENCE), self._news:
                await self._news.wait_for(holds)
        except TimeoutError:
            raise AssertionError(f"it did not come to be: {say()}") from None

    async def _read(self) -> None:
        """Hand every event to whom it is about."""
        assert self._process is not None
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self._hear(json.loads(line))
            async with self._news:
                self._news.notify_all()
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(OrderError("the program has ended"))

    def _hear(self, event: dict[str, Any]) -> None:
        name = event["name"]
        if event["event"] in {"seen", "called", "log"}:
            self._members[name].hear(event)
        elif name in self._waiting and not self._waiting[name].done():
            self._waiting[name].set_result(event)


def _answer(method: str, event: Mapping[str, Any]) -> Answer:
    """Read how a call ended."""
    kind = REPLIES.get(method, client_pb2.Affiliate)
    texts = event.get("replies", [event["reply"]] if "reply" in event else [])
    replies = tuple(json_format.ParseDict(text, kind()) for text in texts)
    return Answer(CODES[event["code"]], event["message"], replies)


def _text(message: Message) -> dict[str, Any]:
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def _texts(messages: Iterable[Message]) -> list[dict[str, Any]]:
    return [_text(message) for message in messages]
