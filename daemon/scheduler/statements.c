#include "daemon/scheduler/statements.h"

const struct pg_statement scheduler_sleep_on = {
    "sleep_on", "SELECT muster.sleep_on($1, $2, ARRAY['', '-'])", 2};

const struct pg_statement scheduler_wake_up = {
    "wake_up", "SELECT muster.wake_up($1)", 1};

const struct pg_statement scheduler_set_max_payload = {
    "set_max_payload", "SELECT muster.set_setting('max_payload', $1)", 1};

const struct pg_statement scheduler_look = {"look",
    "SELECT carry_out, admit, unlock, fold, expand FROM muster.look()", 0};

const struct pg_statement scheduler_carry_out = {
    "carry_out", "SELECT muster.carry_out($1)", 1};

const struct pg_statement scheduler_admit = {
    "admit", "SELECT muster.admit($1)", 1};

const struct pg_statement scheduler_unlock = {
    "unlock", "SELECT muster.unlock($1)", 1};

const struct pg_statement scheduler_fold = {"fold",
    "SELECT done, flow_id, name, state, total, succeeded, failed, cancelled,"
    " skipped, error FROM muster.fold_told($1, $2)",
    2};

const struct pg_statement scheduler_expand = {
    "expand", "SELECT muster.expand($1)", 1};

const struct pg_statement scheduler_due = {
    "due", "SELECT moved, next_in_ms, floor FROM muster.due($1, $2)", 2};

const struct pg_statement scheduler_fire = {
    "fire", "SELECT fired, next_in_ms, floor FROM muster.fire($1, $2)", 2};

const struct pg_statement scheduler_sync = {"schedules_sync",
    "SELECT changed, removed FROM muster.schedules_sync($1, $2)", 2};

const struct pg_statement scheduler_mark = {"mark", "SELECT muster.mark()", 0};

const struct pg_statement scheduler_tidy = {"tidy", "SELECT muster.tidy()", 0};

const struct pg_statement scheduler_purge = {
    "purge", "SELECT done, next_in_ms FROM muster.purge($1, $2, $3)", 3};

const struct pg_statement scheduler_signs = {"signs",
    "SELECT worker, instance, host, pid, backend_pid, beats, locked"
    " FROM muster.worker_signs()",
    0};

const struct pg_statement scheduler_ended = {
    "ended", "SELECT muster.sessions_ended($1, $2)", 2};

/* The number of a session may be another session's by now. A conninfo that
 * sets application_name gives the same one to all of us. */
const struct pg_statement scheduler_terminate = {"terminate",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE pid = $1 AND datname = current_database()"
    " AND usename = current_user AND application_name IN"
    " ('musterd worker', current_setting('application_name'))",
    1};

const struct pg_statement scheduler_rescue = {"rescue",
    "SELECT handed_back, failed, was_alive, task_id, kind, queue, flow_id,"
    " attempt, state, error FROM muster.rescue_told($1, $2, $3, $4, $5)",
    5};

/* A host that vanished is noticed within seconds, not hours: its locks go. */
const struct pg_statement scheduler_own_session = {"own_session",
    "SELECT set_config('tcp_keepalives_idle', '2', false),"
    " set_config('tcp_keepalives_interval', '1', false),"
    " set_config('tcp_keepalives_count', '3', false),"
    " set_config('tcp_user_timeout', '5000', false)",
    0};

const struct pg_statement scheduler_hold = {"hold",
    "SELECT name FROM unnest($1::text[]) name"
    " WHERE pg_try_advisory_lock(hashtext('muster trigger'), hashtext(name))",
    1};

const struct pg_statement scheduler_let_go = {"let_go",
    "SELECT pg_advisory_unlock(hashtext('muster trigger'), hashtext($1))", 1};

const struct pg_statement scheduler_enqueue_many = {"enqueue_many",
    "SELECT count(*) FROM muster.enqueue_many($1, $2::text[]::jsonb[],"
    " queue => $3, priority => $4)",
    4};
