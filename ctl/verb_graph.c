/* musterctl graph */
#include <stdio.h>
#include <string.h>

#include "ctl/flow.h"
#include "ctl/format.h"
#include "ctl/session.h"
#include "ctl/state.h"
#include "ctl/table.h"
#include "ctl/verb_list.h"
#include "ctl/watch.h"

const struct option graph_options[] = {
    {"flow", 'f', "ID", "a flow in the database, coloured by state"},
    {0},
};

const char graph_examples[] =
    "musterctl graph nightly.yaml | dot -Tsvg >nightly.svg\n"
    "musterctl graph --flow 7 | dot -Tpng >flow7.png\n";

static const struct column node_columns[] = {
    {"task", "", COLUMN_ID},
    {"name", "", COLUMN_TEXT},
    {"state", "", COLUMN_STATE},
    {"needs_mode", "", COLUMN_TEXT},
    {0},
};

static const struct column edge_columns[] = {
    {"task", "", COLUMN_ID},
    {"need", "", COLUMN_ID},
    {"needs_when", "", COLUMN_TEXT},
    {0},
};

static const char *const fills[STATES] = {
    [STATE_RUNNING] = "lightblue",
    [STATE_SUCCEEDED] = "palegreen",
    [STATE_FAILED] = "salmon",
    [STATE_CANCELLED] = "khaki",
    [STATE_SKIPPED] = "khaki",
    [STATE_READY] = "aliceblue",
};

/* A map stands for many tasks; a nested flow has its own beside it. */
static const char map_look[] = "peripheries=3";
static const char nested_look[] = "shape=folder";

/* A string of DOT: only quotes and backslashes mean something in it. */
static void
add_escaped(struct text *dot, const char *string)
{
	struct text clean = TEXT_EMPTY;

	text_add_escaped(&clean, string, strlen(string));
	for (const char *at = text_string(&clean); *at != '\0'; at++) {
		if (*at == '"' || *at == '\\')
			text_add_char(dot, '\\');
		text_add_char(dot, *at);
	}
	text_free(&clean);
}

static void
add_quoted(struct text *dot, const char *string)
{
	text_add_char(dot, '"');
	add_escaped(dot, string);
	text_add_char(dot, '"');
}

/* What a node shows: its name and, below, how many needs it wants. */
static void
add_label(struct text *dot, const char *name, const char *mode)
{
	text_add_string(dot, "label=\"");
	add_escaped(dot, name);
	if (*mode != '\0')
		text_addf(dot, "\\n%s", mode);
	text_add_char(dot, '"');
}

static void
add_head(struct text *dot, const char *name)
{
	text_add_string(dot, "digraph ");
	add_quoted(dot, name);
	text_add_string(dot, " {\n\trankdir=LR;\n"
			     "\tnode [shape=box, style=\"rounded,filled\","
			     " fillcolor=white];\n");
}

static void
add_edge(struct text *dot, const char *need, const char *task, const char *when)
{
	text_add_char(dot, '\t');
	add_quoted(dot, need);
	text_add_string(dot, " -> ");
	add_quoted(dot, task);
	if (strcmp(when, "succeeded") != 0)
		text_addf(dot, " [label=\"%s\", style=dashed]", when);
	text_add_string(dot, ";\n");
}

static void
print_dot(struct text *dot)
{
	text_add_string(dot, "}\n");
	fwrite(text_string(dot), 1, dot->length, stdout);
	text_free(dot);
}

/* The document that muster.submit_flow takes. */
static void
print_document(const struct flow *flow)
{
	struct text document = TEXT_EMPTY;

	flow_json(flow, &document);
	puts(text_string(&document));
	text_free(&document);
}

static void
add_mode(struct text *dot, const struct flow_task *task)
{
	char mode[40];

	if (task->least == 0)
		return;
	snprintf(
	    mode, sizeof(mode), "%zu of %zu", task->least, task->need_count);
	text_add_string(dot, " [");
	add_label(dot, task->name, mode);
	text_add_char(dot, ']');
}

static void
print_flow(const struct flow *flow)
{
	struct text dot = TEXT_EMPTY;
	struct flow *flat = flow_flatten(flow);

	add_head(&dot, flow->name);
	for (size_t i = 0; i < flat->count; i++) {
		text_add_char(&dot, '\t');
		add_quoted(&dot, flat->tasks[i].name);
		add_mode(&dot, &flat->tasks[i]);
		if (flat->tasks[i].is_map)
			text_addf(&dot, " [%s]", map_look);
		else if (flat->tasks[i].kind == NULL)
			text_addf(&dot, " [%s]", nested_look);
		text_add_string(&dot, ";\n");
	}
	for (size_t i = 0; i < flat->count; i++)
		for (size_t n = 0; n < flat->tasks[i].need_count; n++) {
			const struct flow_need *need = &flat->tasks[i].needs[n];

			add_edge(&dot, flat->tasks[need->task].name,
			    flat->tasks[i].name, flow_when_name(need->when));
		}
	print_dot(&dot);
	flow_free(flat);
}

static int
graph_file(const struct ctl *ctl, const char *file)
{
	struct flow_errors errors = {0};
	struct flow *flow = flow_read(file, &errors);

	flow_errors_print(&errors);
	flow_errors_free(&errors);
	if (flow == NULL)
		return CTL_FAILED;
	if (ctl_json(ctl))
		print_document(flow);
	else
		print_flow(flow);
	flow_free(flow);
	return CTL_DONE;
}

static void
add_node(struct text *dot, const PGresult *rows, int row)
{
	enum task_state state = state_parse(session_value(rows, row, "state"));

	text_add_char(dot, '\t');
	add_quoted(dot, session_value(rows, row, "task"));
	text_add_string(dot, " [");
	add_label(dot, session_value(rows, row, "name"),
	    session_value(rows, row, "needs_mode"));
	if (fills[state] != NULL)
		text_addf(dot, ", fillcolor=%s", fills[state]);
	if (strcmp(session_value(rows, row, "holds"), "map") == 0)
		text_addf(dot, ", %s", map_look);
	else if (strcmp(session_value(rows, row, "holds"), "flow") == 0)
		text_addf(dot, ", %s", nested_look);
	text_add_string(dot, "];\n");
}

static int
query_graph(
    struct ctl *ctl, const char *id, PGresult **ret_nodes, PGresult **ret_edges)
{
	static const char nodes[] = WATCH_FLOWS
	    "SELECT t.id AS task, f.path || coalesce(t.name, t.kind) AS name,"
	    " t.state, n.needs_mode, CASE t.queue WHEN '-' THEN t.kind END"
	    " AS holds"
	    " FROM f JOIN muster.task_status t ON t.flow_id = f.flow_id"
	    " LEFT JOIN LATERAL"
	    " (SELECT CASE min(x.needs_mode) WHEN 'any' THEN '1'"
	    " ELSE substr(min(x.needs_mode), 10) END"
	    " || ' of ' || count(*) AS needs_mode FROM muster.task_needs x"
	    " WHERE x.task_id = t.id AND x.needs_mode <> 'all') AS n ON true"
	    " ORDER BY t.id";
	static const char edges[] = WATCH_FLOWS
	    "SELECT coalesce(n.needs_id, c.task_id) AS need, t.id AS task,"
	    " coalesce(n.needs_when, 'succeeded') AS needs_when"
	    " FROM f JOIN muster.task_status t ON t.flow_id = f.flow_id"
	    " LEFT JOIN muster.task_needs n ON n.task_id = t.id"
	    " LEFT JOIN muster.containers c ON c.flow_id = f.flow_id"
	    " WHERE n.needs_id IS NOT NULL OR c.task_id IS NOT NULL"
	    " ORDER BY t.id, need";
	const char *values[] = {id};
	int code = session_query(ctl, ret_nodes, nodes, 1, values);

	*ret_edges = NULL;
	if (code != 0)
		return code;
	code = session_query(ctl, ret_edges, edges, 1, values);
	if (code != 0)
		PQclear(*ret_nodes);
	return code;
}

static void
print_rows_dot(const char *id, const PGresult *nodes, const PGresult *edges)
{
	struct text dot = TEXT_EMPTY, name = TEXT_EMPTY;

	text_addf(&name, "flow %s", id);
	add_head(&dot, text_string(&name));
	for (int row = 0; row < PQntuples(nodes); row++)
		add_node(&dot, nodes, row);
	for (int row = 0; row < PQntuples(edges); row++)
		add_edge(&dot, session_value(edges, row, "need"),
		    session_value(edges, row, "task"),
		    session_value(edges, row, "needs_when"));
	print_dot(&dot);
	text_free(&name);
}

static void
print_rows_json(const char *id, const PGresult *nodes, const PGresult *edges)
{
	struct json json = JSON_EMPTY;

	json_begin(&json, '{');
	json_add_key(&json, "flow");
	json_add_string(&json, id);
	json_add_key(&json, "tasks");
	table_json(&json, node_columns, nodes);
	json_add_key(&json, "needs");
	table_json(&json, edge_columns, edges);
	json_end(&json, '}');
	json_print(&json);
}

static int
graph_flow(struct ctl *ctl, const char *id)
{
	PGresult *nodes, *edges;
	int code = query_graph(ctl, id, &nodes, &edges);

	if (code != 0)
		return code;
	if (PQntuples(nodes) == 0)
		code = ctl_fail(CTL_FAILED, "there is no flow %s", id);
	else if (ctl_json(ctl))
		print_rows_json(id, nodes, edges);
	else
		print_rows_dot(id, nodes, edges);
	PQclear(nodes);
	PQclear(edges);
	return code;
}

int
verb_graph(struct ctl *ctl)
{
	const char *file = ctl_argument(ctl, 0);
	const char *flow = ctl_option(ctl, "flow");
	int64_t id;
	int code;

	if ((file == NULL) == (flow == NULL))
		return ctl_usage(ctl, "give a flow file or --flow ID");
	if (file != NULL)
		return graph_file(ctl, file);
	if (!format_parse_id(flow, &id))
		return ctl_usage(ctl, "'%s' is no id of a flow", flow);
	code = session_connect(ctl);
	return code == 0 ? graph_flow(ctl, flow) : code;
}
