/* A plugin that does what the payload says: {"do": "<word>", "n": <number>}. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <muster/plugin.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

static long
number(const struct muster_task *task)
{
	const char *at = strstr(task->payload, "\"n\":");

	return at == NULL ? 0 : strtol(at + 4, NULL, 10);
}

static int
told_to(const struct muster_task *task, const char *word)
{
	char text[64];

	snprintf(text, sizeof(text), "\"do\": \"%s\"", word);
	return strstr(task->payload, text) != NULL;
}

static void
nap(long ms)
{
	struct timespec time = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&time, NULL);
}

/* Looks now and then whether it is to end. */
static enum muster_end
doze(struct muster_task *task)
{
	for (long left = number(task); left > 0; left -= 10) {
		if (muster_cancelled(task)) {
			muster_error(task, "woken up");
			return MUSTER_FAILED;
		}
		nap(10);
	}
	return MUSTER_DONE;
}

static enum muster_end
wait_for_cancel(struct muster_task *task)
{
	struct pollfd one = {.fd = muster_cancel_fd(task), .events = POLLIN};

	if (poll(&one, 1, 60000) != 1)
		return MUSTER_FAILED_FOR_GOOD;
	muster_error(task, "the descriptor said so");
	return MUSTER_FAILED;
}

static enum muster_end
tell_of_thread(struct muster_task *task)
{
	char name[16], text[160];
	size_t stack;
	pthread_attr_t attributes;
	sigset_t mask;

	pthread_getname_np(pthread_self(), name, sizeof(name));
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	pthread_getattr_np(pthread_self(), &attributes);
	pthread_attr_getstacksize(&attributes, &stack);
	pthread_attr_destroy(&attributes);
	snprintf(text, sizeof(text),
	    "{\"name\": \"%s\", \"masked\": %s, \"stack\": %zu}", name,
	    sigismember(&mask, SIGTERM) && sigismember(&mask, SIGUSR1)
		? "true"
		: "false",
	    stack);
	muster_result(task, text, strlen(text));
	return MUSTER_DONE;
}

static enum muster_end
be_big(struct muster_task *task)
{
	size_t size = (size_t)number(task);
	char *text = malloc(size + 1);

	if (text == NULL)
		return MUSTER_TRY_LATER;
	memset(text, 'x', size);
	muster_result(task, text, size);
	free(text);
	return MUSTER_DONE;
}

static enum muster_end
echo(struct muster_task *task)
{
	size_t size = task->payload_size + task->inputs_size + 256;
	char *text = malloc(size);
	int length;

	if (text == NULL)
		return MUSTER_TRY_LATER;
	length = snprintf(text, size,
	    "{\"payload\":%s,\"inputs\":%s,\"kind\":\"%s\",\"attempt\":%d,"
	    "\"token\":\"%s\",\"deadline\":%lld}",
	    task->payload, task->inputs, task->kind, task->attempt, task->token,
	    (long long)task->deadline_ms);
	muster_result(task, text, (size_t)length);
	free(text);
	return MUSTER_DONE;
}

static enum muster_end
make_progress(struct muster_task *task)
{
	for (int i = 0; i < 1000; i++)
		muster_progress(task, i / 1000.0, "on the way");
	muster_progress(task, 7, NULL);
	return MUSTER_DONE;
}

/* Fails for good if another one has its lock meanwhile. */
static enum muster_end
be_alone(struct muster_task *task)
{
	const char *at = strstr(task->payload, "\"lock\": \"");
	char path[256];
	int fd, taken;

	if (at == NULL || sscanf(at, "\"lock\": \"%255[^\"]", path) != 1)
		return MUSTER_FAILED_FOR_GOOD;
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
	taken = flock(fd, LOCK_EX | LOCK_NB);
	nap(1);
	close(fd);
	if (taken != 0) {
		muster_error(task, "overlap");
		return MUSTER_FAILED_FOR_GOOD;
	}
	return task->attempt == 1 && strstr(task->payload, "\"fail\": true")
		   ? MUSTER_FAILED
		   : MUSTER_DONE;
}

static enum muster_end
run(struct muster_task *task)
{
	if (told_to(task, "doze"))
		return doze(task);
	if (told_to(task, "alone"))
		return be_alone(task);
	if (told_to(task, "poll"))
		return wait_for_cancel(task);
	if (told_to(task, "thread"))
		return tell_of_thread(task);
	if (told_to(task, "big"))
		return be_big(task);
	if (told_to(task, "echo"))
		return echo(task);
	if (told_to(task, "progress"))
		return make_progress(task);
	if (told_to(task, "nap"))
		nap(number(task));
	if (told_to(task, "crash")) {
		nap(number(task));
		signal(SIGSEGV, SIG_DFL);
		raise(SIGSEGV); /* blocked here: */
		abort();
	}
	if (told_to(task, "text"))
		muster_result(task, "just \"words\"", 12);
	if (told_to(task, "rubbish"))
		muster_result(task, "\xff\xfe", 2);
	if (told_to(task, "nul"))
		muster_result(task, "\"\\u0000\"", 8);
	if (told_to(task, "fail") || told_to(task, "hard"))
		muster_error(task, "no luck \xff today");
	if (told_to(task, "fail"))
		return MUSTER_FAILED;
	if (told_to(task, "hard"))
		return MUSTER_FAILED_FOR_GOOD;
	if (told_to(task, "later") && task->attempt == 1) {
		muster_retry_after(task, 50);
		return MUSTER_TRY_LATER;
	}
	return MUSTER_DONE;
}

#if defined(old_plugin)
const struct muster_plugin muster_plugin = {7, sizeof(muster_plugin), run};
#elif defined(no_plugin)
muster_run *just_a_function = run;
#else
MUSTER_PLUGIN(run)
#endif
