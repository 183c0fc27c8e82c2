#include "ctl/roles.h"

#include <stdio.h>
#include <string.h>

#include "ctl/session.h"

static const char *const names[] = {
    "muster_owner", "muster_worker", "muster_client", "muster_reader"};
enum { ROLES = sizeof(names) / sizeof(names[0]) };

/* What the session sees of one role. */
struct facts {
	bool absent[ROLES];
	bool any_absent, may_create, owner_member;
};

static bool
is_true(const PGresult *result, int row, const char *column)
{
	return session_value(result, row, column)[0] == 't';
}

static int
read_facts(struct ctl *ctl, struct facts *facts)
{
	static const char sql[] =
	    "SELECT n.name, r.oid IS NULL AS absent,"
	    " coalesce(pg_has_role(r.oid, 'MEMBER'), false) AS member,"
	    " (SELECT rolsuper OR rolcreaterole FROM pg_roles"
	    "   WHERE rolname = current_user) AS may_create"
	    " FROM unnest($1::text[]) WITH ORDINALITY AS n(name, at)"
	    " LEFT JOIN pg_roles r ON r.rolname = n.name ORDER BY n.at";
	const char *values[] = {
	    "{muster_owner,muster_worker,muster_client,muster_reader}"};
	PGresult *result;
	int code = session_query(ctl, &result, sql, 1, values);

	if (code != 0)
		return code;
	*facts = (struct facts){
	    .may_create = is_true(result, 0, "may_create"),
	    .owner_member = is_true(result, 0, "member"),
	};
	for (int i = 0; i < ROLES; i++) {
		facts->absent[i] = is_true(result, i, "absent");
		facts->any_absent |= facts->absent[i];
	}
	PQclear(result);
	return 0;
}

static void
add_sql(struct text *sql, const struct facts *facts)
{
	for (int i = 0; i < ROLES; i++)
		if (facts->absent[i])
			text_addf(sql, "CREATE ROLE %s NOLOGIN;\n", names[i]);
}

void
roles_sql(struct text *ret_sql)
{
	struct facts facts;

	for (int i = 0; i < ROLES; i++)
		facts.absent[i] = true;
	add_sql(ret_sql, &facts);
}

static int
refuse(struct ctl *ctl, const struct text *sql)
{
	ctl_fail(CTL_CONFIG,
	    "this role may not create roles or is no member of muster_owner; "
	    "let a superuser run what follows, then migrate again");
	printf("%sGRANT muster_owner TO \"%s\";\n", text_string(sql),
	    PQuser(ctl->pg));
	return CTL_CONFIG;
}

static int
create(struct ctl *ctl, const struct facts *facts, struct text *sql)
{
	if (!facts->may_create && (facts->any_absent || !facts->owner_member))
		return refuse(ctl, sql);
	if (!facts->owner_member || facts->any_absent)
		text_add_string(sql, "GRANT muster_owner TO CURRENT_USER;\n");
	return session_script(ctl, text_string(sql));
}

int
roles_create(struct ctl *ctl, struct text *ret_created)
{
	struct text sql = TEXT_EMPTY;
	struct facts facts;
	int code = read_facts(ctl, &facts);

	if (code != 0)
		return code;
	add_sql(&sql, &facts);
	code = create(ctl, &facts, &sql);
	text_free(&sql);
	for (int i = 0; code == 0 && i < ROLES; i++)
		if (facts.absent[i])
			text_addf(ret_created, "%s%s",
			    ret_created->length > 0 ? " " : "", names[i]);
	return code;
}

int
roles_create_login(struct ctl *ctl, const char *name)
{
	struct text sql = TEXT_EMPTY;
	char *quoted = PQescapeIdentifier(ctl->pg, name, strlen(name));
	char *literal = PQescapeLiteral(ctl->pg, name, strlen(name));
	int code;

	if (quoted == NULL || literal == NULL) {
		code = ctl_fail(CTL_USAGE, "--login: no name of a role");
	} else {
		text_addf(&sql,
		    "DO $do$BEGIN IF to_regrole(quote_ident(%s)) IS NULL THEN"
		    " CREATE ROLE %s LOGIN; END IF; END$do$;"
		    "GRANT muster_worker, muster_client, muster_reader TO %s;",
		    literal, quoted, quoted);
		code = session_script(ctl, text_string(&sql));
	}
	PQfreemem(quoted);
	PQfreemem(literal);
	text_free(&sql);
	return code;
}
