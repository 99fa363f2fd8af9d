/*
 * What a system call costs on this machine, in nanoseconds. It decides how far a server can be improved by making fewer of them.
 *
 * getppid(2) does next to nothing, so it is the price of the way into the kernel and back. The other two are calls that a server makes,
 * when there is nothing to do for them: epoll_pwait(2) on an empty set, and recv(2) on a socket without bytes.
 *
 * It writes the least of several runs as one line of JSON: whatever disturbs a run can only make it longer.
 *
 * Build: cc -O2 -o syscall-price syscall-price.c.
 */

#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { RUNS = 15, CALLS = 10000 };

static int epoll_fd, sockets[2];

/* syscall(2) instead of the functions of libc: all three go the same way. */
static void call_getppid(void) { syscall(SYS_getppid); }

static void call_epoll_pwait(void) {
  struct epoll_event event;
  syscall(SYS_epoll_pwait, epoll_fd, &event, 1, 0, NULL, 8);
}

static void call_recv(void) {
  char byte;
  syscall(SYS_recvfrom, sockets[0], &byte, 1, MSG_DONTWAIT, NULL, NULL);
}

static double now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double price_of(void (*call)(void)) {
  double least = 0;
  for (int run = 0; run < RUNS; run++) {
    double start = now_ns();
    for (int i = 0; i < CALLS; i++) call();
    double price = (now_ns() - start) / CALLS;
    if (run == 0 || price < least) least = price;
  }
  return least;
}

int main(void) {
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) < 0) return perror("syscall-price"), 1;
  printf("{\"getppid\":%.0f,\"epoll_pwait\":%.0f,\"recv\":%.0f}\n", price_of(call_getppid), price_of(call_epoll_pwait), price_of(call_recv));
  return 0;
}
