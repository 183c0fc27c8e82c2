#include "supervisor/status.h"

#include "common/clock.h"
#include "common/config.h"
#include "common/log.h"
#include "common/scoreboard.h"
#include "supervisor/child.h"
#include "supervisor/deaths.h"
#include "supervisor/drain.h"
#include "supervisor/generation.h"
#include "supervisor/place.h"
#include "supervisor/supervisor.h"
#include "supervisor/words.h"

/* The sentence. */

struct tally {
	int running, away, starting, tasks;
	const struct child *talker; /* says what it can't do */
};

static void
tally_child(struct child *child, void *argument)
{
	struct tally *tally = argument;
	bool away = scoreboard_state(child->board) == SCOREBOARD_DATABASE_AWAY;
	if (child->status[0] && (away || child->state == CHILD_STARTING ||
				    child->place->role == ROLE_WORKER))
		tally->talker = child;
	if (child->place->role != ROLE_WORKER)
		return;
	tally->tasks += child_tasks(child);
	tally->running += child->state == CHILD_RUNNING;
	tally->starting += child->state == CHILD_STARTING;
	tally->away += away;
}

static void
sentence_start(const struct supervisor *supervisor, const struct tally *tally,
    struct text *text)
{
	char left[WORDS_SIZE];
	switch (supervisor->state) {
	case SUPERVISOR_CHECKING:
		text_add_string(text, "reading the configuration");
		return;
	case SUPERVISOR_LOCKING:
		text_add_string(
		    text, "waiting for workers of an earlier musterd to end");
		return;
	case SUPERVISOR_STARTING:
		text_addf(text, "starting: %d of %d workers ready",
		    tally->running, supervisor->current->config->workers);
		return;
	case SUPERVISOR_RUNNING:
		text_addf(text, "%d worker%s, configuration %llu",
		    tally->running, tally->running == 1 ? "" : "s",
		    (unsigned long long)supervisor->current->number);
		return;
	case SUPERVISOR_DRAINING:
		words_of_time(drain_left_ms(supervisor), left);
		text_addf(text, "stopping: %d task%s running, %s left",
		    tally->tasks, tally->tasks == 1 ? "" : "s", left);
		return;
	}
}

static void
add_dying(const struct place *place, struct text *text)
{
	if (place->wanted && !place->serving && place->last[0])
		text_addf(text, "; %s", place->last);
}

void
status_sentence(struct supervisor *supervisor, struct text *ret_text)
{
	struct tally tally = {0};
	const struct reload *reload = &supervisor->reload;
	places_each(supervisor, tally_child, &tally);
	sentence_start(supervisor, &tally, ret_text);
	if (reload->step == RELOAD_WAITING)
		text_add_string(ret_text,
		    "; reload waits for workers of the one before to end");
	else if (reload->step != RELOAD_IDLE)
		text_add_string(ret_text, "; reloading");
	if (tally.away > 0)
		text_addf(ret_text, "; database away for %d", tally.away);
	if (tally.talker)
		text_addf(ret_text, "; %s: %s", tally.talker->name,
		    tally.talker->status);
	if (reload->refused)
		text_addf(ret_text, "; new configuration refused: %s",
		    reload->refused);
	add_dying(&supervisor->scheduler, ret_text);
	for (int slot = 0; slot < supervisor->worker_places; slot++)
		add_dying(supervisor->workers[slot], ret_text);
}

/* The log. */

static void
log_tasks(const struct child *child)
{
	struct mono now = mono_now();
	for (int i = 0; i < SCOREBOARD_SLOTS; i++) {
		struct scoreboard_slot slot;
		char age[WORDS_SIZE];
		bool torn;
		if (!scoreboard_slot(child->board, i, &slot, &torn))
			continue;
		words_of_time((now.us - slot.started_us) / 1000, age);
		struct log_context context = {.task = slot.task};
		log_write(LOG_LEVEL_NOTICE, LOG_PLAIN, &context,
		    "%s: task %lld has run for %s", child->name,
		    (long long)slot.task, age);
	}
}

static void
log_child(struct child *child, void *argument)
{
	char age[WORDS_SIZE];
	(void)argument;
	words_of_time(mono_ms_between(child->started, mono_now()), age);
	log_notice("%s (pid %d): %s for %s, configuration %llu, %d tasks "
		   "running%s%s",
	    child->name, (int)child->pid, child_state_name(child), age,
	    (unsigned long long)child->taken, child_tasks(child),
	    child->status[0] ? "; " : "", child->status);
	log_tasks(child);
	child_send(child, PROCMSG_LOG_STATE, NULL, 0, -1);
}

void
status_log(struct supervisor *supervisor)
{
	struct text sentence = TEXT_EMPTY;
	status_sentence(supervisor, &sentence);
	log_notice("state: %s; %s; %d death reports wait",
	    supervisor_state_name(supervisor), text_string(&sentence),
	    deaths_pending(supervisor->deaths));
	text_free(&sentence);
	places_each(supervisor, log_child, NULL);
}
