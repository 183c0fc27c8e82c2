#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/config_check.h"
#include "config.h"
#include "supervisor/role.h"
#include "supervisor/supervisor.h"

enum {
	OPTION_HELP = 256,
	OPTION_VERSION,
	OPTION_ROLE,
	OPTION_SLOT,
	OPTION_GENERATION,
	OPTION_FIRST,
	OPTION_OTHERS,
};

static const struct option options[] = {
    {"config", required_argument, NULL, 'c'},
    {"test", no_argument, NULL, 't'},
    {"show", no_argument, NULL, 'T'},
    {"version", no_argument, NULL, OPTION_VERSION},
    {"help", no_argument, NULL, OPTION_HELP},
    /* what the supervisor starts its children with */
    {"role", required_argument, NULL, OPTION_ROLE},
    {"slot", required_argument, NULL, OPTION_SLOT},
    {"generation", required_argument, NULL, OPTION_GENERATION},
    {"first", no_argument, NULL, OPTION_FIRST},
    {"others", required_argument, NULL, OPTION_OTHERS},
    {0},
};

static const char help[] =
    "usage: musterd [-c FILE] [-t | -T]\n"
    "\n"
    "Runs tasks that are stored in PostgreSQL, in the foreground, until it is\n"
    "told to end.\n"
    "\n"
    "  -c, --config FILE  configuration (default: $MUSTERD_CONFIG, else\n"
    "                     " SYSCONFDIR "/musterd/musterd.yaml)\n"
    "  -t, --test         check the configuration and exit\n"
    "  -T, --show         print the merged configuration without secrets\n"
    "      --version      print the version\n"
    "      --help         print this\n"
    "\n"
    "Signals: TERM, INT end it when running tasks have ended (again: at "
    "once),\n"
    "HUP reads the configuration anew, USR1 logs the state.\n"
    "Exit codes: 0 done, 1 failed, 2 usage, 75 a server was away,\n"
    "78 configuration or schema.\n"
    "\n"
    "Examples:\n"
    "  musterd -t -c ./musterd.yaml    check a file\n"
    "  musterd -c ./musterd.yaml       run with it\n";

enum action { ACTION_RUN, ACTION_TEST, ACTION_SHOW };

/* Returns an exit code, or -1: go on with `ret_action`. */
static int
take_option(int option, struct role_options *role, enum action *ret_action)
{
	switch (option) {
	case 'c':
		role->config_file = optarg;
		return -1;
	case 't':
		*ret_action = ACTION_TEST;
		return -1;
	case 'T':
		*ret_action = ACTION_SHOW;
		return -1;
	case OPTION_VERSION:
		printf("musterd %s\n", PACKAGE_VERSION);
		return 0;
	case OPTION_HELP:
		fputs(help, stdout);
		return 0;
	case OPTION_ROLE:
		role->role = optarg;
		return -1;
	case OPTION_SLOT:
		role->slot = (int)strtol(optarg, NULL, 10);
		return -1;
	case OPTION_GENERATION:
		role->generation = strtoull(optarg, NULL, 10);
		return -1;
	case OPTION_FIRST:
		role->first = true;
		return -1;
	case OPTION_OTHERS:
		role->others = (int)strtol(optarg, NULL, 10);
		return -1;
	default:
		fputs("try 'musterd --help'\n", stderr);
		return 2;
	}
}

/* A file opened later must not become standard error. */
static void
standard_descriptors_open(void)
{
	int fd;
	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

static const char *
default_config_file(void)
{
	const char *file = getenv("MUSTERD_CONFIG");
	return file && *file ? file : SYSCONFDIR "/musterd/musterd.yaml";
}

int
main(int argc, char **argv)
{
	struct role_options role = {
	    .slot = -1, .config_file = default_config_file()};
	enum action action = ACTION_RUN;
	int option, code = -1;
	standard_descriptors_open();
	while (code < 0 &&
	       (option = getopt_long(argc, argv, "c:tT", options, NULL)) != -1)
		code = take_option(option, &role, &action);
	if (code >= 0)
		return code;
	if (optind < argc) {
		fprintf(stderr, "musterd: unexpected '%s'\n", argv[optind]);
		fputs("try 'musterd --help'\n", stderr);
		return 2;
	}
	if (role.role)
		return role_main(&role);
	if (action == ACTION_TEST)
		return config_test_main(role.config_file);
	if (action == ACTION_SHOW)
		return config_show_main(role.config_file);
	return supervisor_run(role.config_file);
}
