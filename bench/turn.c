#include "bench/turn.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "bench/bench.h"
#include "daemon/worker/statements.h"

static int64_t
random_id(void)
{
	int64_t id = 0;

	if (getrandom(&id, sizeof(id), 0) != sizeof(id))
		bench_die("no random number");
	return id & INT64_MAX;
}

static void
clear(struct turn *turn)
{
	text_clear(&turn->lease);
	text_clear(&turn->task);
	text_clear(&turn->outcome);
	text_add_char(&turn->lease, '{');
	text_add_char(&turn->task, '{');
}

void
turn_open(
    struct turn *turn, PGconn *connection, const char *queue, const char *kind)
{
	const char *values[] = {
	    turn->worker, "bench", "bench", "1", "bench", NULL, NULL, "t"};
	struct text queues = TEXT_EMPTY, kinds = TEXT_EMPTY;
	PGresult *result;

	turn->connection = connection;
	snprintf(turn->worker, sizeof(turn->worker), "%" PRId64, random_id());
	text_addf(&queues, "{%s}", queue);
	text_addf(&kinds, "{%s}", kind);
	values[5] = queues.data;
	values[6] = kinds.data;
	bench_prepare(
	    connection, statement_register.name, statement_register.sql);
	bench_prepare(connection, statement_turn.name, statement_turn.sql);
	result = bench_run(connection, statement_register.name,
	    statement_register.parameters, values);
	snprintf(
	    turn->route, sizeof(turn->route), "%s", PQgetvalue(result, 0, 0));
	PQclear(result);
	text_free(&queues);
	text_free(&kinds);
	clear(turn);
}

static void
add_item(struct text *array, const char *item)
{
	if (array->length > 1)
		text_add_char(array, ',');
	text_add_string(array, item);
}

static int64_t
number(const PGresult *result, int row, int column)
{
	return strtoll(PQgetvalue(result, row, column), NULL, 10);
}

static void
keep_floor(struct turn *turn, const PGresult *result, int row)
{
	struct turn_floor floor = {
	    .rank = (int)number(result, row, TURN_RANK),
	    .lane = (int)number(result, row, TURN_LANE),
	    .seq = number(result, row, TURN_SEQ),
	};
	int i = 0;

	while (i < turn->floor_count && (turn->floors[i].rank != floor.rank ||
					    turn->floors[i].lane != floor.lane))
		i++;
	if (i == TURN_FLOORS)
		return;
	turn->floors[i] = floor;
	turn->floor_count += i == turn->floor_count;
}

/* What the program would do with a row: look at each of its values. */
static size_t
look_at(const PGresult *result, int row)
{
	size_t bytes = 0;

	for (int i = 0; i < PQnfields(result); i++)
		bytes += strlen(PQgetvalue(result, row, i));
	return bytes;
}

static int
take_rows(struct turn *turn, const PGresult *result)
{
	int claimed = 0;

	for (int row = 0; row < PQntuples(result); row++) {
		char what = PQgetvalue(result, row, TURN_WHAT)[0];

		if (look_at(result, row) == 0 || what == 'd' || what == 'f')
			bench_die("a turn was refused");
		if (what == 'l')
			keep_floor(turn, result, row);
		if (what != 'c')
			continue;
		add_item(&turn->lease, PQgetvalue(result, row, TURN_LEASE));
		add_item(&turn->task, PQgetvalue(result, row, TURN_TASK));
		text_add_char(&turn->outcome, 's');
		claimed++;
	}
	return claimed;
}

struct floor_arrays {
	struct text route, rank, lane, seq;
};

static void
add_floors(const struct turn *turn, struct floor_arrays *arrays)
{
	struct text *texts[] = {
	    &arrays->route, &arrays->rank, &arrays->lane, &arrays->seq};

	for (int i = 0; i < 4; i++)
		text_add_char(texts[i], '{');
	for (int i = 0; i < turn->floor_count; i++) {
		const char *comma = i > 0 ? "," : "";

		text_addf(&arrays->route, "%s%s", comma, turn->route);
		text_addf(&arrays->rank, "%s%d", comma, turn->floors[i].rank);
		text_addf(&arrays->lane, "%s%d", comma, turn->floors[i].lane);
		text_addf(
		    &arrays->seq, "%s%" PRId64, comma, turn->floors[i].seq);
	}
	for (int i = 0; i < 4; i++)
		text_add_char(texts[i], '}');
}

static PGresult *
send_turn(struct turn *turn, int want, const struct floor_arrays *floors)
{
	char routes[24], wants[24], max[16];
	const char *values[TURN_PARAMETERS] = {
	    [TURN_WORKER] = turn->worker,
	    [TURN_LEASES] = turn->lease.data,
	    [TURN_TASKS] = turn->task.data,
	    [TURN_OUTCOMES] = text_string(&turn->outcome),
	    [TURN_RAN_MS] = "{}",
	    [TURN_DELAY_MS] = "{}",
	    [TURN_RESULTS] = "{}",
	    [TURN_ERRORS] = "{}",
	    [TURN_ROUTES] = routes,
	    [TURN_WANTS] = wants,
	    [TURN_MAX] = max,
	    [TURN_MAX_BYTES] = "16777216",
	    [TURN_FLOOR_ROUTES] = floors->route.data,
	    [TURN_FLOOR_RANKS] = floors->rank.data,
	    [TURN_FLOOR_LANES] = floors->lane.data,
	    [TURN_FLOOR_SEQS] = floors->seq.data,
	};

	snprintf(routes, sizeof(routes), "{%s}", turn->route);
	snprintf(wants, sizeof(wants), "{%d}", want);
	snprintf(max, sizeof(max), "%d", want);
	return bench_run(
	    turn->connection, statement_turn.name, TURN_PARAMETERS, values);
}

int
turn_take(struct turn *turn, int want)
{
	struct floor_arrays floors = {0};
	PGresult *result;
	int claimed;

	text_add_char(&turn->lease, '}');
	text_add_char(&turn->task, '}');
	add_floors(turn, &floors);
	result = send_turn(turn, want, &floors);
	clear(turn);
	claimed = take_rows(turn, result);
	PQclear(result);
	text_free(&floors.route);
	text_free(&floors.rank);
	text_free(&floors.lane);
	text_free(&floors.seq);
	return claimed;
}

void
turn_close(struct turn *turn)
{
	const char *values[] = {turn->worker};

	bench_prepare(
	    turn->connection, statement_leave.name, statement_leave.sql);
	PQclear(bench_run(turn->connection, statement_leave.name, 1, values));
	text_free(&turn->lease);
	text_free(&turn->task);
	text_free(&turn->outcome);
}
