/*
 * The limit of the design: a server that does as little as a server can, with the same system calls as simplenet.
 *
 * One thread, level-triggered epoll, one recv and one send for each turn of a connection, a Date that is made once a second.
 * It finds the end of a head, looks at the path, and knows nothing of HTTP beyond that: it must not see the open internet.
 * It serves /hello (also pipelined and with Connection: close), /large and /echo; not the routes and not the stream.
 *
 * A request must fit into a buffer, so that it is received in place. A large body is sent from where it lies. What the kernel does not take
 * of it is copied only if its bytes do not stay.
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

enum { MOST_FDS = 65536, MOST_EVENTS = 256, REQUEST_BYTES = 1 << 18, SEND_BYTES = 1 << 20, LARGE_BYTES = 1 << 20 };

/* A body from this size on is not copied behind its head: from here on, the copy costs more than a second part of the message. */
enum { COPIED_BYTES = 8192 };

struct connection {
  char *pending; /* an unfinished request, in a buffer of REQUEST_BYTES, or NULL */
  size_t pending_bytes;
  const char *unsent; /* what the kernel had no room for */
  size_t unsent_bytes;
  char *unsent_memory; /* holds it, or NULL if its bytes stay anyway */
  bool closes;
};

static struct connection connections[MOST_FDS];
static char *spare_buffer; /* for the next receive that does not continue a request */
static char *free_buffers; /* a list: each begins with the address of the next one */
static char *output;
static size_t output_bytes;
static char large[LARGE_BYTES] __attribute__((aligned(4096)));
static char date_line[64];
static time_t date_of;
static int epoll_fd;

/* Buffers are kept: malloc(3) would return memory of this size to the kernel, and get it again page by page. */
static char *take_buffer(void) {
  char *buffer = free_buffers;
  if (buffer == NULL) return malloc(REQUEST_BYTES);
  memcpy(&free_buffers, buffer, sizeof free_buffers);
  return buffer;
}

static void give_buffer_back(char *buffer) {
  if (buffer == NULL) return;
  memcpy(buffer, &free_buffers, sizeof free_buffers);
  free_buffers = buffer;
}

static void refresh_date(void) {
  time_t now = time(NULL);
  if (now == date_of) return;
  date_of = now;
  struct tm parts;
  gmtime_r(&now, &parts);
  strftime(date_line, sizeof date_line, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &parts);
}

static void drop(int fd) {
  give_buffer_back(connections[fd].pending);
  free(connections[fd].unsent_memory);
  memset(&connections[fd], 0, sizeof connections[fd]);
  close(fd);
}

static void watch(int fd, unsigned events) {
  struct epoll_event event = {.events = events, .data.fd = fd};
  epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event);
}

/* Sends the output and a body behind it, and keeps what the kernel does not take. Returns false if the connection is gone. */
static bool send_or_keep(int fd, const char *body, size_t body_bytes, bool body_stays) {
  struct connection *c = &connections[fd];
  size_t head_bytes = output_bytes, length = head_bytes + body_bytes, at = 0;
  output_bytes = 0;
  if (c->unsent_bytes == 0) {
    struct iovec parts[] = {{output, head_bytes}, {(char *)body, body_bytes}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t sent = body_bytes == 0 ? send(fd, output, head_bytes, MSG_NOSIGNAL) : sendmsg(fd, &message, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) return drop(fd), false;
    if (sent > 0) at = (size_t)sent;
    if (at == length) return true;
    watch(fd, EPOLLOUT);
  }
  size_t head_rest = at < head_bytes ? head_bytes - at : 0, body_rest = length - at - head_rest;
  if (body_stays && head_rest == 0 && c->unsent_bytes == 0) {
    c->unsent = body + (body_bytes - body_rest);
  } else {
    char *memory = malloc(c->unsent_bytes + head_rest + body_rest), *to = memory;
    if (c->unsent_bytes > 0) to = mempcpy(to, c->unsent, c->unsent_bytes);
    to = mempcpy(to, output + head_bytes - head_rest, head_rest);
    if (body_rest > 0) memcpy(to, body + (body_bytes - body_rest), body_rest);
    free(c->unsent_memory);
    c->unsent = c->unsent_memory = memory;
  }
  c->unsent_bytes += head_rest + body_rest;
  return true;
}

static bool flush(int fd) { return output_bytes == 0 || send_or_keep(fd, NULL, 0, true); }

static bool answer(int fd, const char *type, const char *body, size_t length, bool body_stays) {
  if (output_bytes + COPIED_BYTES + 512 > SEND_BYTES && !flush(fd)) return false;
  output_bytes += (size_t)sprintf(output + output_bytes, "HTTP/1.1 200 OK\r\n%sContent-Type: %s\r\nContent-Length: %zu\r\n%s\r\n",
                                  date_line, type, length, connections[fd].closes ? "Connection: close\r\n" : "");
  /* The head of /large is sent before, although it costs a call: the kernel copies whole pages, and behind a head they would lie askew.
   * That is 11 % of a response of 1 MB. */
  if (body_stays && length >= COPIED_BYTES && !flush(fd)) return false;
  if (length >= COPIED_BYTES) return send_or_keep(fd, body, length, body_stays);
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
      alive = answer(fd, "text/plain; charset=utf-8", "Hello, world!\n", 14, true);
    } else if (memcmp(start, "GET /large ", 11) == 0) {
      alive = answer(fd, "application/octet-stream", large, LARGE_BYTES, true);
    } else if (memcmp(start, "POST /echo ", 11) == 0) {
      char *field = memmem(start, head, "Content-Length: ", 16);
      size_t body = field == NULL ? 0 : strtoul(field + 16, NULL, 10);
      if (length - at < head + body) break;
      alive = answer(fd, "application/octet-stream", start + head, body, false);
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
  if (connections[fd].closes && at > 0 && connections[fd].unsent_bytes == 0) return drop(fd), -1;
  return (ssize_t)at;
}

static void on_readable(int fd) {
  struct connection *c = &connections[fd];
  if (spare_buffer == NULL) spare_buffer = take_buffer();
  char *bytes = c->pending == NULL ? spare_buffer : c->pending;
  ssize_t received = recv(fd, bytes + c->pending_bytes, REQUEST_BYTES - c->pending_bytes, 0);
  if (received < 0 && errno == EAGAIN) return;
  if (received <= 0) return drop(fd); /* also if a request does not fit */
  size_t length = c->pending_bytes + (size_t)received;
  ssize_t used = answer_all(fd, bytes, length);
  if (used < 0) return;
  c->pending_bytes = length - (size_t)used;
  if (c->pending_bytes == 0) {
    give_buffer_back(c->pending);
    c->pending = NULL;
    return;
  }
  if (used > 0) memmove(bytes, bytes + used, c->pending_bytes);
  if (c->pending == NULL) c->pending = bytes, spare_buffer = NULL;
}

static void on_writable(int fd) {
  struct connection *c = &connections[fd];
  ssize_t sent = send(fd, c->unsent, c->unsent_bytes, MSG_NOSIGNAL);
  if (sent < 0 && errno == EAGAIN) return;
  if (sent < 0) return drop(fd);
  c->unsent += sent;
  c->unsent_bytes -= (size_t)sent;
  if (c->unsent_bytes > 0) return;
  free(c->unsent_memory);
  c->unsent_memory = NULL;
  if (c->closes) return drop(fd);
  watch(fd, EPOLLIN);
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
