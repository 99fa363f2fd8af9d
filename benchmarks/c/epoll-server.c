/*
 * The limit of the design: a server that does as little as a server can, with the same system calls as simplenet.
 *
 * One thread, level-triggered epoll, one recv and one send for each turn of a connection, a Date that is made once a second.
 * It finds the end of a head, looks at the path, and knows nothing of HTTP beyond that: it must not see the open internet.
 * It serves /hello (also pipelined and with Connection: close), /large and /echo; not the routes and not the stream.
 *
 * Build: cc -O2 -o epoll-server epoll-server.c. It writes its port to standard output and ends when standard input does.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST_FDS = 65536, MOST_EVENTS = 256, RECEIVE_BYTES = 65536, SEND_BYTES = 1 << 20, LARGE_BYTES = 1 << 20 };

struct connection {
  char *pending; /* an unfinished request, or NULL */
  size_t pending_bytes;
  char *unsent; /* what the kernel had no room for, or NULL */
  size_t unsent_bytes, unsent_at;
  bool closes;
};

static struct connection connections[MOST_FDS];
static char receive_buffer[RECEIVE_BYTES];
static char *output;
static size_t output_bytes;
static char large[LARGE_BYTES];
static char date_line[64];
static time_t date_of;
static int epoll_fd;

static void refresh_date(void) {
  time_t now = time(NULL);
  if (now == date_of) return;
  date_of = now;
  struct tm parts;
  gmtime_r(&now, &parts);
  strftime(date_line, sizeof date_line, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &parts);
}

static void drop(int fd) {
  free(connections[fd].pending);
  free(connections[fd].unsent);
  memset(&connections[fd], 0, sizeof connections[fd]);
  close(fd);
}

/* Sends what is there, keeps what the kernel does not take. Answers false if the connection is gone. */
static bool send_or_keep(int fd, const char *bytes, size_t length) {
  struct connection *c = &connections[fd];
  size_t at = 0;
  while (c->unsent == NULL && at < length) {
    ssize_t sent = send(fd, bytes + at, length - at, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) return drop(fd), false;
    if (sent < 0) break;
    at += (size_t)sent;
  }
  if (at == length) return true;
  size_t rest = length - at;
  c->unsent = realloc(c->unsent, c->unsent_bytes + rest);
  memcpy(c->unsent + c->unsent_bytes, bytes + at, rest);
  c->unsent_bytes += rest;
  struct epoll_event event = {.events = EPOLLOUT, .data.fd = fd};
  epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event);
  return true;
}

static bool flush(int fd) {
  size_t length = output_bytes;
  output_bytes = 0;
  return length == 0 || send_or_keep(fd, output, length);
}

static bool answer(int fd, const char *type, const char *body, size_t length) {
  if (output_bytes + length + 512 > SEND_BYTES && !flush(fd)) return false;
  output_bytes += (size_t)sprintf(output + output_bytes, "HTTP/1.1 200 OK\r\n%sContent-Type: %s\r\nContent-Length: %zu\r\n%s\r\n",
                                  date_line, type, length, connections[fd].closes ? "Connection: close\r\n" : "");
  if (length > RECEIVE_BYTES) return flush(fd) && send_or_keep(fd, body, length);
  memcpy(output + output_bytes, body, length);
  output_bytes += length;
  return true;
}

/* Answers every whole request in the bytes. Returns how many bytes that were, or -1 if the connection is gone. */
static ssize_t answer_all(int fd, char *bytes, size_t length) {
  size_t at = 0;
  while (at < length) {
    char *start = bytes + at, *end = memmem(start, length - at, "\r\n\r\n", 4);
    if (end == NULL) break;
    size_t head = (size_t)(end - start) + 4;
    connections[fd].closes = memmem(start, head, "Connection: close", 17) != NULL;
    bool alive;
    if (memcmp(start, "GET /hello ", 11) == 0) {
      alive = answer(fd, "text/plain; charset=utf-8", "Hello, world!\n", 14);
    } else if (memcmp(start, "GET /large ", 11) == 0) {
      alive = answer(fd, "application/octet-stream", large, LARGE_BYTES);
    } else if (memcmp(start, "POST /echo ", 11) == 0) {
      char *field = memmem(start, head, "Content-Length: ", 16);
      size_t body = field == NULL ? 0 : strtoul(field + 16, NULL, 10);
      if (length - at < head + body) break;
      alive = answer(fd, "application/octet-stream", start + head, body);
      head += body;
    } else {
      drop(fd);
      output_bytes = 0;
      return -1;
    }
    if (!alive) return -1;
    at += head;
  }
  if (!flush(fd)) return -1;
  if (connections[fd].closes && at > 0 && connections[fd].unsent == NULL) return drop(fd), -1;
  return (ssize_t)at;
}

static void on_readable(int fd) {
  struct connection *c = &connections[fd];
  ssize_t received = recv(fd, receive_buffer, RECEIVE_BYTES, 0);
  if (received < 0 && errno == EAGAIN) return;
  if (received <= 0) return drop(fd);
  char *bytes = receive_buffer;
  size_t length = (size_t)received;
  if (c->pending != NULL) {
    c->pending = realloc(c->pending, c->pending_bytes + length);
    memcpy(c->pending + c->pending_bytes, receive_buffer, length);
    bytes = c->pending;
    length = c->pending_bytes += length;
  }
  ssize_t used = answer_all(fd, bytes, length);
  if (used < 0) return;
  size_t rest = length - (size_t)used;
  if (c->pending != NULL) {
    memmove(c->pending, c->pending + used, rest);
    c->pending_bytes = rest;
    if (rest == 0) {
      free(c->pending);
      c->pending = NULL;
    }
  } else if (rest > 0) {
    c->pending = malloc(rest);
    memcpy(c->pending, bytes + used, rest);
    c->pending_bytes = rest;
  }
}

static void on_writable(int fd) {
  struct connection *c = &connections[fd];
  ssize_t sent = send(fd, c->unsent + c->unsent_at, c->unsent_bytes - c->unsent_at, MSG_NOSIGNAL);
  if (sent < 0 && errno == EAGAIN) return;
  if (sent < 0) return drop(fd);
  c->unsent_at += (size_t)sent;
  if (c->unsent_at < c->unsent_bytes) return;
  free(c->unsent);
  c->unsent = NULL;
  c->unsent_at = c->unsent_bytes = 0;
  if (c->closes) return drop(fd);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
  epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event);
}

static void accept_all(int listener) {
  for (;;) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    if (fd >= MOST_FDS) {
      close(fd);
      continue;
    }
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
  }
}

int main(void) {
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  output = malloc(SEND_BYTES);
  for (size_t i = 0; i < LARGE_BYTES; i++) large[i] = "simplenet simplenet simplenet\n"[i % 30];

  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), yes = 1;
  setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes); /* accepted sockets inherit it */
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  if (bind(listener, (struct sockaddr *)&address, size) < 0 || listen(listener, 4096) < 0) return perror("listen"), 1;
  getsockname(listener, (struct sockaddr *)&address, &size);
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);

  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event);
  event.data.fd = STDIN_FILENO;
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &event);
  struct epoll_event events[MOST_EVENTS];
  for (;;) {
    int count = epoll_wait(epoll_fd, events, MOST_EVENTS, -1);
    refresh_date();
    for (int i = 0; i < count; i++) {
      int fd = events[i].data.fd;
      if (fd == STDIN_FILENO) return 0; /* whoever started us is gone */
      if (fd == listener) accept_all(listener);
      else if (events[i].events & EPOLLOUT) on_writable(fd);
      else on_readable(fd);
    }
  }
}
