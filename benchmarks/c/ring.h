/*
 * A ring of io_uring(7) without liburing, for the server and the load generator of this folder. It shows what a ring is.
 *
 * One thread uses it. It writes requests (SQEs), and one io_uring_enter(2) submits them and waits for completions (CQEs). The kernel
 * receives bytes into buffers that it takes from a common stock. A program includes this file once. Needs Linux 6.12.
 */

#include <errno.h>
#include <linux/io_uring.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MAX_SQES = 1024, MAX_CQES = 8192, BUFFERS = 16, BUFFER_BYTES = 65536 };

/* Linux 6.12 is newer than many headers. The flags of a stock of buffers stand where Linux 6.1 has padding. With the first flag, several
 * receives fill one buffer: short messages share its cache lines, and a large message still comes in few pieces. */
enum { PBUF_RING_INCREMENTAL = 2, CQE_BUFFER_MORE = 1 << 4 };

static int ring_fd;
static struct io_uring_sqe *sqes;
static struct io_uring_cqe *cqes;
static unsigned *sq_head, *sq_tail, *cq_head, *cq_tail, sq_mask, cq_mask, sqes_made, unsubmitted;

static struct io_uring_buf_ring *buffer_ring;
static char buffers[BUFFERS][BUFFER_BYTES];
static size_t used_bytes[BUFFERS];
static uint16_t buffers_given;

static void submit(unsigned least, unsigned flags, const void *argument, size_t argument_bytes) {
  __atomic_store_n(sq_tail, sqes_made, __ATOMIC_RELEASE); /* the kernel sees whole SQEs only */
  long submitted = syscall(SYS_io_uring_enter, ring_fd, unsubmitted, least, flags, argument, argument_bytes);
  if (submitted > 0) unsubmitted -= (unsigned)submitted;
  else if (submitted < 0 && errno != EINTR && errno != EAGAIN && errno != EBUSY && errno != ETIME) perror("io_uring_enter"), exit(1);
}

/* Submits requests, and waits for at least `least` completions. With `gets_events` the kernel first does the work that it has put off;
 * without it, only the submitted requests themselves can complete. */
static void enter(unsigned least, bool gets_events) {
  submit(least, gets_events ? IORING_ENTER_GETEVENTS : 0, NULL, 0);
}

static void make_room_for(unsigned count) {
  while (sqes_made + count - __atomic_load_n(sq_head, __ATOMIC_ACQUIRE) > sq_mask + 1) enter(0, false);
}

/* `user_data` comes back in the completion. */
static struct io_uring_sqe *sqe_for(int fd, unsigned opcode, uint64_t user_data) {
  make_room_for(1);
  struct io_uring_sqe *sqe = &sqes[sqes_made++ & sq_mask];
  unsubmitted++;
  *sqe = (struct io_uring_sqe){.opcode = (uint8_t)opcode, .fd = fd, .user_data = user_data};
  return sqe;
}

static void give_buffer(unsigned id) {
  struct io_uring_buf *buffer = &buffer_ring->bufs[buffers_given++ & (BUFFERS - 1)];
  buffer->addr = (uint64_t)buffers[id]; /* field by field: the tail of the ring lies in the padding of the first one */
  buffer->len = BUFFER_BYTES;
  buffer->bid = (uint16_t)id;
  __atomic_store_n(&buffer_ring->tail, buffers_given, __ATOMIC_RELEASE);
  used_bytes[id] = 0;
}

/* Returns the bytes of a completion. They are valid until `done_with` is called. */
static char *received_bytes(unsigned cqe_flags) {
  unsigned id = cqe_flags >> IORING_CQE_BUFFER_SHIFT;
  return buffers[id] + used_bytes[id];
}

static void done_with(unsigned cqe_flags, size_t length) {
  unsigned id = cqe_flags >> IORING_CQE_BUFFER_SHIFT;
  used_bytes[id] += length;
  if (!(cqe_flags & CQE_BUFFER_MORE)) give_buffer(id);
}

/* A receive that stands (multishot) completes once for each piece, until it fails or no buffer is left. */
static void start_receiving_on(int fd, bool stands, uint64_t user_data) {
  struct io_uring_sqe *sqe = sqe_for(fd, IORING_OP_RECV, user_data);
  sqe->flags = IOSQE_BUFFER_SELECT;
  if (stands) sqe->ioprio = IORING_RECV_MULTISHOT;
}

static bool create_ring(void) {
  /* DEFER_TASKRUN: the kernel completes requests while we wait, and does not interrupt us for it. No other flag gains as much. */
  struct io_uring_params p = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE};
  p.cq_entries = MAX_CQES;
  ring_fd = (int)syscall(SYS_io_uring_setup, MAX_SQES, &p);
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
