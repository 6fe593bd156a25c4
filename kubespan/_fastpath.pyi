"""The public face of the native data path; `kubespan.fastpath.native` says what each is for."""

from collections.abc import Iterable
from typing import Self, final

from typing_extensions import disjoint_base

__test__: dict[str, str]

def use(name: str) -> bool:
    """Serve AEAD by avx512, avx2, portable or libcrypto; tell whether the machine can."""

def use_libsodium(encrypt: int, decrypt: int) -> None:
    """Serve AEAD by the two functions of libsodium at these addresses."""

def use_xaead(encrypt: int) -> None:
    """Seal cookies by libsodium's XChaCha20-Poly1305, which is at this address."""

def mac(key: bytes, data: bytes) -> bytes:
    """Keyed BLAKE2s of 16 bytes, the key 1 to 32: for tests."""

def provider() -> str:
    """Name the AEAD provider in use, empty before one was chosen."""

def numbers() -> tuple[dict[str, int], dict[str, int]]:
    """The native module's (drop reasons, upcall kinds) by name, to hold against the Python ones."""

@final
class Aead:
    """A batch of packets sealed or opened by the provider in use: for tests and benchmarks."""

    def __new__(cls) -> Self: ...
    def seal(
        self, key: bytes, packets: list[bytes], counters: list[int], head: int = 0
    ) -> list[bytes | None]:
        """Each packet sealed under head and counter, 16 bytes longer. `key` is 32 bytes."""

    def open(
        self, key: bytes, packets: list[bytes], counters: list[int], head: int = 0
    ) -> list[bytes | None]:
        """Each packet opened, None where the tag is wrong. `key` is 32 bytes."""

@final
class Table:
    """What lanes follow: slots, index and routes. Made and changed by one thread."""

    def __new__(cls) -> Self: ...
    mtu: int
    def is_index_free(self, local_index: int) -> bool:
        """Whether the index has room for this number and nobody uses it."""

    def publish_routes(self, routes: Iterable[tuple[bytes, int, int]]) -> None:
        """Replace all routes at once: (packed address, prefix length, slot number)."""

    def publish_gate(self, gate: Gate | None) -> None:
        """Judge handshake messages by this from now on; by None, hand up all of them."""

    def lookup(self, packed: bytes) -> int:
        """The slot number that an address of 4 or 16 bytes routes to, -1 for none."""

    def reclaim(self) -> int:
        """Drop what was withdrawn and no lane can still see. Answers how many things still wait."""

@final
class IndexMemory:
    """The words of an index, with so many lines: a power of two."""

    def __new__(cls, lines: int) -> Self: ...

@final
class Gate:
    """What handshake messages are judged by: three keys of 32 bytes. Never changes."""

    def __new__(
        cls, mac1_key: bytes, cookie_key: bytes, secret: bytes, secret_until: float
    ) -> Self: ...
    def check_mac1(self, datagram: bytes) -> bool:
        """Whether the sender of an initiation or response knows our public key."""

    def check_mac2(self, datagram: bytes, source: bytes) -> bool:
        """Whether it holds a cookie made for this source: an address and a port."""

    def create_reply(self, datagram: bytes, source: bytes, nonce: bytes) -> bytes:
        """The cookie reply to it, under a nonce of 24 bytes."""

@final
class Routes:
    """An immutable trie of prefixes, built whole."""

    def __new__(cls, routes: Iterable[tuple[bytes, int, int]]) -> Self: ...

@final
class Keypair:
    """One session's keys, counter and replay window. Wiped when nobody can use it any more."""

    def __new__(
        cls,
        table: Table,
        send_key: bytes,
        receive_key: bytes,
        local_index: int,
        remote_index: int,
        is_initiator: bool,
        created_at: float,
    ) -> Self: ...
    @property
    def local_index(self) -> int: ...
    @property
    def remote_index(self) -> int: ...
    @property
    def is_initiator(self) -> bool: ...
    @property
    def created_at(self) -> float: ...
    send_counter: int
    def seal(self, packet: bytes) -> bytes:
        """The transport datagram of a padded or empty packet. OverflowError past the limit."""

    def open(self, datagram: bytes) -> bytes | int:
        """The plaintext of a transport datagram, or the DropReason number that refuses it."""

    def accept(self, counter: int) -> bool:
        """Whether the replay window takes this counter; it is taken then. For tests."""

    def wipe(self) -> None:
        """The keys are overwritten once no lane can hold them: when the last reference goes."""

@disjoint_base
class Slot:
    """One peer as the lanes see it. Times are boot seconds, 0.0 = none."""

    def __new__(cls, table: Table) -> Self: ...
    @property
    def number(self) -> int: ...
    @property
    def previous(self) -> Keypair | None: ...
    @property
    def current(self) -> Keypair | None: ...
    @property
    def next(self) -> Keypair | None: ...
    raw_endpoint: tuple[bytes, int, int, bytes | None, int] | None
    def forget_source(self) -> None:
        """Let the system choose where the peer is answered from; the endpoint stays."""

    def install(
        self, previous: Keypair | None, current: Keypair | None, next: Keypair | None
    ) -> None:
        """Publish three sessions; those not among them are withdrawn and dropped after a grace."""

    def note_sent(self, boot: float, size: int, data: bool) -> None:
        """An authenticated message went out."""

    def note_received(self, boot: float, size: int, data: bool) -> None:
        """An authenticated message came in."""

    def forget_data_sent(self) -> None: ...
    def forget_data_received(self) -> None: ...
    @property
    def last_sent_at(self) -> float: ...
    @property
    def last_received_at(self) -> float: ...
    @property
    def first_data_received_at(self) -> float: ...
    @property
    def last_data_received_at(self) -> float: ...
    @property
    def first_data_sent_at(self) -> float: ...
    @property
    def tx_bytes(self) -> int: ...
    @property
    def rx_bytes(self) -> int: ...
    def retire(self) -> None:
        """The peer is gone: no sessions, no endpoint, and the number is free after the grace."""

@final
class Lane:
    """One native thread's world. `run` is the thread's target; everything else is the loop's."""

    def __new__(
        cls,
        table: Table,
        *,
        number: int,
        tun_fd: int,
        tun_queues: tuple[int, ...],
        ipv4_fd: int,
        ipv6_fd: int,
        sockets: tuple[int, ...],
        stop_fd: int,
        upcall_fd: int,
        vnet_header: bool,
        tcp_offload: bool,
        udp_offload: bool,
        segment: bool,
    ) -> Self: ...
    def run(self) -> None:
        """Move packets until the stop descriptor becomes readable. Holds no GIL."""

    def pretend_batch(self, begin: bool) -> None:
        """Be in the middle of a batch, or not, without a thread: for tests of the grace period."""

    def leave(self) -> None:
        """The thread has ended: withdrawals need not wait for this lane any more."""

    def drain(
        self, limit: int
    ) -> list[tuple[int, int, bytes, tuple[bytes, int, int, bytes | None, int] | None, int]]:
        """At most `limit` upcalls: (kind, value, payload, origin, handshakes waiting)."""

    def counters(self) -> tuple[list[int], dict[str, int]]:
        """(drops by reason, named counters) since the lane was made."""
