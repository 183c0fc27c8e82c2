/* What each verb_*.c gives to the table in verbs.c. */
#ifndef CTL_VERB_LIST_H
#define CTL_VERB_LIST_H

#include "ctl/ctl.h"

extern const struct option cancel_options[], check_options[], enqueue_options[],
    graph_options[], migrate_options[], replay_options[],
    reprioritise_options[], retry_options[], run_options[], tail_options[],
    tasks_options[], request_options[];

extern const char cancel_examples[], check_examples[], drain_examples[],
    dump_examples[], enqueue_examples[], graph_examples[], log_level_examples[],
    migrate_examples[], pause_examples[], queues_examples[], reload_examples[],
    replay_examples[], reprioritise_examples[], resume_examples[],
    retry_examples[], run_examples[], schedules_examples[], status_examples[],
    tail_examples[], task_examples[], tasks_examples[], why_examples[],
    workers_examples[];

int verb_cancel(struct ctl *ctl);
int verb_check(struct ctl *ctl);
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
