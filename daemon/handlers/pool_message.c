#include "daemon/handlers/pool_message.h"

#include <stddef.h>
#include <string.h>

#include "common/json_text.h"

/* The members of a message, as they stand. */
struct members {
	struct pool_span id, result, data, error, retry, after, fraction, note,
	    protocol, kinds, concurrency;
};

#define MEMBER(name)                                                           \
	{                                                                      \
#name, offsetof(struct members, name)                          \
	}

static const struct {
	const char *name;
	size_t offset;
} member_names[] = {
    MEMBER(id),
    MEMBER(result),
    MEMBER(data),
    MEMBER(error),
    MEMBER(retry),
    MEMBER(after),
    MEMBER(fraction),
    MEMBER(note),
    MEMBER(protocol),
    MEMBER(kinds),
    MEMBER(concurrency),
};

enum { MEMBERS = sizeof(member_names) / sizeof(member_names[0]) };

static struct pool_span *
member_of(struct members *members, struct pool_span key)
{
	for (size_t i = 0; i < MEMBERS; i++)
		if (pool_span_is(key, member_names[i].name))
			return (
			    void *)((char *)members + member_names[i].offset);
	return NULL;
}

/* Those that nobody knows here may come from a later protocol. */
static void
read_members(struct pool_scan *scan, struct members *ret_members)
{
	struct pool_span key;

	while (pool_scan_next(scan, &key)) {
		struct pool_span *member = member_of(ret_members, key);
		struct pool_span value = pool_scan_value(scan);

		if (member != NULL)
			*member = value;
	}
}

static const char *
read_hello(const struct members *members, struct pool_message *message)
{
	double protocol, concurrency = 1;

	if (!pool_span_number(members->protocol, &protocol))
		return "has a hello without a protocol";
	if (protocol != POOL_PROTOCOL)
		return "has a hello of a protocol that is not 1";
	if (members->concurrency.at != NULL &&
	    !pool_span_number(members->concurrency, &concurrency))
		return "has a hello whose concurrency is no number";
	if (concurrency < 1 || concurrency > POOL_CONCURRENCY_MAX ||
	    concurrency != (int)concurrency)
		return "has a hello whose concurrency is not 1 to 1000";
	if (members->kinds.at != NULL && *members->kinds.at != '[')
		return "has a hello whose kinds are no list";
	message->concurrency = (int)concurrency;
	message->kinds = members->kinds;
	return NULL;
}

static const char *
read_fail(const struct members *members, struct pool_message *message)
{
	double after_s;

	message->text = members->error;
	message->retry = true;
	message->after_ms = -1;
	if (members->error.at != NULL && *members->error.at != '"')
		return "has a fail whose error is no string";
	if (members->retry.at != NULL &&
	    !pool_span_bool(members->retry, &message->retry))
		return "has a fail whose retry is not true or false";
	if (members->after.at == NULL || pool_span_is(members->after, "null"))
		return NULL;
	if (!pool_span_number(members->after, &after_s) || after_s < 0)
		return "has a fail whose after is no number of seconds";
	message->after_ms =
	    after_s < 1e9 ? (int64_t)(after_s * 1000) : (int64_t)1e12;
	return NULL;
}

static const char *
read_progress(const struct members *members, struct pool_message *message)
{
	message->text = members->note;
	if (members->note.at != NULL && *members->note.at != '"')
		return "has a progress whose note is no string";
	if (!pool_span_number(members->fraction, &message->fraction) ||
	    !(message->fraction >= 0 && message->fraction <= 1))
		return "has a progress whose fraction is not 0 to 1";
	return NULL;
}

static const char *
read_chunk(const struct members *members, struct pool_message *message)
{
	message->data = members->data;
	return members->data.at == NULL ? "has a chunk without data" : NULL;
}

static const char *
read_done(const struct members *members, struct pool_message *message)
{
	message->data = members->result;
	return NULL;
}

static const struct {
	const char *name;
	const char *(*read)(
	    const struct members *members, struct pool_message *message);
} types[] = {
    [POOL_HELLO] = {"hello", read_hello},
    [POOL_DONE] = {"done", read_done},
    [POOL_FAIL] = {"fail", read_fail},
    [POOL_PROGRESS] = {"progress", read_progress},
    [POOL_CHUNK] = {"chunk", read_chunk},
};

static bool
find_type(struct pool_span key, enum pool_message_type *ret_type)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (pool_span_is(key, types[i].name)) {
			*ret_type = (enum pool_message_type)i;
			return true;
		}
	return false;
}

/* `{"type":{…}}` and nothing else. */
static const char *
read_envelope(struct pool_scan *scan, struct members *ret_members,
    enum pool_message_type *ret_type)
{
	struct pool_span key;

	if (!pool_scan_enter(scan) || !pool_scan_next(scan, &key))
		return "is not an object with one member";
	if (!find_type(key, ret_type))
		return "is none of hello, done, fail, progress and chunk";
	if (!pool_scan_enter(scan))
		return "has a message that is no object";
	read_members(scan, ret_members);
	if (pool_scan_next(scan, &key))
		return "is not an object with one member";
	return NULL;
}

const char *
pool_message_read(
    const char *line, size_t size, struct pool_message *ret_message)
{
	struct pool_scan scan = pool_scan_text(line, size);
	struct members members = {0};
	enum json_text judged;
	const char *wrong, *why = NULL;

	*ret_message = (struct pool_message){0};
	if (!utf8_is_valid(line, size))
		return "is not valid UTF-8";
	judged = json_text_judge(line, size, &why);
	if (judged == JSON_TEXT_NONE)
		return "is not JSON";
	wrong = read_envelope(&scan, &members, &ret_message->type);
	if (wrong != NULL)
		return wrong;
	if (ret_message->type != POOL_HELLO &&
	    !pool_span_id(members.id, &ret_message->id))
		return "has no id, or one that is not a string of digits";
	wrong = types[ret_message->type].read(&members, ret_message);
	if (wrong == NULL && judged == JSON_TEXT_UNFIT &&
	    ret_message->data.at != NULL &&
	    json_text_judge(ret_message->data.at, ret_message->data.size,
		&why) == JSON_TEXT_UNFIT)
		ret_message->unfit = why;
	return wrong;
}

bool
pool_message_has_kind(const struct pool_message *hello, const char *kind)
{
	struct pool_scan scan;
	struct text name = TEXT_EMPTY;
	bool found = false;

	if (hello->kinds.at == NULL)
		return true;
	scan = pool_scan_text(hello->kinds.at + 1, hello->kinds.size - 1);
	while (!found && scan.at < scan.end) {
		struct pool_span item = pool_scan_value(&scan);

		text_clear(&name);
		found = pool_span_string(item, &name) &&
			strcmp(text_string(&name), kind) == 0;
		scan.at += scan.at < scan.end; /* the comma or the end */
		while (scan.at < scan.end && *scan.at == ' ')
			scan.at++;
	}
	text_free(&name);
	return found;
}
