#include "daemon/worker/statements.h"

const struct pg_statement statement_register = {"register",
    "SELECT route, queue, kind FROM muster.worker_register("
    "$1, $2, $3, $4, $5, $6, $7, $8)",
    8};

const struct pg_statement statement_turn = {"turn",
    "SELECT what, lease, task, route, rank, lane, seq, flow, attempt,"
    " snoozes, max_attempts, timeout_ms, has_needs, payload, rescues,"
    " followers, expect_ms "
    "FROM muster.turn($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12,"
    " $13, $14, $15, $16, $17)",
    TURN_PARAMETERS};

const struct pg_statement statement_leases = {
    "leases", "SELECT lease, task FROM muster.worker_leases($1)", 1};

const struct pg_statement statement_states = {
    "states", "SELECT task, state FROM muster.task_states($1)", 1};

const struct pg_statement statement_payload = {
    "payload", "SELECT id, muster.payload(id) FROM unnest($1::bigint[]) id", 1};

const struct pg_statement statement_inputs = {
    "inputs", "SELECT task, inputs FROM muster.inputs_of($1, $2)", 2};

const struct pg_statement statement_warm_up = {
    "warm_up", "SELECT muster.warm_up($1)", 1};

const struct pg_statement statement_beat = {
    "beat", "SELECT muster.beat($1)", 1};

const struct pg_statement statement_borrow = {"borrow",
    "SELECT item, held, target, contended, short, ready, tokens, wait_ms "
    "FROM muster.borrow($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12,"
    " $13)",
    BORROW_PARAMETERS};

const struct pg_statement statement_kind_ran = {
    "kind_ran", "SELECT muster.kind_ran($1, $2, $3)", 3};

const struct pg_statement statement_sleep_on = {
    "sleep_on", "SELECT muster.sleep_on($1, $2, $3)", 3};

const struct pg_statement statement_wake_up = {
    "wake_up", "SELECT muster.wake_up($1)", 1};

const struct pg_statement statement_leave = {
    "leave", "SELECT muster.worker_leave($1)", 1};

const struct pg_statement statement_cancel_backend = {
    "cancel_backend", "SELECT pg_cancel_backend($1)", 1};

const struct pg_statement statement_sql_setup = {"sql_setup",
    "SELECT set_config('statement_timeout', $1, false),"
    " (SELECT set_config(s.name, $2, false) FROM pg_settings s"
    " WHERE s.name = 'client_connection_check_interval')",
    2};

const struct pg_statement statement_sql_check = {"sql_check", "SELECT", 0};

const struct pg_statement statement_sql_tasks = {"sql_tasks",
    "SELECT failed, ran_us FROM muster.sql_tasks($1, $2, $3, $4, $5, $6)", 6};
