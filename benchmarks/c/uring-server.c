/*
 * The same little server as epoll-server.c, on io_uring: what the other backend can reach at most.
 *
 * One thread and one system call for each turn of its loop: io_uring_enter hands over what is to be done (SQEs) and waits for
 * what is done (CQEs). A connection is accepted and read without being asked for again (multishot), into buffers that the
 * kernel takes from a common ring. No liburing: what a ring is can be read here.
 *
 * A descriptor is closed only when nothing is under way on it. So no completion ever comes late and meets the next connection
 * that got the same number, and buffers of a send live as long as it does.
 *
 * It serves what epoll-server.c serves and knows as little of HTTP: it must not see the open internet. Needs Linux 6.12.
 * Build: cc -O2 -o uring-server uring-server.c. It writes its port to standard output and ends when standard input does.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/io_uring.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { MOST_FDS = 65536, MOST_SQES = 1024, MOST_CQES = 8192, OUTPUT_BYTES = 4096, LARGE_BYTES = 1 << 20 };
enum { BUFFERS = 16, BUFFER_BYTES = 65536 };

/* Linux 6.12, newer than many a header. Flags of a ring of buffers stand where 6.1 has padding. A buffer is then used up bit by
 * bit: short requests share the cache lines of one, and a large one still comes in few pieces. */
enum { PBUF_RING_INCREMENTAL = 2, CQE_BUFFER_MORE = 1 << 4 };

/* What a completion is about; its user_data is this, and the descriptor. */
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

static int ring_fd;
static struct io_uring_sqe *sqes;
static struct io_uring_cqe *cqes;
static unsigned *sq_head, *sq_tail, *cq_head, *cq_tail, sq_mask, cq_mask, sqes_made, unsubmitted;

static struct io_uring_buf_ring *buffer_ring;
static char buffers[BUFFERS][BUFFER_BYTES];
static size_t used_bytes[BUFFERS];
static uint16_t buffers_given;

static void refresh_date(void) {
  time_t now = time(NULL);
  if (now == date_of) return;
  date_of = now;
  struct tm parts;
  gmtime_r(&now, &parts);
  strftime(date_line, sizeof date_line, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &parts);
}

/* The ring. */

/* Without a least, completions are not waited for, and none are made: those of other tasks are deferred until we ask. */
static void submit(unsigned least) {
  __atomic_store_n(sq_tail, sqes_made, __ATOMIC_RELEASE); /* the kernel sees whole SQEs only */
  unsigned flags = least > 0 ? IORING_ENTER_GETEVENTS : 0;
  long submitted = syscall(SYS_io_uring_enter, ring_fd, unsubmitted, least, flags, NULL, 0);
  if (submitted > 0) unsubmitted -= (unsigned)submitted;
  else if (submitted < 0 && errno != EINTR && errno != EAGAIN) perror("io_uring_enter"), exit(1);
}

static void make_room_for(unsigned count) {
  while (sqes_made + count - __atomic_load_n(sq_head, __ATOMIC_ACQUIRE) > sq_mask + 1) submit(0);
}

static struct io_uring_sqe *sqe_for(int fd, unsigned opcode, enum operation operation) {
  make_room_for(1);
  struct io_uring_sqe *sqe = &sqes[sqes_made++ & sq_mask];
  unsubmitted++;
  *sqe = (struct io_uring_sqe){.opcode = (uint8_t)opcode, .fd = fd, .user_data = (uint64_t)operation << 32 | (unsigned)fd};
  return sqe;
}

static void give_buffer(unsigned id) {
  struct io_uring_buf *buffer = &buffer_ring->bufs[buffers_given++ & (BUFFERS - 1)];
  buffer->addr = (uint64_t)buffers[id]; /* field by field: the ring's tail lies in the first one's padding */
  buffer->len = BUFFER_BYTES;
  buffer->bid = (uint16_t)id;
  __atomic_store_n(&buffer_ring->tail, buffers_given, __ATOMIC_RELEASE);
  used_bytes[id] = 0;
}

static bool create_ring(void) {
  /* Work is done when we wait for it, not in between, and by nobody else: it is the largest gain of all flags. */
  struct io_uring_params p = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE};
  p.cq_entries = MOST_CQES;
  ring_fd = (int)syscall(SYS_io_uring_setup, MOST_SQES, &p);
  if (ring_fd < 0) return perror("io_uring_setup"), false;
  size_t sq_bytes = p.sq_off.array + p.sq_entries * sizeof(unsigned);
  size_t cq_bytes = p.cq_off.cqes + p.cq_entries * sizeof *cqes, sqes_bytes = p.sq_entries * sizeof *sqes;
  int access = PROT_READ | PROT_WRITE, flags = MAP_SHARED | MAP_POPULATE;
  char *rings = mmap(NULL, sq_bytes > cq_bytes ? sq_bytes : cq_bytes, access, flags, ring_fd, IORING_OFF_SQ_RING);
  sqes = mmap(NULL, sqes_bytes, access, flags, ring_fd, IORING_OFF_SQES);
  buffer_ring = mmap(NULL, BUFFERS * sizeof(struct io_uring_buf), access, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (rings == MAP_FAILED || sqes == MAP_FAILED || buffer_ring == MAP_FAILED) return perror("mmap"), false;
  sq_head = (unsigned *)(rings + p.sq_off.head), sq_tail = (unsigned *)(rings + p.sq_off.tail);
  cq_head = (unsigned *)(rings + p.cq_off.head), cq_tail = (unsigned *)(rings + p.cq_off.tail);
  cqes = (struct io_uring_cqe *)(rings + p.cq_off.cqes);
  sq_mask = p.sq_entries - 1, cq_mask = p.cq_entries - 1;
  for (unsigned i = 0; i <= sq_mask; i++) ((unsigned *)(rings + p.sq_off.array))[i] = i; /* always in their order */

  struct io_uring_buf_reg ring = {.ring_addr = (uint64_t)buffer_ring, .ring_entries = BUFFERS, .pad = PBUF_RING_INCREMENTAL};
  if (syscall(SYS_io_uring_register, ring_fd, IORING_REGISTER_PBUF_RING, &ring, 1) < 0) {
    return perror("io_uring_register"), false;
  }
  for (unsigned id = 0; id < BUFFERS; id++) give_buffer(id);
  return true;
}

/* A connection. */

static void start_receiving(int fd, bool again_and_again) {
  struct io_uring_sqe *sqe = sqe_for(fd, IORING_OP_RECV, RECEIVED);
  sqe->flags = IOSQE_BUFFER_SELECT;
  if (again_and_again) sqe->ioprio = IORING_RECV_MULTISHOT;
  connections[fd].receives = true;
}

/* MSG_WAITALL: the kernel goes on after a short send until all is sent, and there is one completion. */
static struct io_uring_sqe *send_whole(int fd, const char *bytes, size_t length) {
  struct io_uring_sqe *sqe = sqe_for(fd, IORING_OP_SEND, SENT);
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
    struct io_uring_sqe *sqe = sqe_for(fd, IORING_OP_SHUTDOWN, FAILED); /* ends the receiving, and that brings us here again */
    sqe->len = SHUT_RDWR;
    sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
  } else {
    free(c->pending);
    *c = (struct connection){0};
    sqe_for(fd, IORING_OP_CLOSE, FAILED)->flags = IOSQE_CQE_SKIP_SUCCESS;
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
    unsigned id = flags >> IORING_CQE_BUFFER_SHIFT;
    char *bytes = buffers[id] + used_bytes[id];
    size_t length = (size_t)result;
    used_bytes[id] += length;
    if (c->pending != NULL || c->sends > 0) {
      keep(c, bytes, length);
      if (c->sends == 0) answer_pending(fd);
    } else if (!c->ends) {
      size_t used = answer_some(fd, bytes, length);
      keep(c, bytes + used, length - used);
    }
    if (!(flags & CQE_BUFFER_MORE)) give_buffer(id);
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
  struct io_uring_sqe *sqe = sqe_for(listener, IORING_OP_ACCEPT, ACCEPTED);
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
  sqe_for(STDIN_FILENO, IORING_OP_POLL_ADD, INPUT_ENDED)->poll32_events = POLLIN;
  for (;;) {
    submit(1);
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
