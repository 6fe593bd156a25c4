/* Who need not stand in line. See sparse.h. */
#include "sparse.h"

#include "offload_wire.h"

enum { PROTOCOL_ICMPV6 = 58, PORTS = 4 };

static uint64_t mix(uint64_t hash, const uint8_t *p, size_t bytes)
{
    uint64_t word = 0;
    memcpy(&word, p, bytes);
    hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 32;
}

/* What stands behind the addresses tells flows of the same two hosts apart. */
static int flow_of(uint64_t addresses, unsigned version, unsigned protocol, const uint8_t *transport,
                   const uint8_t *end)
{
    uint64_t hash = addresses ^ protocol;
    if (protocol == PROTOCOL_TCP || protocol == PROTOCOL_UDP) {
        if (end - transport < PORTS)
            return SPARSE_STRANGER;
        hash = mix(hash, transport, PORTS);
    } else if (version == 6 && protocol != PROTOCOL_ICMPV6) {
        return SPARSE_STRANGER;
    }
    return (int)(hash % SPARSE_FLOWS);
}

int sparse_flow(const uint8_t *packet, size_t length)
{
    unsigned version = length ? packet[0] >> 4 : 0;
    uint64_t hash = version;

    if (version == 4 && length >= IPV4_HEADER) {
        size_t header = (packet[0] & 0x0f) * 4u;
        if (get16(packet + IPV4_FRAGMENT) & IPV4_FRAGMENTED || header < IPV4_HEADER || header > length)
            return SPARSE_STRANGER;
        hash = mix(hash, packet + IPV4_ADDRESSES, 8);
        return flow_of(hash, version, packet[IPV4_PROTOCOL], packet + header, packet + length);
    }
    if (version == 6 && length >= IPV6_HEADER) {
        for (unsigned i = 0; i < 32; i += 8)
            hash = mix(hash, packet + IPV6_ADDRESSES + i, 8);
        return flow_of(hash, version, packet[IPV6_NEXT_HEADER], packet + IPV6_HEADER, packet + length);
    }
    return SPARSE_STRANGER;
}

static int is_recent(uint64_t at, uint64_t now) { return at && now - at < SPARSE_MEMORY; }

static void count(struct sparse_state *s, uint32_t packets, uint64_t now)
{
    s->seen = s->seen_at == now ? s->seen + 1 : 1;
    s->seen_at = now;
    if (packets > 1 || s->seen >= SPARSE_MANY)
        s->bulk_at = now;
}

void sparse_see(struct sparse_line *line, int flow, uint32_t packets, uint64_t now)
{
    if (flow == SPARSE_STRANGER)
        return;
    count(&line->flows[flow], packets, now);
    if (packets > 1)
        line->bulk_at = now;
    else if (is_recent(line->bulk_at, now) && !is_recent(line->flows[flow].bulk_at, now))
        line->sought_until = now + SPARSE_MEMORY;
}

int sparse_may_pass(const struct sparse_line *line, int flow, uint32_t packets)
{
    return packets == 1 && flow != SPARSE_STRANGER && !line->strangers && !line->flows[flow].waiting;
}

void sparse_wait(struct sparse_line *line, int flow)
{
    if (flow == SPARSE_STRANGER)
        line->strangers++;
    else
        line->flows[flow].waiting++;
}

void sparse_leave(struct sparse_line *line, int flow)
{
    if (flow == SPARSE_STRANGER)
        line->strangers--;
    else
        line->flows[flow].waiting--;
}

int sparse_is_sought(const struct sparse_line *line, uint64_t now)
{
    return now < line->sought_until && !line->strangers;
}
