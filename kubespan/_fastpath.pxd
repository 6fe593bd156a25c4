# cython: language_level=3
"""The memory map: every structure that lanes and Python share, with writer, reader and unit.

Holds no code. Times are nanoseconds since boot (suspend counted), 0 = never; lengths are bytes.
"Loop" is the one Python thread that writes; "in" and "out" are the lanes of either direction, of
which there may be several.
"""

from libc.stddef cimport size_t
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "<sys/uio.h>" nogil:
    cdef struct iovec:
        void *iov_base
        size_t iov_len
    ssize_t writev(int fd, const iovec *vectors, int count)

cdef extern from "native/atomics.h" nogil:
    uint64_t load_relaxed(const uint64_t *p)
    uint64_t load_acquire(const uint64_t *p)
    void store_relaxed(uint64_t *p, uint64_t value)
    void store_release(uint64_t *p, uint64_t value)
    uint64_t fetch_add(uint64_t *p, uint64_t value)
    bint compare_exchange(uint64_t *p, uint64_t *expected, uint64_t desired)
    void *load_pointer(void *p)
    void store_pointer(void *p, void *value)
    void full_fence()
    void spin_lock(uint32_t *lock)
    void spin_unlock(uint32_t *lock)
    uint32_t sequence_read_begin(const uint32_t *sequence)
    bint sequence_read_retry(const uint32_t *sequence, uint32_t begun)
    void sequence_write_begin(uint32_t *sequence)
    void sequence_write_end(uint32_t *sequence)
    void wipe(void *p, size_t n)
    uint64_t boot_ns()

cdef extern from "native/aead.h" nogil:
    enum: AEAD_TAG_SIZE
    cdef struct aead_item:
        const uint8_t *source
        uint8_t *target
        size_t length
        uint64_t counter
        uint32_t head              # zero in WireGuard: lanes never touch it
        int ok
    cdef struct aead_provider:
        const char *name
        void *(*create)() noexcept nogil
        void (*destroy)(void *context) noexcept nogil
        void (*seal)(
            void *context, const uint8_t *key, aead_item *items, size_t count) noexcept nogil
        void (*open)(
            void *context, const uint8_t *key, aead_item *items, size_t count) noexcept nogil
    const aead_provider *aead_avx512()
    const aead_provider *aead_avx2()
    const aead_provider *aead_portable()
    const aead_provider *aead_libcrypto()
    const aead_provider *aead_libsodium(void *encrypt, void *decrypt)

cdef extern from "native/udp.h" nogil:
    enum: UDP_RECEIVE_SLOTS, UDP_RECEIVE_BYTES, UDP_SEND_SLOTS
    enum: UDP_MAX_SEGMENTS, UDP_MAX_SUPER_IPV4, UDP_MAX_SUPER_IPV6
    cdef struct udp_endpoint:
        uint16_t family
        uint16_t port
        uint32_t scope_id
        uint8_t address[16]
        uint8_t source[16]
        uint32_t source_ifindex
        uint32_t has_source
    cdef struct udp_datagram:
        uint8_t *data
        size_t length
        size_t segment_size
        uint8_t ecn
        udp_endpoint origin "from"
    cdef struct udp_queue:
        int fd
        int most
    cdef struct udp_receiver:
        pass
    udp_receiver *udp_receiver_new()
    void udp_receiver_free(udp_receiver *r)
    int udp_receive(udp_receiver *r, udp_queue *q, uint64_t keep)
    enum: UDP_KEEP_NOTHING, UDP_NO_ROOM
    uint64_t udp_number(const udp_receiver *r, const udp_datagram *d)
    udp_datagram *udp_received(udp_receiver *r, int i)
    cdef struct udp_message:
        iovec *parts
        size_t count
        size_t length
        size_t segment_size
        uint8_t traffic_class
        udp_endpoint to
        int error
        int source_refused
    cdef struct udp_sender:
        pass
    udp_sender *udp_sender_new()
    void udp_sender_free(udp_sender *s)
    int udp_send(udp_sender *s, int ipv4_fd, int ipv6_fd, udp_message *messages, int count)
    int udp_offer(udp_sender *s, int ipv4_fd, int ipv6_fd, udp_message *messages, int count)
    void udp_sender_plain(udp_sender *s)

cdef extern from "native/blake2s.h" nogil:
    enum: BLAKE2S_MAC_SIZE, BLAKE2S_MAX_KEY
    void blake2s_mac(uint8_t *mac, const uint8_t *key, size_t key_length, const uint8_t *data,
                     size_t length)

cdef extern from "native/gate.h" nogil:
    enum: GATE_KEY_SIZE, GATE_NONCE_SIZE, GATE_REPLY_SIZE, GATE_MAX_SOURCE
    cdef struct handshake_gate:
        uint8_t mac1_key[32]
        uint8_t cookie_key[32]
        uint8_t secret[32]
        uint64_t secret_until
    void gate_use_xaead(void *encrypt)
    int gate_has_xaead()
    size_t gate_source(uint8_t *source, const udp_endpoint *origin)
    int gate_mac1_holds(const handshake_gate *g, const uint8_t *message, size_t length)
    int gate_mac2_holds(const handshake_gate *g, const uint8_t *message, size_t length,
                        const uint8_t *source, size_t source_length)
    void gate_reply(const handshake_gate *g, const uint8_t *message, size_t length,
                    const uint8_t *source, size_t source_length, const uint8_t *nonce,
                    uint8_t *reply)

cdef extern from "native/sparse.h" nogil:
    cdef struct sparse_line:
        pass
    int sparse_flow(const uint8_t *packet, size_t length)
    void sparse_see(sparse_line *line, int flow, uint32_t packets, uint64_t now)
    bint sparse_may_pass(const sparse_line *line, int flow, uint32_t packets)
    void sparse_wait(sparse_line *line, int flow)
    void sparse_leave(sparse_line *line, int flow)
    bint sparse_is_sought(const sparse_line *line, uint64_t now)

cdef extern from "native/offload.h" nogil:
    enum: VNET_HEADER_SIZE, OFFLOAD_TCP, OFFLOAD_UDP, OFFLOAD_FULL, OFFLOAD_TOO_MANY
    cdef struct offload_frame:
        uint8_t *packet
        uint32_t packet_length
        uint32_t segments
        uint32_t segment_length
        uint32_t last_length
    int offload_parse(offload_frame *f, uint8_t *frame, size_t length, uint32_t max_segments)
    size_t offload_segment(const offload_frame *f, uint32_t i, uint8_t *out)
    cdef struct offload_batch:
        pass
    cdef struct offload_write:
        iovec *iov
        uint32_t iov_count
        uint32_t packets
        size_t bytes
    void offload_begin(offload_batch *b, uint32_t features)
    int offload_add(offload_batch *b, uint8_t *packet, size_t length)
    int offload_next_sparse(offload_batch *b, sparse_line *line, uint64_t now, offload_write *w)
    int offload_next(offload_batch *b, offload_write *w)
    bint offload_is_spent(offload_batch *b)
    void offload_single(offload_batch *b, uint32_t i, offload_write *w)

cdef extern from "native/inner.h" nogil:
    enum: INNER_BAD
    cdef struct inner_address:
        uint64_t high
        uint64_t low
        int version
    int inner_destination(const uint8_t *packet, size_t length, inner_address *address)
    int inner_source(const uint8_t *packet, size_t length, inner_address *address)
    uint8_t inner_ecn(const uint8_t *packet)
    void inner_mark_congestion(uint8_t *packet)


cdef enum:
    MAX_LANES = 8              # of a direction
    MAX_TUN_QUEUES = 16
    MAX_SOCKETS = 32           # RECEIVE_QUEUES of either family

# What is refused, and why: the numbers of kubespan.model.drop.DropReason; a test compares them.
cdef enum DropReason:
    MALFORMED = 0
    UNKNOWN_TYPE = 1
    BAD_MAC1 = 2
    UNDER_LOAD = 3
    UNKNOWN_INDEX = 11
    KEY_EXPIRED = 12
    BAD_TAG = 13
    REPLAYED = 14
    BAD_INNER = 15
    WRONG_SOURCE = 16
    NO_PEER = 17
    QUEUE_FULL = 20
    INTERFACE_DOWN = 21
    SEND_FAILED = 22
    TUN_REFUSED = 23
    BAD_OUTBOUND = 24
    ROUTING_LOOP = 26
    DROP_REASONS = 32

# What a lane hands up whole, because only Python decides about it.
cdef enum UpcallKind:
    UPCALL_OUTBOUND = 0     # a packet without a session: payload
    UPCALL_NO_PEER = 1      # a packet without a route: payload
    UPCALL_HANDSHAKE = 2    # a datagram of type 1, 2 or 3: payload, origin
    UPCALL_CONFIRMED = 3    # first use of `next`: value = local index
    UPCALL_REKEY_DUE = 4    # the key is old or nearly used up: value = local index
    UPCALL_DEVICE_GONE = 5  # the TUN device does not exist any more: value = errno


# One session. Created and freed by the loop; lanes follow the slot's pointers to it.
cdef struct KeypairState:
    uint8_t send_key[32]         # loop at birth; out
    uint8_t receive_key[32]      # loop at birth; in
    uint32_t local_index         # loop at birth; in
    uint32_t remote_index        # loop at birth; out
    uint32_t is_initiator        # loop at birth; both
    uint64_t created_at          # loop at birth; both
    uint64_t send_counter        # out, loop: atomically what is taken
    uint64_t rekey_told_at       # both: when REKEY_DUE was last told
    uint64_t confirmed_told      # in: 1 once CONFIRMED has been told; out reads it
    uint32_t replay_lock         # in, loop: held for one check
    uint64_t replay_end          # under the lock: greatest counter accepted, plus one
    uint32_t groups[MAX_LANES]   # in, each its own: the key's group in its batch, plus one; or 0
    uint64_t replay_bitmap[128]  # under the lock: a ring of bits, counter modulo 8192

# What core and lanes both know of one peer. Never moves; reused after every lane has moved on.
cdef struct SlotState:
    KeypairState *previous                # loop; in
    KeypairState *current                 # loop; in, out
    KeypairState *next                    # loop; in, out
    uint32_t endpoint_sequence            # odd while somebody writes the endpoint
    udp_endpoint endpoint                 # in, loop; out, loop: under the sequence
    uint64_t last_sent_at                 # out, loop; loop
    uint64_t last_received_at             # in, loop; loop
    uint64_t first_data_received_at       # in sets, out clears; loop
    uint64_t last_data_received_at        # in; loop
    uint64_t first_data_sent_at           # out sets, in clears; loop
    uint64_t tx_bytes                     # out, loop: atomic add
    uint64_t rx_bytes                     # in, loop: atomic add

# A node of the flat trie: immutable once published. Children are node numbers, -1 = none.
cdef struct RouteNode:
    uint64_t high, low   # the prefix, left-aligned in 128 bits
    int32_t child[2]
    int32_t slot         # the peer of this prefix, -1 = a mere fork
    uint32_t length      # bits

cdef struct RouteTrie:
    RouteNode *nodes
    int32_t count
    int32_t root4, root6

# Local index to slot: lines of 8 words, a number's low bits choose its line.
cdef struct Index:
    uint64_t *words            # local index << 32 | slot + 1; 0 = empty. loop; in
    uint32_t line_mask         # lines less one, a power of two less one

# All that lanes follow, and nothing else.
cdef struct TableState:
    SlotState *slots           # MAX_PEERS of them
    Index *index               # loop swaps when it grows, writes words; in
    RouteTrie *routes          # loop swaps; both
    handshake_gate *gate       # loop swaps; in. NULL: every handshake message goes up
    uint64_t epoch             # loop counts up after each withdrawal
    uint64_t mtu               # loop; out

# A bounded queue of upcalls: one lane writes, the loop reads. Entries never wrap.
cdef struct Ring:
    uint8_t *memory
    uint64_t head              # lane; loop
    uint64_t tail              # loop; lane
    uint64_t handshakes_in     # lane: handshake messages ever queued
    uint64_t handshakes_out    # loop: handshake messages ever taken; lane
    int eventfd
    bint untold                # lane: something was queued since the eventfd was last written

cdef struct UpcallHeader:
    uint32_t size              # of the whole entry, a multiple of 8
    uint32_t kind
    uint32_t value
    uint32_t length            # of the payload
    udp_endpoint origin

# What a lane counts. Written by the lane alone, read by the loop at any time.
cdef struct LaneCounters:
    uint64_t drops[32]         # by DropReason; DROP_REASONS entries
    uint64_t tun_reads         # frames
    uint64_t tun_read_packets
    uint64_t udp_sends         # system calls
    uint64_t udp_messages      # super-packets or single datagrams
    uint64_t udp_sent          # datagrams
    uint64_t udp_receives      # super-packets or single datagrams
    uint64_t udp_received      # datagrams
    uint64_t tun_writes
    uint64_t tun_written_packets
    uint64_t sealed_batches
    uint64_t opened_batches
    uint64_t opened_messages   # in them, forged ones too
    uint64_t cookie_replies
    uint64_t busy_ns           # between the beginnings and the ends of batches

# A frame from the TUN that stands in line; its bytes lie in the slot of the same number.
cdef struct WaitingFrame:
    offload_frame frame
    int flow                   # its number in the line

# How full the outbound batch is.
cdef struct OutboundBatch:
    uint32_t reads             # of the TUN
    uint32_t frames            # routed
    uint32_t packets
    uint32_t bytes             # of sealed datagrams
    bint is_dry                # the TUN has nothing more

# A packet of the outbound batch: sealed where it lies.
cdef struct OutboundPacket:
    uint8_t *datagram
    uint32_t length            # of the whole datagram
    uint32_t slot
    KeypairState *keypair
    uint8_t ecn
    uint32_t begins            # the packets of the frame whose first this is, 0 for the others

# Packets of the outbound batch that are neighbours and go to one peer.
cdef struct Run:
    uint32_t slot
    uint32_t first
    uint32_t count

# A transport message of the inbound batch: opened where it lies.
cdef struct InboundMessage:
    uint8_t *payload
    uint64_t counter
    KeypairState *keypair
    udp_datagram *datagram
    aead_item *item            # what opens it
    uint32_t slot
    uint32_t length            # of the plaintext, padded

# The messages of the inbound batch that one key opens.
cdef struct KeyGroup:
    KeypairState *keypair
    aead_item *end             # of the group's items
    uint32_t count

# Packets for the TUN that were opened together.
cdef struct WaitingBatch:
    offload_batch batch
    uint64_t first_message     # the number of the first that they may lie in

# Cookie replies of the inbound batch, side by side with what they need.
cdef struct CookieDesk:
    udp_message messages[32]   # REPLIES_A_BATCH
    iovec parts[32]
    uint8_t replies[2048]      # times GATE_REPLY_SIZE
    uint8_t nonces[768]        # times GATE_NONCE_SIZE: random, each used once
    int count

# A queue that is waited for by itself, and until when at least no other takes its place.
cdef struct HotQueue:
    uint32_t bit               # in what `lane_wait` answers
    uint64_t until             # nanoseconds since boot

# One lane: a thread's whole world. Written by its thread; `epoch` is read by the loop.
cdef struct LaneState:
    TableState *table
    uint64_t epoch             # the table's, as of the batch under way; IDLE between batches
    uint64_t made_at           # nanoseconds since boot
    uint64_t now               # of the batch under way
    uint32_t number            # among the lanes of its direction
    int stop_fd
    int tun_fd                 # what is written to
    int tun_queues[MAX_TUN_QUEUES]  # what is read from
    uint32_t tun_count
    uint32_t tun_turn          # which was read last
    uint32_t tun_ready         # a bit for each that may have something
    uint32_t tun_served        # for each that was read in this turn
    bint is_deep               # whether they are read until they have nothing
    int ipv4_fd, ipv6_fd       # what is sent by
    udp_queue sockets[MAX_SOCKETS]  # what is received from
    uint32_t socket_count
    uint32_t first_socket      # the next turn begins with it: they share the receiver's slots
    HotQueue hot_tun, hot_socket
    int epoll_fd               # of all queues that are not hot
    bint vnet_header
    uint32_t features          # OFFLOAD_*
    uint32_t max_segments      # 1 without UDP_SEGMENT
    uint64_t icmp_allowed_at   # a little bucket: when the next NO_PEER may go up
    const aead_provider *provider
    void *aead
    Ring ring
    LaneCounters counters
    aead_item *items
    uint8_t *frames            # as read from the TUN: FRAMES_WAITING slots
    WaitingFrame waiting_frames[32]  # FRAMES_WAITING
    uint64_t frames_in         # how many ever stood in line; both are 0 again when nobody does
    uint64_t frames_out        # how many have left it
    sparse_line frame_line     # of frames for the network
    sparse_line write_line     # of writes to the TUN
    uint8_t *output            # sealed datagrams, side by side
    uint8_t *scratch           # one packet on its way up
    OutboundPacket *packets
    OutboundPacket *spare_packets  # these two take turns with `packets` and `items`
    aead_item *spare_items
    iovec *parts               # of the messages, one for each packet at most
    udp_message *messages
    uint32_t message_slots[64]  # UDP_SEND_SLOTS: whose each message is
    udp_sender *sender
    udp_receiver *receiver
    InboundMessage *messages_in
    KeyGroup *groups           # by key, as many as there are messages at most
    uint32_t group_count
    WaitingBatch *batches      # BATCHES_WAITING, the last of them being filled
    uint64_t batches_in        # as with frames
    uint64_t batches_out
    uint64_t loaded_until      # nanoseconds since boot: cookies are demanded until then
    CookieDesk *desk
