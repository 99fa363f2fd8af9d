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
#include "load.h"
#include "ring.h"

static const uint64_t OPENING_TIMEOUT = 15 * SECOND;

enum operation { CONNECTED, RECEIVED, SENT, TICKED };

struct client {
  int fd;
  unsigned life;     /* counts the connections of this client: a completion of an earlier connection is ignored */
  unsigned due;      /* paced: batches whose time has come, and which wait for the one under way */
  uint64_t next_due; /* paced: when the next batch is due, or was */
  bool is_connected, is_receiving, has_answered;
  struct responses responses;
};

static struct client *clients;
static uint64_t period;

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
  free(c->responses.kept);
  *c = (struct client){
      .fd = -1, .life = c->life + 1, .has_answered = c->has_answered, .due = c->due, .next_due = c->next_due, .responses.closes = c->responses.closes};
}

static void connect_again(struct client *c, uint64_t now) {
  drop(c);
  c->responses.since = now;
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
  c->responses.missing = pipeline;
  c->responses.since = since;
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
  start_receiving_on(c->fd, !c->responses.closes, tag(c, RECEIVED));
  c->is_receiving = true;
}

static void open_one_more(uint64_t now) {
  if (opened < connections) connect_again(&clients[opened++], now);
}

/* All responses of the batch are here. Returns whether the connection goes on. */
static bool finish_batch(struct client *c, uint64_t now) {
  if (phase == OPENING && !c->has_answered) {
    c->has_answered = true;
    open_one_more(now);
  }
  if (!c->responses.closes) return send_next(c, now), true;
  if (phase == ENDING && c->due == 0) drop(c);
  else connect_again(c, now);
  return false;
}

static void on_received(struct client *c, int result, unsigned flags, uint64_t now) {
  c->is_receiving = flags & IORING_CQE_F_MORE;
  if (result > 0) {
    bool is_good = read_responses(&c->responses, received_bytes(flags), (size_t)result, now);
    done_with(flags, (size_t)result);
    if (!is_good) return fail(c, now);
    if (c->responses.missing == 0 && !finish_batch(c, now)) return;
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
    bool waits = c->fd >= 0 && (!c->is_connected || c->responses.missing > 0);
    if (waits && now > c->responses.since + TIMEOUT) fail(c, now);
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
  for (unsigned i = 0; i < opened; i++) idle += clients[i].is_connected && clients[i].has_answered && clients[i].responses.missing == 0;
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
    if (c->is_connected && c->responses.missing == 0) send_next(c, now);
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
    for (unsigned i = 0; i < connections; i++) waits |= clients[i].fd >= 0 && (clients[i].responses.missing > 0 || clients[i].due > 0);
    if (waits && now < end + TIMEOUT + SECOND) now = turn(true);
    else break;
  }
  return now - start;
}

int main(int count, char **arguments) {
  if (!create_ring()) return 1;
  if (count < 6) return fprintf(stderr, "Use: uring-load PORT CONNECTIONS PIPELINE SECONDS REQUEST_FILE [RATE]\n"), 2;
  double seconds, rate = count > 6 ? atof(arguments[6]) : 0;
  if (rate < 0) return fprintf(stderr, "uring-load: a rate is not below 0\n"), 2;
  if (!read_order(arguments, &seconds)) return 1;
  if (rate > 0) period = (uint64_t)((double)SECOND * connections * pipeline / rate);
  clients = calloc(connections, sizeof *clients);
  for (unsigned i = 0; i < connections; i++) clients[i].fd = -1;

  on_tick(now_ns()); /* the first one asks for the next one */
  open_all();
  write_ready();
  wait_for_input('\n');
  write_result(measure(seconds));
  wait_for_input(EOF);
  return 0;
}
