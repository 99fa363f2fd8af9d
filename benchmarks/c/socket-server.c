/*
 * The least that WebSocket costs on epoll: a recv(2) and a send(2) for each echo, a send(2) for each connection that gets a message to all, and hardly
 * anything else. It is not a server: it knows one key, the one of the example in RFC 6455, and believes that each frame is short and comes whole.
 *
 * A handshake for /ws/echo makes a connection that echoes, and one for any other path makes one that sends to all of its kind.
 *
 * Build: cc -O2 -o socket-server socket-server.c. It writes its port, and ends when standard input ends.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_EVENTS = 512, MAX_FILES = 65536, BUFFER_BYTES = 65536, HEADER_BYTES = 2, MASK_BYTES = 4, LENGTH = 0x7f };

static const char ACCEPTED[] =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
static const char ECHO[] = "GET /ws/echo ";

static enum { NEW, ECHOES, IS_ONE_OF_ALL } kinds[MAX_FILES];
static int all[MAX_FILES], all_count, epoll;

static void watch(int fd) {
  struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
  epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static int listen_on_free_port(void) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  if (bind(fd, (struct sockaddr *)&address, length) < 0 || listen(fd, 4096) < 0) perror("listen"), exit(1);
  getsockname(fd, (struct sockaddr *)&address, &length);
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);
  return fd;
}

static void accept_one(int listener) {
  int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK), yes = 1;
  if (fd < 0 || fd >= MAX_FILES) perror("accept4"), exit(1);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  kinds[fd] = NEW;
  watch(fd);
}

static void forget(int fd) {
  for (int i = 0; i < all_count; i++) {
    if (all[i] == fd) all[i--] = all[--all_count];
  }
  close(fd);
}

static void receive(int fd) {
  static unsigned char in[BUFFER_BYTES], out[HEADER_BYTES + LENGTH];
  ssize_t received = recv(fd, in, sizeof in, 0);
  if (received <= 0) return forget(fd);
  if (kinds[fd] == NEW) {
    kinds[fd] = memcmp(in, ECHO, sizeof ECHO - 1) == 0 ? ECHOES : IS_ONE_OF_ALL;
    if (kinds[fd] == IS_ONE_OF_ALL) all[all_count++] = fd;
    send(fd, ACCEPTED, sizeof ACCEPTED - 1, MSG_NOSIGNAL);
    return;
  }
  size_t length = in[1] & LENGTH;
  const unsigned char *mask = in + HEADER_BYTES, *payload = mask + MASK_BYTES;
  out[0] = in[0];
  out[1] = (unsigned char)length;
  for (size_t i = 0; i < length; i++) out[HEADER_BYTES + i] = payload[i] ^ mask[i % MASK_BYTES];
  if (kinds[fd] == ECHOES) send(fd, out, HEADER_BYTES + length, MSG_NOSIGNAL);
  else for (int i = 0; i < all_count; i++) send(all[i], out, HEADER_BYTES + length, MSG_NOSIGNAL);
}

int main(void) {
  static struct epoll_event events[MAX_EVENTS];
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  epoll = epoll_create1(0);
  int listener = listen_on_free_port();
  watch(listener);
  watch(STDIN_FILENO);
  for (;;) {
    int count = epoll_wait(epoll, events, MAX_EVENTS, -1);
    for (int i = 0; i < count; i++) {
      if (events[i].data.fd == STDIN_FILENO) return 0;
      if (events[i].data.fd == listener) accept_one(listener);
      else receive(events[i].data.fd);
    }
  }
}
