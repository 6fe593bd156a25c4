#include "offload.h"
#include "offload_wire.h"

enum {
    NONE = 0xffff, /* no group, no slice */
    MAX_LENGTH = 65535
};

/* What order a packet must keep with others. */
enum relation {
    FREE,     /* nothing in the batch belongs to its flow */
    OF_FLOW,  /* with packets of the same addresses, ports and protocol */
    OF_PAIR   /* ports hidden by a fragment or extension header: with all of the same addresses */
};

/* One packet, read once. */
struct candidate {
    uint8_t *packet;
    uint32_t len;
    uint32_t hash;
    uint32_t payload;          /* bytes behind all headers; only if joinable */
    uint16_t header_length;    /* IP + transport header bytes; only if joinable */
    uint8_t ip_version;
    uint8_t transport;
    uint8_t transport_offset;
    uint8_t joinable;          /* may stand at the head of a group or join one */
};

static int is_coalesced(const struct offload_batch *b, unsigned protocol)
{
    return (protocol == PROTOCOL_TCP && b->features & OFFLOAD_TCP) ||
           (protocol == PROTOCOL_UDP && b->features & OFFLOAD_UDP);
}

static enum relation read_ipv4(const struct offload_batch *b, struct candidate *c)
{
    const uint8_t *p = c->packet;
    uint32_t header = (p[0] & 0x0f) * 4u;
    unsigned fragment = get16(p + IPV4_FRAGMENT);

    c->ip_version = 4;
    c->transport = p[IPV4_PROTOCOL];
    c->transport_offset = (uint8_t)header;
    if (!is_coalesced(b, c->transport))
        return FREE;
    if (header < IPV4_HEADER || header + UDP_HEADER > c->len || fragment & IPV4_FRAGMENTED)
        return OF_PAIR;
    c->joinable = header == IPV4_HEADER && get16(p + IPV4_LENGTH) == c->len &&
                  (fragment == 0 || fragment == IPV4_DONT_FRAGMENT);
    return OF_FLOW;
}

static int hides_transport(unsigned next_header)
{
    return next_header == IPV6_HOP_BY_HOP || next_header == IPV6_ROUTING ||
           next_header == IPV6_FRAGMENT || next_header == IPV6_DESTINATION ||
           next_header == IPV6_MOBILITY;
}

static enum relation read_ipv6(const struct offload_batch *b, struct candidate *c)
{
    const uint8_t *p = c->packet;

    c->ip_version = 6;
    c->transport = p[IPV6_NEXT_HEADER];
    c->transport_offset = IPV6_HEADER;
    if (hides_transport(c->transport))
        return OF_PAIR;
    if (!is_coalesced(b, c->transport))
        return FREE;
    if (IPV6_HEADER + UDP_HEADER > c->len)
        return OF_PAIR;
    c->joinable = (uint32_t)IPV6_HEADER + get16(p + IPV6_LENGTH) == c->len;
    return OF_FLOW;
}

static void read_tcp(struct candidate *c)
{
    const uint8_t *tcp = c->packet + c->transport_offset;
    uint32_t room = c->len - c->transport_offset;

    c->joinable = 0;
    if (room < TCP_HEADER)
        return;
    uint32_t header = (tcp[TCP_OFFSET] >> 4) * 4u;
    if (header < TCP_HEADER || header >= room || tcp[TCP_OFFSET] & 0x0f ||
        (tcp[TCP_FLAGS] & ~TCP_PSH) != TCP_ACK)
        return;
    c->header_length = (uint16_t)(c->transport_offset + header);
    c->payload = room - header;
    c->joinable = 1;
}

static void read_udp(struct candidate *c)
{
    const uint8_t *udp = c->packet + c->transport_offset;
    uint32_t room = c->len - c->transport_offset;

    c->joinable =
        room > UDP_HEADER && get16(udp + UDP_LENGTH) == room && word_at(udp + UDP_CHECKSUM) != 0;
    c->header_length = (uint16_t)(c->transport_offset + UDP_HEADER);
    c->payload = room - UDP_HEADER;
}

static inline uint64_t mix(uint64_t hash, const uint8_t *p)
{
    uint64_t word;
    memcpy(&word, p, 8);
    hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 32;
}

static uint32_t hash_of(const struct candidate *c)
{
    const uint8_t *p = c->packet;
    uint32_t ports;
    memcpy(&ports, p + c->transport_offset, 4);
    uint64_t hash = (uint64_t)c->transport << 32 | ports;
    if (c->ip_version == 4) {
        hash = mix(hash, p + IPV4_ADDRESSES);
    } else {
        for (unsigned i = 0; i < 32; i += 8)
            hash = mix(hash, p + IPV6_ADDRESSES + i);
    }
    return (uint32_t)hash;
}

static enum relation read_packet(const struct offload_batch *b, struct candidate *c)
{
    enum relation relation = FREE;
    unsigned version = c->len ? c->packet[0] >> 4 : 0;

    if (b->features == 0)
        return FREE;
    if (version == 4 && c->len >= IPV4_HEADER)
        relation = read_ipv4(b, c);
    else if (version == 6 && c->len >= IPV6_HEADER)
        relation = read_ipv6(b, c);
    if (relation != OF_FLOW)
        return relation;
    c->hash = hash_of(c);
    if (c->joinable) {
        if (c->transport == PROTOCOL_TCP)
            read_tcp(c);
        else
            read_udp(c);
    }
    return OF_FLOW;
}

static int same_addresses(const struct offload_group *g, const struct candidate *c)
{
    if (g->ip_version != c->ip_version)
        return 0;
    if (g->ip_version == 4)
        return memcmp(g->packet + IPV4_ADDRESSES, c->packet + IPV4_ADDRESSES, 8) == 0;
    return memcmp(g->packet + IPV6_ADDRESSES, c->packet + IPV6_ADDRESSES, 32) == 0;
}

static int same_flow(const struct offload_group *g, const struct candidate *c)
{
    return g->hash == c->hash && g->transport == c->transport && same_addresses(g, c) &&
           memcmp(g->packet + g->transport_offset, c->packet + c->transport_offset, 4) == 0;
}

/* Where the index of the flow's latest group lies, or the NONE at the end of its bucket. */
static uint16_t *find_flow(struct offload_batch *b, const struct candidate *c)
{
    uint16_t *link = &b->bucket[c->hash % OFFLOAD_BUCKETS];
    while (*link != NONE && !same_flow(&b->group[*link], c))
        link = &b->group[*link].next;
    return link;
}

static void close_pair(struct offload_batch *b, const struct candidate *c)
{
    for (uint32_t i = 0; i < b->groups; i++) {
        struct offload_group *g = &b->group[i];
        if (!g->closed && same_addresses(g, c))
            g->closed = 1;
    }
}

/* The identification a cut would write, or DF with all of them equal. */
static int follows_identification(const struct offload_group *g, const struct candidate *c)
{
    uint16_t steps = (uint16_t)(get16(c->packet + IPV4_IDENTIFICATION) - g->identification);
    if (g->packets == 1 && steps == 0)
        return get16(c->packet + IPV4_FRAGMENT) == IPV4_DONT_FRAGMENT;
    return steps == (g->fixed_id ? 0 : g->packets);
}

static int same_ip_header(const struct offload_group *g, const struct candidate *c)
{
    const uint8_t *a = g->packet, *p = c->packet;
    if (g->ip_version == 6)
        return memcmp(a, p, 4) == 0 && a[IPV6_HOP_LIMIT] == p[IPV6_HOP_LIMIT];
    return word_at(a) == word_at(p) && a[IPV4_TTL] == p[IPV4_TTL] &&
           word_at(a + IPV4_FRAGMENT) == word_at(p + IPV4_FRAGMENT) && follows_identification(g, c);
}

static int same_tcp_header(const struct offload_group *g, const struct candidate *c)
{
    const uint8_t *a = g->packet + g->transport_offset, *p = c->packet + c->transport_offset;
    return get32(p + TCP_SEQUENCE) == g->next_sequence &&
           memcmp(a + TCP_ACKNOWLEDGEMENT, p + TCP_ACKNOWLEDGEMENT, 4) == 0 &&
           word_at(a + TCP_WINDOW) == word_at(p + TCP_WINDOW) &&
           word_at(a + TCP_URGENT) == word_at(p + TCP_URGENT) &&
           memcmp(a + TCP_HEADER, p + TCP_HEADER,
                  (size_t)(c->header_length - c->transport_offset - TCP_HEADER)) == 0;
}

/* 0xffff would verify as well where 0 belongs, but no cut gives it back. */
static int is_correct(uint64_t sum, uint16_t field, uint16_t never)
{
    return checksum_fold(sum) == 0xffff && field != never;
}

static int verify(const uint8_t *packet, uint32_t len, unsigned version, unsigned transport,
                  uint32_t offset)
{
    const uint8_t *header = packet + offset;
    if (version == 4 && !is_correct(sum_of_header(packet, IPV4_HEADER),
                                    word_at(packet + IPV4_CHECKSUM), 0xffff))
        return 0;
    uint64_t sum = sum_of_addresses(packet, version, transport) + sum_of16(len - offset) +
                   checksum_sum(header, len - offset);
    if (transport == PROTOCOL_TCP)
        return is_correct(sum, word_at(header + TCP_CHECKSUM), 0xffff);
    return is_correct(sum, word_at(header + UDP_CHECKSUM), 0);
}

/* The first packet of a group is verified when a second one wants to join, not before: most lone
 * packets never need it. */
static int verify_first(struct offload_group *g)
{
    if (!g->verified)
        g->verified = (uint8_t)verify(g->packet, g->first_length, g->ip_version, g->transport,
                                      g->transport_offset);
    return g->verified;
}

static int has_room(const struct offload_group *g, const struct candidate *c)
{
    uint32_t most = c->transport == PROTOCOL_TCP ? OFFLOAD_GROUP_PACKETS : OFFLOAD_GROUP_DATAGRAMS;
    return c->payload <= g->gso_size && g->length + c->payload <= MAX_LENGTH && g->packets < most;
}

static int fits(struct offload_group *g, struct candidate *c)
{
    if (g->closed || g->header_length != c->header_length || !has_room(g, c) ||
        !same_ip_header(g, c) || (c->transport == PROTOCOL_TCP && !same_tcp_header(g, c)))
        return 0;
    if (!verify(c->packet, c->len, c->ip_version, c->transport, c->transport_offset)) {
        c->joinable = 0;
        return 0;
    }
    return verify_first(g);
}

static int pushes(const struct candidate *c)
{
    return c->transport == PROTOCOL_TCP &&
           c->packet[c->transport_offset + TCP_FLAGS] & TCP_PSH;
}

static void join(struct offload_batch *b, struct offload_group *g, const struct candidate *c)
{
    uint16_t slice = (uint16_t)b->slices++;
    b->slice[slice].iov_base = c->packet + c->header_length;
    b->slice[slice].iov_len = c->payload;
    if (g->packets == 1)
        g->first_slice = slice;
    else
        b->slice_next[g->last_slice] = slice;
    g->last_slice = slice;
    if (g->packets == 1 && c->ip_version == 4)
        g->fixed_id = get16(c->packet + IPV4_IDENTIFICATION) == g->identification;
    g->packets++;
    g->length += c->payload;
    g->next_sequence += c->payload;
    g->push = pushes(c) != 0;
    g->closed = g->push || c->payload < g->gso_size;
}

/* The group may be joined, and as its flow's latest takes the older one's place in the bucket. */
static void publish_group(struct offload_batch *b, struct offload_group *g, uint16_t *link,
                          const struct candidate *c)
{
    g->hash = c->hash;
    g->next = *link == NONE ? NONE : b->group[*link].next;
    g->gso_size = (uint16_t)c->payload;
    g->ip_version = c->ip_version;
    g->transport = c->transport;
    g->transport_offset = c->transport_offset;
    g->header_length = (uint8_t)c->header_length;
    g->closed = pushes(c) != 0;
    g->verified = g->fixed_id = g->push = 0;
    if (c->ip_version == 4)
        g->identification = get16(c->packet + IPV4_IDENTIFICATION);
    if (c->transport == PROTOCOL_TCP)
        g->next_sequence = get32(c->packet + c->transport_offset + TCP_SEQUENCE) + c->payload;
    *link = (uint16_t)(g - b->group);
}

static int add_alone(struct offload_batch *b, const struct candidate *c)
{
    if (b->groups == OFFLOAD_MAX_GROUPS)
        return OFFLOAD_FULL;
    struct offload_group *g = &b->group[b->groups++];
    g->packet = c->packet;
    g->first_length = g->length = c->len;
    g->packets = 1;
    g->ip_version = 0;
    g->closed = 1;
    g->written = 0;
    return 0;
}

static int add_to_flow(struct offload_batch *b, struct candidate *c)
{
    uint16_t *link = find_flow(b, c);
    if (*link != NONE) {
        struct offload_group *latest = &b->group[*link];
        if (c->joinable && fits(latest, c)) {
            join(b, latest, c);
            return 0;
        }
        latest->closed = 1;
    }
    int error = add_alone(b, c);
    if (!error && c->joinable)
        publish_group(b, &b->group[b->groups - 1], link, c);
    return error;
}

void offload_begin(struct offload_batch *b, uint32_t features)
{
    b->features = features;
    b->groups = b->slices = b->looked_at = b->cursor = 0;
    b->line = NULL;
    memset(b->bucket, 0xff, sizeof b->bucket);
}

int offload_add(struct offload_batch *b, uint8_t *packet, size_t len)
{
    struct candidate c = {.packet = packet, .len = (uint32_t)len};
    if (b->slices == OFFLOAD_MAX_SLICES)
        return OFFLOAD_FULL;
    switch (read_packet(b, &c)) {
    case OF_FLOW:
        return add_to_flow(b, &c);
    case OF_PAIR:
        close_pair(b, &c);
        break;
    case FREE:
        break;
    }
    return add_alone(b, &c);
}

/* The overwritten fields of the first packet go to or come back from g->saved. */
static void exchange(struct offload_group *g, int restore)
{
    uint8_t *ip = g->packet, *transport = g->packet + g->transport_offset;
    uint8_t *fields[] = {
        ip + (g->ip_version == 4 ? IPV4_LENGTH : IPV6_LENGTH),
        ip + (g->ip_version == 4 ? IPV4_CHECKSUM : IPV6_LENGTH),
        transport + (g->transport == PROTOCOL_UDP ? UDP_LENGTH : TCP_OFFSET),
        transport + checksum_field(g->transport),
    };
    for (unsigned i = 0; i < 4; i++) {
        if (restore)
            memcpy(fields[i], g->saved + 2 * i, 2);
        else
            memcpy(g->saved + 2 * i, fields[i], 2);
    }
}

static void patch_ip(struct offload_group *g)
{
    uint8_t *p = g->packet;
    if (g->ip_version == 6) {
        set16(p + IPV6_LENGTH, g->length - IPV6_HEADER);
        return;
    }
    set16(p + IPV4_LENGTH, g->length);
    set_word(p + IPV4_CHECKSUM, 0);
    set_word(p + IPV4_CHECKSUM, (uint16_t)~checksum_fold(sum_of_header(p, IPV4_HEADER)));
}

static void patch_transport(struct offload_group *g)
{
    uint8_t *transport = g->packet + g->transport_offset;
    uint32_t length = g->length - g->transport_offset;
    uint64_t partial =
        sum_of_addresses(g->packet, g->ip_version, g->transport) + sum_of16(length);
    set_word(transport + checksum_field(g->transport), checksum_fold(partial));
    if (g->transport == PROTOCOL_UDP)
        set16(transport + UDP_LENGTH, length);
    else if (g->push)
        transport[TCP_FLAGS] |= TCP_PSH;
}

static uint8_t gso_type_of(const struct offload_group *g)
{
    if (g->transport == PROTOCOL_UDP)
        return VNET_GSO_UDP_L4;
    return g->ip_version == 4 ? VNET_GSO_TCPV4 : VNET_GSO_TCPV6;
}

static void make_large(struct offload_group *g)
{
    exchange(g, 0);
    patch_ip(g);
    patch_transport(g);
    g->header = (struct vnet_header){
        .flags = VNET_NEEDS_CSUM,
        .gso_type = gso_type_of(g),
        .hdr_len = g->header_length,
        .gso_size = g->gso_size,
        .csum_start = g->transport_offset,
        .csum_offset = (uint16_t)checksum_field(g->transport),
    };
}

/* What one writev takes. */
static void gather(struct offload_batch *b, struct offload_group *g, struct offload_write *w)
{
    if (g->packets > 1)
        make_large(g);
    else
        g->header = (struct vnet_header){0};
    b->vector[0] = (struct iovec){&g->header, VNET_HEADER_SIZE};
    b->vector[1] = (struct iovec){g->packet, g->first_length};
    uint16_t slice = g->first_slice;
    for (uint32_t i = 1; i < g->packets; i++) {
        b->vector[i + 1] = b->slice[slice];
        slice = b->slice_next[slice];
    }
    w->iov = b->vector;
    w->iov_count = g->packets + 1u;
    w->packets = g->packets;
    w->bytes = VNET_HEADER_SIZE + g->length;
    g->written = 1;
    b->last = g;
}

int offload_next_sparse(struct offload_batch *b, struct sparse_line *line, uint64_t now,
                        struct offload_write *w)
{
    b->line = line;
    while (b->looked_at < b->groups) {
        struct offload_group *g = &b->group[b->looked_at++];
        g->flow = (int16_t)sparse_flow(g->packet, g->first_length);
        sparse_see(line, g->flow, g->packets, now);
        if (sparse_may_pass(line, g->flow, g->packets)) {
            gather(b, g, w);
            return 1;
        }
        sparse_wait(line, g->flow);
    }
    return 0;
}

int offload_is_spent(struct offload_batch *b)
{
    while (b->cursor < b->groups && b->group[b->cursor].written)
        b->cursor++;
    return b->cursor == b->groups;
}

int offload_next(struct offload_batch *b, struct offload_write *w)
{
    if (offload_is_spent(b))
        return 0;
    struct offload_group *g = &b->group[b->cursor++];
    gather(b, g, w);
    if (b->line)
        sparse_leave(b->line, g->flow);
    return 1;
}

void offload_single(struct offload_batch *b, uint32_t i, struct offload_write *w)
{
    struct offload_group *g = b->last;
    struct iovec *packet = &b->single[1];
    if (g->packets > 1 && g->header.gso_type != VNET_GSO_NONE)
        exchange(g, 1);
    g->header = (struct vnet_header){0};
    *packet = b->vector[i + 1];
    if (i > 0) {
        packet->iov_base = (uint8_t *)packet->iov_base - g->header_length;
        packet->iov_len += g->header_length;
    }
    b->single[0] = (struct iovec){&g->header, VNET_HEADER_SIZE};
    w->iov = b->single;
    w->iov_count = 2;
    w->packets = 1;
    w->bytes = VNET_HEADER_SIZE + packet->iov_len;
}
