/*
 * Paced UDP over many flows at once, each from an address to an address of its own, taking turns.
 *
 *   spread send FROM TO COUNT PORT SIZE RATE SECONDS SEGMENTS GREED   prints: packets sent, seconds taken
 *   spread count FROM COUNT PORT                                      prints: packets received of each flow
 *
 * FROM and TO are IPv4 addresses, and the COUNT - 1 that follow them belong to the other flows. RATE
 * is packets a second of all together. SEGMENTS > 1 hands the kernel that many packets as one send.
 * The first flow has GREED turns, evenly spread, where each of the others has one.
 * The counter ends at SIGTERM; it takes what the kernel has merged as it is.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif
#ifndef SOL_UDP
#define SOL_UDP 17
#endif

enum { MAX_FLOWS = 1000, BATCH = 32, MAX_SIZE = 65535, RECEIVE_BUFFER = 16 << 20 };
static const double TICK = 100e-6;
static volatile sig_atomic_t stopped;

static void stop(int signal_number) {
  (void)signal_number;
  stopped = 1;
}

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static double seconds_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static uint32_t first_address(const char *text) {
  struct in_addr address;
  if (inet_pton(AF_INET, text, &address) != 1) fail("address");
  return ntohl(address.s_addr);
}

static struct sockaddr_in place(uint32_t address, int port) {
  return (struct sockaddr_in){
      .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(address)};
}

static int flow(uint32_t from, uint32_t to, int port, int size, int segments) {
  struct sockaddr_in own = place(from, 0), other = place(to, port);
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  if (fd < 0 || bind(fd, (void *)&own, sizeof own) < 0) fail("bind");
  if (connect(fd, (void *)&other, sizeof other) < 0) fail("connect");
  if (segments > 1 && setsockopt(fd, SOL_UDP, UDP_SEGMENT, &size, sizeof size) < 0)
    fail("UDP_SEGMENT");
  return fd;
}

/* Whose turn it is: in a round the first has `greed` turns as far apart as can be, the others one each. */
static int taker(long turn, int count, int greed) {
  long round = count - 1 + greed, place = turn % round;
  if (place * greed % round < greed) return 0;
  return (int)(place - place * greed / round);
}

static int run_sender(char **a) {
  static char payload[MAX_SIZE];
  int fds[MAX_FLOWS], count = atoi(a[2]), size = atoi(a[4]), segments = atoi(a[7]), greed = atoi(a[8]);
  double rate = atof(a[5]), seconds = atof(a[6]), elapsed;
  long sent = 0, turn = 0;
  if (count < 1 || count > MAX_FLOWS || greed < 1) fail("count or greed");
  if ((long)size * segments > MAX_SIZE) fail("size");
  for (int i = 0; i < count; i++)
    fds[i] = flow(first_address(a[0]) + (uint32_t)i, first_address(a[1]) + (uint32_t)i, atoi(a[3]), size,
                  segments);
  prctl(PR_SET_TIMERSLACK, 1UL);
  double started_at = seconds_now();
  while ((elapsed = seconds_now() - started_at) < seconds) {
    if ((long)(elapsed * rate) - sent < segments) {
      struct timespec nap = {0, (long)(TICK * 1e9)};
      nanosleep(&nap, NULL);
      continue;
    }
    if (send(fds[taker(turn++, count, greed)], payload, (size_t)size * (size_t)segments, 0) < 0 && errno != ENOBUFS &&
        errno != ECONNREFUSED)
      fail("send");
    sent += segments;
  }
  printf("%ld %.6f\n", sent, elapsed);
  return 0;
}

static long packets_of(struct msghdr *h, size_t length) {
  for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c))
    if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
      int size;
      memcpy(&size, CMSG_DATA(c), sizeof size);
      return size > 0 ? (long)((length + (size_t)size - 1) / (size_t)size) : 1;
    }
  return 1;
}

static void count_all(int fd, uint32_t first, int count, long *received) {
  static char payloads[BATCH][MAX_SIZE + 1];
  static _Alignas(8) char controls[BATCH][64];
  struct sockaddr_in names[BATCH];
  struct iovec parts[BATCH];
  struct mmsghdr messages[BATCH];
  while (!stopped) {
    for (int i = 0; i < BATCH; i++) {
      parts[i] = (struct iovec){payloads[i], sizeof payloads[i]};
      messages[i].msg_hdr = (struct msghdr){.msg_name = &names[i], .msg_namelen = sizeof names[i],
                                            .msg_iov = &parts[i], .msg_iovlen = 1,
                                            .msg_control = controls[i], .msg_controllen = sizeof controls[i]};
    }
    int got = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
    for (int i = 0; i < got; i++) {
      uint32_t who = ntohl(names[i].sin_addr.s_addr) - first;
      if (who < (uint32_t)count) received[who] += packets_of(&messages[i].msg_hdr, messages[i].msg_len);
    }
  }
}

static int run_counter(char **a) {
  static long received[MAX_FLOWS];
  int count = atoi(a[1]), size = RECEIVE_BUFFER, one = 1, fd = socket(AF_INET, SOCK_DGRAM, 0);
  struct timeval patience = {0, 50000};
  struct sigaction action = {.sa_handler = stop};
  struct sockaddr_in own = place(INADDR_ANY, atoi(a[2]));
  if (count < 1 || count > MAX_FLOWS) fail("count");
  if (fd < 0 || bind(fd, (void *)&own, sizeof own) < 0) fail("bind");
  sigaction(SIGTERM, &action, NULL);
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) < 0) fail("SO_RCVBUFFORCE");
  if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0) fail("SO_RCVTIMEO");
  if (setsockopt(fd, SOL_UDP, UDP_GRO, &one, sizeof one) < 0) fail("UDP_GRO");
  puts("ready");
  fflush(stdout);
  count_all(fd, first_address(a[0]), count, received);
  for (int i = 0; i < count; i++) printf("%ld ", received[i]);
  puts("");
  return 0;
}

int main(int count, char **arguments) {
  if (count == 11 && strcmp(arguments[1], "send") == 0) return run_sender(arguments + 2);
  if (count == 5 && strcmp(arguments[1], "count") == 0) return run_counter(arguments + 2);
  fputs("usage: spread send FROM TO COUNT PORT SIZE RATE SECONDS SEGMENTS GREED | count FROM COUNT PORT\n", stderr);
  return 2;
}
