#include "offload.h"
#include "offload_wire.h"

static int is_extension(unsigned next_header)
{
    return next_header == IPV6_HOP_BY_HOP || next_header == IPV6_ROUTING ||
           next_header == IPV6_DESTINATION || next_header == IPV6_MOBILITY;
}

/* ip_length: what the header claims. Returns the IPv4 header's length or a negative error. */
static int read_ipv4(const uint8_t *packet, size_t len, size_t *ip_length)
{
    if (len < IPV4_HEADER)
        return OFFLOAD_TRUNCATED;
    size_t header = (packet[0] & 0x0f) * 4u;
    if (header < IPV4_HEADER)
        return OFFLOAD_BAD_IP;
    if (header > len)
        return OFFLOAD_TRUNCATED;
    *ip_length = get16(packet + IPV4_LENGTH);
    return (int)header;
}

static int read_ipv6(const uint8_t *packet, size_t len, size_t *ip_length)
{
    if (len < IPV6_HEADER)
        return OFFLOAD_TRUNCATED;
    *ip_length = (size_t)IPV6_HEADER + get16(packet + IPV6_LENGTH);
    return IPV6_HEADER;
}

/* Version and packet length stand in f. Returns the fixed IP header's length or an error. */
static int parse_ip(struct offload_frame *f, size_t len)
{
    size_t ip_length = 0;
    f->ip_version = f->packet[0] >> 4;
    if (f->ip_version != 4 && f->ip_version != 6)
        return OFFLOAD_BAD_IP;
    int header = f->ip_version == 4 ? read_ipv4(f->packet, len, &ip_length)
                                    : read_ipv6(f->packet, len, &ip_length);
    if (header < 0)
        return header;
    if (f->gso_type == VNET_GSO_NONE) {
        if (ip_length < (size_t)header)
            return OFFLOAD_BAD_IP;
        if (ip_length > len)
            return OFFLOAD_TRUNCATED;
        len = ip_length;
    }
    if (len > (f->ip_version == 4 ? IPV4_MAX : IPV6_MAX))
        return OFFLOAD_BAD_IP;
    f->packet_length = (uint32_t)len;
    return header;
}

/* A packet that stays one. Its checksum may cover anything the kernel chose, so only the vnet
 * header says where it lies. A result of 0 is written as 0xffff, which means the same to TCP and is
 * what UDP demands. */
static int finish_plain(struct offload_frame *f, const struct vnet_header *h, uint32_t ip_header)
{
    f->segments = 1;
    f->segment_length = f->last_length = f->packet_length;
    if (!(h->flags & VNET_NEEDS_CSUM))
        return 0;
    uint32_t field = (uint32_t)h->csum_start + h->csum_offset;
    if (h->csum_start < ip_header || field + 2 > f->packet_length)
        return OFFLOAD_BAD_HEADER;
    uint64_t sum = checksum_sum(f->packet + h->csum_start, f->packet_length - h->csum_start);
    uint16_t checksum = (uint16_t)~checksum_fold(sum);
    set_word(f->packet + field, checksum ? checksum : 0xffff);
    return 0;
}

/* The offset of the transport header behind any extension headers stands in f. */
static int walk_ipv6(struct offload_frame *f)
{
    uint32_t offset = IPV6_HEADER;
    unsigned next_header = f->packet[IPV6_NEXT_HEADER];
    while (is_extension(next_header)) {
        if (offset + 8 > f->packet_length)
            return OFFLOAD_TRUNCATED;
        next_header = f->packet[offset];
        offset += (f->packet[offset + 1] + 1u) * 8;
    }
    if (next_header != f->transport)
        return OFFLOAD_BAD_TRANSPORT;
    f->transport_offset = offset;
    return 0;
}

static int find_transport(struct offload_frame *f, uint32_t ip_header)
{
    if (f->gso_type == VNET_GSO_UDP_L4)
        f->transport = PROTOCOL_UDP;
    else if (f->gso_type == VNET_GSO_TCPV4 || f->gso_type == VNET_GSO_TCPV6)
        f->transport = PROTOCOL_TCP;
    else
        return OFFLOAD_UNSUPPORTED;
    if ((f->gso_type == VNET_GSO_TCPV4 && f->ip_version != 4) ||
        (f->gso_type == VNET_GSO_TCPV6 && f->ip_version != 6))
        return OFFLOAD_BAD_HEADER;
    if (f->ip_version == 6)
        return walk_ipv6(f);
    if (get16(f->packet + IPV4_FRAGMENT) & IPV4_FRAGMENTED)
        return OFFLOAD_BAD_IP;
    if (f->packet[IPV4_PROTOCOL] != f->transport)
        return OFFLOAD_BAD_TRANSPORT;
    f->transport_offset = ip_header;
    return 0;
}

static int measure_transport(struct offload_frame *f)
{
    uint32_t minimum = f->transport == PROTOCOL_TCP ? TCP_HEADER : UDP_HEADER;
    if (f->transport_offset + minimum > f->packet_length)
        return OFFLOAD_TRUNCATED;
    uint32_t header = minimum;
    if (f->transport == PROTOCOL_TCP)
        header = (f->packet[f->transport_offset + TCP_OFFSET] >> 4) * 4u;
    if (header < minimum)
        return OFFLOAD_BAD_TRANSPORT;
    f->header_length = f->transport_offset + header;
    return f->header_length > f->packet_length ? OFFLOAD_TRUNCATED : 0;
}

static int check_claims(const struct offload_frame *f, const struct vnet_header *h)
{
    if (h->gso_size == 0)
        return OFFLOAD_BAD_HEADER;
    if (!(h->flags & VNET_NEEDS_CSUM))
        return 0;
    if (h->csum_start != f->transport_offset || h->csum_offset != checksum_field(f->transport))
        return OFFLOAD_BAD_HEADER;
    return 0;
}

static int count_segments(struct offload_frame *f, uint32_t gso_size, uint32_t max_segments)
{
    uint32_t payload = f->packet_length - f->header_length;
    f->gso_size = gso_size;
    f->segments = payload ? (payload + gso_size - 1) / gso_size : 1;
    uint64_t repeated = f->segments > 1 ? (uint64_t)f->segments * f->header_length : 0;
    if (f->segments > max_segments || repeated > (uint64_t)max_segments * OFFLOAD_HEADER_BYTES)
        return OFFLOAD_TOO_MANY;
    f->last_length = f->packet_length - (f->segments - 1) * gso_size;
    f->segment_length = f->segments > 1 ? f->header_length + gso_size : f->last_length;
    return 0;
}

/* The parts of each header that no segment changes are summed. Behind source routing only the
 * kernel knows the final destination, and its partial sum is the one place that says so. */
static void sum_headers(struct offload_frame *f, const struct vnet_header *h, uint32_t ip_header)
{
    const uint8_t *transport = f->packet + f->transport_offset;
    uint32_t length = f->packet_length - f->transport_offset;
    uint16_t checksum = word_at(transport + checksum_field(f->transport));
    uint32_t plain = f->ip_version == 4 ? IPV4_HEADER : IPV6_HEADER;
    uint64_t sum;

    if (f->transport_offset != plain && h->flags & VNET_NEEDS_CSUM)
        sum = (uint64_t)checksum + (uint16_t)~sum_of16(length);
    else
        sum = sum_of_addresses(f->packet, f->ip_version, f->transport);
    sum += sum_of_header(transport, f->header_length - f->transport_offset) - checksum;
    if (f->transport == PROTOCOL_UDP) {
        sum -= word_at(transport + UDP_LENGTH);
    } else {
        sum -= word_at(transport + TCP_SEQUENCE);
        sum -= word_at(transport + TCP_SEQUENCE + 2);
        sum -= word_at(transport + TCP_OFFSET);
    }
    f->transport_sum = sum;
    if (f->ip_version == 4) {
        sum = sum_of_header(f->packet, ip_header);
        sum -= word_at(f->packet + IPV4_LENGTH);
        sum -= word_at(f->packet + IPV4_IDENTIFICATION);
        sum -= word_at(f->packet + IPV4_CHECKSUM);
        f->ip_sum = checksum_fold(sum);
    }
}

static inline void finish_ip(const struct offload_frame *f, uint32_t i, uint8_t *out, uint32_t len)
{
    if (f->ip_version == 6) {
        set16(out + IPV6_LENGTH, len - IPV6_HEADER);
        return;
    }
    uint32_t identification = get16(f->packet + IPV4_IDENTIFICATION) + i;
    uint64_t sum = (uint64_t)f->ip_sum + sum_of16(len) + sum_of16(identification);
    set16(out + IPV4_LENGTH, len);
    set16(out + IPV4_IDENTIFICATION, identification);
    set_word(out + IPV4_CHECKSUM, (uint16_t)~checksum_fold(sum));
}

static inline void finish_tcp(const struct offload_frame *f, uint32_t i, uint8_t *tcp, uint64_t sum)
{
    uint32_t sequence = get32(f->packet + f->transport_offset + TCP_SEQUENCE) + i * f->gso_size;
    if (i + 1 < f->segments)
        tcp[TCP_FLAGS] &= (uint8_t)~(TCP_FIN | TCP_PSH);
    if (i > 0)
        tcp[TCP_FLAGS] &= (uint8_t)~TCP_CWR;
    set32(tcp + TCP_SEQUENCE, sequence);
    sum += sum_of16(sequence >> 16);
    sum += sum_of16(sequence & 0xffff);
    sum += word_at(tcp + TCP_OFFSET);
    set_word(tcp + TCP_CHECKSUM, (uint16_t)~checksum_fold(sum));
}

static inline void finish_udp(uint8_t *udp, uint32_t len, uint64_t sum)
{
    set16(udp + UDP_LENGTH, len);
    uint16_t checksum = (uint16_t)~checksum_fold(sum + sum_of16(len));
    set_word(udp + UDP_CHECKSUM, checksum ? checksum : 0xffff);
}

/* out: the i-th packet, len bytes, headers still those of the frame. */
static inline void finish(const struct offload_frame *f, uint32_t i, uint8_t *out, uint32_t len,
                          uint64_t payload_sum)
{
    uint8_t *transport = out + f->transport_offset;
    uint32_t transport_length = len - f->transport_offset;
    uint64_t sum = f->transport_sum + payload_sum + sum_of16(transport_length);
    finish_ip(f, i, out, len);
    if (f->transport == PROTOCOL_TCP)
        finish_tcp(f, i, transport, sum);
    else
        finish_udp(transport, transport_length, sum);
}

static int parse_large(struct offload_frame *f, const struct vnet_header *h, uint32_t ip_header,
                       uint32_t max_segments)
{
    int error = find_transport(f, ip_header);
    if (!error)
        error = measure_transport(f);
    if (!error)
        error = check_claims(f, h);
    if (!error)
        error = count_segments(f, h->gso_size, max_segments);
    if (error)
        return error;
    sum_headers(f, h, ip_header);
    if (f->segments == 1)
        finish(f, 0, f->packet, f->packet_length,
               checksum_sum(f->packet + f->header_length, f->packet_length - f->header_length));
    return 0;
}

int offload_parse(struct offload_frame *f, uint8_t *frame, size_t len, uint32_t max_segments)
{
    struct vnet_header h;
    if (len <= VNET_HEADER_SIZE)
        return OFFLOAD_TRUNCATED;
    memcpy(&h, frame, VNET_HEADER_SIZE);
    memset(f, 0, sizeof *f);
    f->packet = frame + VNET_HEADER_SIZE;
    f->gso_type = h.gso_type & (uint8_t)~VNET_GSO_ECN;
    int ip_header = parse_ip(f, len - VNET_HEADER_SIZE);
    if (ip_header < 0)
        return ip_header;
    if (f->gso_type == VNET_GSO_NONE)
        return finish_plain(f, &h, (uint32_t)ip_header);
    return parse_large(f, &h, (uint32_t)ip_header, max_segments);
}

size_t offload_segment(const struct offload_frame *f, uint32_t i, uint8_t *out)
{
    if (f->segments == 1) {
        memcpy(out, f->packet, f->packet_length);
        return f->packet_length;
    }
    uint32_t len = i + 1 < f->segments ? f->segment_length : f->last_length;
    const uint8_t *payload = f->packet + f->header_length + (size_t)i * f->gso_size;
    memcpy(out, f->packet, f->header_length);
    uint64_t sum = checksum_copy(out + f->header_length, payload, len - f->header_length);
    finish(f, i, out, len, sum);
    return len;
}
