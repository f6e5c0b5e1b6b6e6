// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/options.h"

#include <getopt.h>
#include <stdio.h>

#define DEFAULT_RUNTIME_DIR "/run/pagefold"
#define DEFAULT_STATE_DIR   "/var/lib/pagefold"

static void help_print(void)
{
	printf("Usage: pagefoldd [OPTION]...\n"
	       "Find identical pages of this host's VMs and have the kernel share them.\n"
	       "\n"
	       "  -c, --config FILE           configuration (default: /etc/pagefold/pagefold.conf)\n"
	       "      --runtime-dir DIR       for api.sock (default: " DEFAULT_RUNTIME_DIR ")\n"
	       "      --state-dir DIR         for the state record (default: " DEFAULT_STATE_DIR ")\n"
	       "      --once                  fold what is there, then end; folds stay\n"
	       "      --disable-feature NAME  do without a kernel feature; may be repeated. One of:\n"
	       "                             ");
	for (int i = 0; i < FEATURE_COUNT; i++)
		printf(" %s", feature_name((enum feature)i));
	printf("\n"
	       "      --debug                 log more\n"
	       "  -h, --help                  this text\n"
	       "      --version               version\n"
	       "\n"
	       "See pagefoldd(8). Ask it with pagefold(1).\n");
}

static bool feature_disable(const char *name, struct options *options)
{
	enum feature feature;

	if (feature_parse(name, &feature) < 0) {
		fprintf(stderr, "pagefoldd: there is no feature \"%s\"; see pagefoldd --help\n", name);
		return false;
	}
	options->disabled[feature] = true;
	return true;
}

enum options_verdict options_parse(int argc, char **argv, struct options *ret)
{
	enum { RUNTIME_DIR = 256, STATE_DIR, ONCE, DISABLE, DEBUG, VERSION };
	static const struct option table[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "runtime-dir", required_argument, NULL, RUNTIME_DIR },
		{ "state-dir", required_argument, NULL, STATE_DIR },
		{ "once", no_argument, NULL, ONCE },
		{ "disable-feature", required_argument, NULL, DISABLE },
		{ "debug", no_argument, NULL, DEBUG },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, VERSION },
		{ 0 },
	};
	struct options options = {
		.runtime_dir = DEFAULT_RUNTIME_DIR,
		.state_dir = DEFAULT_STATE_DIR,
	};
	int option;

	while ((option = getopt_long(argc, argv, "c:h", table, NULL)) != -1) {
		switch (option) {
		case 'c':
			options.config_path = optarg;
			break;
		case RUNTIME_DIR:
			options.runtime_dir = optarg;
			break;
		case STATE_DIR:
			options.state_dir = optarg;
			break;
		case ONCE:
			options.once = true;
			break;
		case DISABLE:
			if (!feature_disable(optarg, &options))
				return OPTIONS_EXIT_USAGE;
			break;
		case DEBUG:
			options.debug = true;
			break;
		case 'h':
			help_print();
			return OPTIONS_EXIT_OK;
		case VERSION:
			puts("pagefoldd " PAGEFOLD_VERSION);
			return OPTIONS_EXIT_OK;
		default:
			fprintf(stderr, "pagefoldd: see pagefoldd --help\n");
			return OPTIONS_EXIT_USAGE;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "pagefoldd: unexpected argument \"%s\"; see pagefoldd --help\n",
			argv[optind]);
		return OPTIONS_EXIT_USAGE;
	}
	*ret = options;
	return OPTIONS_RUN;
}
