/*
 * spawn PROCESSES CHILDREN TOTAL PROGRAM...: what a machine can start at best.
 * Each process keeps its share of CHILDREN running, each with three pipes, a
 * process group and a pidfd, until TOTAL have ended; prints how many a second.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/bench.h"

enum { MAX_CHILDREN = 1024 };

struct order {
	int children, total;
	char **argv;
};

struct child {
	pid_t pid;
	int input, output, errors;
};

static struct child children[MAX_CHILDREN];
static struct pollfd ends[MAX_CHILDREN]; /* the pidfds */

static void
make_pipe(int fds[2])
{
	if (pipe2(fds, O_CLOEXEC) < 0)
		bench_die("no descriptors");
}

static pid_t
spawn(char **argv, const int input[2], const int output[2], const int errors[2])
{
	static char *environment[] = {NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, input[0], 0);
	posix_spawn_file_actions_adddup2(&actions, output[1], 1);
	posix_spawn_file_actions_adddup2(&actions, errors[1], 2);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
	if (posix_spawn(
		&pid, argv[0], &actions, &attributes, argv, environment) != 0)
		bench_die("cannot run %s", argv[0]);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return pid;
}

static void
start(int slot, char **argv)
{
	struct child *child = &children[slot];
	int input[2], output[2], errors[2];

	make_pipe(input);
	make_pipe(output);
	make_pipe(errors);
	if (write(input[1], "{}", 2) != 2)
		bench_die("cannot write to a pipe");
	close(input[1]);
	child->pid = spawn(argv, input, output, errors);
	close(input[0]);
	close(output[1]);
	close(errors[1]);
	child->output = output[0];
	child->errors = errors[0];
	ends[slot].fd = pidfd_open(child->pid, 0);
	ends[slot].events = POLLIN;
}

static void
drain(int fd)
{
	char buffer[4096];

	while (read(fd, buffer, sizeof(buffer)) > 0)
		continue;
	close(fd);
}

static void
end(int slot)
{
	struct child *child = &children[slot];
	siginfo_t info;

	drain(child->output);
	drain(child->errors);
	if (waitid(P_PIDFD, (id_t)ends[slot].fd, &info, WEXITED) < 0 ||
	    info.si_code != CLD_EXITED || info.si_status != 0)
		bench_die("a child failed");
	close(ends[slot].fd);
	ends[slot].fd = -1;
}

static int64_t
work(int index, const void *argument)
{
	const struct order *order = argument;
	int started = 0, ended = 0;

	(void)index;
	bench_go();
	while (started < order->children && started < order->total)
		start(started++, order->argv);
	while (ended < order->total) {
		if (poll(ends, (nfds_t)order->children, -1) < 0)
			bench_die("cannot poll");
		for (int i = 0; i < order->children; i++) {
			if (ends[i].fd < 0 || (ends[i].revents & POLLIN) == 0)
				continue;
			end(i);
			ended++;
			if (started < order->total) {
				start(i, order->argv);
				started++;
			}
		}
	}
	return ended;
}

int
main(int argc, char **argv)
{
	struct order order;
	int64_t us, done;
	int processes;

	if (argc < 5)
		bench_die("usage: spawn PROCESSES CHILDREN TOTAL PROGRAM...");
	processes = (int)bench_number(argv[1], 1);
	order.children = (int)bench_number(argv[2], processes) / processes;
	order.total = (int)bench_number(argv[3], processes) / processes;
	order.argv = argv + 4;
	if (order.children > MAX_CHILDREN)
		bench_die("at most %d children a process", MAX_CHILDREN);
	for (int i = 0; i < order.children; i++)
		ends[i].fd = -1;
	us = bench_processes(processes, work, &order, &done);
	printf("%.1f\n", (double)done * 1e6 / (double)us);
	return 0;
}
