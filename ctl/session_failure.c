/* What a failed statement means to the person at the terminal. */
#include "ctl/session.h"

#include <string.h>

struct meaning {
	const char *sqlstate; /* its beginning */
	int code;
	const char *advice; /* NULL: none */
};

static const struct meaning meanings[] = {
    {"3F000", CTL_CONFIG, "the schema is not there: run musterctl migrate"},
    {"42P01", CTL_CONFIG,
	"the schema is not there or another: run "
	"musterctl migrate"},
    {"42883", CTL_CONFIG,
	"the schema lacks a function: run musterctl "
	"migrate"},
    {"42501", CTL_CONFIG,
	"the database role lacks a right: GRANT "
	"muster_client (enqueue), muster_reader (look) or "
	"muster_worker (both) to it"},
    {"25006", CTL_AGAIN, "the database is read-only, maybe a standby"},
    {"57014", CTL_AGAIN, NULL}, /* cancelled */
    {"57P", CTL_AGAIN, NULL},	/* shutting down */
    {"55P03", CTL_AGAIN, NULL}, /* lock not available in time */
    {"40", CTL_AGAIN, NULL},	/* serialization, deadlock */
    {"53", CTL_AGAIN, NULL},	/* resources */
    {"08", CTL_AGAIN, NULL},	/* connection */
    {"", CTL_FAILED, NULL},
};

static const struct meaning *
meaning_of(const char *sqlstate)
{
	const struct meaning *at = meanings;

	while (strncmp(at->sqlstate, sqlstate, strlen(at->sqlstate)) != 0)
		at++;
	return at;
}

static const char *
field(const PGresult *result, int code)
{
	const char *value = PQresultErrorField(result, code);

	return value != NULL ? value : "";
}

static int
lost(struct ctl *ctl)
{
	if (PQstatus(ctl->pg) == CONNECTION_OK)
		return ctl_fail(CTL_AGAIN,
		    "the database gave no answer within %lld s",
		    (long long)(ctl_limit_ms(ctl, CTL_LIMIT_MS) / 1000));
	return ctl_fail(CTL_AGAIN, "the connection to the database was lost");
}

int
session_failure(struct ctl *ctl, const PGresult *result)
{
	const char *state, *message, *detail, *hint;
	const struct meaning *meaning;

	if (result == NULL)
		return lost(ctl);
	state = field(result, PG_DIAG_SQLSTATE);
	if (*state == '\0')
		return lost(ctl);
	meaning = meaning_of(state);
	message = field(result, PG_DIAG_MESSAGE_PRIMARY);
	detail = field(result, PG_DIAG_MESSAGE_DETAIL);
	hint = meaning->advice != NULL ? meaning->advice
				       : field(result, PG_DIAG_MESSAGE_HINT);
	return ctl_fail(meaning->code, "%s%s%s%s%s%s", message,
	    *detail != '\0' ? " (" : "", detail, *detail != '\0' ? ")" : "",
	    *hint != '\0' ? "; " : "", hint);
}
