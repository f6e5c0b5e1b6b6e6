// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/log.h"
#include "daemon/options.h"
#include "daemon/service.h"

int main(int argc, char **argv)
{
	struct options options;

	switch (options_parse(argc, argv, &options)) {
	case OPTIONS_RUN:
		break;
	case OPTIONS_EXIT_OK:
		return 0;
	case OPTIONS_EXIT_USAGE:
		return 2;
	}
	log_open(options.debug ? LOG_DEBUG : LOG_INFO);
	return service_run(&options) ? 1 : 0;
}
