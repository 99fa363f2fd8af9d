/**
 * The C functions that koffi calls: their prototypes, and errno. These functions check nothing: libc.ts checks all arguments.
 *
 * Next: libc-checks.ts
 */

import { koffi } from './ffi.ts';

// load(null) is dlopen(NULL): the symbols of the running process. It contains its libc, glibc or musl.
const symbols = koffi.load(null);

// koffi knows neither ssize_t nor socklen_t: int64 and uint32 have their sizes on both supported architectures.
// fcntl(2), open(2) and ioctl(2) are variadic in C, which for integers and pointers makes no difference on either of them.
export const c = {
  socket: symbols.func('int socket(int domain, int type, int protocol)'),
  bind: symbols.func('int bind(int fd, const void *addr, uint32 len)'),
  listen: symbols.func('int listen(int fd, int backlog)'),
  accept4: symbols.func('int accept4(int fd, void *addr, void *len, int flags)'),
  connect: symbols.func('int connect(int fd, const void *addr, uint32 len)'),
  shutdown: symbols.func('int shutdown(int fd, int how)'),
  close: symbols.func('int close(int fd)'),
  recv: symbols.func('int64 recv(int fd, void *buf, size_t len, int flags)'),
  send: symbols.func('int64 send(int fd, const void *buf, size_t len, int flags)'),
  recvfrom: symbols.func('int64 recvfrom(int fd, void *buf, size_t len, int flags, void *addr, void *addrlen)'),
  sendto: symbols.func(
    'int64 sendto(int fd, const void *buf, size_t len, int flags, const void *addr, uint32 addrlen)',
  ),
  sendmsg: symbols.func('int64 sendmsg(int fd, const void *msg, int flags)'),
  recvmsg: symbols.func('int64 recvmsg(int fd, void *msg, int flags)'),
  getsockname: symbols.func('int getsockname(int fd, void *addr, void *len)'),
  getpeername: symbols.func('int getpeername(int fd, void *addr, void *len)'),
  getsockopt: symbols.func('int getsockopt(int fd, int level, int name, void *value, void *len)'),
  setsockopt: symbols.func('int setsockopt(int fd, int level, int name, const void *value, uint32 len)'),
  epoll_create1: symbols.func('int epoll_create1(int flags)'),
  epoll_ctl: symbols.func('int epoll_ctl(int epfd, int op, int fd, void *event)'),
  epoll_wait: symbols.func('int epoll_wait(int epfd, void *events, int maxevents, int timeout)'),
  poll: symbols.func('int poll(void *fds, ulong nfds, int timeout)'),
  fcntl: symbols.func('int fcntl(int fd, int op, int arg)'),
  open: symbols.func('int open(const char *path, int flags, uint32 mode)'),
  getrlimit: symbols.func('int getrlimit(int resource, void *rlim)'),
  setrlimit: symbols.func('int setrlimit(int resource, const void *rlim)'),
  if_nametoindex: symbols.func('uint32 if_nametoindex(const char *name)'),
  eventfd: symbols.func('int eventfd(uint32 initval, int flags)'),
  memfd_create: symbols.func('int memfd_create(const char *name, uint32 flags)'),
  read: symbols.func('int64 read(int fd, void *buf, size_t len)'),
  write: symbols.func('int64 write(int fd, const void *buf, size_t len)'),
  ioctl: symbols.func('int ioctl(int fd, ulong request, void *argument)'),
  pread: symbols.func('int64 pread(int fd, void *buf, size_t len, int64 offset)'),
  sendfile: symbols.func('int64 sendfile(int out, int in, void *offset, size_t len)'),
  mmap: symbols.func('int64 mmap(void *addr, size_t len, int prot, int flags, int fd, int64 offset)'),
  munmap: symbols.func('int munmap(void *addr, size_t len)'),
  // syscall(2) is variadic: each of these is the same function with other arguments.
  io_uring_setup: symbols.func('syscall', 'int64', ['int64', 'uint32', 'void *']),
  io_uring_enter: symbols.func('syscall', 'int64', ['int64', 'int', 'uint32', 'uint32', 'uint32', 'void *', 'size_t']),
  io_uring_register: symbols.func('syscall', 'int64', ['int64', 'int', 'uint32', 'void *', 'uint32']),
  openat2: symbols.func('syscall', 'int64', ['int64', 'int', 'const char *', 'void *', 'size_t']),
  __errno_location: symbols.func('void *__errno_location()'),
};

// errno is a macro for *__errno_location(), a cell of the calling thread. Each worker thread evaluates this module again,
// so each has its own cell. Read the cell before the next call into C, which may overwrite it.
const errno = new Int32Array(koffi.view(c.__errno_location(), 4));

/** The error of the last call that failed. */
export function lastErrno(): number {
  return errno[0] as number;
}

/** Returns the result of a call, or -errno if the result is below 0. */
export function resultOrErrno(result: number): number {
  return result < 0 ? -(errno[0] as number) : result;
}
