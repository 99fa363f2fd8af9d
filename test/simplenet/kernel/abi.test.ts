/** The ABI: every number in abi.ts against the headers of this machine, by way of a C compiler. */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import * as abi from '../../../simplenet/kernel/abi.ts';
import { encodeSocketAddress, type SocketAddress } from '../../../simplenet/kernel/socket-address.ts';
import { isInstalled, LIBRARY, runProgram } from '../../support/child-program.ts';

t.test('unsupportedPlatform', async (t) => {
  for (const [platform, architecture, version] of [
    ['linux', 'x64', '20.0.0'],
    ['linux', 'arm64', '20.19.5'],
    ['linux', 'x64', '22.18.0'],
    ['linux', 'x64', '100.0.0'],
    ['linux', 'x64', '24.0.0-nightly20250101'],
  ] as const) {
    t.equal(abi.unsupportedPlatform(platform, architecture, version), null, `${platform} ${architecture} ${version}`);
  }
  for (const [platform, architecture] of [
    ['darwin', 'arm64'],
    ['darwin', 'x64'],
    ['win32', 'x64'],
    ['freebsd', 'x64'],
    ['android', 'arm64'],
    ['linux', 'ia32'],
    ['linux', 'arm'],
    ['linux', 'riscv64'],
    ['linux', 's390x'],
  ] as const) {
    t.equal(
      abi.unsupportedPlatform(platform, architecture, '20.0.0'),
      'simplenet calls the Linux kernel directly and supports Linux on x64 and arm64; ' +
        `this is ${platform} on ${architecture}.`,
    );
  }
  for (const version of ['19.9.0', '18.20.8', '16.0.0', '8.17.0', '0.12.18']) {
    t.equal(
      abi.unsupportedPlatform('linux', 'x64', version),
      `simplenet needs Node.js 20 or newer; this is Node.js ${version}.`,
    );
  }
  t.match(
    abi.unsupportedPlatform('darwin', 'arm64', '18.0.0'),
    /this is darwin on arm64/,
    'the greater obstacle first',
  );
});

/** What a process that claims to run elsewhere gets from abi.ts. */
function importedOn(claim: Readonly<Record<string, string>>): string {
  const child = runProgram(
    `for (const [name, value] of Object.entries(${JSON.stringify(claim)})) Object.defineProperty(process, name, { value });
     try {
       const abi = await import('${new URL('kernel/abi.js', LIBRARY).href}');
       console.log(abi.EPOLL_EVENT_WORDS, abi.EPOLL_EVENT_DATA_WORD);
     } catch (error) { console.log(error.message); }`,
  );
  return child.stdout.trim() || child.stderr;
}

t.test('an import on an unsupported platform fails at once', async (t) => {
  t.match(importedOn({ platform: 'darwin' }), /^simplenet calls the Linux kernel directly .* this is darwin on /);
  t.match(importedOn({ arch: 'riscv64' }), /this is linux on riscv64\.$/);
});

t.test('struct epoll_event is packed on x64, and nowhere else', async (t) => {
  t.equal(importedOn({ arch: 'x64' }), '3 1');
  t.equal(importedOn({ arch: 'arm64' }), '4 2');
});

/** What has no name in the headers, as a C expression. All others are called there as they are here. */
const expressions: Readonly<Record<string, string>> = {
  NETFILTER_OPTIONS: 'IPT_BASE_CTL',
  POLLFD_SIZE: 'sizeof(struct pollfd)',
  RLIMIT_SIZE: 'sizeof(struct rlimit)',
  EPOLL_EVENT_WORDS: 'sizeof(struct epoll_event) / 4',
  EPOLL_EVENT_DATA_WORD: 'offsetof(struct epoll_event, data) / 4',
  SOCK_FILTER_SIZE: 'sizeof(struct sock_filter)',
  MSGHDR_SIZE: 'sizeof(struct msghdr)',
  MSGHDR_IOV: 'offsetof(struct msghdr, msg_iov)',
  MSGHDR_IOVLEN: 'offsetof(struct msghdr, msg_iovlen)',
  MSGHDR_CONTROL: 'offsetof(struct msghdr, msg_control)',
  MSGHDR_CONTROLLEN: 'offsetof(struct msghdr, msg_controllen)',
  MSGHDR_FLAGS: 'offsetof(struct msghdr, msg_flags)',
  IOVEC_SIZE: 'sizeof(struct iovec)',
  CMSGHDR_SIZE: 'sizeof(struct cmsghdr)',
  CMSG_ALIGNMENT: 'CMSG_ALIGN(1)',
  SCM_MAX_FD: '253', // of the kernel's own headers
  SOCK_FPROG_SIZE: 'sizeof(struct sock_fprog)',
  TCP_INFO_BYTES_ACKED: 'offsetof(struct tcp_info, tcpi_bytes_acked)',
  TCP_INFO_BYTES_ACKED_END: 'offsetof(struct tcp_info, tcpi_bytes_acked) + 8',
  IFREQ_FLAGS: 'offsetof(struct ifreq, ifr_flags)',
  IFREQ_SIZE: 'sizeof(struct ifreq)',
  OPEN_HOW_SIZE: 'sizeof(struct open_how)',
  UCRED_SIZE: 'sizeof(struct ucred)',
  SOCKADDR_IN_SIZE: 'sizeof(struct sockaddr_in)',
  SOCKADDR_IN6_SIZE: 'sizeof(struct sockaddr_in6)',
  SOCKADDR_UN_SIZE: 'sizeof(struct sockaddr_un)',
  SOCKADDR_UN_PATH: 'offsetof(struct sockaddr_un, sun_path)',
  IO_URING_PARAMS_SIZE: 'sizeof(struct io_uring_params)',
  IO_URING_SQE_SIZE: 'sizeof(struct io_uring_sqe)',
  IO_URING_CQE_SIZE: 'sizeof(struct io_uring_cqe)',
  IO_URING_PROBE_HEAD_SIZE: 'offsetof(struct io_uring_probe, ops)',
  IO_URING_PROBE_OP_SIZE: 'sizeof(struct io_uring_probe_op)',
  IO_URING_BUF_REG_SIZE: 'sizeof(struct io_uring_buf_reg)',
  IO_URING_BUF_SIZE: 'sizeof(struct io_uring_buf)',
  IO_URING_GETEVENTS_ARG_SIZE: 'sizeof(struct io_uring_getevents_arg)',
  KERNEL_TIMESPEC_SIZE: 'sizeof(struct __kernel_timespec)',
  SYS_IO_URING_SETUP: 'SYS_io_uring_setup',
  SYS_IO_URING_ENTER: 'SYS_io_uring_enter',
  SYS_IO_URING_REGISTER: 'SYS_io_uring_register',
  SYS_OPENAT2: 'SYS_openat2',
};

/** The headers of Debian 12 are those of Linux 6.1: of these they cannot know. The loop's own tests would notice a wrong one. */
const younger: readonly string[] = [
  'IORING_OFF_PBUF_RING',
  'IORING_CQE_F_BUF_MORE',
  'IOU_PBUF_RING_MMAP',
  'IOU_PBUF_RING_INC',
];

/** The offsets and sizes that other files write as bare numbers. */
const layout: Readonly<Record<string, number>> = {
  'offsetof(struct sockaddr_in, sin_family)': 0,
  'offsetof(struct sockaddr_in, sin_port)': 2,
  'offsetof(struct sockaddr_in, sin_addr)': 4,
  'offsetof(struct sockaddr_in6, sin6_port)': 2,
  'offsetof(struct sockaddr_in6, sin6_flowinfo)': 4,
  'offsetof(struct sockaddr_in6, sin6_addr)': 8,
  'offsetof(struct sockaddr_in6, sin6_scope_id)': 24,
  'offsetof(struct pollfd, events)': 4,
  'offsetof(struct pollfd, revents)': 6,
  'offsetof(struct rlimit, rlim_max)': 8,
  'offsetof(struct ifreq, ifr_name)': 0,
  'sizeof(((struct ifreq *)0)->ifr_flags)': 2,
  'sizeof(rlim_t)': 8,
  'offsetof(struct linger, l_linger)': 4,
  'sizeof(struct linger)': 8,
  'offsetof(struct sock_filter, code)': 0,
  'offsetof(struct sock_filter, jt)': 2,
  'offsetof(struct sock_filter, jf)': 3,
  'offsetof(struct sock_filter, k)': 4,
  'offsetof(struct sock_fprog, len)': 0,
  'offsetof(struct sock_fprog, filter)': 8,
  'offsetof(struct open_how, flags)': 0,
  'offsetof(struct open_how, resolve)': 16,
  'sizeof(off_t)': 8,
  'offsetof(struct ucred, pid)': 0,
  'offsetof(struct ucred, uid)': 4,
  'offsetof(struct ucred, gid)': 8,
  'offsetof(struct epoll_event, events)': 0,
  'offsetof(struct io_uring_params, flags)': 8,
  'offsetof(struct io_uring_params, features)': 20,
  'offsetof(struct io_uring_params, sq_off.head)': 40,
  'offsetof(struct io_uring_params, sq_off.tail)': 44,
  'offsetof(struct io_uring_params, sq_off.flags)': 56,
  'offsetof(struct io_uring_params, sq_off.array)': 64,
  'offsetof(struct io_uring_params, cq_off.head)': 80,
  'offsetof(struct io_uring_params, cq_off.tail)': 84,
  'offsetof(struct io_uring_params, cq_off.cqes)': 100,
  'offsetof(struct io_uring_params, cq_off.flags)': 104,
  'offsetof(struct io_uring_sqe, flags)': 1,
  'offsetof(struct io_uring_sqe, ioprio)': 2,
  'offsetof(struct io_uring_sqe, fd)': 4,
  'offsetof(struct io_uring_sqe, off)': 8,
  'offsetof(struct io_uring_sqe, addr)': 16,
  'offsetof(struct io_uring_sqe, len)': 24,
  'offsetof(struct io_uring_sqe, msg_flags)': 28,
  'offsetof(struct io_uring_sqe, user_data)': 32,
  'offsetof(struct io_uring_sqe, buf_group)': 40,
  'offsetof(struct io_uring_cqe, res)': 8,
  'offsetof(struct io_uring_cqe, flags)': 12,
  'offsetof(struct io_uring_buf, len)': 8,
  'offsetof(struct io_uring_buf, bid)': 12,
  'offsetof(struct io_uring_buf_ring, tail)': 14,
  'offsetof(struct io_uring_buf_reg, ring_entries)': 8,
  'offsetof(struct io_uring_buf_reg, bgid)': 12,
  'offsetof(struct io_uring_probe_op, flags)': 2,
  'sizeof(socklen_t)': 4,
  'sizeof(ssize_t)': 8,
  'sizeof(nfds_t)': 8,
  'sizeof(int)': 4,
};

/** Addresses whose bytes the C library is asked for. */
const addresses: readonly { readonly address: string; readonly port: number }[] = [
  { address: '192.0.2.33', port: 8080 },
  { address: '2001:db8::1234', port: 443 },
  { address: '::ffff:1.2.3.4', port: 65_535 },
];

function encodingInC({ address, port }: { address: string; port: number }): string {
  const [suffix, in_] = address.includes(':') ? ['6', 'in6'] : ['', 'in'];
  return `{ struct sockaddr_${in_} a; memset(&a, 0, sizeof a);
    a.sin${suffix}_family = AF_INET${suffix}; a.sin${suffix}_port = htons(${port});
    inet_pton(AF_INET${suffix}, "${address}", &a.sin${suffix}_addr); dump(&a, sizeof a); }`;
}

const HEADERS = [
  'arpa/inet.h',
  'errno.h',
  'fcntl.h',
  'net/if.h',
  'netinet/in.h',
  'poll.h',
  'stddef.h',
  'stdio.h',
  'string.h',
  'sys/epoll.h',
  'sys/ioctl.h',
  'sys/eventfd.h',
  'sys/mman.h',
  'sys/resource.h',
  'sys/socket.h',
  'sys/syscall.h',
  'sys/types.h',
  'sys/un.h',
  'linux/filter.h',
  'linux/if_tun.h',
  'linux/io_uring.h',
  'linux/openat2.h',
  'linux/sock_diag.h',
  'linux/tcp.h', // netinet/tcp.h knows only the beginning of struct tcp_info
  'linux/netfilter_ipv4/ip_tables.h', // behind net/if.h, which it would else define again
];

function outputOf(main: readonly string[], folder: string): string[] {
  const source = `#define _GNU_SOURCE
    ${HEADERS.map((name) => `#include <${name}>`).join('\n')}
    static void dump(const void *bytes, size_t length) {
      for (size_t i = 0; i < length; i++) printf("%02x", ((const unsigned char *)bytes)[i]);
      printf("\\n");
    }
    int main(void) { (void)dump; ${main.join('\n')} return 0; }`;
  const [file, program] = [join(folder, 'abi.c'), join(folder, 'abi')];
  writeFileSync(file, source);
  const compiled = spawnSync('cc', ['-o', program, file], { encoding: 'utf8' });
  if (compiled.status !== 0) throw new Error(compiled.stderr);
  return spawnSync(program, { encoding: 'utf8' }).stdout.trim().split('\n');
}

t.test('abi.ts says what the headers say', async (t) => {
  if (!isInstalled('cc')) {
    t.pass('nothing to compare with', { skip: 'there is no C compiler (cc) here' });
    return;
  }
  const folder = mkdtempSync(join(tmpdir(), 'simplenet-'));
  t.teardown(() => rmSync(folder, { recursive: true }));

  const constants = Object.entries(abi).flatMap(([name, value]) =>
    typeof value === 'number' && !younger.includes(name) ? [{ name, value }] : [],
  );
  const print = (expression: string) => `printf("%lld\\n", (long long)(${expression}));`;
  const inC = outputOf(
    constants.map(({ name }) => print(expressions[name] ?? name)),
    folder,
  );
  for (const [i, { name, value }] of constants.entries()) t.equal(value, Number(inC[i]), name);
  t.equal(inC.length, constants.length);
  t.ok(constants.length > 80, `${constants.length} constants`);

  const offsets = outputOf(Object.keys(layout).map(print), folder);
  for (const [i, [expression, value]] of Object.entries(layout).entries())
    t.equal(Number(offsets[i]), value, expression);

  const encoded = outputOf(addresses.map(encodingInC), folder);
  for (const [i, address] of addresses.entries()) {
    t.equal(encodeSocketAddress(address as SocketAddress).toString('hex'), encoded[i], address.address);
  }
});
