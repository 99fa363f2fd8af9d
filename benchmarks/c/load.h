/*
 * What the load generators of this folder have in common: they read responses, count them with their latencies, and write the result. A program includes
 * this file once.
 *
 * Of HTTP it reads only what says where a response ends: Content-Length or chunks, in the simple form that servers send. It does not know HEAD, 204 and 304.
 */

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Few connections are opened at a time: if the queue of a listener overflows, the kernel repeats a SYN only after a second. */
enum { HEAD_BYTES = 16384, MAX_OPENING = 128 };

static const uint64_t SECOND = 1000000000;
/* A connection or a response that takes longer is an error. */
static const uint64_t TIMEOUT = 5 * SECOND;

static enum { OPENING, MEASURING, ENDING } phase;

static unsigned connections, opened, pipeline;
static char *batch;
static size_t batch_bytes;
static struct sockaddr_in address = {.sin_family = AF_INET};
static uint64_t requests, errors, refused;

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

/* What the next bytes of a response are. */
enum place { IN_HEAD, IN_BODY, IN_CHUNK_LINE, IN_CHUNK, IN_TRAILERS };

/* The responses of one connection. */
struct responses {
  unsigned missing; /* of the batch under way */
  uint64_t since;   /* when the batch was sent, or was due; before the first batch, when the client began to connect */
  bool closes;      /* the last one said `Connection: close` */
  enum place place;
  uint64_t body_bytes; /* still to come, of the body or the chunk */
  char *kept;          /* the beginning of a head or of a line, or NULL */
  size_t kept_bytes;
};

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
static bool read_head(struct responses *r, const char *head, size_t length) {
  if (length < 12 || memcmp(head, "HTTP/1.", 7) != 0) return false;
  if (head[9] != '2') refused++;
  const char *connection = field_of(head, length, "connection");
  r->closes = connection != NULL && strncasecmp(connection, "close", 5) == 0;
  const char *content_length = field_of(head, length, "content-length");
  if (content_length != NULL) {
    r->body_bytes = strtoull(content_length, NULL, 10);
    r->place = IN_BODY;
    return true;
  }
  const char *coding = field_of(head, length, "transfer-encoding");
  r->place = IN_CHUNK_LINE;
  return coding != NULL && strncasecmp(coding, "chunked", 7) == 0;
}

/* A response to what was sent, or was due, at `since`. */
static void count_since(uint64_t since, uint64_t now) {
  requests++;
  latencies++;
  buckets[bucket_of(now - since)]++;
}

static void count_response(struct responses *r, uint64_t now) {
  r->place = IN_HEAD;
  r->missing--;
  if (phase != OPENING) count_since(r->since, now);
}

/*
 * Looks for the end of a head or a line, whose beginning may have come with earlier bytes. Returns how many of `bytes` belong to it, and `text`
 * is then the whole of it. Returns 0 if its end has not come yet: then the bytes are kept.
 */
static size_t take_until(const char *mark, struct responses *r, const char *bytes, size_t length, const char **text, size_t *text_bytes) {
  size_t mark_bytes = strlen(mark), before = r->kept_bytes;
  if (before == 0) { /* nearly always: nothing has to be copied */
    const char *end = memmem(bytes, length, mark, mark_bytes);
    if (end != NULL) return *text = bytes, *text_bytes = (size_t)(end - bytes) + mark_bytes;
  }
  if (length > HEAD_BYTES - before) length = HEAD_BYTES - before;
  if (r->kept == NULL) r->kept = malloc(HEAD_BYTES);
  memcpy(r->kept + before, bytes, length);
  r->kept_bytes += length;
  const char *end = memmem(r->kept, r->kept_bytes, mark, mark_bytes);
  if (end == NULL) return 0;
  *text = r->kept;
  *text_bytes = (size_t)(end - r->kept) + mark_bytes;
  r->kept_bytes = 0;
  return *text_bytes - before;
}

/* Returns false if the bytes are not a response, or more than was asked for. */
static bool read_responses(struct responses *r, const char *bytes, size_t length, uint64_t now) {
  size_t text_bytes;
  const char *text;
  for (size_t at = 0, used; at < length; at += used) {
    if (r->missing == 0) return false;
    if (r->place == IN_BODY || r->place == IN_CHUNK) {
      used = length - at < r->body_bytes ? length - at : r->body_bytes;
      r->body_bytes -= used;
      if (r->body_bytes > 0) continue;
      if (r->place == IN_CHUNK) r->place = IN_CHUNK_LINE;
      else count_response(r, now);
      continue;
    }
    used = take_until(r->place == IN_HEAD ? "\r\n\r\n" : "\r\n", r, bytes + at, length - at, &text, &text_bytes);
    if (used == 0) return r->kept_bytes < HEAD_BYTES;
    if (r->place == IN_HEAD) {
      if (!read_head(r, text, text_bytes)) return false;
      if (r->place == IN_BODY && r->body_bytes == 0) count_response(r, now);
    } else if (r->place == IN_CHUNK_LINE) {
      r->body_bytes = strtoull(text, NULL, 16);
      r->place = r->body_bytes > 0 ? IN_CHUNK : IN_TRAILERS;
      r->body_bytes += 2; /* the CRLF behind a chunk */
    } else if (text_bytes == 2) { /* the empty line behind the trailers */
      count_response(r, now);
    }
  }
  return true;
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

static void raise_file_limit(void) {
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
}

static void write_ready(void) {
  puts("ready");
  fflush(stdout);
}

static void write_result(uint64_t took) {
  printf("{\"requests\":%lu,\"seconds\":%.6f,\"p50Us\":%.1f,\"p99Us\":%.1f,\"p999Us\":%.1f,\"errors\":%lu,\"refused\":%lu}\n", requests,
         (double)took / 1e9, percentile_us(50), percentile_us(99), percentile_us(99.9), errors, refused);
  fflush(stdout);
}

/* PORT CONNECTIONS PIPELINE SECONDS REQUEST_FILE. Returns false after it has written what is wrong. */
static bool read_order(char **arguments, double *seconds) {
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons((uint16_t)atoi(arguments[1]));
  connections = (unsigned)atoi(arguments[2]);
  pipeline = (unsigned)atoi(arguments[3]);
  *seconds = atof(arguments[4]);
  if (connections == 0 || pipeline == 0 || *seconds <= 0) return fprintf(stderr, "numbers are above 0\n"), false;
  if (!read_batch(arguments[5])) return perror(arguments[5]), false;
  raise_file_limit();
  return true;
}
