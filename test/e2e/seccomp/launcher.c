/*
 * Starts a program under the filter of a seccomp profile: launcher kill|errno PROGRAM ARGUMENTS
 *
 * allowed.h is made from the profile: ALLOW(name) for each system call that this architecture has. `kill` ends the program at the first other call, so that a
 * test sees which one was forgotten; `errno` answers as the profile does.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

#define LOAD(member) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, member))
#define RETURN(value) BPF_STMT(BPF_RET | BPF_K, value)
#define ALLOW(number) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), RETURN(SECCOMP_RET_ALLOW),

static struct sock_filter filter[] = {
  LOAD(arch),
  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0),
  RETURN(SECCOMP_RET_KILL_PROCESS),
  LOAD(nr),
#include "allowed.h"
  RETURN(SECCOMP_RET_ERRNO | ENOSYS),
};

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  if (strcmp(argv[1], "kill") == 0) filter[sizeof filter / sizeof *filter - 1].k = SECCOMP_RET_KILL_PROCESS;
  struct sock_fprog program = { .len = sizeof filter / sizeof *filter, .filter = filter };
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0) {
    perror("seccomp");
    return 3;
  }
  execv(argv[2], argv + 2);
  perror(argv[2]);
  return 4;
}
