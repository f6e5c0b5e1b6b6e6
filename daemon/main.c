// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/options.h"
#include "daemon/service.h"

int main(int argc, char **argv)
{
	struct options options;
	int error;

	switch (options_parse(argc, argv, &options)) {
	case OPTIONS_RUN:
		break;
	case OPTIONS_EXIT_OK:
		return 0;
	case OPTIONS_EXIT_USAGE:
		return 2;
	}
	log_open(options.debug ? LOG_DEBUG : LOG_INFO);
	error = service_run(&options);
	if (error)
		log_error("ended: %s", strerror(-error));
	return error ? 1 : 0;
}
