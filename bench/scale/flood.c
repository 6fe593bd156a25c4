/*
 * A flood of handshake messages from many sources, for measuring what it costs those who mean well.
 *
 *   flood POOL DESTINATION PORT SOURCES RATE SECONDS   prints: packets sent, seconds taken
 *
 * POOL is a file of UDP payloads, each behind its length in two bytes, big-endian; they are sent
 * in turn. SOURCES is IPv4 a.b.c.d/n: every packet has a random source out of it, and a random port.
 * Needs CAP_NET_RAW, and belongs in a network namespace. It wakes every TICK and sends what is due;
 * what the kernel does not take is not sent again.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

enum { BATCH = 64, MAX_PAYLOAD = 1400, MAX_POOL = 65536 };
static const double TICK = 100e-6;
static const double LONGEST = 120.0; /* seconds, whatever is asked for */

struct payload {
  uint16_t length;
  uint8_t *bytes;
};

struct sources {
  uint32_t first;
  uint32_t mask; /* of the bits that vary */
};

struct packet {
  struct iphdr ip;
  struct udphdr udp;
  uint8_t payload[MAX_PAYLOAD];
} __attribute__((packed));

static struct payload pool[MAX_POOL];
static size_t pool_size;
static uint64_t random_state = 0x9e3779b97f4a7c15;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static uint64_t random_bits(void) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return random_state;
}

static double seconds_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void read_pool(const char *path) {
  uint8_t head[2];
  FILE *file = fopen(path, "rb");
  if (!file) fail(path);
  while (pool_size < MAX_POOL && fread(head, 1, 2, file) == 2) {
    struct payload *p = &pool[pool_size++];
    p->length = (uint16_t)(head[0] << 8 | head[1]);
    if (p->length > MAX_PAYLOAD || !(p->bytes = malloc(p->length ? p->length : 1))) fail("payload");
    if (fread(p->bytes, 1, p->length, file) != p->length) fail("a whole payload");
  }
  fclose(file);
  if (!pool_size) fail("an empty pool");
}

static struct sources read_sources(char *text) {
  struct in_addr address;
  char *slash = strchr(text, '/');
  int length = slash ? atoi(slash + 1) : 32;
  if (slash) *slash = 0;
  if (inet_pton(AF_INET, text, &address) != 1 || length < 1 || length > 32) fail("sources");
  uint32_t mask = length == 32 ? 0 : 0xffffffffu >> length;
  return (struct sources){ntohl(address.s_addr) & ~mask, mask};
}

/* No UDP checksum: IPv4 allows it, and the kernel fills in that of IP. */
static size_t fill(struct packet *p, const struct payload *what, const struct sources *from,
                   const struct sockaddr_in *to) {
  uint64_t r = random_bits();
  size_t length = sizeof(p->ip) + sizeof(p->udp) + what->length;
  p->ip = (struct iphdr){.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP};
  p->ip.saddr = htonl(from->first | ((uint32_t)r & from->mask));
  p->ip.daddr = to->sin_addr.s_addr;
  p->udp.source = htons((uint16_t)(1024 + (r >> 32) % 60000));
  p->udp.dest = to->sin_port;
  p->udp.len = htons((uint16_t)(sizeof(p->udp) + what->length));
  p->udp.check = 0;
  memcpy(p->payload, what->bytes, what->length);
  return length;
}

static long flood(int fd, struct sockaddr_in *to, const struct sources *from, double rate,
                  double seconds, double *took) {
  static struct packet packets[BATCH];
  struct iovec parts[BATCH];
  struct mmsghdr messages[BATCH];
  long sent = 0;
  size_t turn = 0;
  double started_at = seconds_now(), elapsed;
  memset(messages, 0, sizeof messages);
  while ((elapsed = seconds_now() - started_at) < seconds) {
    long due = (long)(elapsed * rate) - sent;
    if (due < 1) {
      struct timespec nap = {0, (long)(TICK * 1e9)};
      nanosleep(&nap, NULL);
      continue;
    }
    if (due > BATCH) due = BATCH;
    for (long i = 0; i < due; i++) {
      parts[i] = (struct iovec){&packets[i], fill(&packets[i], &pool[turn++ % pool_size], from, to)};
      messages[i].msg_hdr.msg_name = to;
      messages[i].msg_hdr.msg_namelen = sizeof *to;
      messages[i].msg_hdr.msg_iov = &parts[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
    int taken = sendmmsg(fd, messages, (unsigned)due, 0);
    if (taken < 0 && errno != ENOBUFS && errno != EAGAIN) fail("sendmmsg");
    sent += taken < 0 ? due : taken;
  }
  *took = elapsed;
  return sent;
}

int main(int count, char **arguments) {
  if (count != 7) {
    fputs("usage: flood POOL DESTINATION PORT SOURCES RATE SECONDS\n", stderr);
    return 2;
  }
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(arguments[3]))};
  if (inet_pton(AF_INET, arguments[2], &to.sin_addr) != 1) fail("destination");
  read_pool(arguments[1]);
  struct sources from = read_sources(arguments[4]);
  double seconds = atof(arguments[6]), took;
  int fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW), size = 8 << 20;
  if (fd < 0) fail("raw socket");
  setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
  prctl(PR_SET_TIMERSLACK, 1UL);
  long sent = flood(fd, &to, &from, atof(arguments[5]), seconds < LONGEST ? seconds : LONGEST, &took);
  printf("%ld %.6f\n", sent, took);
  return 0;
}
