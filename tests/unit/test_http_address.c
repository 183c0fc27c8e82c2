#include "common/http_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include "tests/unit/unit.h"

static bool
is_public(const char *text)
{
	struct sockaddr_storage storage = {0};
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
		memcpy(&storage, &v4, sizeof(v4));
	} else {
		ck_assert_msg(
		    inet_pton(AF_INET6, text, &v6.sin6_addr) == 1, "%s", text);
		memcpy(&storage, &v6, sizeof(v6));
	}
	return http_address_is_public((struct sockaddr *)&storage);
}

START_TEST(closed)
{
	static const char *const addresses[] = {"0.0.0.0", "0.1.2.3",
	    "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255",
	    "127.0.0.1", "127.255.255.254", "169.254.169.254", "172.16.0.1",
	    "172.31.255.255", "192.0.0.8", "192.168.0.1", "192.168.255.255",
	    "198.18.0.1", "198.19.255.255", "224.0.0.1", "239.255.255.255",
	    "240.0.0.1", "255.255.255.255", "::", "::1", "fc00::1", "fdff::1",
	    "fe80::1", "febf::1", "fec0::1", "ff02::1", "::ffff:127.0.0.1",
	    "::ffff:10.1.2.3", "::ffff:169.254.169.254", "::127.0.0.1",
	    "::ffff:0:192.168.0.1", "64:ff9b::10.0.0.1", "64:ff9b:1::1",
	    "2002:7f00:1::", "2002:c0a8:1::1"};

	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++)
		ck_assert_msg(!is_public(addresses[i]), "%s", addresses[i]);
}
END_TEST

START_TEST(open_to_all)
{
	static const char *const addresses[] = {"1.1.1.1", "9.255.255.255",
	    "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255",
	    "128.0.0.1", "169.253.255.255", "169.255.0.0", "172.15.255.255",
	    "172.32.0.0", "192.0.1.0", "192.167.255.255", "192.169.0.0",
	    "198.17.255.255", "198.20.0.0", "223.255.255.255",
	    "2606:4700::1111", "2a00::1", "fbff::1", "::ffff:1.1.1.1",
	    "64:ff9b::1.1.1.1", "2002:101:101::"};

	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++)
		ck_assert_msg(is_public(addresses[i]), "%s", addresses[i]);
}
END_TEST

START_TEST(other_families)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char text[HTTP_ADDRESS_TEXT];

	ck_assert(!http_address_is_public((struct sockaddr *)&address));
	http_address_format((struct sockaddr *)&address, text);
	ck_assert_str_eq(text, "an address of family 1");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("http_address");
	TCase *tests = unit_case(suite, "ranges");

	tcase_add_test(tests, closed);
	tcase_add_test(tests, open_to_all);
	tcase_add_test(tests, other_families);
	return unit_run(suite);
}
