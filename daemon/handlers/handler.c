#include "daemon/handlers/handler.h"

#include <stdlib.h>

const struct handler_ops *
handler_ops_of(enum handler_type type)
{
	switch (type) {
	case HANDLER_EXEC:
		return &handler_exec;
	case HANDLER_SQL:
		return &handler_sql;
	case HANDLER_PLUGIN:
		return &handler_plugin;
	case HANDLER_NOOP:
		return &handler_noop;
	case HANDLER_SLEEP:
		return &handler_sleep;
	case HANDLER_POOL:
		return &handler_pool;
	case HANDLER_HTTP:
		return &handler_http;
	}
	abort();
}
