/*
 * A load generator for WebSocket, as uring-load.c is one for HTTP: it spends less CPU time on a message than any server.
 *
 * It opens CONNECTIONS connections, sends the bytes of HANDSHAKE_FILE on each, and waits for a response with the status 101. Then it writes the line "ready",
 * waits for a line on standard input, and the measurement begins. A message is the bytes of FRAME_FILE, and each frame that comes must be the bytes of ANSWER_FILE:
 * any other byte is an error.
 *
 * echo: each connection sends the next message when the last one has come back. all: the first connection sends the next message when all connections have got the
 * last one. After SECONDS nothing more is sent. When the last message has come, the result is written as one line of JSON, in which "requests" is how many
 * messages have come. The connections stay open until standard input ends.
 *
 * Build: cc -O2 -o socket-load socket-load.c. Use: socket-load PORT CONNECTIONS 1 SECONDS HANDSHAKE_FILE FRAME_FILE ANSWER_FILE echo|all. Without arguments it only tries to
 * make its ring, as uring-load does. Needs Linux 6.12.
 */

#define _GNU_SOURCE
#include "load.h"
#include "ring.h"

enum { STATUS_BYTES = 12 };

enum operation { CONNECTED, RECEIVED, SENT };

struct bytes {
  char *at;
  size_t length;
};

struct client {
  int fd;
  bool is_open, has_failed;
  unsigned head_bytes;  /* of the response to the handshake */
  unsigned end_bytes;   /* how many bytes of its last CRLF CRLF have come */
  size_t answer_bytes;  /* how much of a message has come */
  uint64_t since;       /* when it sent its last message */
  uint64_t sent, got;   /* how many messages */
};

static struct client *clients;
static unsigned begun, missing;
static struct bytes frame, answer;
static bool is_to_all;
static uint64_t heard_at;

static uint64_t tag(struct client *c, enum operation operation) { return (uint64_t)operation << 32 | (uint64_t)(c - clients); }

static void fail(struct client *c) {
  if (c->has_failed) return;
  c->has_failed = true;
  errors++;
}

static void send_bytes(struct client *c, const char *bytes, size_t length) {
  struct io_uring_sqe *sqe = sqe_for(c->fd, IORING_OP_SEND, tag(c, SENT));
  sqe->addr = (uint64_t)bytes;
  sqe->len = (unsigned)length;
  sqe->msg_flags = MSG_NOSIGNAL | MSG_WAITALL;
}

static void send_message(struct client *c, uint64_t now) {
  c->since = now;
  c->sent++;
  missing += is_to_all ? connections : 1;
  send_bytes(c, frame.at, frame.length);
}

static void receive(struct client *c) { start_receiving_on(c->fd, true, tag(c, RECEIVED)); }

static void open_one_more(void) {
  if (begun == connections) return;
  struct client *c = &clients[begun++];
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (c->fd < 0) perror("socket"), exit(1);
  int yes = 1;
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  struct io_uring_sqe *sqe = sqe_for(c->fd, IORING_OP_CONNECT, tag(c, CONNECTED));
  sqe->addr = (uint64_t)&address;
  sqe->off = sizeof address;
}

/* Returns how many of the bytes belong to the response to the handshake. */
static size_t read_handshake(struct client *c, const char *bytes, size_t length) {
  static const char status[STATUS_BYTES + 1] = "HTTP/1.1 101", end[] = "\r\n\r\n";
  for (size_t at = 0; at < length;) {
    char byte = bytes[at++];
    if (c->head_bytes < STATUS_BYTES && byte != status[c->head_bytes]) return fail(c), length;
    c->head_bytes++;
    c->end_bytes = byte == end[c->end_bytes] ? c->end_bytes + 1 : byte == '\r';
    if (c->end_bytes < 4) continue;
    c->is_open = true;
    opened++;
    open_one_more();
    return at;
  }
  return length;
}

static void read_messages(struct client *c, const char *bytes, size_t length, uint64_t now) {
  struct client *sender = is_to_all ? clients : c;
  for (size_t at = 0; at < length;) {
    size_t part = answer.length - c->answer_bytes;
    if (part > length - at) part = length - at;
    if (c->got == sender->sent || memcmp(bytes + at, answer.at + c->answer_bytes, part) != 0) return fail(c);
    at += part;
    c->answer_bytes += part;
    if (c->answer_bytes < answer.length) continue;
    c->answer_bytes = 0;
    c->got++;
    missing--;
    count_since(sender->since, now);
    if (phase == MEASURING && (!is_to_all || missing == 0)) send_message(sender, now);
  }
}

static void on_completion(struct io_uring_cqe *cqe, uint64_t now) {
  enum operation operation = cqe->user_data >> 32;
  struct client *c = &clients[(uint32_t)cqe->user_data];
  if (operation == RECEIVED && cqe->res > 0) {
    heard_at = now;
    const char *bytes = received_bytes(cqe->flags);
    size_t length = (size_t)cqe->res, head = c->is_open ? 0 : read_handshake(c, bytes, length);
    if (!c->has_failed) read_messages(c, bytes + head, length - head, now);
    done_with(cqe->flags, length);
    if (!(cqe->flags & IORING_CQE_F_MORE)) receive(c);
  } else if (operation == RECEIVED && cqe->res == -ENOBUFS) {
    receive(c); /* for a moment all buffers were taken */
  } else if (operation == RECEIVED || cqe->res < 0) {
    fail(c);
  } else if (operation == CONNECTED) {
    send_bytes(c, batch, batch_bytes);
    receive(c);
  }
}

/* Sleeps until `least` completions are there, or until a tenth of a second has passed. */
static void sleep_for(unsigned least) {
  struct __kernel_timespec tenth = {.tv_nsec = 100000000};
  struct io_uring_getevents_arg argument = {.ts = (uint64_t)&tenth};
  submit(least, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &argument, sizeof argument);
}

/* Who wakes up a sleeping client pays for it: the server, which would not if the client were on another machine. So the client sleeps until all have the message
 * to all, or a quarter of them their echo: the server has the others to work on meanwhile. */
static unsigned wake_after(void) {
  unsigned least = is_to_all ? missing : missing / 4;
  return least == 0 ? 1 : least > MAX_CQES / 2 ? MAX_CQES / 2 : least;
}

static uint64_t turn(void) {
  sleep_for(wake_after());
  uint64_t now = now_ns();
  unsigned head = *cq_head, tail = __atomic_load_n(cq_tail, __ATOMIC_ACQUIRE);
  for (; head != tail; head++) on_completion(&cqes[head & cq_mask], now);
  __atomic_store_n(cq_head, head, __ATOMIC_RELEASE);
  if (now > heard_at + TIMEOUT) errors++; /* the server has stopped */
  return now;
}

/* Returns how long it took, in nanoseconds. */
static uint64_t measure(double seconds) {
  uint64_t start = now_ns(), end = start + (uint64_t)(seconds * (double)SECOND), now = start;
  heard_at = start;
  phase = MEASURING;
  for (unsigned i = 0; i < (is_to_all ? 1 : connections); i++) send_message(&clients[i], now);
  while (now < end && errors == 0) now = turn();
  phase = ENDING;
  while (missing > 0 && errors == 0) now = turn();
  return now - start;
}

static bool read_file(const char *path, struct bytes *bytes) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) return perror(path), false;
  fseek(file, 0, SEEK_END);
  bytes->length = (size_t)ftell(file);
  rewind(file);
  bytes->at = malloc(bytes->length);
  bool is_read = fread(bytes->at, 1, bytes->length, file) == bytes->length && bytes->length > 0;
  fclose(file);
  return is_read;
}

int main(int count, char **arguments) {
  if (!create_ring()) return 1;
  if (count != 9) {
    return fprintf(stderr, "Use: socket-load PORT CONNECTIONS 1 SECONDS HANDSHAKE_FILE FRAME_FILE ANSWER_FILE echo|all\n"), 2;
  }
  double seconds;
  if (!read_order(arguments, &seconds) || !read_file(arguments[6], &frame) || !read_file(arguments[7], &answer)) return 1;
  is_to_all = strcmp(arguments[8], "all") == 0;

  clients = calloc(connections, sizeof *clients);
  heard_at = now_ns();
  while (begun < connections && begun < MAX_OPENING) open_one_more();
  while (opened < connections && errors == 0) turn();
  write_ready();
  wait_for_input('\n');
  write_result(errors == 0 ? measure(seconds) : 1);
  wait_for_input(EOF);
  return 0;
}
