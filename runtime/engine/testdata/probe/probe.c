/* Makes system calls that a container's seccomp filter knows, and prints how each ended: 0 or the errno's name. With an
 * argument, those of the 32-bit table too. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static void report(const char *name, long result)
{
	printf("%s %s\n", name, result >= 0 ? "0" : strerrorname_np(errno));
}

#ifdef __x86_64__
/* A system call of the 32-bit table (int 0x80), which the filter has rules of its own for. */
static void report32(const char *name, long number, long a, long b, long c)
{
	long result;
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory", "r8", "r9", "r10", "r11");
	errno = result < 0 ? -result : 0;
	report(name, result);
}
#endif

int main(int argc, char **argv)
{
	(void)argv;
	char buf[128] = {0};
	report("getpid", getpid());
	report("socket-inet", socket(AF_INET, SOCK_STREAM, 0));
	report("socket-alg", socket(AF_ALG, SOCK_SEQPACKET, 0));
	report("socket-vsock", socket(40, SOCK_STREAM, 0));
	report("unshare-user", unshare(CLONE_NEWUSER));
	report("unshare-ns", unshare(CLONE_NEWNS));
	report("setns", setns(open("/proc/self/ns/uts", O_RDONLY), 0));
	report("mount", syscall(SYS_mount, "tmpfs", "/tmp", "tmpfs", 0, 0));
	report("bpf", syscall(SYS_bpf, 0, buf, sizeof buf));
	report("io_uring_setup", syscall(SYS_io_uring_setup, 1, buf));
	report("keyctl", syscall(SYS_keyctl, 0, 0, 0));
	report("add_key", syscall(SYS_add_key, "user", "k", "v", 1, 0));
	report("clone3", syscall(SYS_clone3, 0, 0));
	report("kexec_load", syscall(SYS_kexec_load, 0, 0, 0, 0));
	report("open_by_handle_at", syscall(SYS_open_by_handle_at, -1, buf, 0));
	report("userfaultfd", syscall(SYS_userfaultfd, 0));
	report("no-such-call", syscall(1023));
#ifdef __x86_64__
	if (argc < 2)
		return 0;
	report32("32:getpid", 20, 0, 0, 0);
	report32("32:unshare", 310, CLONE_NEWNS, 0, 0);
	report32("32:mount", 21, 0, 0, 0);
#endif
	return 0;
}
