/*
 * The limit of a broadcast: one send(2) for each listener, of bytes that are ready, and nothing else. It shows how much of an event's cost is the kernel's.
 *
 * Each client gets the head of a stream of events when its request has come. Each line of standard input sends one event to all of them.
 *
 * Build: cc -O2 -o event-server event-server.c. It writes its port to standard output and ends when standard input does.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST_LISTENERS = 65536, MOST_EVENTS = 256, DATA_BYTES = 100 };

static const char head[] =
    "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/event-stream\r\n"
    "Cache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n";
static int listeners[MOST_LISTENERS];
static int listener_count;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void watch(int epoll_fd, int fd) {
  struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
  if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) fail("epoll_ctl");
}

static void send_event(void) {
  char data[DATA_BYTES + 1], chunk[DATA_BYTES + 32];
  memset(data, 'x', DATA_BYTES);
  data[DATA_BYTES] = 0;
  int size = sprintf(chunk, "%x\r\ndata: %s\n\n\r\n", DATA_BYTES + 8, data);
  for (int i = 0; i < listener_count; i++) send(listeners[i], chunk, size, MSG_NOSIGNAL);
}

static void receive(int fd) {
  static char buffer[65536];
  ssize_t size = recv(fd, buffer, sizeof buffer, 0);
  if (size <= 0) {
    for (int i = 0; i < listener_count; i++) {
      if (listeners[i] == fd) listeners[i] = listeners[--listener_count];
    }
    close(fd);
  } else if (size >= 4 && memcmp(buffer + size - 4, "\r\n\r\n", 4) == 0 && listener_count < MOST_LISTENERS) {
    send(fd, head, sizeof head - 1, MSG_NOSIGNAL);
    listeners[listener_count++] = fd;
  }
}

int main(void) {
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  int epoll_fd = epoll_create1(0);
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  if (bind(listener, (struct sockaddr *)&address, length) < 0 || listen(listener, 4096) < 0) fail("listen");
  getsockname(listener, (struct sockaddr *)&address, &length);
  watch(epoll_fd, listener);
  watch(epoll_fd, STDIN_FILENO);
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);
  for (;;) {
    struct epoll_event events[MOST_EVENTS];
    int count = epoll_wait(epoll_fd, events, MOST_EVENTS, -1);
    for (int i = 0; i < count; i++) {
      int fd = events[i].data.fd, one = 1;
      if (fd == STDIN_FILENO) {
        char lines[64];
        ssize_t size = read(fd, lines, sizeof lines);
        if (size <= 0) return 0;
        for (ssize_t at = 0; at < size; at++) {
          if (lines[at] == '\n') send_event();
        }
      } else if (fd == listener) {
        int client = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        if (client < 0) continue;
        setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        watch(epoll_fd, client);
      } else {
        receive(fd);
      }
    }
  }
}
