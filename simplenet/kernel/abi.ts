/**
 * The numbers and struct layouts of the Linux ABI, which C programs get from header files.
 *
 * TypeScript cannot include <sys/socket.h>, so this file repeats its contents. Linux never changes these numbers for an
 * architecture. glibc and musl pass them to the kernel unchanged, so one set serves both. x64 and arm64 differ in one struct
 * only: struct epoll_event. Every struct layout is written here, even if another file fills the struct in.
 *
 * On an unsupported platform the import throws. A wrong struct size handed to the kernel would corrupt memory far from its
 * cause.
 *
 * Next: ffi.ts
 */

const OLDEST_NODE = 20;

/** Returns one sentence that says why simplenet cannot run here, or null if it can. */
export function unsupportedPlatform(platform: string, architecture: string, nodeVersion: string): string | null {
  if (platform !== 'linux' || (architecture !== 'x64' && architecture !== 'arm64')) {
    return `simplenet calls the Linux kernel directly and supports Linux on x64 and arm64; this is ${platform} on ${architecture}.`;
  }
  if (Number.parseInt(nodeVersion, 10) < OLDEST_NODE) {
    return `simplenet needs Node.js ${OLDEST_NODE} or newer; this is Node.js ${nodeVersion}.`;
  }
  return null;
}

const unsupported = unsupportedPlatform(process.platform, process.arch, process.versions.node);
/* c8 ignore next -- abi.test.ts runs it in a process that claims another platform; coverage is of this process only. */
if (unsupported !== null) throw new Error(unsupported);

/** socket(2): address families. */
export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;

/** socket(2): types, and the two flags that save a fcntl(2) each. */
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;

/** socket(7): options at level SOL_SOCKET. */
export const SOL_SOCKET = 1;
export const SO_REUSEADDR = 2;
export const SO_TYPE = 3;
export const SO_ERROR = 4;
export const SO_BROADCAST = 6;
export const SO_SNDBUF = 7;
export const SO_RCVBUF = 8;
export const SO_KEEPALIVE = 9;
export const SO_LINGER = 13;
export const SO_REUSEPORT = 15;
export const SO_PEERCRED = 17;
export const SO_ATTACH_FILTER = 26;
export const SO_GET_FILTER = 26;
export const SO_ACCEPTCONN = 30;
export const SO_DOMAIN = 39;
export const SO_ATTACH_REUSEPORT_CBPF = 51;
export const SO_MEMINFO = 55;
export const SO_ZEROCOPY = 60;

/**
 * socket(7), SO_ATTACH_FILTER: classic BPF, <linux/filter.h>. An opcode is a class combined with its modes: BPF_LD | BPF_B |
 * BPF_ABS loads the byte at an offset. struct sock_filter { u16 code @0; u8 jt @2; u8 jf @3; u32 k @4; }
 * struct sock_fprog { u16 length @0; struct sock_filter *instructions @8; }
 */
export const BPF_LD = 0x00;
export const BPF_W = 0x00;
export const BPF_H = 0x08;
export const BPF_B = 0x10;
export const BPF_ABS = 0x20;
export const BPF_ALU = 0x04;
export const BPF_AND = 0x50;
export const BPF_MOD = 0x90;
export const BPF_JMP = 0x05;
export const BPF_JEQ = 0x10;
export const BPF_RET = 0x06;
export const BPF_K = 0x00;
export const BPF_A = 0x10;
export const BPF_MAXINSNS = 4096;
export const SOCK_FILTER_SIZE = 8;
export const SOCK_FPROG_SIZE = 16;

/** At offsets below 0, BPF_ABS loads other data: what the kernel knows from SKF_AD_OFF on, the IP header from SKF_NET_OFF on. */
export const SKF_AD_OFF = -0x1000;
export const SKF_AD_CPU = 36;
export const SKF_NET_OFF = -0x100000;

/** tcp(7). */
export const IPPROTO_TCP = 6;
export const TCP_NODELAY = 1;
export const TCP_KEEPIDLE = 4;
export const TCP_KEEPINTVL = 5;
export const TCP_KEEPCNT = 6;
export const TCP_DEFER_ACCEPT = 9;
export const TCP_INFO = 11;
export const TCP_USER_TIMEOUT = 18;
export const TCP_FASTOPEN = 23;

/** ip(7). */
export const IPPROTO_IP = 0;

/** IPPROTO_IP options from this number on belong to the packet filter: IPT_BASE_CTL of <linux/netfilter_ipv4/ip_tables.h>. */
export const NETFILTER_OPTIONS = 64;

/** ipv6(7). */
export const IPPROTO_IPV6 = 41;
export const IPV6_V6ONLY = 26;

/** recv(2), send(2). */
export const MSG_PEEK = 0x2;
export const MSG_CTRUNC = 0x8;
export const MSG_TRUNC = 0x20;
export const MSG_DONTWAIT = 0x40;
export const MSG_NOSIGNAL = 0x4000;
export const MSG_MORE = 0x8000;
export const MSG_CMSG_CLOEXEC = 0x40000000;

/**
 * sendmsg(2), recvmsg(2), cmsg(3). struct iovec { void *base @0; size_t length @8; }
 * struct msghdr { void *name @0; u32 namelen @8; struct iovec *iov @16; size_t iovlen @24; void *control @32; size_t controllen @40; int flags @48; }
 * musl has two of these lengths as an int and padding: in little-endian the same bytes.
 * struct cmsghdr { size_t len @0; int level @8; int type @12; } and its data @16. `len` counts both; the next one begins at a multiple of 8.
 * unix(7): SCM_RIGHTS carries descriptors, an int each, at most SCM_MAX_FD in a message.
 */
export const MSGHDR_SIZE = 56;
export const MSGHDR_IOV = 16;
export const MSGHDR_IOVLEN = 24;
export const MSGHDR_CONTROL = 32;
export const MSGHDR_CONTROLLEN = 40;
export const MSGHDR_FLAGS = 48;
export const IOVEC_SIZE = 16;
export const CMSGHDR_SIZE = 16;
export const CMSG_ALIGNMENT = 8;
export const SCM_RIGHTS = 1;
export const SCM_MAX_FD = 253;

/** memfd_create(2). */
export const MFD_CLOEXEC = 1;

/** shutdown(2). */
export const SHUT_RD = 0;
export const SHUT_WR = 1;
export const SHUT_RDWR = 2;

/** listen(2): the kernel lowers a larger backlog to net.core.somaxconn, whose default this is since Linux 5.4. */
export const SOMAXCONN = 4096;

/** epoll_ctl(2). */
export const EPOLLIN = 0x001;
export const EPOLLOUT = 0x004;
export const EPOLLERR = 0x008;
export const EPOLLHUP = 0x010;
export const EPOLL_CTL_ADD = 1;
export const EPOLL_CTL_DEL = 2;
export const EPOLL_CTL_MOD = 3;
export const EPOLL_CLOEXEC = 0o2000000;

/** poll(2): the event bits are those of epoll. struct pollfd { int fd @0; short events @4; short revents @6; } */
export const POLLIN = 0x001;
export const POLLOUT = 0x004;
export const POLLERR = 0x008;
export const POLLHUP = 0x010;
export const POLLNVAL = 0x020;
export const POLLFD_SIZE = 8;

/** fcntl(2), open(2). */
export const F_GETFD = 1;
export const F_GETFL = 3;
export const F_SETFL = 4;
export const F_SETFD = 2;
export const FD_CLOEXEC = 1;
export const O_RDONLY = 0;
export const O_RDWR = 2;
export const O_NONBLOCK = 0o4000;
export const O_CLOEXEC = 0o2000000;

/**
 * ioctl(2), netdevice(7), <linux/if_tun.h>. TUNSETIFF makes a network interface of an open /dev/net/tun, or joins one. Its argument is a
 * struct ifreq { char name[16] @0; short flags @16; }, 40 bytes with the rest of a union.
 */
export const TUNSETIFF = 0x400454ca;
export const IFF_TAP = 0x0002;
export const IFF_NO_PI = 0x1000;
export const IFNAMSIZ = 16;
export const IFREQ_FLAGS = 16;
export const IFREQ_SIZE = 40;

/**
 * openat2(2), for Linux 5.6 and newer. struct open_how { u64 flags @0; u64 mode @8; u64 resolve @16; }
 * RESOLVE_BENEATH: no path leaves the directory, by `..`, by an absolute path or by a link. RESOLVE_NO_MAGICLINKS: no links such as /proc/self/fd/3.
 */
export const OPEN_HOW_SIZE = 24;
export const RESOLVE_NO_MAGICLINKS = 0x02;
export const RESOLVE_NO_SYMLINKS = 0x04;
export const RESOLVE_BENEATH = 0x08;

/** getrlimit(2). struct rlimit { u64 rlim_cur @0; u64 rlim_max @8; } */
export const RLIMIT_NOFILE = 7;
export const RLIMIT_SIZE = 16;

/**
 * struct epoll_event { u32 events @0; u64 data; }. On x64 it is packed (12 bytes, data @4) so that 32-bit programs could
 * share it; everywhere else the compiler aligns data to 8 (16 bytes, data @8). Sizes are in 32-bit words, because epoll.ts
 * reads the events through an Int32Array.
 */
/* c8 ignore next 2 -- the other branch is for the other architecture; abi.test.ts runs it in a process that claims to be that one. */
export const EPOLL_EVENT_WORDS = process.arch === 'x64' ? 3 : 4;
export const EPOLL_EVENT_DATA_WORD = process.arch === 'x64' ? 1 : 2;

/** mmap(2), eventfd(2). */
export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const MAP_SHARED = 1;
export const MAP_POPULATE = 0x8000;
export const EFD_NONBLOCK = 0o4000;
export const EFD_CLOEXEC = 0o2000000;

/**
 * io_uring_setup(2). struct io_uring_params { u32 sq_entries @0; u32 cq_entries @4; u32 flags @8; u32 features @20;
 * offsets in the ring of the submissions: head @40, tail @44, flags @56; of the completions: head @80, tail @84, cqes @100; }
 */
export const IO_URING_PARAMS_SIZE = 120;
export const IORING_SETUP_CQSIZE = 1 << 3;
export const IORING_SETUP_CLAMP = 1 << 4;
export const IORING_SETUP_TASKRUN_FLAG = 1 << 9;
export const IORING_SETUP_SINGLE_ISSUER = 1 << 12;
export const IORING_SETUP_DEFER_TASKRUN = 1 << 13;
export const IORING_FEAT_SINGLE_MMAP = 1 << 0;
export const IORING_FEAT_NODROP = 1 << 1;
export const IORING_OFF_SQ_RING = 0;
export const IORING_OFF_SQES = 0x10000000;
export const IORING_OFF_PBUF_RING = 0x80000000;
export const IORING_SQ_CQ_OVERFLOW = 1 << 1;
export const IORING_SQ_TASKRUN = 1 << 2;
export const IORING_CQ_EVENTFD_DISABLED = 1 << 0;
export const IORING_ENTER_GETEVENTS = 1 << 0;
export const IORING_ENTER_EXT_ARG = 1 << 3;
/** struct io_uring_getevents_arg, and the struct __kernel_timespec that it points to. */
export const IO_URING_GETEVENTS_ARG_SIZE = 24;
export const KERNEL_TIMESPEC_SIZE = 16;

/** struct io_uring_sqe and io_uring_cqe; ring-layout.ts has their fields. */
export const IO_URING_SQE_SIZE = 64;
export const IO_URING_CQE_SIZE = 16;
export const IORING_OP_POLL_ADD = 6;
export const IORING_OP_ASYNC_CANCEL = 14;
export const IORING_OP_CONNECT = 16;
export const IORING_OP_READ = 22;
export const IORING_OP_WRITE = 23;
export const IORING_OP_SEND = 26;
export const IORING_OP_RECV = 27;
export const IOSQE_BUFFER_SELECT = 1 << 5;
export const IORING_POLL_ADD_MULTI = 1 << 0;
export const IORING_RECV_MULTISHOT = 1 << 1;
export const IORING_CQE_F_BUFFER = 1 << 0;
export const IORING_CQE_F_MORE = 1 << 1;
export const IORING_CQE_F_BUF_MORE = 1 << 4;
export const IORING_CQE_BUFFER_SHIFT = 16;

/**
 * io_uring_register(2). struct io_uring_probe { u8 last_op @0; u8 ops_len @1; struct { u8 op; u8 resv; u16 flags; u32 resv; } @16[]; }
 * struct io_uring_buf_reg { u64 ring_addr @0; u32 ring_entries @8; u16 bgid @12; u16 flags @14; }                        40 bytes
 * struct io_uring_buf { u64 addr @0; u32 len @8; u16 bid @12; }; the tail of their ring is @14 of the first one.         16 bytes
 */
export const IORING_REGISTER_EVENTFD = 4;
export const IORING_REGISTER_PROBE = 8;
export const IORING_REGISTER_PBUF_RING = 22;
export const IO_URING_PROBE_HEAD_SIZE = 16;
export const IO_URING_PROBE_OP_SIZE = 8;
export const IO_URING_OP_SUPPORTED = 1 << 0;
export const IO_URING_BUF_REG_SIZE = 40;
export const IO_URING_BUF_SIZE = 16;
export const IOU_PBUF_RING_MMAP = 1;
export const IOU_PBUF_RING_INC = 2;

/** syscall(2): calls for which the C library has no function. Calls added since Linux 5.1 have the same number on x64 and arm64. */
export const SYS_IO_URING_SETUP = 425;
export const SYS_IO_URING_ENTER = 426;
export const SYS_IO_URING_REGISTER = 427;
export const SYS_OPENAT2 = 437;

/**
 * sockaddr_in   { u16 family @0; u16 port, big-endian @2; u8 address[4] @4; u8 zero[8] @8; }                     16 bytes
 * sockaddr_in6  { u16 family @0; u16 port, big-endian @2; u32 flowinfo @4; u8 address[16] @8; u32 scope @24; }    28 bytes
 * sockaddr_un   { u16 family @0; char path[108] @2; }                                                            110 bytes
 */
export const SOCKADDR_IN_SIZE = 16;
export const SOCKADDR_IN6_SIZE = 28;
export const SOCKADDR_UN_SIZE = 110;
export const SOCKADDR_UN_PATH = 2;

/**
 * tcp(7), TCP_INFO. We use one field of struct tcp_info: { ... u64 tcpi_bytes_acked @120; ... }. It counts the bytes that the peer
 * has acknowledged. Linux has it since 4.1.
 */
export const TCP_INFO_BYTES_ACKED = 120;
export const TCP_INFO_BYTES_ACKED_END = 128;

/**
 * <linux/sock_diag.h>: SO_MEMINFO returns u32 values. Two count sent bytes that the kernel still holds, with their overhead: of TCP
 * SK_MEMINFO_WMEM_QUEUED those that the peer has not acknowledged, of a Unix socket SK_MEMINFO_WMEM_ALLOC those that it has not read.
 */
export const SK_MEMINFO_WMEM_ALLOC = 2;
export const SK_MEMINFO_WMEM_QUEUED = 5;
export const SK_MEMINFO_VARS = 9;

/** unix(7), SO_PEERCRED. struct ucred { s32 pid @0; u32 uid @4; u32 gid @8; } */
export const UCRED_SIZE = 12;

/** errno(3): only the ones that the code, its tests or the examples use. system-error.ts takes names and texts from Node's own table. */
export const EPERM = 1;
export const ENOENT = 2;
export const ENXIO = 6;
export const EACCES = 13;
export const EXDEV = 18;
export const ENOTDIR = 20;
export const ENAMETOOLONG = 36;
export const ELOOP = 40;
export const EINTR = 4;
export const EIO = 5;
export const EBADF = 9;
export const EAGAIN = 11;
export const ENOMEM = 12;
export const EFAULT = 14;
export const EBUSY = 16;
export const ENODEV = 19;
export const EINVAL = 22;
export const ENFILE = 23;
export const EMFILE = 24;
export const EPIPE = 32;
export const ENOSYS = 38;
export const EBADR = 53;
export const ENODATA = 61;
export const EPROTO = 71;
export const EBADFD = 77;
export const ENOTSOCK = 88;
export const EDESTADDRREQ = 89;
export const EMSGSIZE = 90;
export const ENOPROTOOPT = 92;
export const EPROTONOSUPPORT = 93;
export const EOPNOTSUPP = 95;
export const EAFNOSUPPORT = 97;
export const EADDRINUSE = 98;
export const EADDRNOTAVAIL = 99;
export const ENETDOWN = 100;
export const ENETUNREACH = 101;
export const ECONNABORTED = 103;
export const ECONNRESET = 104;
export const ENOBUFS = 105;
export const EISCONN = 106;
export const ENOTCONN = 107;
export const ETIME = 62;
export const ETIMEDOUT = 110;
export const ECONNREFUSED = 111;
export const EHOSTUNREACH = 113;
export const EALREADY = 114;
export const EINPROGRESS = 115;
export const ECANCELED = 125;
