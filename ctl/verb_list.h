/* What each verb_*.c gives to the table in verbs.c. */
#ifndef CTL_VERB_LIST_H
#define CTL_VERB_LIST_H

#include "ctl/ctl.h"

extern const struct option cancel_options[];
extern const struct option check_options[];
extern const struct option enqueue_options[];
extern const struct option graph_options[];
extern const struct option migrate_options[];
extern const struct option pause_options[];
extern const struct option replay_options[];
extern const struct option reprioritise_options[];
extern const struct option request_options[];
extern const struct option retry_options[];
extern const struct option run_options[];
extern const struct option tail_options[];
extern const struct option tasks_options[];

extern const char cancel_examples[];
extern const char check_examples[];
extern const char delete_examples[];
extern const char drain_examples[];
extern const char dump_examples[];
extern const char enqueue_examples[];
extern const char graph_examples[];
extern const char log_level_examples[];
extern const char migrate_examples[];
extern const char pause_examples[];
extern const char queues_examples[];
extern const char reload_examples[];
extern const char replay_examples[];
extern const char reprioritise_examples[];
extern const char resume_examples[];
extern const char retry_examples[];
extern const char run_examples[];
extern const char schedules_examples[];
extern const char status_examples[];
extern const char tail_examples[];
extern const char task_examples[];
extern const char tasks_examples[];
extern const char why_examples[];
extern const char workers_examples[];

int verb_cancel(struct ctl *ctl);
int verb_check(struct ctl *ctl);
int verb_delete(struct ctl *ctl);
int verb_drain(struct ctl *ctl);
int verb_dump(struct ctl *ctl);
int verb_enqueue(struct ctl *ctl);
int verb_graph(struct ctl *ctl);
int verb_log_level(struct ctl *ctl);
int verb_migrate(struct ctl *ctl);
int verb_pause(struct ctl *ctl);
int verb_queues(struct ctl *ctl);
int verb_reload(struct ctl *ctl);
int verb_replay(struct ctl *ctl);
int verb_reprioritise(struct ctl *ctl);
int verb_resume(struct ctl *ctl);
int verb_retry(struct ctl *ctl);
int verb_run(struct ctl *ctl);
int verb_schedules(struct ctl *ctl);
int verb_status(struct ctl *ctl);
int verb_tail(struct ctl *ctl);
int verb_task(struct ctl *ctl);
int verb_tasks(struct ctl *ctl);
int verb_why(struct ctl *ctl);
int verb_workers(struct ctl *ctl);

#endif
