/*
 * Starts a program that can open sockets of AF_UNIX, AF_INET and AF_INET6 alone: families PROGRAM ARGUMENTS
 *
 * It stands in for RestrictAddressFamilies= of systemd, which answers socket(2) of other families in the same way. Node asks for network cards by AF_NETLINK.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOAD(member) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, member))
#define RETURN(value) BPF_STMT(BPF_RET | BPF_K, value)
#define ALLOW(number) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), RETURN(SECCOMP_RET_ALLOW)

static struct sock_filter filter[] = {
  LOAD(nr),
  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 1, 0),
  RETURN(SECCOMP_RET_ALLOW),
  LOAD(args[0]),
  ALLOW(AF_UNIX),
  ALLOW(AF_INET),
  ALLOW(AF_INET6),
  RETURN(SECCOMP_RET_ERRNO | EAFNOSUPPORT),
};

int main(int argc, char **argv) {
  if (argc < 2) return 2;
  struct sock_fprog program = { .len = sizeof filter / sizeof *filter, .filter = filter };
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0) {
    perror("seccomp");
    return 3;
  }
  execv(argv[1], argv + 1);
  perror(argv[1]);
  return 4;
}
