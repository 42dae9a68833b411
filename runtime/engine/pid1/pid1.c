#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* As in pid1.go. */
#define PATH "/dev/init"

/* start executes the program in a new process group, which becomes the terminal's foreground group: ctrl-C then reaches the
 * program once, and not a second time through us. */
static pid_t start(char **argv, const sigset_t *mask)
{
	pid_t pid = fork();
	if (pid != 0)
		return pid;
	setpgid(0, 0);
	tcsetpgrp(STDIN_FILENO, getpgrp()); /* all signals are blocked, SIGTTOU too; fails without a terminal */
	sigprocmask(SIG_SETMASK, mask, NULL);
	execvp(argv[0], argv);
	if (errno == ENOENT) {
		dprintf(STDERR_FILENO, "exec: \"%s\": executable file not found in $PATH\n", argv[0]);
		_exit(127);
	}
	dprintf(STDERR_FILENO, "exec: \"%s\": %s\n", argv[0], strerror(errno));
	_exit(126);
}

/* reap buries all children that have ended. It returns the program's exit code once that is among them, else -1. */
static int reap(pid_t program)
{
	int code = -1, status;
	pid_t pid;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == program)
			code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	return code;
}

/* glibc hands argc, argv and envp to constructors. */
__attribute__((constructor)) static void init(int argc, char **argv, char **envp)
{
	(void)envp;
	if (argc < 3 || strcmp(argv[0], PATH) != 0 || strcmp(argv[1], "--") != 0)
		return;

	sigset_t all, old;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	prctl(PR_SET_CHILD_SUBREAPER, 1); /* for those who join another container's PID namespace */

	pid_t program = start(argv + 2, &old);
	if (program < 0) {
		dprintf(STDERR_FILENO, "exec: fork: %s\n", strerror(errno));
		_exit(126);
	}
	for (;;) {
		siginfo_t info;
		int signal = sigwaitinfo(&all, &info);
		if (signal == SIGCHLD) {
			int code = reap(program);
			if (code >= 0)
				_exit(code);
		} else if (signal > 0 && signal != SIGTTIN && signal != SIGTTOU) {
			kill(program, signal);
		}
	}
}
