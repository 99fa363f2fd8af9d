/*
 * The load generator for HTTPS: as uring-load.c, over TLS. Read its description first; there is no RATE here.
 *
 * It offers one version, one cipher and one group, so all servers do the same cryptography: TLS 1.3, AES-128-GCM, X25519. It asks for http/1.1 by ALPN, as
 * browsers do, and verifies no certificate: that is work of the client alone.
 *
 * SESSIONS says what happens behind each response. `kept`: the connection stays. `full`: the client ends it, with close_notify, and makes another one
 * by a full handshake. `resumed`: the same, with the last ticket that it got from the server. A server that continues a session which was not offered, or
 * does not continue one that was, is an error, and so is a server that ends a connection.
 *
 * It runs on epoll, because OpenSSL receives and sends by itself here. With its buffer for reading ahead, a response costs one write(2), one read(2) and a share of an
 * epoll_wait(2). Requests must fit into the buffer of a socket.
 *
 * Build: cc -O2 -o tls-load tls-load.c -lssl -lcrypto. Use: tls-load PORT CONNECTIONS PIPELINE SECONDS REQUEST_FILE kept|full|resumed.
 * Without arguments it ends with 2.
 */

#define _GNU_SOURCE
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/epoll.h>

#include "load.h"

enum { MAX_EVENTS = 256, PLAIN_BYTES = 65536 };

/* A handshake costs a server up to a millisecond, and there may be ten thousand connections. */
static const uint64_t OPENING_TIMEOUT = 60 * SECOND;

static enum { KEPT, FULL, RESUMED } sessions;

struct client {
  int fd;
  SSL *ssl;
  SSL_SESSION *session; /* made of the last ticket, or NULL */
  bool is_open;         /* the handshake is complete */
  bool has_answered;
  struct responses responses;
};

static struct client *clients;
static SSL_CTX *context;
static int epoll_fd;
static char plain[PLAIN_BYTES];

/* A connection. */

static void drop(struct client *c) {
  if (c->fd < 0) return;
  SSL_free(c->ssl);
  close(c->fd);
  free(c->responses.kept);
  *c = (struct client){.fd = -1, .session = c->session, .has_answered = c->has_answered};
}

static void connect_again(struct client *c, uint64_t now);

static void fail(struct client *c, uint64_t now) {
  errors++;
  ERR_clear_error(); /* else it would be taken for an error of another connection */
  if (phase == ENDING) drop(c);
  else connect_again(c, now);
}

static void send_batch(struct client *c) {
  c->responses.missing = pipeline;
  if (SSL_write(c->ssl, batch, (int)batch_bytes) != (int)batch_bytes) fail(c, now_ns());
}

/* The connection is open, and no response is under way. */
static void send_next(struct client *c, uint64_t now) {
  if (phase == OPENING && c->has_answered) return;
  if (sessions == KEPT) {
    if (phase == ENDING) return;
    c->responses.since = now;
  }
  send_batch(c);
}

/* Returns whether to go on. */
static bool go_on_with_handshake(struct client *c, uint64_t now) {
  int result = SSL_connect(c->ssl);
  if (result != 1) {
    if (SSL_get_error(c->ssl, result) != SSL_ERROR_WANT_READ) fail(c, now);
    return false;
  }
  if (SSL_session_reused(c->ssl) != (sessions == RESUMED && c->session != NULL)) return fail(c, now), false;
  c->is_open = true;
  send_next(c, now);
  return c->is_open;
}

/* A copy is offered: OpenSSL offers the same session only once. Some servers give no new ticket for a session that was resumed. */
static void offer_session(struct client *c) {
  SSL_SESSION *copy = SSL_SESSION_dup(c->session);
  SSL_set_session(c->ssl, copy);
  SSL_SESSION_free(copy);
}

/* connect(2) waits here for the handshake of TCP, which takes no time on loopback. */
static void connect_again(struct client *c, uint64_t now) {
  drop(c);
  c->responses.since = now;
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (c->fd < 0) perror("socket"), exit(1);
  if (connect(c->fd, (struct sockaddr *)&address, sizeof address) < 0) perror("connect"), exit(1);
  int yes = 1;
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  fcntl(c->fd, F_SETFL, O_NONBLOCK);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event);
  c->ssl = SSL_new(context);
  SSL_set_fd(c->ssl, c->fd);
  SSL_set_app_data(c->ssl, c);
  SSL_set_tlsext_host_name(c->ssl, "localhost");
  if (sessions == RESUMED && c->session != NULL) offer_session(c);
  go_on_with_handshake(c, now);
}

/* A ticket has come. A connection gets two; the last one counts. */
static int on_session(SSL *ssl, SSL_SESSION *session) {
  struct client *c = SSL_get_app_data(ssl);
  if (c->session != NULL) SSL_SESSION_free(c->session);
  c->session = session;
  return 1; /* it is ours now */
}

static void open_one_more(uint64_t now) {
  if (opened < connections) connect_again(&clients[opened++], now);
}

static void end_session(struct client *c, uint64_t now) {
  SSL_shutdown(c->ssl);
  if (phase == ENDING) drop(c);
  else connect_again(c, now);
}

/* All responses of the batch are here. */
static void finish_batch(struct client *c, uint64_t now) {
  if (phase == OPENING && !c->has_answered) {
    c->has_answered = true;
    open_one_more(now);
    return;
  }
  if (sessions == KEPT) send_next(c, now);
  else end_session(c, now);
}

static void on_readable(struct client *c, uint64_t now) {
  if (!c->is_open && !go_on_with_handshake(c, now)) return;
  for (;;) {
    int received = SSL_read(c->ssl, plain, PLAIN_BYTES);
    if (received <= 0) {
      if (SSL_get_error(c->ssl, received) != SSL_ERROR_WANT_READ) fail(c, now);
      return;
    }
    if (!read_responses(&c->responses, plain, (size_t)received, now)) return fail(c, now);
    if (c->responses.missing == 0) return finish_batch(c, now);
  }
}

/* The loop. */

static void drop_late(uint64_t now) {
  for (unsigned i = 0; i < opened; i++) {
    struct client *c = &clients[i];
    if (c->fd >= 0 && (!c->is_open || c->responses.missing > 0) && now > c->responses.since + TIMEOUT) fail(c, now);
  }
}

static uint64_t turn(void) {
  static uint64_t last_look;
  struct epoll_event events[MAX_EVENTS];
  int count = epoll_wait(epoll_fd, events, MAX_EVENTS, 100);
  uint64_t now = now_ns();
  /* A client that has connected again meanwhile has no event here: each has one socket, and so one event at most. */
  for (int i = 0; i < count; i++) on_readable(events[i].data.ptr, now);
  if (phase != OPENING && now > last_look + SECOND / 10) last_look = now, drop_late(now);
  return now;
}

static unsigned count_idle(void) {
  unsigned idle = 0;
  for (unsigned i = 0; i < opened; i++) idle += clients[i].fd >= 0 && clients[i].has_answered && clients[i].responses.missing == 0;
  return idle;
}

static void open_all(void) {
  uint64_t start = now_ns(), now = start;
  while (opened < connections && opened < MAX_OPENING) open_one_more(now);
  while (count_idle() < connections && errors == 0 && now < start + OPENING_TIMEOUT) now = turn();
  errors += connections - count_idle(); /* the result does not count then */
}

static unsigned count_busy(void) {
  unsigned busy = 0;
  for (unsigned i = 0; i < connections; i++) busy += clients[i].fd >= 0 && (!clients[i].is_open || clients[i].responses.missing > 0);
  return busy;
}

/* Returns how long it took, in nanoseconds. */
static uint64_t measure(double seconds) {
  uint64_t start = now_ns(), end = start + (uint64_t)(seconds * (double)SECOND), now = start;
  phase = MEASURING;
  for (unsigned i = 0; i < connections; i++) {
    if (clients[i].fd < 0) continue;
    if (sessions == KEPT) send_next(&clients[i], now);
    else end_session(&clients[i], now);
  }
  while (now < end) now = turn();
  phase = ENDING;
  while (count_busy() > 0 && now < end + TIMEOUT + SECOND) now = turn();
  return now - start;
}

static SSL_CTX *make_context(void) {
  static const unsigned char http11[] = "\x08http/1.1";
  SSL_CTX *made = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_min_proto_version(made, TLS1_3_VERSION);
  SSL_CTX_set_ciphersuites(made, "TLS_AES_128_GCM_SHA256");
  SSL_CTX_set1_groups_list(made, "X25519");
  SSL_CTX_set_alpn_protos(made, http11, sizeof http11 - 1);
  SSL_CTX_set_mode(made, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_read_ahead(made, 1);
  SSL_CTX_set_default_read_buffer_len(made, PLAIN_BYTES);
  SSL_CTX_set_session_cache_mode(made, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(made, on_session);
  return made;
}

int main(int count, char **arguments) {
  static const char *names[] = {[KEPT] = "kept", [FULL] = "full", [RESUMED] = "resumed"};
  if (count < 7) return fprintf(stderr, "Use: tls-load PORT CONNECTIONS PIPELINE SECONDS REQUEST_FILE kept|full|resumed\n"), 2;
  while (strcmp(arguments[6], names[sessions]) != 0)
    if (sessions++ == RESUMED) return fprintf(stderr, "tls-load: sessions are kept, full or resumed\n"), 1;
  double seconds;
  if (!read_order(arguments, &seconds)) return 1;
  signal(SIGPIPE, SIG_IGN); /* OpenSSL calls write(2) */
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  context = make_context();
  clients = calloc(connections, sizeof *clients);
  for (unsigned i = 0; i < connections; i++) clients[i].fd = -1;

  open_all();
  write_ready();
  wait_for_input('\n');
  write_result(measure(seconds));
  wait_for_input(EOF);
  return 0;
}
