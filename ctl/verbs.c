#include <string.h>

#include "ctl/verb_list.h"
#include "common/nearest.h"

const struct option global_options[] = {
    {"config", 'c', "FILE", "configuration (MUSTERD_CONFIG names it too)"},
    {"database", 0, "CONNINFO", "this database, not the configuration's"},
    {"time-limit", 0, "DURATION", "wait so long for an answer (1m)"},
    {"json", 0, NULL, "JSON for programs"},
    {"help", 'h', NULL, "this help"},
    {0},
};

const struct verb verbs[] = {
    {"status", "the daemon here, its workers, what waits and runs", "",
	status_examples, NULL, 0, 0, verb_status},
    {"workers", "the live workers of all hosts", "", workers_examples, NULL, 0,
	0, verb_workers},
    {"queues", "each queue and kind: how much waits and runs", "",
	queues_examples, NULL, 0, 0, verb_queues},
    {"schedules", "what runs by the clock, its next and its last run", "",
	schedules_examples, NULL, 0, 0, verb_schedules},
    {"tasks", "list tasks, the newest first", "", tasks_examples, tasks_options,
	0, 0, verb_tasks},
    {"task", "all about one task", "ID", task_examples, NULL, 1, 1, verb_task},
    {"why", "what a task waits for, down to the root cause", "ID", why_examples,
	NULL, 1, 1, verb_why},
    {"tail", "follow a task or flow until it is over, or all events", "[ID]",
	tail_examples, tail_options, 0, 1, verb_tail},
    {"enqueue", "enqueue a task and print its id", "KIND [JSON|-]",
	enqueue_examples, enqueue_options, 1, 2, verb_enqueue},
    {"run", "submit a flow and follow it to its end", "FLOW.yaml|-",
	run_examples, run_options, 1, 1, verb_run},
    {"replay", "run a traced workflow anew, with sleeps, and time it",
	"TRACE.json|-", replay_examples, replay_options, 1, 1, verb_replay},
    {"graph", "a flow as a graph, for dot", "[FLOW.yaml|-]", graph_examples,
	graph_options, 0, 1, verb_graph},
    {"cancel", "cancel tasks or a flow, running or not", "[ID]",
	cancel_examples, cancel_options, 0, 1, verb_cancel},
    {"delete", "remove a task that is not running", "ID", delete_examples,
	request_options, 1, 1, verb_delete},
    {"retry", "bring back what failed", "[ID]", retry_examples, retry_options,
	0, 1, verb_retry},
    {"reprioritise", "move tasks in the line", "[ID...]", reprioritise_examples,
	reprioritise_options, 0, -1, verb_reprioritise},
    {"pause", "start nothing of a queue or kind any more, on any host",
	"[QUEUE]", pause_examples, pause_options, 0, 1, verb_pause},
    {"resume", "end a pause", "[QUEUE]", resume_examples, pause_options, 0, 1,
	verb_resume},
    {"migrate", "create the schema or bring it to this version", "",
	migrate_examples, migrate_options, 0, 0, verb_migrate},
    {"check", "whether everything the daemon needs is there", "",
	check_examples, check_options, 0, 0, verb_check},
    {"reload", "read the configuration again, wait for the verdict", "",
	reload_examples, NULL, 0, 0, verb_reload},
    {"drain", "finish what runs, then end the daemon", "", drain_examples, NULL,
	0, 0, verb_drain},
    {"log-level", "log more or less: error, warning, notice, info, debug",
	"LEVEL", log_level_examples, NULL, 1, 1, verb_log_level},
    {"dump", "let the daemon write its state into its log", "", dump_examples,
	NULL, 0, 0, verb_dump},
    {0},
};

const struct verb *
verb_find(const char *name)
{
	for (const struct verb *verb = verbs; verb->name != NULL; verb++)
		if (strcmp(verb->name, name) == 0)
			return verb;
	return NULL;
}

const struct verb *
verb_nearest(const char *name)
{
	struct nearest nearest = nearest_start(name);

	for (const struct verb *verb = verbs; verb->name != NULL; verb++)
		nearest_offer(&nearest, verb->name);
	return nearest.word != NULL ? verb_find(nearest.word) : NULL;
}
