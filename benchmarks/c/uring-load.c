/*
 * A load generator that saturates a server: it spends less CPU time on a request than any server spends on a response.
 *
 * wrk uses up its core at some 100,000 requests a second. A faster server sleeps between two requests, and then its figure is mostly the
 * cost of falling asleep and waking up. This generator runs on io_uring, and reads of HTTP only what says where a response ends.
 *
 * It opens CONNECTIONS connections and gets one response on each. Then it writes the line "ready", waits for a line on standard input, and
 * the measurement begins: on each connection PIPELINE requests are under way, again and again the bytes of REQUEST_FILE. If a response says
 * `Connection: close`, the client connects again. After SECONDS it sends nothing more, waits for the responses under way, and writes its
 * result as one line of JSON. It keeps the connections open until standard input ends. So whoever reads the CPU time of the server
 * between the two lines reads the cost of exactly these requests, without opening and closing.
 *
 * With RATE it sends that many requests a second, evenly, whether the server keeps up or not. It counts latency from the moment at which
 * a request was due, not from the moment at which it was sent: a server that stalls is charged for the requests that had to wait.
 *
 * It reads responses with Content-Length or chunks, in the simple form that servers send; it does not send HEAD and does not know 204 or 304.
 *
 * Build: cc -O2 -o uring-load uring-load.c. Use: uring-load PORT CONNECTIONS PIPELINE SECONDS REQUEST_FILE [RATE].
 * Without arguments it only tries to make its ring: it ends with 2 if the kernel allows that, and with 1 if not. Needs Linux 6.12.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#include "ring.h"

enum { HEAD_BYTES = 16384, MAX_OPENING = 128 };

static const uint64_t SECOND = 1000000000;
/* A connection or a response that takes longer is an error. */
static const uint64_t TIMEOUT = 5 * SECOND;
static const uint64_t OPENING_TIMEOUT = 15 * SECOND;

enum operation { CONNECTED, RECEIVED, SENT, TICKED };

/* What the next bytes of a response are. */
enum place { IN_HEAD, IN_BODY, IN_CHUNK_LINE, IN_CHUNK, IN_TRAILERS };

struct client {
  int fd;
  unsigned life;     /* counts the connections of this client: a completion of an earlier connection is ignored */
  unsigned missing;  /* responses of the batch under way */
  unsigned due;      /* paced: batches whose time has come, and which wait for the one under way */
  uint64_t since;    /* when the batch was sent, or was due; before the first batch, when the client began to connect */
  uint64_t next_due; /* paced: when the next batch is due, or was */
  bool is_connected, is_receiving, has_answered, closes;
  enum place place;
  uint64_t body_bytes; /* still to come, of the body or the chunk */
  char *kept;          /* the beginning of a head or of a line, or NULL */
  size_t kept_bytes;
};

static enum { OPENING, MEASURING, ENDING } phase;

static struct client *clients;
static unsigned connections, opened, pipeline;
static char *batch;
static size_t batch_bytes;
static struct sockaddr_in address = {.sin_family = AF_INET};
static uint64_t requests, errors, refused, period;

/* Latencies: 64 buckets for each power of two, so a figure is at most 1.6 % too low. */
enum { STEPS_BITS = 6, STEPS = 1 << STEPS_BITS };
static uint64_t buckets[64 * STEPS], latencies;

static unsigned bucket_of(uint64_t ns) {
  if (ns < STEPS) return (unsigned)ns;
  unsigned shift = 63 - (unsigned)__builtin_clzll(ns) - STEPS_BITS;
  return (shift + 1) * STEPS + (unsigned)((ns >> shift) - STEPS);
}

static double percentile_us(double percent) {
  uint64_t before = (uint64_t)((double)latencies * percent / 100), seen = 0;
  for (unsigned i = 0; i < 64 * STEPS; i++) {
    if ((seen += buckets[i]) <= before) continue;
    if (i < STEPS) return i / 1e3;
    return (double)((uint64_t)(STEPS + i % STEPS) << (i / STEPS - 1)) / 1e3;
  }
  return 0;
}

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

/* What a completion is about, in its user_data. */
static uint64_t tag(struct client *c, enum operation operation) {
  return (uint64_t)operation << 60 | (uint64_t)(c->life & 0xfffff) << 32 | (uint64_t)(c - clients);
}

/* A connection. */

static void drop(struct client *c) {
  if (c->fd < 0) return;
  /* A request of the ring holds the socket: close(2) alone would not end the connection before it completes. */
  if (c->is_receiving || !c->is_connected) shutdown(c->fd, SHUT_RDWR);
  close(c->fd);
  free(c->kept);
  *c = (struct client){
      .fd = -1, .life = c->life + 1, .has_answered = c->has_answered, .closes = c->closes, .due = c->due, .next_due = c->next_due};
}

static void connect_again(struct client *c, uint64_t now) {
  drop(c);
  c->since = now;
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (c->fd < 0) perror("socket"), exit(1);
  int yes = 1;
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  struct io_uring_sqe *sqe = sqe_for(c->fd, IORING_OP_CONNECT, tag(c, CONNECTED));
  sqe->addr = (uint64_t)&address;
  sqe->off = sizeof address;
}

static void fail(struct client *c, uint64_t now) {
  errors++;
  if (phase == ENDING) drop(c);
  else connect_again(c, now);
}

static void send_batch(struct client *c, uint64_t since) {
  c->missing = pipeline;
  c->since = since;
  struct io_uring_sqe *sqe = sqe_for(c->fd, IORING_OP_SEND, tag(c, SENT));
  sqe->addr = (uint64_t)batch;
  sqe->len = (unsigned)batch_bytes;
  sqe->msg_flags = MSG_NOSIGNAL | MSG_WAITALL; /* after a short send the kernel goes on, and there is one completion for all bytes */
}

/* Sends the next batch, if there is one for this client now. */
static void send_next(struct client *c, uint64_t now) {
  if (phase == OPENING) {
    if (!c->has_answered) send_batch(c, now);
  } else if (period == 0) {
    if (phase == MEASURING) send_batch(c, now);
  } else if (c->due > 0) { /* also at the end: a request that had to wait counts */
    c->due--;
    send_batch(c, c->next_due);
    c->next_due += period;
  }
}

static void receive(struct client *c) {
  /* A connection that closes behind its response gets a single receive: a standing one would have to be cancelled. */
  start_receiving_on(c->fd, !c->closes, tag(c, RECEIVED));
  c->is_receiving = true;
}

/* Few connections are opened at a time: if the queue of a listener overflows, the kernel repeats a SYN only after a second. */
static void open_one_more(uint64_t now) {
  if (opened < connections) connect_again(&clients[opened++], now);
}

/* Reading responses. */

/* Returns the value of a field, or NULL. */
static const char *field_of(const char *head, size_t length, const char *name) {
  size_t name_bytes = strlen(name);
  for (const char *at = head, *end = head + length; (at = memchr(at, '\n', (size_t)(end - at))) != NULL;) {
    at++;
    if ((size_t)(end - at) <= name_bytes || at[name_bytes] != ':' || strncasecmp(at, name, name_bytes) != 0) continue;
    for (at += name_bytes + 1; *at == ' ' || *at == '\t';) at++;
    return at;
  }
  return NULL;
}

/* Returns false if this is not a head, or if it does not say where its body ends. */
static bool read_head(struct client *c, const char *head, size_t length) {
  if (length < 12 || memcmp(head, "HTTP/1.", 7) != 0) return false;
  if (head[9] != '2') refused++;
  const char *connection = field_of(head, length, "connection");
  c->closes = connection != NULL && strncasecmp(connection, "close", 5) == 0;
  const char *content_length = field_of(head, length, "content-length");
  if (content_length != NULL) {
    c->body_bytes = strtoull(content_length, NULL, 10);
    c->place = IN_BODY;
    return true;
  }
  const char *coding = field_of(head, length, "transfer-encoding");
  c->place = IN_CHUNK_LINE;
  return coding != NULL && strncasecmp(coding, "chunked", 7) == 0;
}

static void count_response(struct client *c, uint64_t now) {
  c->place = IN_HEAD;
  c->missing--;
  if (phase == OPENING) return;
  requests++;
  latencies++;
  buckets[bucket_of(now - c->since)]++;
}

/*
 * Looks for the end of a head or a line, whose beginning may have come with earlier bytes. Returns how many of `bytes` belong to it, and `text`
 * is then the whole of it. Returns 0 if its end has not come yet: then the bytes are kept.
 */
static size_t take_until(const char *mark, struct client *c, const char *bytes, size_t length, const char **text, size_t *text_bytes) {
  size_t mark_bytes = strlen(mark), before = c->kept_bytes;
  if (before == 0) { /* nearly always: nothing has to be copied */
    const char *end = memmem(bytes, length, mark, mark_bytes);
    if (end != NULL) return *text = bytes, *text_bytes = (size_t)(end - bytes) + mark_bytes;
  }
  if (length > HEAD_BYTES - before) length = HEAD_BYTES - before;
  if (c->kept == NULL) c->kept = malloc(HEAD_BYTES);
  memcpy(c->kept + before, bytes, length);
  c->kept_bytes += length;
  const char *end = memmem(c->kept, c->kept_bytes, mark, mark_bytes);
  if (end == NULL) return 0;
  *text = c->kept;
  *text_bytes = (size_t)(end - c->kept) + mark_bytes;
  c->kept_bytes = 0;
  return *text_bytes - before;
}

/* Returns false if the bytes are not a response, or more than was asked for. */
static bool read_responses(struct client *c, const char *bytes, size_t length, uint64_t now) {
  size_t text_bytes;
  const char *text;
  for (size_t at = 0, used; at < length; at += used) {
    if (c->missing == 0) return false;
    if (c->place == IN_BODY || c->place == IN_CHUNK) {
      used = length - at < c->body_bytes ? length - at : c->body_bytes;
      c->body_bytes -= used;
      if (c->body_bytes > 0) continue;
      if (c->place == IN_CHUNK) c->place = IN_CHUNK_LINE;
      else count_response(c, now);
      continue;
    }
    used = take_until(c->place == IN_HEAD ? "\r\n\r\n" : "\r\n", c, bytes + at, length - at, &text, &text_bytes);
    if (used == 0) return c->kept_bytes < HEAD_BYTES;
    if (c->place == IN_HEAD) {
      if (!read_head(c, text, text_bytes)) return false;
      if (c->place == IN_BODY && c->body_bytes == 0) count_response(c, now);
    } else if (c->place == IN_CHUNK_LINE) {
      c->body_bytes = strtoull(text, NULL, 16);
      c->place = c->body_bytes > 0 ? IN_CHUNK : IN_TRAILERS;
      c->body_bytes += 2; /* the CRLF behind a chunk */
    } else if (text_bytes == 2) { /* the empty line behind the trailers */
      count_response(c, now);
    }
  }
  return true;
}

/* All responses of the batch are here. Returns whether the connection goes on. */
static bool finish_batch(struct client *c, uint64_t now) {
  if (phase == OPENING && !c->has_answered) {
    c->has_answered = true;
    open_one_more(now);
  }
  if (!c->closes) return send_next(c, now), true;
  if (phase == ENDING && c->due == 0) drop(c);
  else connect_again(c, now);
  return false;
}

static void on_received(struct client *c, int result, unsigned flags, uint64_t now) {
  c->is_receiving = flags & IORING_CQE_F_MORE;
  if (result > 0) {
    bool is_good = read_responses(c, received_bytes(flags), (size_t)result, now);
    done_with(flags, (size_t)result);
    if (!is_good) return fail(c, now);
    if (c->missing == 0 && !finish_batch(c, now)) return;
  } else if (result != -ENOBUFS) { /* for a moment all buffers were taken: the receive is made again */
    return fail(c, now);
  }
  if (!c->is_receiving) receive(c);
}

/* Ten times a second: looks for what takes too long, and lets the loop see the time if nothing else completes. */
static void on_tick(uint64_t now) {
  static struct __kernel_timespec tenth = {.tv_nsec = 100000000};
  struct io_uring_sqe *sqe = sqe_for(-1, IORING_OP_TIMEOUT, (uint64_t)TICKED << 60);
  sqe->addr = (uint64_t)&tenth;
  sqe->len = 1;
  for (unsigned i = 0; i < opened; i++) {
    struct client *c = &clients[i];
    bool waits = c->fd >= 0 && (!c->is_connected || c->missing > 0);
    if (waits && now > c->since + TIMEOUT) fail(c, now);
  }
}

static void on_completion(struct io_uring_cqe *cqe, uint64_t now) {
  enum operation operation = cqe->user_data >> 60;
  if (operation == TICKED) return on_tick(now);
  struct client *c = &clients[(uint32_t)cqe->user_data];
  bool is_current = ((cqe->user_data >> 32) & 0xfffff) == (c->life & 0xfffff);
  if (!is_current) {
    if (operation == RECEIVED && cqe->res > 0) done_with(cqe->flags, (size_t)cqe->res);
  } else if (operation == RECEIVED) {
    on_received(c, cqe->res, cqe->flags, now);
  } else if (cqe->res < 0 || (operation == SENT && (size_t)cqe->res < batch_bytes)) {
    fail(c, now);
  } else if (operation == CONNECTED) {
    c->is_connected = true;
    send_next(c, now);
    receive(c);
  }
}

/* The loop. */

/* A paced generator does not sleep: it would send each request late by the time that it takes to wake up. */
static uint64_t turn(bool sleeps) {
  enter(sleeps ? 1 : 0, true);
  uint64_t now = now_ns();
  unsigned head = *cq_head, tail = __atomic_load_n(cq_tail, __ATOMIC_ACQUIRE);
  for (; head != tail; head++) on_completion(&cqes[head & cq_mask], now);
  __atomic_store_n(cq_head, head, __ATOMIC_RELEASE); /* the kernel may write over what we have read */
  return now;
}

/* Counts the clients that are connected and wait for nothing. */
static unsigned count_idle(void) {
  unsigned idle = 0;
  for (unsigned i = 0; i < opened; i++) idle += clients[i].is_connected && clients[i].has_answered && clients[i].missing == 0;
  return idle;
}

static void open_all(void) {
  uint64_t start = now_ns(), now = start;
  while (opened < connections && opened < MAX_OPENING) open_one_more(now);
  while (count_idle() < connections && errors == 0 && now < start + OPENING_TIMEOUT) now = turn(true);
  errors += connections - count_idle(); /* the result does not count then */
}

/* Sends the batches whose time has come. They are due evenly: one client after the other. */
static void pace(uint64_t now, uint64_t start, uint64_t *batches) {
  for (; start + *batches * period / connections <= now; (*batches)++) {
    struct client *c = &clients[*batches % connections];
    c->due++;
    if (c->is_connected && c->missing == 0) send_next(c, now);
  }
}

/* Returns how long it took, in nanoseconds. */
static uint64_t measure(double seconds) {
  uint64_t start = now_ns(), end = start + (uint64_t)(seconds * (double)SECOND), now = start, batches = 0;
  phase = MEASURING;
  for (unsigned i = 0; i < connections; i++) {
    clients[i].next_due = start + i * period / connections;
    if (period == 0 && clients[i].is_connected) send_next(&clients[i], now);
  }
  while (now < end) {
    if (period > 0) pace(now, start, &batches);
    now = turn(period == 0);
  }
  if (period > 0) pace(end - 1, start, &batches);
  phase = ENDING;
  for (bool waits = true; waits;) {
    waits = false;
    for (unsigned i = 0; i < connections; i++) waits |= clients[i].fd >= 0 && (clients[i].missing > 0 || clients[i].due > 0);
    if (waits && now < end + TIMEOUT + SECOND) now = turn(true);
    else break;
  }
  return now - start;
}

static bool read_batch(const char *path) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) return false;
  fseek(file, 0, SEEK_END);
  size_t request_bytes = (size_t)ftell(file);
  rewind(file);
  batch_bytes = request_bytes * pipeline;
  batch = malloc(batch_bytes);
  if (fread(batch, 1, request_bytes, file) != request_bytes) return false;
  for (unsigned i = 1; i < pipeline; i++) memcpy(batch + i * request_bytes, batch, request_bytes);
  fclose(file);
  return true;
}

static void wait_for_input(int end) {
  for (int c = getchar(); c != end && c != EOF;) c = getchar();
}

int main(int count, char **arguments) {
  if (!create_ring()) return 1;
  if (count < 6) return fprintf(stderr, "Use: uring-load PORT CONNECTIONS PIPELINE SECONDS REQUEST_FILE [RATE]\n"), 2;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons((uint16_t)atoi(arguments[1]));
  connections = (unsigned)atoi(arguments[2]);
  pipeline = (unsigned)atoi(arguments[3]);
  double seconds = atof(arguments[4]), rate = count > 6 ? atof(arguments[6]) : 0;
  if (connections == 0 || pipeline == 0 || seconds <= 0 || rate < 0) return fprintf(stderr, "uring-load: numbers are above 0\n"), 2;
  if (rate > 0) period = (uint64_t)((double)SECOND * connections * pipeline / rate);
  if (!read_batch(arguments[5])) return perror(arguments[5]), 1;

  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  clients = calloc(connections, sizeof *clients);
  for (unsigned i = 0; i < connections; i++) clients[i].fd = -1;

  on_tick(now_ns()); /* the first one asks for the next one */
  open_all();
  puts("ready");
  fflush(stdout);
  wait_for_input('\n');
  uint64_t took = measure(seconds);
  printf("{\"requests\":%lu,\"seconds\":%.6f,\"p50Us\":%.1f,\"p99Us\":%.1f,\"p999Us\":%.1f,\"errors\":%lu,\"refused\":%lu}\n", requests,
         (double)took / 1e9, percentile_us(50), percentile_us(99), percentile_us(99.9), errors, refused);
  fflush(stdout);
  wait_for_input(EOF);
  return 0;
}
