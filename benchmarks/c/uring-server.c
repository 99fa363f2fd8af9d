/*
 * The same little server as epoll-server.c, on io_uring: what the other backend can reach at most.
 *
 * One thread and one system call for each turn of its loop: io_uring_enter hands over what is to be done (SQEs) and waits for
 * what is done (CQEs). A connection is accepted and read without being asked for again (multishot), into buffers that the
 * kernel takes from a common stock. ring.h shows what a ring is.
 *
 * A descriptor is closed only when nothing is under way on it. So no completion ever comes late and meets the next connection
 * that got the same number, and buffers of a send live as long as it does.
 *
 * It serves what epoll-server.c serves and knows as little of HTTP: it must not see the open internet. Needs Linux 6.12.
 * Build: cc -O2 -o uring-server uring-server.c. It writes its port to standard output and ends when standard input does.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#include "ring.h"

enum { MOST_FDS = 65536, OUTPUT_BYTES = 4096, LARGE_BYTES = 1 << 20 };

enum operation { ACCEPTED, RECEIVED, SENT, FAILED, INPUT_ENDED };

struct connection {
  char *pending; /* an unfinished request, or some that wait for a send; or NULL */
  size_t pending_bytes;
  char *output; /* heads and small bodies that are being sent, or NULL */
  char *body;   /* a large one that is being sent and is to be freed, or NULL */
  int sends;    /* under way */
  bool receives, ends, is_shut;
};

static struct connection connections[MOST_FDS];
static char large[LARGE_BYTES];
static char date_line[64];
static time_t date_of;
static char *free_outputs; /* a list: the last one used is still in the cache */

static void refresh_date(void) {
  time_t now = time(NULL);
  if (now == date_of) return;
  date_of = now;
  struct tm parts;
  gmtime_r(&now, &parts);
  strftime(date_line, sizeof date_line, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &parts);
}

/* What a completion is about: its user_data. */
static uint64_t about(enum operation operation, int fd) { return (uint64_t)operation << 32 | (unsigned)fd; }

/* A connection. */

static void start_receiving(int fd, bool again_and_again) {
  start_receiving_on(fd, again_and_again, about(RECEIVED, fd));
  connections[fd].receives = true;
}

/* MSG_WAITALL: the kernel goes on after a short send until all is sent, and there is one completion. */
static struct io_uring_sqe *send_whole(int fd, const char *bytes, size_t length) {
  struct io_uring_sqe *sqe = sqe_for(fd, IORING_OP_SEND, about(SENT, fd));
  sqe->addr = (uint64_t)bytes;
  sqe->len = (unsigned)length;
  sqe->msg_flags = MSG_NOSIGNAL | MSG_WAITALL;
  connections[fd].sends++;
  return sqe;
}

/* What a connection does next, after anything that happened to it. */
static void go_on(int fd) {
  struct connection *c = &connections[fd];
  if (c->sends > 0) return;
  if (!c->ends) {
    if (!c->receives) start_receiving(fd, true); /* after the first time, or because there was no buffer */
  } else if (c->receives) {
    if (c->is_shut) return;
    c->is_shut = true;
    struct io_uring_sqe *sqe = sqe_for(fd, IORING_OP_SHUTDOWN, about(FAILED, fd)); /* ends the receiving, and that brings us here again */
    sqe->len = SHUT_RDWR;
    sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
  } else {
    free(c->pending);
    *c = (struct connection){0};
    sqe_for(fd, IORING_OP_CLOSE, about(FAILED, fd))->flags = IOSQE_CQE_SKIP_SUCCESS;
  }
}

static void keep(struct connection *c, const char *bytes, size_t length) {
  if (length == 0) return;
  c->pending = realloc(c->pending, c->pending_bytes + length);
  memcpy(c->pending + c->pending_bytes, bytes, length);
  c->pending_bytes += length;
}

static size_t write_head(char *to, const char *type, size_t length, bool closes) {
  return (size_t)sprintf(to, "HTTP/1.1 200 OK\r\n%sContent-Type: %s\r\nContent-Length: %zu\r\n%s\r\n", date_line, type, length,
                         closes ? "Connection: close\r\n" : "");
}

/* Answers whole requests, up to a large body or a full output: the others wait for the send. Returns their bytes. */
static size_t answer_some(int fd, char *bytes, size_t length) {
  struct connection *c = &connections[fd];
  char *output = free_outputs == NULL ? malloc(OUTPUT_BYTES) : free_outputs;
  char *next = free_outputs == NULL ? NULL : *(char **)output;
  const char *body = NULL;
  size_t at = 0, output_bytes = 0, body_bytes = 0;
  while (at < length && body_bytes == 0 && output_bytes + 512 <= OUTPUT_BYTES && !c->ends) {
    char *start = bytes + at, *end = memmem(start, length - at, "\r\n\r\n", 4);
    if (end == NULL) break;
    size_t head = (size_t)(end - start) + 4;
    bool closes = memmem(start, head, "Connection: close", 17) != NULL;
    char *to = output + output_bytes;
    if (memcmp(start, "GET /hello ", 11) == 0) {
      output_bytes += write_head(to, "text/plain; charset=utf-8", 14, closes);
      memcpy(output + output_bytes, "Hello, world!\n", 14);
      output_bytes += 14;
    } else if (memcmp(start, "GET /large ", 11) == 0) {
      output_bytes += write_head(to, "application/octet-stream", LARGE_BYTES, closes);
      body = large;
      body_bytes = LARGE_BYTES;
    } else if (memcmp(start, "POST /echo ", 11) == 0) {
      char *field = memmem(start, head, "Content-Length: ", 16);
      body_bytes = field == NULL ? 0 : strtoul(field + 16, NULL, 10);
      if (length - at - head < body_bytes) {
        body_bytes = 0;
        break;
      }
      output_bytes += write_head(to, "application/octet-stream", body_bytes, closes);
      body = start + head;
      head += body_bytes;
      if (body_bytes > 0 && bytes == c->pending) c->body = bytes; /* sent from where it lies */
      else if (body_bytes > 0) body = c->body = memcpy(malloc(body_bytes), body, body_bytes);
    } else {
      closes = true;
    }
    c->ends = closes;
    at += head;
  }
  if (output_bytes == 0) {
    *(char **)output = next;
    free_outputs = output;
    return at;
  }
  free_outputs = next;
  c->output = output;
  make_room_for(2); /* what is submitted apart is not linked */
  struct io_uring_sqe *sqe = send_whole(fd, output, output_bytes);
  if (body_bytes > 0) {
    sqe->msg_flags |= MSG_MORE;
    sqe->flags = IOSQE_IO_LINK; /* a head that has to wait for room would be overtaken */
    send_whole(fd, body, body_bytes);
  }
  return at;
}

static void answer_pending(int fd) {
  struct connection *c = &connections[fd];
  char *bytes = c->pending;
  size_t used = answer_some(fd, bytes, c->pending_bytes), rest = c->pending_bytes - used;
  if (used == 0) return;
  c->pending = NULL;
  c->pending_bytes = 0;
  keep(c, bytes + used, rest);
  if (c->body != bytes) free(bytes);
}

static void on_received(int fd, int result, unsigned flags) {
  struct connection *c = &connections[fd];
  c->receives = flags & IORING_CQE_F_MORE;
  if (result > 0) {
    char *bytes = received_bytes(flags);
    size_t length = (size_t)result;
    if (c->pending != NULL || c->sends > 0) {
      keep(c, bytes, length);
      if (c->sends == 0) answer_pending(fd);
    } else if (!c->ends) {
      size_t used = answer_some(fd, bytes, length);
      keep(c, bytes + used, length - used);
    }
    done_with(flags, length);
  } else if (result != -ENOBUFS) {
    c->ends = true;
  }
  go_on(fd);
}

static void on_sent(int fd, int result) {
  struct connection *c = &connections[fd];
  if (result < 0) c->ends = true;
  if (--c->sends > 0) return;
  *(char **)c->output = free_outputs;
  free_outputs = c->output;
  c->output = NULL;
  free(c->body);
  c->body = NULL;
  if (c->pending != NULL && !c->ends) answer_pending(fd);
  go_on(fd);
}

static void start_accepting(int listener) {
  struct io_uring_sqe *sqe = sqe_for(listener, IORING_OP_ACCEPT, about(ACCEPTED, listener));
  sqe->ioprio = IORING_ACCEPT_MULTISHOT;
  sqe->accept_flags = SOCK_CLOEXEC;
}

static void on_accepted(int listener, int fd, unsigned flags) {
  if (!(flags & IORING_CQE_F_MORE)) start_accepting(listener);
  if (fd >= MOST_FDS) close(fd);
  else if (fd >= 0) start_receiving(fd, false); /* only once: if the first request is the last, there is nothing to end */
}

int main(void) {
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  for (size_t i = 0; i < LARGE_BYTES; i++) large[i] = "simplenet simplenet simplenet\n"[i % 30];
  if (!create_ring()) return 1;

  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
  setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes); /* accepted sockets inherit it */
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  if (bind(listener, (struct sockaddr *)&address, size) < 0 || listen(listener, 4096) < 0) return perror("listen"), 1;
  getsockname(listener, (struct sockaddr *)&address, &size);
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);

  start_accepting(listener);
  sqe_for(STDIN_FILENO, IORING_OP_POLL_ADD, about(INPUT_ENDED, STDIN_FILENO))->poll32_events = POLLIN;
  for (;;) {
    enter(1, true);
    refresh_date();
    unsigned head = *cq_head, tail = __atomic_load_n(cq_tail, __ATOMIC_ACQUIRE);
    for (; head != tail; head++) {
      struct io_uring_cqe *cqe = &cqes[head & cq_mask];
      int fd = (int)(uint32_t)cqe->user_data;
      enum operation operation = cqe->user_data >> 32;
      if (operation == INPUT_ENDED) return 0; /* whoever started us is gone */
      if (operation == ACCEPTED) on_accepted(fd, cqe->res, cqe->flags);
      else if (operation == RECEIVED) on_received(fd, cqe->res, cqe->flags);
      else if (operation == SENT) on_sent(fd, cqe->res);
    }
    __atomic_store_n(cq_head, head, __ATOMIC_RELEASE); /* the kernel may write over what we have read */
  }
}
