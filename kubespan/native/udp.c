/* Datagrams in batches. See udp.h. */
#define _GNU_SOURCE
#include "udp.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "atomics.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif
#ifndef SOL_UDP
#define SOL_UDP 17
#endif

/* Room for packet information, traffic class and segment size, of either family. */
#define CONTROL_SIZE 128
#define SEND_PATIENCE_MS 20
#define SEND_PATIENCE 2 /* so often at most, however many messages: somebody may be waiting to stop us */

struct udp_receiver {
    struct mmsghdr headers[UDP_RECEIVE_SLOTS];
    struct iovec vectors[UDP_RECEIVE_SLOTS];
    struct sockaddr_storage names[UDP_RECEIVE_SLOTS];
    _Alignas(8) uint8_t control[UDP_RECEIVE_SLOTS][CONTROL_SIZE];
    struct udp_datagram datagrams[UDP_RECEIVE_SLOTS];
    uint8_t *memory;
    uint64_t first; /* number of the first message of the last call; its slot is that modulo UDP_RECEIVE_SLOTS */
    uint64_t next;  /* number that the next one gets */
};

struct udp_sender {
    struct mmsghdr headers[UDP_SEND_SLOTS];
    struct sockaddr_storage names[UDP_SEND_SLOTS];
    _Alignas(8) uint8_t control[UDP_SEND_SLOTS][CONTROL_SIZE];
    int plain;
    int patience; /* waits that are left to the call under way */
};

/* ---- receive ---- */

struct udp_receiver *udp_receiver_new(void)
{
    struct udp_receiver *r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    r->memory = mmap(NULL, (size_t)UDP_RECEIVE_SLOTS * UDP_RECEIVE_SIZE, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (r->memory == MAP_FAILED) {
        free(r);
        return NULL;
    }
    return r;
}

void udp_receiver_free(struct udp_receiver *r)
{
    if (!r)
        return;
    munmap(r->memory, (size_t)UDP_RECEIVE_SLOTS * UDP_RECEIVE_SIZE);
    free(r);
}

/* The kernel writes into every one of these fields, so each is set again before each call. */
static void receive_prepare(struct udp_receiver *r, int i)
{
    struct msghdr *h = &r->headers[i].msg_hdr;

    r->vectors[i] = (struct iovec){r->memory + (size_t)i * UDP_RECEIVE_SIZE, UDP_RECEIVE_SIZE};
    h->msg_name = &r->names[i];
    h->msg_namelen = sizeof(r->names[i]);
    h->msg_iov = &r->vectors[i];
    h->msg_iovlen = 1;
    h->msg_control = r->control[i];
    h->msg_controllen = CONTROL_SIZE;
    h->msg_flags = 0;
}

static void read_name(struct udp_endpoint *e, const struct sockaddr_storage *name)
{
    memset(e, 0, sizeof(*e));
    e->family = name->ss_family;
    if (name->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)name;
        e->port = ntohs(in->sin_port);
        memcpy(e->address, &in->sin_addr, 4);
    } else if (name->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)name;
        e->port = ntohs(in6->sin6_port);
        e->scope_id = in6->sin6_scope_id;
        memcpy(e->address, &in6->sin6_addr, 16);
    }
}

static void read_control(struct udp_datagram *d, const struct cmsghdr *c)
{
    int value;

    if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
        memcpy(&value, CMSG_DATA(c), sizeof(value));
        if (value > 0)
            d->segment_size = (size_t)value;
    } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
        struct in_pktinfo info;
        memcpy(&info, CMSG_DATA(c), sizeof(info));
        memcpy(d->from.source, &info.ipi_addr, 4);
        d->from.source_ifindex = (uint32_t)info.ipi_ifindex;
        d->from.has_source = 1;
    } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
        struct in6_pktinfo info;
        memcpy(&info, CMSG_DATA(c), sizeof(info));
        memcpy(d->from.source, &info.ipi6_addr, 16);
        d->from.source_ifindex = (uint32_t)info.ipi6_ifindex;
        d->from.has_source = 1;
    } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) {
        d->ecn = *CMSG_DATA(c) & 3;
    } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS) {
        memcpy(&value, CMSG_DATA(c), sizeof(value));
        d->ecn = value & 3;
    }
}

static void read_datagram(struct udp_receiver *r, int i)
{
    struct udp_datagram *d = &r->datagrams[i];
    struct msghdr *h = &r->headers[i].msg_hdr;

    d->data = r->vectors[i].iov_base;
    d->length = h->msg_flags & (MSG_TRUNC | MSG_CTRUNC) ? 0 : r->headers[i].msg_len;
    d->segment_size = d->length;
    d->ecn = 0;
    read_name(&d->from, &r->names[i]);
    for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c))
        read_control(d, c);
    if (d->segment_size > d->length)
        d->segment_size = d->length;
}

/* So many messages as large as these `n` as UDP_RECEIVE_BYTES hold; at most twice as many as now, for a few small ones
 * between large ones say little. */
static int messages_that_fit(const struct udp_receiver *r, int first, int n, int now)
{
    size_t bytes = 1, fit, most = 2 * (size_t)now;

    for (int i = first; i < first + n; i++)
        bytes += r->headers[i].msg_len;
    fit = (size_t)n * UDP_RECEIVE_BYTES / bytes;
    if (most > UDP_RECEIVE_SLOTS)
        most = UDP_RECEIVE_SLOTS;
    return fit < 1 ? 1 : (int)(fit < most ? fit : most);
}

/* Slots from `first` on that are neighbours and not kept, but no more than are wanted; none while fewer than that, or
 * than half of all, are free. A call for each message makes a receiver slower than who sends, and what waits then waits
 * in the socket. */
static int room(const struct udp_receiver *r, int first, uint64_t keep, int wanted)
{
    int count = UDP_RECEIVE_SLOTS - (int)(r->next - keep);

    if (count < wanted && count < UDP_RECEIVE_SLOTS / 2)
        return 0;
    if (count > UDP_RECEIVE_SLOTS - first)
        count = UDP_RECEIVE_SLOTS - first;
    return count < wanted ? count : wanted;
}

int udp_receive(struct udp_receiver *r, struct udp_queue *q, uint64_t keep)
{
    int wanted = q->most ? q->most : UDP_RECEIVE_SLOTS;

    if (keep == UDP_KEEP_NOTHING)
        keep = r->next = 0;
    int first = (int)(r->next % UDP_RECEIVE_SLOTS), count = room(r, first, keep, wanted);
    r->first = r->next;
    if (count == 0)
        return UDP_NO_ROOM;
    for (int i = first; i < first + count; i++)
        receive_prepare(r, i);
    int n = recvmmsg(q->fd, r->headers + first, (unsigned)count, MSG_DONTWAIT, NULL);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    for (int i = first; i < first + n; i++)
        read_datagram(r, i);
    q->most = messages_that_fit(r, first, n, wanted);
    r->next += (uint64_t)n;
    return n;
}

struct udp_datagram *udp_received(struct udp_receiver *r, int i)
{
    return &r->datagrams[r->first % UDP_RECEIVE_SLOTS + (uint64_t)i];
}

uint64_t udp_number(const struct udp_receiver *r, const struct udp_datagram *d)
{
    return r->first + (uint64_t)(d - r->datagrams) - r->first % UDP_RECEIVE_SLOTS;
}

/* ---- send ---- */

struct udp_sender *udp_sender_new(void) { return calloc(1, sizeof(struct udp_sender)); }
void udp_sender_free(struct udp_sender *s) { free(s); }
void udp_sender_plain(struct udp_sender *s) { s->plain = 1; }

static socklen_t write_name(struct sockaddr_storage *name, const struct udp_endpoint *e)
{
    memset(name, 0, sizeof(*name));
    if (e->family == AF_INET) {
        struct sockaddr_in *in = (struct sockaddr_in *)name;
        in->sin_family = AF_INET;
        in->sin_port = htons(e->port);
        memcpy(&in->sin_addr, e->address, 4);
        return sizeof(*in);
    }
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)name;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(e->port);
    in6->sin6_scope_id = e->scope_id;
    memcpy(&in6->sin6_addr, e->address, 16);
    return sizeof(*in6);
}

static size_t put_control(uint8_t *control, size_t used, int level, int type, const void *value, size_t size)
{
    struct cmsghdr *c = (struct cmsghdr *)(control + used);

    c->cmsg_level = level;
    c->cmsg_type = type;
    c->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(c), value, size);
    return used + CMSG_SPACE(size);
}

static size_t put_source(uint8_t *control, size_t used, const struct udp_endpoint *to)
{
    if (to->family == AF_INET) {
        struct in_pktinfo info = {.ipi_ifindex = (int)to->source_ifindex};
        memcpy(&info.ipi_spec_dst, to->source, 4);
        return put_control(control, used, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
    }
    struct in6_pktinfo info = {.ipi6_ifindex = to->source_ifindex};
    memcpy(&info.ipi6_addr, to->source, 16);
    return put_control(control, used, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
}

static size_t write_control(uint8_t *control, const struct udp_message *m)
{
    size_t used = 0;
    int traffic_class = m->traffic_class;
    uint16_t segment_size = (uint16_t)m->segment_size;

    memset(control, 0, CONTROL_SIZE);
    if (m->to.has_source)
        used = put_source(control, used, &m->to);
    if (traffic_class && m->to.family == AF_INET)
        used = put_control(control, used, IPPROTO_IP, IP_TOS, &traffic_class, sizeof(traffic_class));
    else if (traffic_class)
        used = put_control(control, used, IPPROTO_IPV6, IPV6_TCLASS, &traffic_class, sizeof(traffic_class));
    if (m->segment_size < m->length)
        used = put_control(control, used, SOL_UDP, UDP_SEGMENT, &segment_size, sizeof(segment_size));
    return used;
}

static void send_prepare(struct udp_sender *s, int i, const struct udp_message *m)
{
    struct msghdr *h = &s->headers[i].msg_hdr;

    h->msg_name = &s->names[i];
    h->msg_namelen = write_name(&s->names[i], &m->to);
    h->msg_iov = m->parts;
    h->msg_iovlen = m->count;
    h->msg_control = s->control[i];
    h->msg_controllen = write_control(s->control[i], m);
    if (!h->msg_controllen)
        h->msg_control = NULL;
    h->msg_flags = 0;
}

/* One system call for a run of messages of one family; waits a little for a full send buffer to drain. */
static int send_run(struct udp_sender *s, int fd, int first, int count, int *calls)
{
    for (;; s->patience--) {
        (*calls)++;
        int n = sendmmsg(fd, s->headers + first, (unsigned)count, 0);
        if (n >= 0 || s->patience <= 0 || (errno != EAGAIN && errno != EINTR && errno != ENOBUFS))
            return n;
        struct pollfd writable = {.fd = fd, .events = POLLOUT};
        poll(&writable, 1, SEND_PATIENCE_MS);
    }
}

static int send_one(struct udp_sender *s, int fd, int i, const struct udp_message *m, int *calls)
{
    send_prepare(s, i, m);
    return send_run(s, fd, i, 1, calls) == 1 ? 0 : errno;
}

/* The same bytes, a datagram at a time. Stops at the first refusal: the rest would meet the same. */
static int send_segments(struct udp_sender *s, int fd, int i, const struct udp_message *m, int *calls)
{
    for (size_t part = 0; part < m->count; part++)
        for (size_t at = 0; at < m->parts[part].iov_len; at += m->segment_size) {
            size_t left = m->parts[part].iov_len - at;
            struct iovec datagram = {(uint8_t *)m->parts[part].iov_base + at,
                                     left < m->segment_size ? left : m->segment_size};
            struct udp_message one = *m;
            one.parts = &datagram;
            one.count = 1;
            one.length = one.segment_size = datagram.iov_len;
            int error = send_one(s, fd, i, &one, calls);
            if (error)
                return error;
        }
    return 0;
}

/* What the system may say when an address, or the interface it came with, is not ours any more. */
static int is_source_refused(int error)
{
    return error == EINVAL || error == EADDRNOTAVAIL || error == ENODEV || error == ENXIO ||
           error == ENETUNREACH || error == EHOSTUNREACH;
}

/* A refused message, tried again without what the kernel may have refused it for. */
static int send_plainly(struct udp_sender *s, int fd, int i, struct udp_message *m, int error, int *calls)
{
    /* First without segmentation, for EINVAL may mean either, and the source is worth more. */
    if ((error == EIO || error == EINVAL || error == EMSGSIZE) && m->segment_size < m->length) {
        if (error == EIO)
            s->plain = 1;
        error = send_segments(s, fd, i, m, calls);
    }
    if (m->to.has_source && is_source_refused(error)) {
        m->to.has_source = 0;
        m->source_refused = 1;
        error = send_segments(s, fd, i, m, calls);
    }
    return error;
}

/* How many messages from `first` on may share a system call: same family, and segmented only where allowed. */
static int run_length(const struct udp_sender *s, const struct udp_message *messages, int first, int count)
{
    int n = 0;
    while (first + n < count && messages[first + n].to.family == messages[first].to.family &&
           !(s->plain && messages[first + n].segment_size < messages[first + n].length))
        n++;
    return n;
}

static int send_all(struct udp_sender *s, int ipv4_fd, int ipv6_fd, struct udp_message *messages, int count)
{
    int calls = 0;

    for (int i = 0; i < count; i++) {
        messages[i].error = messages[i].source_refused = 0;
        send_prepare(s, i, &messages[i]);
    }
    for (int i = 0; i < count;) {
        struct udp_message *m = &messages[i];
        int fd = m->to.family == AF_INET ? ipv4_fd : ipv6_fd;
        int run = run_length(s, messages, i, count);
        if (fd < 0) {
            m->error = EAFNOSUPPORT;
            i++;
        } else if (run == 0) {
            m->error = send_segments(s, fd, i, m, &calls);
            i++;
        } else {
            int sent = send_run(s, fd, i, run, &calls);
            int error = sent < 0 ? errno : 0;
            i += sent > 0 ? sent : 0;
            if (sent <= 0) {
                m->error = send_plainly(s, fd, i, m, error, &calls);
                i++;
            }
        }
    }
    return calls;
}

int udp_send(struct udp_sender *s, int ipv4_fd, int ipv6_fd, struct udp_message *messages, int count)
{
    s->patience = SEND_PATIENCE;
    return send_all(s, ipv4_fd, ipv6_fd, messages, count);
}

int udp_offer(struct udp_sender *s, int ipv4_fd, int ipv6_fd, struct udp_message *messages, int count)
{
    s->patience = 0;
    return send_all(s, ipv4_fd, ipv6_fd, messages, count);
}
