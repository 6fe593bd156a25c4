/*
 * Paced UDP for small-packet measurements: one program that sends at a rate and one that counts.
 *
 *   packets send ADDRESS PORT SIZE RATE SECONDS SEGMENTS   prints: packets sent, seconds taken
 *   packets count ADDRESS PORT                             prints: packets received, on SIGTERM
 *
 * The sender wakes every TICK and sends what is due with sendmmsg, at most BATCH a call; it never
 * spins, since it shares its cores with what it measures. SEGMENTS > 1 hands the kernel that many
 * packets as one UDP_SEGMENT send. The counter is a plain blocking recvmmsg loop.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
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

enum { BATCH = 64, MAX_SIZE = 65535, RECEIVE_BUFFER = 8 << 20 };
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

static void sleep_for(double seconds) {
  struct timespec t = {0, (long)(seconds * 1e9)};
  nanosleep(&t, NULL);
}

/* A UDP socket bound (is_server) or connected to the numeric address. */
static int udp_socket(const char *address, const char *port, int is_server) {
  struct addrinfo wanted = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_DGRAM}, *found;
  if (getaddrinfo(address, port, &wanted, &found) != 0) {
    fputs("not a numeric address\n", stderr);
    exit(1);
  }
  int fd = socket(found->ai_family, SOCK_DGRAM, 0);
  if (fd < 0) fail("socket");
  int (*attach)(int, const struct sockaddr *, socklen_t) = is_server ? bind : connect;
  if (attach(fd, found->ai_addr, found->ai_addrlen) < 0) fail(is_server ? "bind" : "connect");
  freeaddrinfo(found);
  return fd;
}

/* How many packets are due, in whole messages, at most one batch. */
static long messages_due(double elapsed, double rate, long sent, int segments) {
  long due = ((long)(elapsed * rate) - sent) / segments;
  return due > BATCH ? BATCH : due;
}

static long send_paced(int fd, int size, double rate, double seconds, int segments, double *took) {
  static char payload[MAX_SIZE];
  struct iovec part = {payload, (size_t)size * (size_t)segments};
  struct mmsghdr messages[BATCH];
  memset(messages, 0, sizeof messages);
  for (int i = 0; i < BATCH; i++) {
    messages[i].msg_hdr.msg_iov = &part;
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  long sent = 0;
  double started_at = seconds_now(), elapsed;
  while ((elapsed = seconds_now() - started_at) < seconds) {
    long due = messages_due(elapsed, rate, sent, segments);
    if (due < 1) {
      sleep_for(TICK);
      continue;
    }
    int taken = sendmmsg(fd, messages, (unsigned)due, 0);
    if (taken < 0 && errno != ENOBUFS && errno != ECONNREFUSED) fail("sendmmsg");
    sent += (taken < 0 ? due : taken) * segments;
  }
  *took = elapsed;
  return sent;
}

static long count_all(int fd) {
  static char payloads[BATCH][2048];
  struct iovec parts[BATCH];
  struct mmsghdr messages[BATCH];
  memset(messages, 0, sizeof messages);
  for (int i = 0; i < BATCH; i++) {
    parts[i] = (struct iovec){payloads[i], sizeof payloads[i]};
    messages[i].msg_hdr.msg_iov = &parts[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  long received = 0;
  while (!stopped) {
    int got = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
    if (got > 0) received += got;
  }
  return received;
}

static int run_sender(char **arguments) {
  int size = atoi(arguments[2]), segments = atoi(arguments[5]);
  int fd = udp_socket(arguments[0], arguments[1], 0);
  if (segments > 1 && setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof size) < 0)
    fail("UDP_SEGMENT");
  prctl(PR_SET_TIMERSLACK, 1UL);
  double took;
  long sent = send_paced(fd, size, atof(arguments[3]), atof(arguments[4]), segments, &took);
  printf("%ld %.6f\n", sent, took);
  return 0;
}

static int run_counter(char **arguments) {
  int fd = udp_socket(arguments[0], arguments[1], 1), size = RECEIVE_BUFFER;
  struct timeval patience = {0, 50000};
  struct sigaction action = {.sa_handler = stop};
  sigaction(SIGTERM, &action, NULL);
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) < 0) fail("SO_RCVBUFFORCE");
  if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0) fail("SO_RCVTIMEO");
  puts("ready");
  fflush(stdout);
  printf("%ld\n", count_all(fd));
  return 0;
}

int main(int count, char **arguments) {
  if (count == 8 && strcmp(arguments[1], "send") == 0) return run_sender(arguments + 2);
  if (count == 4 && strcmp(arguments[1], "count") == 0) return run_counter(arguments + 2);
  fputs("usage: packets send ADDRESS PORT SIZE RATE SECONDS SEGMENTS | count ADDRESS PORT\n", stderr);
  return 2;
}
