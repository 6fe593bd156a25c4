# cython: language_level=3
"""The native data path: hits only. Packets with a session and a route, both ways, without the GIL.

Everything else (handshakes, packets without a session, key changes) is handed up whole and decided
in Python. Order of this file: owners (Python classes that own memory), the lane and its two
directions in packet order, then the data structures. It imports nothing of ours; the memory map is
`_fastpath.pxd`.
"""

cimport cython
from cpython.bytes cimport PyBytes_AsString, PyBytes_FromStringAndSize
from libc.errno cimport EAGAIN, EINTR, EINVAL, EIO, errno
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset
from posix.unistd cimport close, read, write

cdef extern from "<errno.h>" nogil:
    enum: EBADFD

cdef extern from "<poll.h>" nogil:
    enum: POLLIN
    cdef struct pollfd:
        int fd
        short events
        short revents
    int poll(pollfd *descriptors, unsigned long count, int timeout)

cdef extern from "<sys/epoll.h>" nogil:
    enum: EPOLLIN, EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL
    cdef union epoll_data:
        uint64_t u64
    cdef struct epoll_event:
        uint32_t events
        epoll_data data
    int epoll_create1(int flags)
    int epoll_ctl(int epoll_fd, int operation, int fd, epoll_event *event)
    int epoll_wait(int epoll_fd, epoll_event *events, int count, int timeout)

cdef extern from "<sys/random.h>" nogil:
    ssize_t getrandom(void *buffer, size_t length, unsigned int flags)

cdef extern from "<sys/socket.h>" nogil:
    enum: AF_INET, AF_INET6

cdef enum:
    MAX_PEERS = 65536
    INDEX_LINE = 8             # words: one cache line
    INDEX_LEAST_LINES = 64
    BATCH_PACKETS = 64         # an inbound batch ends at the first super-packet past this
    BATCH_FRAMES = 256         # an outbound one after so many frames, or packets,
    BATCH_BYTES = 98304        # or the one that goes past this: some 64 full packets
    MAX_SEGMENTS = 1400        # 64 KiB of the smallest TCP segments Linux makes
    MAX_PACKETS = BATCH_FRAMES + MAX_SEGMENTS  # one more frame fits where there are fewer packets
    FRAMES_WAITING = 32        # taken out of the TUN, to find who may go first among them
    BATCHES_WAITING = 160      # opened, likewise; more than there are messages
    BYTES_A_TURN = 32768       # to the TUN, before somebody who may go first is looked for again
    FRAME_SIZE = 65536
    FRAME_SLOT = 65600         # with both headers that may stand before it
    FRAME_OUTPUT = 65536 + MAX_SEGMENTS * 176  # one frame cut up: headers repeated, sealed
    OUTPUT_SIZE = BATCH_BYTES + 2 * FRAME_OUTPUT
    MESSAGE_WORK = 4096        # bytes of bulk that are as much work as a small message
    RECEIVED_A_TURN = 393216   # after so much work no more is received: most of one large call
    RING_SIZE = 1048576
    HEADER_SIZE = 16           # of a transport message
    OVERHEAD = 32              # header and tag
    REPLIES_A_BATCH = 32       # of UDP_RECEIVE_SLOTS
    COOKIE_REPLY = 3           # message types
    TRANSPORT = 4
    STOP_BIT = 0               # in what `lane_wait` answers: a bit for each descriptor
    TUN_BIT = 1
    SOCKET_BIT = TUN_BIT + MAX_TUN_QUEUES
    HANDSHAKE_QUEUE = 1024     # handshake messages that may wait for the loop
    UNDER_LOAD_AFTER = HANDSHAKE_QUEUE // 8
    COOKIE_REPLIES = UNDER_LOAD_AFTER // 2  # fewer of those, as nothing shows that they are true

cdef uint64_t IDLE = 0xffffffffffffffff
cdef uint64_t EVERYTHING = 0xffffffffffffffff
cdef uint64_t SECOND = 1000000000
cdef uint64_t REKEY_AFTER_TIME = 120 * SECOND
cdef uint64_t REKEY_AFTER_TIME_RECEIVING = 165 * SECOND
cdef uint64_t REJECT_AFTER_TIME = 180 * SECOND
cdef uint64_t REKEY_AFTER_MESSAGES = <uint64_t>1 << 60
cdef uint64_t REJECT_AFTER_MESSAGES = 0xffffffffffffffff - 8192
cdef uint64_t REPLAY_WINDOW = 8128
cdef uint64_t ICMP_INTERVAL = SECOND // 1000
cdef uint64_t UNDER_LOAD_STICKY = SECOND
cdef uint64_t HOT_TIME = SECOND // 10

cdef const aead_provider *the_provider = NULL


# ---------------------------------------------------------------------------------- owners

def use(str name):
    """Serve AEAD by avx512, avx2, portable or libcrypto; tell whether the machine can."""
    global the_provider
    cdef const aead_provider *found = NULL
    if name == "avx512":
        found = aead_avx512()
    elif name == "avx2":
        found = aead_avx2()
    elif name == "portable":
        found = aead_portable()
    elif name == "libcrypto":
        found = aead_libcrypto()
    if found != NULL:
        the_provider = found
    return found != NULL


def use_libsodium(size_t encrypt, size_t decrypt):
    """Serve AEAD by the two functions of libsodium at these addresses."""
    global the_provider
    the_provider = aead_libsodium(<void *>encrypt, <void *>decrypt)


def use_xaead(size_t encrypt):
    """Seal cookies by libsodium's XChaCha20-Poly1305, which is at this address."""
    gate_use_xaead(<void *>encrypt)


def mac(bytes key, bytes data):
    """Keyed BLAKE2s of 16 bytes, the key 1 to 32: for tests."""
    cdef uint8_t result[16]
    if not 1 <= len(key) <= BLAKE2S_MAX_KEY:
        raise ValueError("a key is 1 to 32 bytes")
    blake2s_mac(result, <const uint8_t *>PyBytes_AsString(key), len(key),
                <const uint8_t *>PyBytes_AsString(data), len(data))
    return (<char *>result)[:BLAKE2S_MAC_SIZE]


def provider():
    """The name of the AEAD provider in use, empty before one was chosen."""
    return the_provider.name.decode() if the_provider != NULL else ""


def numbers():
    """The native module's (drop reasons, upcall kinds) by name, to hold against the Python ones."""
    reasons = {
        "MALFORMED": <int>MALFORMED, "UNKNOWN_TYPE": <int>UNKNOWN_TYPE,
        "BAD_MAC1": <int>BAD_MAC1, "UNDER_LOAD": <int>UNDER_LOAD,
        "UNKNOWN_INDEX": <int>UNKNOWN_INDEX, "KEY_EXPIRED": <int>KEY_EXPIRED,
        "BAD_TAG": <int>BAD_TAG, "REPLAYED": <int>REPLAYED, "BAD_INNER": <int>BAD_INNER,
        "WRONG_SOURCE": <int>WRONG_SOURCE, "NO_PEER": <int>NO_PEER, "QUEUE_FULL": <int>QUEUE_FULL,
        "INTERFACE_DOWN": <int>INTERFACE_DOWN, "SEND_FAILED": <int>SEND_FAILED,
        "TUN_REFUSED": <int>TUN_REFUSED, "BAD_OUTBOUND": <int>BAD_OUTBOUND,
        "ROUTING_LOOP": <int>ROUTING_LOOP,
    }
    upcalls = {
        "OUTBOUND": <int>UPCALL_OUTBOUND, "NO_PEER": <int>UPCALL_NO_PEER,
        "HANDSHAKE": <int>UPCALL_HANDSHAKE, "CONFIRMED": <int>UPCALL_CONFIRMED,
        "REKEY_DUE": <int>UPCALL_REKEY_DUE, "DEVICE_GONE": <int>UPCALL_DEVICE_GONE,
    }
    return reasons, upcalls


@cython.final
cdef class Aead:
    """A batch of packets sealed or opened by the provider in use: for tests and benchmarks."""

    cdef const aead_provider *provider
    cdef void *context

    def __cinit__(self):
        if the_provider == NULL:
            raise RuntimeError("no AEAD provider was chosen")
        self.provider = the_provider
        self.context = self.provider.create()
        if self.context == NULL:
            raise MemoryError

    def __dealloc__(self):
        if self.context != NULL:
            self.provider.destroy(self.context)

    def seal(self, bytes key, list packets, list counters, uint32_t head=0):
        """Each packet sealed under head and counter, 16 bytes longer. `key` is 32 bytes."""
        return self._run(key, packets, counters, head, True)

    def open(self, bytes key, list packets, list counters, uint32_t head=0):
        """Each packet opened, None where the tag is wrong. `key` is 32 bytes."""
        return self._run(key, packets, counters, head, False)

    cdef list _run(self, bytes key, list packets, list counters, uint32_t head, bint sealing):
        cdef size_t count = len(packets), i
        cdef aead_item *items = <aead_item *>calloc(count + 1, sizeof(aead_item))
        cdef list targets = []
        cdef const uint8_t *k = <const uint8_t *>PyBytes_AsString(key)
        if items == NULL or len(key) != 32 or len(counters) != len(packets):
            free(items)
            raise ValueError("a 32-byte key, and a counter for each packet")
        for i in range(count):
            length = len(packets[i])
            size = length + 16 if sealing else max(length - 16, 0)
            target = PyBytes_FromStringAndSize(NULL, size)
            targets.append(target)
            items[i].source = <const uint8_t *>PyBytes_AsString(packets[i])
            items[i].target = <uint8_t *>PyBytes_AsString(target)
            items[i].length = length
            items[i].counter = counters[i]
            items[i].head = head
        with nogil:
            if sealing:
                self.provider.seal(self.context, k, items, count)
            else:
                self.provider.open(self.context, k, items, count)
        result = [targets[i] if items[i].ok else None for i in range(count)]
        free(items)
        return result


@cython.final
@cython.no_gc_clear
cdef class Table:
    """What lanes follow: slots, index and routes. Made and changed by one thread."""

    cdef TableState state
    cdef list free_slots
    cdef uint32_t slots_used
    cdef object routes            # the Routes that state.routes points into
    cdef object index             # the IndexMemory that state.index points into
    cdef object gate              # the Gate that state.gate points into
    cdef uint32_t sessions        # words of the index in use
    cdef list retired             # (epoch, object): dropped once every lane has moved on
    cdef list lanes
    cdef Aead aead

    def __cinit__(self):
        self.state.slots = <SlotState *>calloc(MAX_PEERS, sizeof(SlotState))
        if self.state.slots == NULL:
            raise MemoryError
        self.free_slots = []
        self.retired = []
        self.lanes = []
        self.aead = Aead()
        self.routes = Routes([])
        self.state.routes = &(<Routes>self.routes).trie
        self.index = IndexMemory(INDEX_LEAST_LINES)
        self.state.index = &(<IndexMemory>self.index).index

    def __dealloc__(self):
        free(self.state.slots)

    @property
    def mtu(self):
        """MTU of the TUN device in bytes, 0 when unknown: the bound of padding."""
        return load_relaxed(&self.state.mtu)

    @mtu.setter
    def mtu(self, uint64_t mtu):
        store_relaxed(&self.state.mtu, mtu)

    def is_index_free(self, uint32_t local_index):
        """Whether the index has room for this number and nobody uses it."""
        cdef uint64_t *line = index_line(self.state.index, local_index)
        cdef int i
        cdef bint room = False
        for i in range(INDEX_LINE):
            if line[i] == 0:
                room = True
            elif line[i] >> 32 == local_index:
                return False
        return room

    def publish_routes(self, routes):
        """Replace all routes at once. `routes`: (packed address, prefix length, slot number)."""
        new = Routes(routes)
        store_pointer(&self.state.routes, &(<Routes>new).trie)
        self._retire(self.routes)
        self.routes = new

    def publish_gate(self, Gate gate):
        """Judge handshake messages by this from now on; by None, hand up all of them."""
        store_pointer(&self.state.gate, &gate.gate if gate is not None else NULL)
        if self.gate is not None:
            self._retire(self.gate)
        self.gate = gate

    def lookup(self, bytes packed):
        """The slot number that an address of 4 or 16 bytes routes to, -1 for none."""
        cdef inner_address address
        address_of(&address, packed)
        return trie_lookup(self.state.routes, &address)

    def reclaim(self):
        """Drop what was withdrawn and no lane can still see. Answers how many things still wait."""
        cdef uint64_t oldest = IDLE
        full_fence()
        for lane in self.lanes:
            oldest = min(oldest, load_acquire(&(<Lane>lane).state.epoch))
        while self.retired and self.retired[0][0] <= oldest:
            self.retired.pop(0)
        return len(self.retired)

    cdef void _retire(self, object thing):
        full_fence()
        self.retired.append((fetch_add(&self.state.epoch, 1) + 1, thing))
        self.reclaim()

    cdef void _name(self, uint32_t local_index, uint32_t slot) except *:
        """The slot is found by this index, in words that are at most half full."""
        while (2 * self.sessions >= INDEX_LINE * (<uint64_t>self.state.index.line_mask + 1)
                or not index_insert(self.state.index, local_index, slot)):
            self._grow_index()
        self.sessions += 1

    cdef void _grow_index(self) except *:
        """Twice as large. Lanes see either, and both know every session but the next."""
        cdef IndexMemory larger = IndexMemory(2 * (self.state.index.line_mask + 1))
        index_copy(&larger.index, self.state.index)
        store_pointer(&self.state.index, &larger.index)
        self._retire(self.index)
        self.index = larger

    cdef void _unname(self, uint32_t local_index) except *:
        index_remove(self.state.index, local_index)
        self.sessions -= 1

    cdef uint32_t _take_slot(self) except? 0xffffffff:
        if self.free_slots:
            return self.free_slots.pop()
        if self.slots_used == MAX_PEERS:
            raise MemoryError(f"more than {MAX_PEERS} peers")
        self.slots_used += 1
        return self.slots_used - 1


@cython.final
@cython.no_gc_clear
cdef class _SlotNumber:
    """A slot's number on its way back: free again when the grace period has dropped this."""

    cdef Table table
    cdef uint32_t number

    def __dealloc__(self):
        memset(&self.table.state.slots[self.number], 0, sizeof(SlotState))
        self.table.free_slots.append(self.number)


@cython.final
cdef class IndexMemory:
    """The words of an index, with so many lines: a power of two."""

    cdef Index index

    def __cinit__(self, uint32_t lines):
        self.index.words = <uint64_t *>calloc(<size_t>lines * INDEX_LINE, sizeof(uint64_t))
        if self.index.words == NULL:
            raise MemoryError
        self.index.line_mask = lines - 1

    def __dealloc__(self):
        free(self.index.words)


@cython.final
cdef class Gate:
    """What handshake messages are judged by: three keys of 32 bytes. Never changes, wiped at last.

    `secret_until` is the boot second at which the secret of the cookies is too old, 0 for none.
    """

    cdef handshake_gate gate

    def __cinit__(self, bytes mac1_key, bytes cookie_key, bytes secret, double secret_until):
        if not (len(mac1_key) == len(cookie_key) == len(secret) == GATE_KEY_SIZE):
            raise ValueError("a key of the gate is 32 bytes")
        if not gate_has_xaead():
            raise RuntimeError("nobody said what seals cookies")
        memcpy(self.gate.mac1_key, PyBytes_AsString(mac1_key), GATE_KEY_SIZE)
        memcpy(self.gate.cookie_key, PyBytes_AsString(cookie_key), GATE_KEY_SIZE)
        memcpy(self.gate.secret, PyBytes_AsString(secret), GATE_KEY_SIZE)
        self.gate.secret_until = nanoseconds(secret_until)

    def __dealloc__(self):
        wipe(&self.gate, sizeof(handshake_gate))

    def check_mac1(self, bytes datagram):
        """Whether the sender of an initiation or response knows our public key."""
        self._expect_macs(datagram)
        return bool(gate_mac1_holds(
            &self.gate, <const uint8_t *>PyBytes_AsString(datagram), len(datagram)))

    def check_mac2(self, bytes datagram, bytes source):
        """Whether it holds a cookie made for this source: an address and a port."""
        self._expect_macs(datagram)
        return bool(gate_mac2_holds(
            &self.gate, <const uint8_t *>PyBytes_AsString(datagram), len(datagram),
            <const uint8_t *>PyBytes_AsString(source), len(source)))

    def create_reply(self, bytes datagram, bytes source, bytes nonce):
        """The cookie reply to it, under a nonce of 24 bytes."""
        cdef uint8_t reply[64]
        self._expect_macs(datagram)
        if <size_t>len(nonce) != GATE_NONCE_SIZE:
            raise ValueError("a nonce is 24 bytes")
        gate_reply(
            &self.gate, <const uint8_t *>PyBytes_AsString(datagram), len(datagram),
            <const uint8_t *>PyBytes_AsString(source), len(source),
            <const uint8_t *>PyBytes_AsString(nonce), reply)
        return (<char *>reply)[:GATE_REPLY_SIZE]

    cdef void _expect_macs(self, bytes datagram) except *:
        cdef size_t length = len(datagram)
        if length != message_size(1) and length != message_size(2):
            raise ValueError("neither an initiation nor a response has this size")


@cython.final
cdef class Routes:
    """An immutable trie of prefixes, built whole."""

    cdef RouteTrie trie

    def __cinit__(self, routes):
        cdef inner_address address
        self.trie.root4 = self.trie.root6 = -1
        entries = list(routes)
        self.trie.nodes = <RouteNode *>calloc(2 * len(entries) + 1, sizeof(RouteNode))
        if self.trie.nodes == NULL:
            raise MemoryError
        for packed, length, slot in entries:
            if len(packed) not in (4, 16) or not 0 <= length <= 8 * len(packed):
                raise ValueError("a prefix is 4 or 16 bytes and as many bits as those hold at most")
            address_of(&address, packed)
            trie_insert(&self.trie, &address, length, slot)

    def __dealloc__(self):
        free(self.trie.nodes)


@cython.final
cdef class Keypair:
    """One session's keys, counter and replay window. Wiped when nobody can use it any more."""

    cdef KeypairState state
    cdef Table table

    def __cinit__(self, Table table, bytes send_key, bytes receive_key, uint32_t local_index,
                  uint32_t remote_index, bint is_initiator, double created_at):
        if len(send_key) != 32 or len(receive_key) != 32:
            raise ValueError("a transport key is 32 bytes")
        self.table = table
        memcpy(self.state.send_key, PyBytes_AsString(send_key), 32)
        memcpy(self.state.receive_key, PyBytes_AsString(receive_key), 32)
        self.state.local_index = local_index
        self.state.remote_index = remote_index
        self.state.is_initiator = is_initiator
        self.state.created_at = nanoseconds(created_at)

    def __dealloc__(self):
        wipe(&self.state, sizeof(KeypairState))

    @property
    def local_index(self):
        return self.state.local_index

    @property
    def remote_index(self):
        return self.state.remote_index

    @property
    def is_initiator(self):
        return bool(self.state.is_initiator)

    @property
    def created_at(self):
        return self.state.created_at / 1e9

    @property
    def send_counter(self):
        """Messages sealed so far, never more than the protocol allows."""
        return min(load_relaxed(&self.state.send_counter), REJECT_AFTER_MESSAGES)

    @send_counter.setter
    def send_counter(self, uint64_t counter):
        """For tests of the limits: the next message carries this number."""
        store_relaxed(&self.state.send_counter, counter)

    def seal(self, bytes packet):
        """The transport datagram of a padded or empty packet. OverflowError past the limit."""
        cdef size_t length = len(packet)
        cdef uint64_t counter
        cdef aead_item item
        if not take_counters(&self.state, 1, &counter):
            raise OverflowError("the key has sealed as many messages as it may")
        datagram = PyBytes_FromStringAndSize(NULL, length + OVERHEAD)
        cdef uint8_t *out = <uint8_t *>PyBytes_AsString(datagram)
        write_header(out, self.state.remote_index, counter)
        item.source = <const uint8_t *>PyBytes_AsString(packet)
        item.target = out + HEADER_SIZE
        item.length = length
        item.counter = counter
        item.head = 0
        self.table.aead.provider.seal(self.table.aead.context, self.state.send_key, &item, 1)
        if not item.ok:
            raise MemoryError("the AEAD provider could not seal")
        return datagram

    def open(self, bytes datagram):
        """The plaintext of a transport datagram, or the DropReason number that refuses it."""
        cdef size_t length = len(datagram)
        cdef const uint8_t *p = <const uint8_t *>PyBytes_AsString(datagram)
        cdef aead_item item
        if length < OVERHEAD or read_le32(p) != TRANSPORT:
            return <int>MALFORMED
        plaintext = PyBytes_FromStringAndSize(NULL, length - OVERHEAD)
        item.source = p + HEADER_SIZE
        item.target = <uint8_t *>PyBytes_AsString(plaintext)
        item.length = length - HEADER_SIZE
        item.counter = read_le64(p + 8)
        item.head = 0
        self.table.aead.provider.open(self.table.aead.context, self.state.receive_key, &item, 1)
        if not item.ok:
            return <int>BAD_TAG
        if not replay_accept(&self.state, item.counter):
            return <int>REPLAYED
        return plaintext

    def accept(self, uint64_t counter):
        """Whether the replay window takes this counter; it is taken then. For tests."""
        return bool(replay_accept(&self.state, counter))

    def wipe(self):
        """The keys are overwritten once no lane can hold them: when the last reference goes."""


cdef class Slot:
    """One peer as the lanes see it. Not final: whoever knows our values dresses it in them."""

    cdef Table table
    cdef SlotState *state
    cdef _SlotNumber owner
    cdef readonly uint32_t number
    cdef readonly Keypair previous
    cdef readonly Keypair current
    cdef readonly Keypair next

    def __cinit__(self, Table table):
        self.table = table
        self.number = table._take_slot()
        self.owner = _SlotNumber.__new__(_SlotNumber)
        self.owner.table = table
        self.owner.number = self.number
        self.state = &table.state.slots[self.number]

    @property
    def raw_endpoint(self):
        """(packed address, port, scope id, packed source or None, source ifindex), or None."""
        cdef udp_endpoint e
        endpoint_read(self.state, &e)
        if e.family == 0:
            return None
        size = 4 if e.family == AF_INET else 16
        source = (<char *>e.source)[:size] if e.has_source else None
        return (<char *>e.address)[:size], e.port, e.scope_id, source, e.source_ifindex

    @raw_endpoint.setter
    def raw_endpoint(self, value):
        cdef udp_endpoint e
        memset(&e, 0, sizeof(e))
        if value is not None:
            endpoint_of(&e, value)
        endpoint_write(self.state, &e)

    def forget_source(self):
        """Let the system choose where the peer is answered from; the endpoint stays."""
        forget_source(self.state)

    def install(self, Keypair previous, Keypair current, Keypair next):
        """Publish three sessions; those not among them are withdrawn and dropped after a grace."""
        before = (self.previous, self.current, self.next)
        after = (previous, current, next)
        withdrawn = [old for old in before if old is not None and not is_among(old, after)]
        for old in withdrawn:
            self.table._unname((<Keypair>old).state.local_index)
        store_pointer(&self.state.previous, &previous.state if previous is not None else NULL)
        store_pointer(&self.state.current, &current.state if current is not None else NULL)
        store_pointer(&self.state.next, &next.state if next is not None else NULL)
        self.previous, self.current, self.next = previous, current, next
        for new in after:
            if new is not None and not is_among(new, before):
                self.table._name((<Keypair>new).state.local_index, self.number)
        for old in withdrawn:
            self.table._retire(old)

    def note_sent(self, double boot, uint64_t size, bint data):
        """An authenticated message went out."""
        note_sent(self.state, nanoseconds(boot), size, data)

    def note_received(self, double boot, uint64_t size, bint data):
        """An authenticated message came in."""
        note_received(self.state, nanoseconds(boot), size, data)

    def forget_data_sent(self):
        store_relaxed(&self.state.first_data_sent_at, 0)

    def forget_data_received(self):
        store_relaxed(&self.state.first_data_received_at, 0)

    @property
    def last_sent_at(self):
        return load_relaxed(&self.state.last_sent_at) / 1e9

    @property
    def last_received_at(self):
        return load_relaxed(&self.state.last_received_at) / 1e9

    @property
    def first_data_received_at(self):
        return load_relaxed(&self.state.first_data_received_at) / 1e9

    @property
    def last_data_received_at(self):
        return load_relaxed(&self.state.last_data_received_at) / 1e9

    @property
    def first_data_sent_at(self):
        return load_relaxed(&self.state.first_data_sent_at) / 1e9

    @property
    def tx_bytes(self):
        return load_relaxed(&self.state.tx_bytes)

    @property
    def rx_bytes(self):
        return load_relaxed(&self.state.rx_bytes)

    def retire(self):
        """The peer is gone: no sessions, no endpoint, and the number is free after the grace."""
        self.install(None, None, None)
        self.raw_endpoint = None
        if self.owner is not None:
            owner, self.owner = self.owner, None
            self.table._retire(owner)


@cython.final
cdef class Lane:
    """One native thread's world. `run` is the thread's target; everything else is the loop's."""

    cdef LaneState state
    cdef Table table

    def __cinit__(self, Table table, *, int number, int tun_fd, tuple tun_queues, int ipv4_fd,
                  int ipv6_fd, tuple sockets, int stop_fd, int upcall_fd, bint vnet_header,
                  bint tcp_offload, bint udp_offload, bint segment):
        """Reads these queues of the TUN and receives from these sockets, either of which may be
        none; writes to `tun_fd`, sends by the socket of either family, -1 for none.
        """
        cdef LaneState *lane = &self.state
        self.table = table
        lane.table = &table.state
        lane.epoch = IDLE
        lane.made_at = boot_ns()
        lane.number, lane.stop_fd, lane.ring.eventfd = number, stop_fd, upcall_fd
        lane.tun_fd, lane.ipv4_fd, lane.ipv6_fd = tun_fd, ipv4_fd, ipv6_fd
        lane.epoll_fd = -1
        lane_serve(lane, tun_queues, sockets)
        if not lane_watch(lane):
            raise OSError(errno, "cannot wait for so many descriptors")
        lane.vnet_header = vnet_header
        lane.features = (OFFLOAD_TCP if tcp_offload else 0) | (OFFLOAD_UDP if udp_offload else 0)
        lane.max_segments = UDP_MAX_SEGMENTS if segment else 1
        lane.provider = the_provider
        if not lane_allocate(lane):
            raise MemoryError
        if not segment:
            udp_sender_plain(lane.sender)
        table.lanes.append(self)

    def __dealloc__(self):
        lane_free(&self.state)

    def run(self):
        """Move packets until the stop descriptor becomes readable. Holds no GIL."""
        with nogil:
            lane_run(&self.state)

    def pretend_batch(self, bint begin):
        """Be in the middle of a batch, or not, without a thread: for tests of the grace period."""
        if begin:
            lane_enter(&self.state)
        else:
            lane_leave(&self.state)

    def leave(self):
        """The thread has ended: withdrawals need not wait for this lane any more."""
        if self in self.table.lanes:
            self.table.lanes.remove(self)
        self.table.reclaim()

    def drain(self, int limit):
        """At most `limit` upcalls: (kind, value, payload, origin or None, handshakes waiting)."""
        cdef Ring *ring = &self.state.ring
        cdef UpcallHeader *entry
        cdef list taken = []
        cdef uint64_t queued
        self.table.reclaim()
        while len(taken) < limit and ring_peek(ring, &entry):
            if entry.kind == UPCALL_HANDSHAKE:
                store_relaxed(&ring.handshakes_out, ring.handshakes_out + 1)
            # The lane counts a message just after it has queued it.
            queued = load_relaxed(&ring.handshakes_in)
            waiting = queued - ring.handshakes_out if queued > ring.handshakes_out else 0
            payload = (<char *>entry + sizeof(UpcallHeader))[:entry.length]
            origin = endpoint_tuple(&entry.origin) if entry.kind == UPCALL_HANDSHAKE else None
            taken.append((<int>entry.kind, entry.value, payload, origin, waiting))
            store_release(&ring.tail, ring.tail + entry.size)
        return taken

    def counters(self):
        """(drops by reason, named counters) since the lane was made."""
        cdef LaneCounters *c = &self.state.counters
        drops = [load_relaxed(&c.drops[i]) for i in range(32)]
        named = {
            "tun_reads": c.tun_reads, "tun_read_packets": c.tun_read_packets,
            "udp_sends": c.udp_sends, "udp_messages": c.udp_messages, "udp_sent": c.udp_sent,
            "udp_receives": c.udp_receives, "udp_received": c.udp_received,
            "tun_writes": c.tun_writes, "tun_written_packets": c.tun_written_packets,
            "sealed_batches": c.sealed_batches, "opened_batches": c.opened_batches,
            "opened_messages": c.opened_messages, "cookie_replies": c.cookie_replies,
            "busy_ns": load_relaxed(&c.busy_ns), "alive_ns": boot_ns() - self.state.made_at,
        }
        return drops, named


# ------------------------------------------------------------------- helpers that hold the GIL

cdef bint is_among(object keypair, tuple keypairs):
    return any(keypair is other for other in keypairs)


cdef uint64_t nanoseconds(double seconds):
    return <uint64_t>(seconds * 1e9 + 0.5)


cdef void address_of(inner_address *a, bytes packed) except *:
    value = int.from_bytes(packed, "big") << (128 - 8 * len(packed))
    a.high, a.low = value >> 64, value & 0xffffffffffffffff
    a.version = 4 if len(packed) == 4 else 6


cdef void endpoint_of(udp_endpoint *e, tuple value) except *:
    address, port, scope_id, source, ifindex = value
    if len(address) not in (4, 16) or (source is not None and len(source) != len(address)):
        raise ValueError("an address is 4 or 16 bytes, and its source of the same family")
    e.family = AF_INET if len(address) == 4 else AF_INET6
    e.port, e.scope_id = port, scope_id
    memcpy(e.address, PyBytes_AsString(address), len(address))
    if source is not None:
        memcpy(e.source, PyBytes_AsString(source), len(source))
        e.source_ifindex, e.has_source = ifindex, 1


cdef tuple endpoint_tuple(udp_endpoint *e):
    size = 4 if e.family == AF_INET else 16
    source = (<char *>e.source)[:size] if e.has_source else None
    return (<char *>e.address)[:size], e.port, e.scope_id, source, e.source_ifindex


# ---------------------------------------------------------------------------------- the lane

cdef void lane_serve(LaneState *lane, tuple tun_queues, tuple sockets) except *:
    """Read and receive from these."""
    cdef uint32_t i
    if (len(tun_queues) > MAX_TUN_QUEUES or len(sockets) > MAX_SOCKETS
            or lane.number >= MAX_LANES):
        raise ValueError(f"at most {<int>MAX_LANES} lanes a direction, "
                         f"{<int>MAX_TUN_QUEUES} queues and {<int>MAX_SOCKETS} sockets each")
    lane.tun_count, lane.socket_count = len(tun_queues), len(sockets)
    for i in range(lane.tun_count):
        lane.tun_queues[i] = tun_queues[i]
    for i in range(lane.socket_count):
        lane.sockets[i].fd = sockets[i]


cdef bint lane_watch(LaneState *lane) noexcept:
    """The first queue of either kind is hot, all others are cold; False if the system cannot."""
    cdef uint32_t i
    lane.hot_tun.bit, lane.hot_socket.bit = TUN_BIT, SOCKET_BIT
    lane.epoll_fd = epoll_create1(EPOLL_CLOEXEC)
    if lane.epoll_fd < 0:
        return False
    for i in range(1, lane.tun_count):
        if not watch(lane, TUN_BIT + i):
            return False
    for i in range(1, lane.socket_count):
        if not watch(lane, SOCKET_BIT + i):
            return False
    return True


cdef bint lane_allocate(LaneState *lane) noexcept:
    lane.ring.memory = <uint8_t *>calloc(RING_SIZE, 1)
    lane.items = <aead_item *>calloc(MAX_PACKETS, sizeof(aead_item))
    lane.aead = lane.provider.create() if lane.provider != NULL else NULL
    lane.scratch = <uint8_t *>calloc(VNET_HEADER_SIZE + FRAME_SIZE, 1)
    if lane.tun_count:
        lane.frames = <uint8_t *>calloc(FRAMES_WAITING, FRAME_SLOT)
        lane.output = <uint8_t *>calloc(OUTPUT_SIZE, 1)
        lane.packets = <OutboundPacket *>calloc(MAX_PACKETS, sizeof(OutboundPacket))
        lane.spare_packets = <OutboundPacket *>calloc(MAX_PACKETS, sizeof(OutboundPacket))
        lane.spare_items = <aead_item *>calloc(MAX_PACKETS, sizeof(aead_item))
        lane.parts = <iovec *>calloc(MAX_PACKETS, sizeof(iovec))
        lane.messages = <udp_message *>calloc(UDP_SEND_SLOTS, sizeof(udp_message))
        if (lane.frames == NULL or lane.output == NULL or lane.packets == NULL
                or lane.spare_packets == NULL or lane.spare_items == NULL or lane.parts == NULL
                or lane.messages == NULL):
            return False
    lane.sender = udp_sender_new()
    if lane.socket_count:
        lane.receiver = udp_receiver_new()
        lane.messages_in = <InboundMessage *>calloc(MAX_PACKETS, sizeof(InboundMessage))
        lane.groups = <KeyGroup *>calloc(MAX_PACKETS, sizeof(KeyGroup))
        lane.batches = <WaitingBatch *>calloc(BATCHES_WAITING, sizeof(WaitingBatch))
        lane.desk = <CookieDesk *>calloc(1, sizeof(CookieDesk))
        if (lane.receiver == NULL or lane.messages_in == NULL or lane.groups == NULL
                or lane.batches == NULL or lane.desk == NULL):
            return False
    return (lane.ring.memory != NULL and lane.items != NULL and lane.aead != NULL
            and lane.scratch != NULL and lane.sender != NULL)


cdef void lane_free(LaneState *lane) noexcept:
    if lane.epoll_fd >= 0:
        close(lane.epoll_fd)
    if lane.aead != NULL:
        lane.provider.destroy(lane.aead)
    udp_sender_free(lane.sender)
    udp_receiver_free(lane.receiver)
    free(lane.ring.memory)
    free(lane.items)
    free(lane.scratch)
    free(lane.frames)
    free(lane.output)
    free(lane.packets)
    free(lane.spare_packets)
    free(lane.spare_items)
    free(lane.parts)
    free(lane.messages)
    free(lane.messages_in)
    free(lane.groups)
    free(lane.batches)
    free(lane.desk)


cdef void lane_run(LaneState *lane) noexcept nogil:
    """A batch from each queue that has something, then asleep until one has."""
    cdef uint64_t ready = lane_wait(lane)
    while not ready >> STOP_BIT & 1:
        lane_enter(lane)
        begin_turn(lane, <uint32_t>(ready >> TUN_BIT) & ((1 << MAX_TUN_QUEUES) - 1))
        if lane.tun_ready or lane.frames_in != lane.frames_out:
            tun_batch(lane)
        udp_batches(lane, <uint32_t>(ready >> SOCKET_BIT))
        deliver(lane, BYTES_A_TURN)
        lane_leave(lane)
        ready = lane_wait(lane)
    lane_finish(lane)


cdef void lane_finish(LaneState *lane) noexcept nogil:
    """Nothing is taken in any more; what stands in line still goes where it belongs."""
    lane.tun_ready = 0
    while is_anybody_in_line(lane):
        lane_enter(lane)
        tun_batch(lane)
        deliver(lane, EVERYTHING)
        lane_leave(lane)


cdef bint is_anybody_in_line(LaneState *lane) noexcept nogil:
    return lane.frames_in != lane.frames_out or lane.batches_in != lane.batches_out


cdef void lane_enter(LaneState *lane) noexcept nogil:
    """Announce the epoch, then follow pointers: what is withdrawn later outlives the batch."""
    store_release(&lane.epoch, load_acquire(&lane.table.epoch))
    full_fence()
    lane.now = boot_ns()


cdef void lane_leave(LaneState *lane) noexcept nogil:
    """Nothing is followed any more; what went up in this batch is told, once."""
    store_release(&lane.epoch, IDLE)
    ring_tell(&lane.ring)
    store_relaxed(&lane.counters.busy_ns, lane.counters.busy_ns + boot_ns() - lane.now)


cdef uint64_t lane_wait(LaneState *lane) noexcept nogil:
    """Sleep until there is something to do; answers where. What is left over counts."""
    cdef pollfd fds[4]
    cdef int i
    cdef uint64_t ready = 0
    fds[0].fd = lane.stop_fd
    fds[1].fd = queue_fd(lane, lane.hot_tun.bit) if lane.tun_count else -1
    fds[2].fd = queue_fd(lane, lane.hot_socket.bit) if lane.socket_count else -1
    fds[3].fd = lane.epoll_fd
    for i in range(4):
        fds[i].events, fds[i].revents = POLLIN, 0
    poll(fds, 4, 0 if is_anybody_in_line(lane) else -1)
    ready |= <uint64_t>(fds[0].revents != 0) << STOP_BIT
    ready |= <uint64_t>(fds[1].revents != 0) << lane.hot_tun.bit
    ready |= <uint64_t>(fds[2].revents != 0) << lane.hot_socket.bit
    return ready | cold_queues(lane) if fds[3].revents else ready


cdef uint64_t cold_queues(LaneState *lane) noexcept nogil:
    """Which of the queues that are not hot have something."""
    cdef epoll_event events[MAX_TUN_QUEUES + MAX_SOCKETS]
    cdef int found = epoll_wait(lane.epoll_fd, events, MAX_TUN_QUEUES + MAX_SOCKETS, 0), i
    cdef uint64_t ready = 0
    for i in range(found):
        ready |= <uint64_t>1 << events[i].data.u64
    return ready


cdef int queue_fd(LaneState *lane, uint32_t bit) noexcept nogil:
    if bit < SOCKET_BIT:
        return lane.tun_queues[bit - TUN_BIT]
    return lane.sockets[bit - SOCKET_BIT].fd


cdef bint watch(LaneState *lane, uint32_t bit) noexcept nogil:
    """The queue is waited for together with others from now on."""
    cdef epoll_event event
    event.events, event.data.u64 = EPOLLIN, bit
    return epoll_ctl(lane.epoll_fd, EPOLL_CTL_ADD, queue_fd(lane, bit), &event) == 0


cdef void heat(LaneState *lane, HotQueue *hot, uint32_t bit) noexcept nogil:
    """The queue has traffic: it is waited for by itself, unless another had some just now.

    A descriptor that is waited for by itself costs something whenever the lane falls asleep; one
    that is waited for together with others, whenever a packet comes.
    """
    if bit != hot.bit:
        if lane.now < hot.until or not watch(lane, hot.bit):
            return
        epoll_ctl(lane.epoll_fd, EPOLL_CTL_DEL, queue_fd(lane, bit), NULL)
        hot.bit = bit
    hot.until = lane.now + HOT_TIME


cdef void drop(LaneState *lane, int reason, uint64_t count=1) noexcept nogil:
    store_relaxed(&lane.counters.drops[reason], lane.counters.drops[reason] + count)


# ---------------------------------------------------------------------------------- outbound

cdef void begin_turn(LaneState *lane, uint32_t ready) noexcept nogil:
    """All of these queues are read until they have nothing, or one frame of each.

    The latter where somebody is among them who was not there in the last turn: who comes now and
    then has one frame, and to find that there is no other costs a system call.
    """
    cdef uint32_t known = lane.tun_served | <uint32_t>1 << (lane.hot_tun.bit - TUN_BIT)
    lane.tun_ready, lane.tun_served = ready, 0
    lane.is_deep = ready & ~known == 0 or sparse_is_sought(&lane.frame_line, lane.now)


cdef void tun_batch(LaneState *lane) noexcept nogil:
    """Take frames in, let one after the other out of the line, route, cut, seal and send them."""
    cdef OutboundBatch b
    b.reads = b.frames = b.packets = b.bytes = 0
    b.is_dry = lane.tun_ready == 0
    while not is_full(&b):
        take_in(lane, &b)
        if lane.frames_in == lane.frames_out:
            break
        let_out(lane, &b)
    if b.packets:
        group_packets(lane, b.packets)
        note_packets(lane, b.packets)
        seal_packets(lane, b.packets)
        send_packets(lane, b.packets)


cdef bint is_full(OutboundBatch *b) noexcept nogil:
    """Whether it is enough; two more frames, of which one stood in line, always find room."""
    return (b.reads >= BATCH_FRAMES or b.frames >= BATCH_FRAMES - 2
            or b.packets >= BATCH_FRAMES - 2 or b.bytes >= BATCH_BYTES)


cdef void take_in(LaneState *lane, OutboundBatch *b) noexcept nogil:
    """Read one frame, or all there are while somebody among them may go first."""
    cdef uint32_t most = FRAMES_WAITING if sparse_is_sought(&lane.frame_line, lane.now) else 1
    while not b.is_dry and not is_full(b) and lane.frames_in - lane.frames_out < most:
        read_frame(lane, b)


cdef void read_frame(LaneState *lane, OutboundBatch *b) noexcept nogil:
    """One of the next queue in turn, so that who fills one takes nothing from the others."""
    cdef uint32_t queue = next_queue(lane)
    cdef ssize_t length = read(
        lane.tun_queues[queue], tun_target(lane), VNET_HEADER_SIZE + FRAME_SIZE - 1)
    b.reads += 1
    if length > 0:
        heat(lane, &lane.hot_tun, TUN_BIT + queue)
        lane.tun_served |= <uint32_t>1 << queue
        tun_frame(lane, <size_t>length, b)
    if length <= 0 or not lane.is_deep:
        lane.tun_ready &= ~(<uint32_t>1 << queue)
    if length < 0:
        tun_refused(lane, errno)
    b.is_dry = lane.tun_ready == 0


cdef uint32_t next_queue(LaneState *lane) noexcept nogil:
    """Of those that may have something, of which there is one."""
    while True:
        lane.tun_turn = (lane.tun_turn + 1) % lane.tun_count
        if lane.tun_ready >> lane.tun_turn & 1:
            return lane.tun_turn


cdef uint8_t *frame_slot(LaneState *lane) noexcept nogil:
    return lane.frames + lane.frames_in % FRAMES_WAITING * FRAME_SLOT


cdef uint8_t *tun_target(LaneState *lane) noexcept nogil:
    """Without a vnet header of the kernel's, ours of zeros stands before the packet."""
    cdef uint8_t *slot = frame_slot(lane)
    if lane.vnet_header:
        return slot
    memset(slot, 0, VNET_HEADER_SIZE)
    return slot + VNET_HEADER_SIZE


cdef void tun_refused(LaneState *lane, int error) noexcept nogil:
    if error == EAGAIN or error == EINTR:
        return
    if error == EBADFD:
        # Said once, and until it could be said the lane does not give up.
        if ring_push(&lane.ring, UPCALL_DEVICE_GONE, error, NULL, 0, NULL):
            leave_tun(lane)
    else:
        drop(lane, TUN_REFUSED)


cdef void leave_tun(LaneState *lane) noexcept nogil:
    """No queue is read or waited for any more."""
    cdef uint32_t i
    for i in range(lane.tun_count):
        epoll_ctl(lane.epoll_fd, EPOLL_CTL_DEL, lane.tun_queues[i], NULL)
    lane.tun_count = lane.tun_ready = 0


cdef void tun_frame(LaneState *lane, size_t length, OutboundBatch *b) noexcept nogil:
    """A frame goes on at once if it may, or stands in line."""
    cdef WaitingFrame *w = &lane.waiting_frames[lane.frames_in % FRAMES_WAITING]
    cdef offload_frame *f = &w.frame
    cdef size_t total = length if lane.vnet_header else length + VNET_HEADER_SIZE
    lane.counters.tun_reads += 1
    if offload_parse(f, frame_slot(lane), total, MAX_SEGMENTS) < 0:
        drop(lane, BAD_OUTBOUND)
        return
    lane.counters.tun_read_packets += f.segments
    w.flow = sparse_flow(f.packet, f.packet_length)
    sparse_see(&lane.frame_line, w.flow, f.segments, lane.now)
    if sparse_may_pass(&lane.frame_line, w.flow, f.segments):
        route_frame(lane, f, b)
    else:
        sparse_wait(&lane.frame_line, w.flow)
        lane.frames_in += 1


cdef void let_out(LaneState *lane, OutboundBatch *b) noexcept nogil:
    """The frame that has waited longest; when it was the last, its slot is used again at once."""
    cdef WaitingFrame *w = &lane.waiting_frames[lane.frames_out % FRAMES_WAITING]
    sparse_leave(&lane.frame_line, w.flow)
    route_frame(lane, &w.frame, b)
    lane.frames_out += 1
    if lane.frames_in == lane.frames_out:
        lane.frames_in = lane.frames_out = 0


cdef void route_frame(LaneState *lane, offload_frame *f, OutboundBatch *b) noexcept nogil:
    """One frame becomes packets of the batch, an upcall, or a counted drop."""
    cdef inner_address destination
    cdef SlotState *slot
    cdef KeypairState *keypair
    cdef uint64_t counter
    cdef int number
    b.frames += 1
    if inner_destination(f.packet, f.packet_length, &destination) < 0:
        drop(lane, BAD_OUTBOUND)
        return
    number = trie_lookup(<RouteTrie *>load_pointer(&lane.table.routes), &destination)
    if number < 0:
        no_peer(lane, f)
        return
    slot = &lane.table.slots[number]
    keypair = sending_keypair(slot)
    if not can_seal(lane, slot, keypair):
        hand_up(lane, f)
    elif is_own_message(f, slot, keypair):
        drop(lane, ROUTING_LOOP, f.segments)
    elif not take_counters(keypair, f.segments, &counter):
        hand_up(lane, f)
    else:
        cut_packets(lane, f, <uint32_t>number, keypair, counter, b)


cdef KeypairState *sending_keypair(SlotState *slot) noexcept nogil:
    """`next` from its first use on, for a peer that began anew may have forgotten `current`.

    Where there is no `current`, nothing is sent under `next` either before the loop says so.
    """
    cdef KeypairState *following = <KeypairState *>load_pointer(&slot.next)
    cdef KeypairState *current = <KeypairState *>load_pointer(&slot.current)
    if current != NULL and following != NULL and load_acquire(&following.confirmed_told):
        return following
    return current


cdef bint can_seal(LaneState *lane, SlotState *slot, KeypairState *keypair) noexcept nogil:
    return (keypair != NULL
            and lane.now < keypair.created_at + REJECT_AFTER_TIME
            and slot.endpoint.family != 0)


cdef bint take_counters(KeypairState *k, uint64_t count, uint64_t *first) noexcept nogil:
    """So many numbers that nobody else has; False where the key would seal more than it may."""
    first[0] = load_relaxed(&k.send_counter)
    while first[0] <= REJECT_AFTER_MESSAGES - count:
        if compare_exchange(&k.send_counter, first, first[0] + count):
            return True
    return False


cdef bint is_own_message(offload_frame *f, SlotState *slot, KeypairState *keypair) noexcept nogil:
    """Whether a route led our own message to this peer back into the tunnel. wireguard/loop.py."""
    cdef const uint8_t *p = f.packet
    cdef const uint8_t *udp = udp_header(p, f.packet_length)
    cdef udp_endpoint e
    if (udp == NULL or udp + 8 + HEADER_SIZE > p + f.packet_length
            or read_le32(udp + 8) != TRANSPORT or read_le32(udp + 12) != keypair.remote_index):
        return False
    endpoint_read(slot, &e)
    if e.port != <uint16_t>(udp[2] << 8 | udp[3]):
        return False
    if p[0] >> 4 == 4:
        return e.family == AF_INET and memcmp(e.address, p + 16, 4) == 0
    return e.family == AF_INET6 and memcmp(e.address, p + 24, 16) == 0


cdef const uint8_t *udp_header(const uint8_t *p, size_t length) noexcept nogil:
    """Where the UDP header begins in a whole packet or a first fragment, NULL if there is none."""
    if p[0] >> 4 == 4:
        return p + (p[0] & 15) * 4 if p[9] == 17 and not (p[6] & 31 or p[7]) else NULL
    if p[6] == 17:
        return p + 40
    if p[6] == 44 and length >= 48 and p[40] == 17 and not (p[42] or p[43] & 0xf8):
        return p + 48
    return NULL


cdef void cut_packets(LaneState *lane, offload_frame *f, uint32_t number, KeypairState *keypair,
                      uint64_t counter, OutboundBatch *b) noexcept nogil:
    """Each segment is copied behind its header, padded, and takes its counter, from this one on."""
    cdef uint64_t mtu = load_relaxed(&lane.table.mtu)
    cdef uint32_t i, length, padded
    cdef uint8_t *out
    cdef OutboundPacket *p
    cdef uint8_t ecn = inner_ecn(f.packet)
    for i in range(f.segments):
        p = &lane.packets[b.packets]
        out = lane.output + b.bytes
        length = <uint32_t>cut_segment(f, i, out + HEADER_SIZE)
        padded = padded_length(length, mtu)
        memset(out + HEADER_SIZE + length, 0, padded - length)
        write_header(out, keypair.remote_index, counter + i)
        p.datagram, p.length, p.slot, p.keypair = out, padded + OVERHEAD, number, keypair
        p.ecn, p.begins = ecn, f.segments if i == 0 else 0
        lane.items[b.packets].source = out + HEADER_SIZE
        lane.items[b.packets].target = out + HEADER_SIZE
        lane.items[b.packets].length = padded
        lane.items[b.packets].counter = counter + i
        b.packets += 1
        b.bytes += padded + OVERHEAD


cdef size_t cut_segment(offload_frame *f, uint32_t i, uint8_t *out) noexcept nogil:
    if f.segments > 1:
        return offload_segment(f, i, out)
    memcpy(out, f.packet, f.packet_length)
    return f.packet_length


cdef uint32_t padded_length(uint32_t length, uint64_t mtu) noexcept nogil:
    """Up to 15 zeros hide the exact size, but never grow a packet past the MTU (paper 5.4.6)."""
    cdef uint32_t unit = length, rounded
    if mtu and length > mtu:
        unit = <uint32_t>(length % mtu)
    rounded = (unit + 15) & ~<uint32_t>15
    if mtu and rounded > mtu:
        return length
    return length + rounded - unit


cdef void no_peer(LaneState *lane, offload_frame *f) noexcept nogil:
    """Nobody has this address: counted, and told now and then, so that ICMP tells the sender."""
    cdef size_t length
    drop(lane, NO_PEER, f.segments)
    if lane.now >= lane.icmp_allowed_at:
        lane.icmp_allowed_at = lane.now + ICMP_INTERVAL
        length = cut_segment(f, 0, lane.scratch)
        ring_push(&lane.ring, UPCALL_NO_PEER, 0, lane.scratch, length, NULL)


cdef void hand_up(LaneState *lane, offload_frame *f) noexcept nogil:
    """No session yet: every packet of the frame goes to Python, which stages it."""
    cdef uint32_t i
    cdef size_t length
    for i in range(f.segments):
        length = cut_segment(f, i, lane.scratch)
        if not ring_push(&lane.ring, UPCALL_OUTBOUND, 0, lane.scratch, length, NULL):
            drop(lane, QUEUE_FULL, f.segments - i)
            return


cdef void group_packets(LaneState *lane, uint32_t count) noexcept nogil:
    """What goes to one peer stands together, in the order in which it came; peers, by their first.

    Frames to many peers come in any order. Together they share a super-packet and a sealing.
    """
    cdef Run runs[256]
    cdef int found = find_runs(lane, count, runs), i, j
    cdef uint32_t placed = 0
    if found <= 2:
        return
    for i in range(found):
        for j in range(i, found):
            if runs[j].count and runs[j].slot == runs[i].slot:
                memcpy(&lane.spare_packets[placed], &lane.packets[runs[j].first],
                       runs[j].count * sizeof(OutboundPacket))
                memcpy(&lane.spare_items[placed], &lane.items[runs[j].first],
                       runs[j].count * sizeof(aead_item))
                placed += runs[j].count
                if j > i:
                    runs[j].count = 0
    lane.packets, lane.spare_packets = lane.spare_packets, lane.packets
    lane.items, lane.spare_items = lane.spare_items, lane.items


cdef int find_runs(LaneState *lane, uint32_t count, Run *runs) noexcept nogil:
    """Neighbours that go to one peer. A frame is not divided: there are BATCH_FRAMES at most."""
    cdef int found = 0
    cdef uint32_t i
    for i in range(count):
        if found and runs[found - 1].slot == lane.packets[i].slot:
            runs[found - 1].count += 1
        else:
            runs[found].slot, runs[found].first, runs[found].count = lane.packets[i].slot, i, 1
            found += 1
    return found


cdef void note_packets(LaneState *lane, uint32_t count) noexcept nogil:
    """Once for each run of one peer: when it went, and whether its key grows old.

    Before it is sent: the answer may be here, on the other lane, before the system call returns.
    """
    cdef uint32_t start = 0, end
    while start < count:
        end = start + 1
        while end < count and lane.packets[end].slot == lane.packets[start].slot:
            end += 1
        note_sent(&lane.table.slots[lane.packets[start].slot], lane.now, 0, True)
        tell_rekey(lane, lane.packets[start].keypair, REKEY_AFTER_TIME)
        start = end


cdef void seal_packets(LaneState *lane, uint32_t count) noexcept nogil:
    """Runs of one key are sealed together."""
    cdef uint32_t start = 0, end
    while start < count:
        end = start + 1
        while end < count and lane.packets[end].keypair == lane.packets[start].keypair:
            end += 1
        lane.provider.seal(
            lane.aead, lane.packets[start].keypair.send_key, &lane.items[start], end - start)
        lane.counters.sealed_batches += 1
        start = end


cdef void send_packets(LaneState *lane, uint32_t count) noexcept nogil:
    """Runs that may share a super-packet become messages; messages share a system call."""
    cdef uint32_t start = 0, run
    cdef int queued = 0
    while start < count:
        lane.messages[queued].parts = &lane.parts[start]
        run = fill_message(lane, &lane.messages[queued], start, count)
        lane.message_slots[queued] = lane.packets[start].slot
        start += run
        queued += 1
        if queued == UDP_SEND_SLOTS or start == count:
            flush_messages(lane, queued)
            queued = 0


cdef uint32_t fill_message(LaneState *lane, udp_message *m, uint32_t start,
                           uint32_t count) noexcept nogil:
    """The packets from `start` on that one message can carry: same peer, same size, same mark.

    A frame is not divided where it can go whole: what left the TUN as one enters the other as one.
    """
    cdef OutboundPacket *first = &lane.packets[start]
    cdef OutboundPacket *p
    cdef uint32_t run = 1, most
    endpoint_read(&lane.table.slots[first.slot], &m.to)
    most = most_packets(lane, m.to.family, first.length)
    m.length, m.segment_size, m.count = 0, first.length, 0
    m.traffic_class = first.ecn
    add_part(m, first)
    while start + run < count and run < most:
        p = &lane.packets[start + run]
        if (p.slot != first.slot or p.ecn != first.ecn or p.length > first.length
                or run + p.begins > most):
            break
        add_part(m, p)
        run += 1
        if p.length < first.length:
            break
    return run


cdef uint32_t most_packets(LaneState *lane, uint16_t family, uint32_t length) noexcept nogil:
    """How many of this length a message to this family takes."""
    cdef uint32_t limit = UDP_MAX_SUPER_IPV4 if family == AF_INET else UDP_MAX_SUPER_IPV6
    return min(lane.max_segments, max(limit // length, 1))


cdef void add_part(udp_message *m, OutboundPacket *p) noexcept nogil:
    """What lies behind the last part in memory makes it longer."""
    cdef iovec *last = &m.parts[m.count - 1]
    if m.count and <uint8_t *>last.iov_base + last.iov_len == p.datagram:
        last.iov_len += p.length
    else:
        m.parts[m.count].iov_base, m.parts[m.count].iov_len = p.datagram, p.length
        m.count += 1
    m.length += p.length


cdef void flush_messages(LaneState *lane, int queued) noexcept nogil:
    """Send, count, and forget a source address that the system no longer lets us use."""
    cdef int i
    cdef udp_message *m
    lane.counters.udp_sends += udp_send(
        lane.sender, lane.ipv4_fd, lane.ipv6_fd, lane.messages, queued)
    lane.counters.udp_messages += queued
    for i in range(queued):
        m = &lane.messages[i]
        if m.source_refused:
            forget_source(&lane.table.slots[lane.message_slots[i]])
        if m.error:
            drop(lane, SEND_FAILED, (m.length + m.segment_size - 1) // m.segment_size)
        else:
            fetch_add(&lane.table.slots[lane.message_slots[i]].tx_bytes, m.length)
            lane.counters.udp_sent += (m.length + m.segment_size - 1) // m.segment_size


cdef void tell_rekey(LaneState *lane, KeypairState *keypair, uint64_t after) noexcept nogil:
    """Told at most once a second for a keypair, until the core has replaced it."""
    if not (load_relaxed(&keypair.send_counter) > REKEY_AFTER_MESSAGES
            or (keypair.is_initiator and lane.now > keypair.created_at + after)):
        return
    if lane.now >= load_relaxed(&keypair.rekey_told_at) + SECOND:
        store_relaxed(&keypair.rekey_told_at, lane.now)
        ring_push(&lane.ring, UPCALL_REKEY_DUE, keypair.local_index, NULL, 0, NULL)


# ---------------------------------------------------------------------------------- inbound

cdef void udp_batches(LaneState *lane, uint32_t ready) noexcept nogil:
    """One from each socket, until it is enough or one finds no room: that one begins the next turn.

    Room comes back little by little. Whoever is content with less must not take it from whoever
    waits for more, nor many sockets their time from the way out.
    """
    cdef uint32_t i, number, begin = lane.first_socket
    cdef int64_t left = RECEIVED_A_TURN, taken
    if not ready:
        return
    for i in range(lane.socket_count):
        number = (begin + i) % lane.socket_count
        if not ready >> number & 1:
            continue
        taken = udp_batch(lane, &lane.sockets[number]) if left > 0 else UDP_NO_ROOM
        if taken == UDP_NO_ROOM:
            lane.first_socket = number
            return
        if taken > 0:
            heat(lane, &lane.hot_socket, SOCKET_BIT + number)
            left -= taken


cdef int64_t udp_batch(LaneState *lane, udp_queue *socket) noexcept nogil:
    """Receive super-packets, as many as a call takes, open them, deliver. Answers UDP_NO_ROOM, or
    how much work they were: bytes, at least MESSAGE_WORK each.
    """
    cdef int received = udp_receive(lane.receiver, socket, oldest_message(lane)), i
    cdef uint32_t count = 0
    cdef int64_t work = 0
    cdef udp_datagram *d
    for i in range(received):
        d = udp_received(lane.receiver, i)
        work += max(<int64_t>d.length, MESSAGE_WORK)
        demux(lane, d, &count)
        if count >= BATCH_PACKETS:
            open_messages(lane, count)
            count = 0
    if count:
        open_messages(lane, count)
    if lane.desk.count:
        send_replies(lane)
    return UDP_NO_ROOM if received == UDP_NO_ROOM else work


cdef uint64_t oldest_message(LaneState *lane) noexcept nogil:
    """The number of the first message in which something lies that is still to be written."""
    if lane.batches_in == lane.batches_out:
        return UDP_KEEP_NOTHING
    return lane.batches[lane.batches_out % BATCHES_WAITING].first_message


cdef void demux(LaneState *lane, udp_datagram *d, uint32_t *count) noexcept nogil:
    """Each datagram of a super-packet: transport for this lane, handshakes for Python."""
    cdef size_t at = 0, length
    if d.length == 0:
        drop(lane, MALFORMED)
    lane.counters.udp_receives += 1
    while at < d.length:
        length = min(d.segment_size, d.length - at)
        lane.counters.udp_received += 1
        if count[0] == MAX_PACKETS:
            open_messages(lane, count[0])
            count[0] = 0
        demux_one(lane, d, d.data + at, length, count)
        at += length


cdef void demux_one(LaneState *lane, udp_datagram *d, uint8_t *p, size_t length,
                    uint32_t *count) noexcept nogil:
    cdef uint32_t kind
    if length < 4:
        drop(lane, MALFORMED)
        return
    kind = read_le32(p)
    if kind == TRANSPORT:
        transport(lane, d, p, length, count)
    elif not 1 <= kind <= 3:
        drop(lane, UNKNOWN_TYPE)
    elif length != message_size(kind):
        drop(lane, MALFORMED)
    else:
        handshake(lane, d, p, length, kind)


cdef size_t message_size(uint32_t kind) noexcept nogil:
    """Of an initiation, a response, a cookie reply (paper 5.4)."""
    return 148 if kind == 1 else 92 if kind == 2 else GATE_REPLY_SIZE


cdef void handshake(LaneState *lane, udp_datagram *d, uint8_t *p, size_t length,
                    uint32_t kind) noexcept nogil:
    """What passes the gate goes up, unless too much waits there. wireguard/admission.py."""
    cdef bint has_macs = kind != COOKIE_REPLY
    cdef uint64_t waiting = lane.ring.handshakes_in - load_relaxed(&lane.ring.handshakes_out)
    if waiting >= UNDER_LOAD_AFTER:
        lane.loaded_until = lane.now + UNDER_LOAD_STICKY
    if has_macs and not pass_gate(lane, d, p, length):
        return
    if (waiting < <uint64_t>(HANDSHAKE_QUEUE if has_macs else COOKIE_REPLIES)
            and ring_push(&lane.ring, UPCALL_HANDSHAKE, 0, p, length, &d.origin)):
        store_relaxed(&lane.ring.handshakes_in, lane.ring.handshakes_in + 1)
    else:
        drop(lane, QUEUE_FULL)


cdef bint pass_gate(LaneState *lane, udp_datagram *d, uint8_t *p, size_t length) noexcept nogil:
    """mac1 always, mac2 or else a cookie under load. Without a young secret, the loop makes one."""
    cdef const handshake_gate *gate = <const handshake_gate *>load_pointer(&lane.table.gate)
    cdef uint8_t source[18]
    cdef size_t source_length
    if gate == NULL:
        return True
    if not gate_mac1_holds(gate, p, length):
        drop(lane, BAD_MAC1)
        return False
    if lane.now >= lane.loaded_until or lane.now >= gate.secret_until:
        return True
    source_length = gate_source(source, &d.origin)
    if gate_mac2_holds(gate, p, length, source, source_length):
        return True
    drop(lane, UNDER_LOAD)
    reply_with_cookie(lane, gate, d, p, length)
    return False


cdef void reply_with_cookie(LaneState *lane, const handshake_gate *gate, udp_datagram *d,
                            uint8_t *p, size_t length) noexcept nogil:
    """Sent with others at the end of the batch, from the address that was written to.

    Packets of sessions wait for the same lane, so a batch full of strangers is not answered whole:
    the sooner the next one is received, the less is lost. Whoever hears nothing asks again.
    """
    cdef CookieDesk *desk = lane.desk
    cdef udp_message *m
    cdef uint8_t source[18]
    cdef size_t source_length = gate_source(source, &d.origin)
    if desk.count == REPLIES_A_BATCH:
        return
    if desk.count == 0:
        if getrandom(desk.nonces, sizeof(desk.nonces), 0) != <ssize_t>sizeof(desk.nonces):
            return
    m = &desk.messages[desk.count]
    desk.parts[desk.count].iov_base = desk.replies + desk.count * GATE_REPLY_SIZE
    desk.parts[desk.count].iov_len = m.length = m.segment_size = GATE_REPLY_SIZE
    m.parts, m.count = &desk.parts[desk.count], 1
    m.to = d.origin
    gate_reply(gate, p, length, source, source_length, desk.nonces + desk.count * GATE_NONCE_SIZE,
               desk.replies + desk.count * GATE_REPLY_SIZE)
    desk.count += 1


cdef void send_replies(LaneState *lane) noexcept nogil:
    """A full send buffer is not waited for."""
    cdef CookieDesk *desk = lane.desk
    cdef int i
    udp_offer(lane.sender, lane.ipv4_fd, lane.ipv6_fd, desk.messages, desk.count)
    for i in range(desk.count):
        if desk.messages[i].error:
            drop(lane, SEND_FAILED)
        else:
            lane.counters.cookie_replies += 1
    desk.count = 0


cdef void transport(LaneState *lane, udp_datagram *d, uint8_t *p, size_t length,
                    uint32_t *count) noexcept nogil:
    """Receiver index to keypair; a young enough one puts the message into the batch."""
    cdef int number
    cdef KeypairState *keypair
    cdef InboundMessage *m
    if length < OVERHEAD:
        drop(lane, MALFORMED)
        return
    number = index_lookup(lane.table, read_le32(p + 4))
    keypair = slot_keypair(lane.table, number, read_le32(p + 4))
    if keypair == NULL:
        drop(lane, UNKNOWN_INDEX)
        return
    if lane.now >= keypair.created_at + REJECT_AFTER_TIME:
        drop(lane, KEY_EXPIRED)
        return
    m = &lane.messages_in[count[0]]
    m.payload, m.length = p + HEADER_SIZE, <uint32_t>(length - OVERHEAD)
    m.counter = read_le64(p + 8)
    m.keypair, m.datagram, m.slot = keypair, d, <uint32_t>number
    join_group(lane, keypair)
    count[0] += 1


cdef void join_group(LaneState *lane, KeypairState *keypair) noexcept nogil:
    """One more message of this key is in the batch."""
    cdef uint32_t *group = &keypair.groups[lane.number]
    if group[0] == 0:
        lane.groups[lane.group_count].keypair = keypair
        lane.groups[lane.group_count].count = 0
        lane.group_count += 1
        group[0] = lane.group_count
    lane.groups[group[0] - 1].count += 1


cdef void open_messages(LaneState *lane, uint32_t count) noexcept nogil:
    """Open key by key, then judge and deliver every message in order of arrival."""
    cdef uint32_t i
    cdef InboundMessage *m
    place_items(lane, count)
    open_groups(lane)
    begin_batch(lane, lane.messages_in)
    for i in range(count):
        m = &lane.messages_in[i]
        if not m.item.ok:
            drop(lane, BAD_TAG)
        elif not replay_accept(m.keypair, m.counter):
            drop(lane, REPLAYED)
        else:
            accept_message(lane, m)
    end_batch(lane)


cdef void place_items(LaneState *lane, uint32_t count) noexcept nogil:
    """Group stands behind group; within one, messages keep their order."""
    cdef uint32_t i
    cdef InboundMessage *m
    cdef KeyGroup *group
    cdef aead_item *end = lane.items
    for i in range(lane.group_count):
        lane.groups[i].end = end
        end += lane.groups[i].count
    for i in range(count):
        m = &lane.messages_in[i]
        group = &lane.groups[m.keypair.groups[lane.number] - 1]
        m.item = group.end
        m.item.source = m.item.target = m.payload
        m.item.length, m.item.counter = m.length + AEAD_TAG_SIZE, m.counter
        group.end += 1


cdef void open_groups(LaneState *lane) noexcept nogil:
    cdef uint32_t i
    cdef KeyGroup *group
    for i in range(lane.group_count):
        group = &lane.groups[i]
        lane.provider.open(
            lane.aead, group.keypair.receive_key, group.end - group.count, group.count)
        lane.counters.opened_messages += group.count
        group.keypair.groups[lane.number] = 0
    lane.counters.opened_batches += lane.group_count
    lane.group_count = 0


cdef void accept_message(LaneState *lane, InboundMessage *m) noexcept nogil:
    """Authenticated and fresh: it confirms a key, moves the endpoint, counts; then the inside."""
    cdef SlotState *slot = &lane.table.slots[m.slot]
    if m.keypair == load_pointer(&slot.next) and not m.keypair.confirmed_told:
        store_release(&m.keypair.confirmed_told, ring_push(
            &lane.ring, UPCALL_CONFIRMED, m.keypair.local_index, NULL, 0, NULL))
    roam(slot, &m.datagram.origin)
    note_received(slot, lane.now, m.length + OVERHEAD, m.length > 0)
    if m.keypair == load_pointer(&slot.current) and m.keypair.is_initiator:
        tell_rekey(lane, m.keypair, REKEY_AFTER_TIME_RECEIVING)
    if m.length:
        accept_packet(lane, m)


cdef void accept_packet(LaneState *lane, InboundMessage *m) noexcept nogil:
    """The packet inside must be whole and come from an address that routes to this very peer."""
    cdef inner_address source
    cdef int length = inner_source(m.payload, m.length, &source)
    if length < 0:
        drop(lane, BAD_INNER)
        return
    if trie_lookup(<RouteTrie *>load_pointer(&lane.table.routes), &source) != <int>m.slot:
        drop(lane, WRONG_SOURCE)
        return
    if m.datagram.ecn == 3:
        inner_mark_congestion(m.payload)
    if offload_add(this_batch(lane), m.payload, <size_t>length) == OFFLOAD_FULL:
        end_batch(lane)
        begin_batch(lane, m)
        offload_add(this_batch(lane), m.payload, <size_t>length)


cdef offload_batch *this_batch(LaneState *lane) noexcept nogil:
    return &lane.batches[lane.batches_in % BATCHES_WAITING].batch


cdef void begin_batch(LaneState *lane, InboundMessage *m) noexcept nogil:
    """With this message, or a later one. Where too many wait, the oldest does not any more."""
    while lane.batches_in - lane.batches_out == BATCHES_WAITING - 1:
        write_next(lane)
    lane.batches[lane.batches_in % BATCHES_WAITING].first_message = udp_number(
        lane.receiver, m.datagram)
    offload_begin(this_batch(lane), lane.features)


cdef void end_batch(LaneState *lane) noexcept nogil:
    """Who may go first does; the others stand in line, which grows only while one is sought."""
    cdef offload_write w
    while offload_next_sparse(this_batch(lane), &lane.write_line, lane.now, &w):
        deliver_one(lane, this_batch(lane), &w)
    lane.batches_in += 1
    if not sparse_is_sought(&lane.write_line, lane.now):
        deliver(lane, UDP_RECEIVE_BYTES)


cdef void deliver(LaneState *lane, uint64_t most) noexcept nogil:
    """So many bytes of what has waited longest, the last write whole."""
    cdef uint64_t written = 0
    while written < most and lane.batches_in != lane.batches_out:
        written += write_next(lane)
    if lane.batches_in == lane.batches_out:
        lane.batches_in = lane.batches_out = 0


cdef size_t write_next(LaneState *lane) noexcept nogil:
    """The write that has waited longest; with its last one a batch is done with."""
    cdef offload_batch *batch = &lane.batches[lane.batches_out % BATCHES_WAITING].batch
    cdef offload_write w
    cdef size_t written = 0
    if offload_next(batch, &w):
        deliver_one(lane, batch, &w)
        written = w.bytes
    if offload_is_spent(batch):
        lane.batches_out += 1
    return written


cdef void deliver_one(LaneState *lane, offload_batch *batch, offload_write *w) noexcept nogil:
    """One write to the TUN."""
    if tun_write(lane, w):
        return
    if errno == EINVAL and w.packets > 1:
        lane.features = 0
        deliver_singly(lane, batch, w.packets)
    else:
        drop(lane, INTERFACE_DOWN if errno == EIO else TUN_REFUSED, w.packets)


cdef void deliver_singly(LaneState *lane, offload_batch *batch,
                         uint32_t packets) noexcept nogil:
    """Some kernels refuse a joined packet: its parts go one by one, and none is joined again."""
    cdef offload_write w
    cdef uint32_t i
    for i in range(packets):
        offload_single(batch, i, &w)
        if not tun_write(lane, &w):
            drop(lane, TUN_REFUSED)


cdef bint tun_write(LaneState *lane, offload_write *w) noexcept nogil:
    cdef ssize_t written
    cdef uint32_t skip = 0 if lane.vnet_header else 1
    written = writev(lane.tun_fd, w.iov + skip, <int>(w.iov_count - skip))
    lane.counters.tun_writes += 1
    if written < 0:
        return False
    lane.counters.tun_written_packets += w.packets
    return True


# ---------------------------------------------------------------------------------- messages

cdef void write_header(uint8_t *p, uint32_t receiver_index, uint64_t counter) noexcept nogil:
    """Type 4, the receiver's index, the counter: little-endian (paper 5.4.6)."""
    cdef int i
    p[0], p[1], p[2], p[3] = TRANSPORT, 0, 0, 0
    for i in range(4):
        p[4 + i] = <uint8_t>(receiver_index >> (8 * i))
    for i in range(8):
        p[8 + i] = <uint8_t>(counter >> (8 * i))


cdef uint32_t read_le32(const uint8_t *p) noexcept nogil:
    return p[0] | <uint32_t>p[1] << 8 | <uint32_t>p[2] << 16 | <uint32_t>p[3] << 24


cdef uint64_t read_le64(const uint8_t *p) noexcept nogil:
    return read_le32(p) | <uint64_t>read_le32(p + 4) << 32


# ---------------------------------------------------------------------------------- slots

cdef void note_sent(SlotState *slot, uint64_t now, uint64_t size, bint data) noexcept nogil:
    store_relaxed(&slot.last_sent_at, now)
    store_relaxed(&slot.first_data_received_at, 0)
    if data and load_relaxed(&slot.first_data_sent_at) == 0:
        store_relaxed(&slot.first_data_sent_at, now)
    fetch_add(&slot.tx_bytes, size)


cdef void note_received(SlotState *slot, uint64_t now, uint64_t size, bint data) noexcept nogil:
    store_relaxed(&slot.last_received_at, now)
    store_relaxed(&slot.first_data_sent_at, 0)
    if data:
        store_relaxed(&slot.last_data_received_at, now)
        if load_relaxed(&slot.first_data_received_at) == 0:
            store_relaxed(&slot.first_data_received_at, now)
    fetch_add(&slot.rx_bytes, size)


cdef void endpoint_read(SlotState *slot, udp_endpoint *e) noexcept nogil:
    cdef uint32_t begun
    while True:
        begun = sequence_read_begin(&slot.endpoint_sequence)
        memcpy(e, &slot.endpoint, sizeof(udp_endpoint))
        if not sequence_read_retry(&slot.endpoint_sequence, begun):
            return


cdef void endpoint_write(SlotState *slot, const udp_endpoint *e) noexcept nogil:
    sequence_write_begin(&slot.endpoint_sequence)
    memcpy(&slot.endpoint, e, sizeof(udp_endpoint))
    sequence_write_end(&slot.endpoint_sequence)


cdef void forget_source(SlotState *slot) noexcept nogil:
    sequence_write_begin(&slot.endpoint_sequence)
    memset(slot.endpoint.source, 0, sizeof(slot.endpoint.source))
    slot.endpoint.source_ifindex = slot.endpoint.has_source = 0
    sequence_write_end(&slot.endpoint_sequence)


cdef void roam(SlotState *slot, const udp_endpoint *origin) noexcept nogil:
    """The endpoint follows the peer. Compared first: it nearly always stays."""
    cdef udp_endpoint e
    endpoint_read(slot, &e)
    if memcmp(&e, origin, sizeof(udp_endpoint)) != 0:
        endpoint_write(slot, origin)


cdef KeypairState *slot_keypair(TableState *table, int number, uint32_t local_index) noexcept nogil:
    """Which of the slot's three sessions answers to this index.

    Read in the order in which a session moves, so that one that moves meanwhile is met once.
    """
    cdef SlotState *slot
    cdef KeypairState *keypair
    if number < 0:
        return NULL
    slot = &table.slots[number]
    keypair = <KeypairState *>load_pointer(&slot.next)
    if keypair != NULL and keypair.local_index == local_index:
        return keypair
    keypair = <KeypairState *>load_pointer(&slot.current)
    if keypair != NULL and keypair.local_index == local_index:
        return keypair
    keypair = <KeypairState *>load_pointer(&slot.previous)
    if keypair != NULL and keypair.local_index == local_index:
        return keypair
    return NULL


# ---------------------------------------------------------------------------------- replay window

cdef bint replay_accept(KeypairState *k, uint64_t counter) noexcept nogil:
    """Whether an authenticated counter is new; it is taken then. RFC 6479, a ring of 128 words."""
    cdef bint fresh
    spin_lock(&k.replay_lock)
    fresh = replay_check(k, counter)
    spin_unlock(&k.replay_lock)
    return fresh


cdef bint replay_check(KeypairState *k, uint64_t counter) noexcept nogil:
    cdef uint64_t word = counter >> 6, bit = <uint64_t>1 << (counter & 63)
    cdef uint64_t newest, i, steps
    if counter >= REJECT_AFTER_MESSAGES:
        return False
    if counter >= k.replay_end:
        newest = (k.replay_end - 1) >> 6 if k.replay_end else 0
        steps = min(word - newest, <uint64_t>128)
        for i in range(1, steps + 1):
            k.replay_bitmap[(newest + i) & 127] = 0
        k.replay_end = counter + 1
    elif k.replay_end - 1 - counter > REPLAY_WINDOW:
        return False
    if k.replay_bitmap[word & 127] & bit:
        return False
    k.replay_bitmap[word & 127] |= bit
    return True


# ---------------------------------------------------------------------------------- index

cdef uint64_t *index_line(Index *index, uint32_t local_index) noexcept nogil:
    """One cache line of eight words: the number's low bits choose it, so there are no chains."""
    return &index.words[<size_t>(local_index & index.line_mask) * INDEX_LINE]


cdef int index_lookup(TableState *table, uint32_t local_index) noexcept nogil:
    cdef uint64_t *line = index_line(<Index *>load_pointer(&table.index), local_index)
    cdef uint64_t word
    cdef int i
    for i in range(INDEX_LINE):
        word = load_acquire(&line[i])
        if word and word >> 32 == local_index:
            return <int>(<uint32_t>word) - 1
    return -1


cdef bint index_insert(Index *index, uint32_t local_index, uint32_t slot) noexcept nogil:
    return index_store(index, <uint64_t>local_index << 32 | <uint64_t>(slot + 1))


cdef bint index_store(Index *index, uint64_t new) noexcept nogil:
    """False where eight others share the line."""
    cdef uint64_t *line = index_line(index, <uint32_t>(new >> 32))
    cdef int i
    for i in range(INDEX_LINE):
        if line[i] == 0:
            store_release(&line[i], new)
            return True
    return False


cdef void index_copy(Index *larger, Index *index) noexcept nogil:
    """A line of the smaller one becomes two of the larger one, so there is always room."""
    cdef size_t i
    for i in range((<size_t>index.line_mask + 1) * INDEX_LINE):
        if index.words[i]:
            index_store(larger, index.words[i])


cdef void index_remove(Index *index, uint32_t local_index) noexcept nogil:
    cdef uint64_t *line = index_line(index, local_index)
    cdef int i
    for i in range(INDEX_LINE):
        if line[i] and line[i] >> 32 == local_index:
            store_release(&line[i], 0)


# ---------------------------------------------------------------------------------- routes

cdef bint prefix_matches(const RouteNode *node, const inner_address *a) noexcept nogil:
    """Whether the node's bits are the address's first bits."""
    if node.length == 0:
        return True
    if node.length <= 64:
        return (node.high ^ a.high) >> (64 - node.length) == 0
    return node.high == a.high and (node.length == 128 and node.low == a.low or (
        node.length < 128 and (node.low ^ a.low) >> (128 - node.length) == 0))


cdef uint32_t address_bit(const inner_address *a, uint32_t i) noexcept nogil:
    return <uint32_t>((a.high >> (63 - i) if i < 64 else a.low >> (127 - i)) & 1)


cdef int trie_lookup(const RouteTrie *trie, const inner_address *a) noexcept nogil:
    """The slot of the longest prefix that holds the address, -1 for none."""
    cdef int32_t at = trie.root4 if a.version == 4 else trie.root6
    cdef int found = -1
    cdef const RouteNode *node
    while at >= 0:
        node = &trie.nodes[at]
        if not prefix_matches(node, a):
            break
        if node.slot >= 0:
            found = node.slot
        if node.length == (32 if a.version == 4 else 128):
            break
        at = node.child[address_bit(a, node.length)]
    return found


cdef int32_t trie_node(RouteTrie *trie, const inner_address *a, uint32_t length,
                       int32_t slot) noexcept nogil:
    cdef RouteNode *node = &trie.nodes[trie.count]
    node.high = a.high if length >= 64 else (
        a.high >> (64 - length) << (64 - length) if length else 0)
    node.low = 0 if length <= 64 else (
        a.low if length == 128 else a.low >> (128 - length) << (128 - length))
    node.child[0] = node.child[1] = -1
    node.slot, node.length = slot, length
    trie.count += 1
    return trie.count - 1


cdef uint32_t common_length(const RouteNode *node, const inner_address *a,
                            uint32_t limit) noexcept nogil:
    """How many leading bits the node and the address share, at most `limit`."""
    cdef uint32_t i = 0
    cdef inner_address n
    n.high, n.low = node.high, node.low
    limit = min(limit, node.length)
    while i < limit and address_bit(&n, i) == address_bit(a, i):
        i += 1
    return i


cdef void trie_insert(RouteTrie *trie, const inner_address *a, uint32_t length,
                      int32_t slot) noexcept nogil:
    """Path-compressed binary trie: at most two new nodes for a prefix."""
    cdef int32_t *link = &trie.root4 if a.version == 4 else &trie.root6
    cdef RouteNode *node
    cdef inner_address below
    cdef uint32_t common
    cdef int32_t fork
    while link[0] >= 0:
        node = &trie.nodes[link[0]]
        common = common_length(node, a, length)
        if common < node.length:
            below.high, below.low = node.high, node.low
            fork = trie_node(trie, a, common, -1)
            trie.nodes[fork].child[address_bit(&below, common)] = link[0]
            link[0] = fork
            node = &trie.nodes[fork]
        if node.length == length:
            node.slot = slot
            return
        link = &node.child[address_bit(a, node.length)]
    link[0] = trie_node(trie, a, length, slot)


# ---------------------------------------------------------------------------------- upcalls

cdef bint ring_push(Ring *ring, int kind, uint32_t value, const uint8_t *payload, size_t length,
                    const udp_endpoint *origin) noexcept nogil:
    """Queue one upcall; False when the ring is full."""
    cdef uint32_t size = <uint32_t>((sizeof(UpcallHeader) + length + 7) & ~<size_t>7)
    cdef uint64_t head = ring.head
    cdef uint64_t rest = RING_SIZE - head % RING_SIZE
    cdef uint64_t skip = rest if rest < size else 0
    cdef UpcallHeader *entry
    if head + skip + size - load_acquire(&ring.tail) > RING_SIZE:
        return False
    if skip:
        (<uint32_t *>(ring.memory + head % RING_SIZE))[0] = 0
        head += skip
    entry = <UpcallHeader *>(ring.memory + head % RING_SIZE)
    entry.size, entry.kind, entry.value, entry.length = size, kind, value, <uint32_t>length
    if origin != NULL:
        memcpy(&entry.origin, origin, sizeof(udp_endpoint))
    if payload != NULL:
        memcpy(<uint8_t *>entry + sizeof(UpcallHeader), payload, length)
    store_release(&ring.head, head + size)
    ring.untold = True
    return True


cdef void ring_tell(Ring *ring) noexcept nogil:
    cdef uint64_t one = 1
    if ring.untold:
        ring.untold = write(ring.eventfd, &one, sizeof(one)) < 0


cdef bint ring_peek(Ring *ring, UpcallHeader **entry) noexcept:
    """The oldest upcall, still in the ring; False for none. Size 0: the rest is unused."""
    cdef uint64_t head = load_acquire(&ring.head)
    if ring.tail == head:
        return False
    entry[0] = <UpcallHeader *>(ring.memory + ring.tail % RING_SIZE)
    if entry[0].size == 0:
        store_release(&ring.tail, ring.tail + RING_SIZE - ring.tail % RING_SIZE)
        entry[0] = <UpcallHeader *>(ring.memory + ring.tail % RING_SIZE)
    return True
