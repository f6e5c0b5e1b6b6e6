// SPDX-License-Identifier: GPL-2.0-or-later
/* An Accept header, an address to listen on and a name, each up to a line end; the name has the
 * rest. */
#include "common/utf8.h"
#include "daemon/listen_address.h"
#include "daemon/metrics_format.h"
#include "tests/fuzz/fuzz.h"

static void check_address(const char *text)
{
	char written[LISTEN_ADDRESS_BYTES];
	struct listen_address address, again;

	if (listen_address_parse(text, &address) < 0)
		return;
	listen_address_text(&address, written);
	fuzz_check(listen_address_parse(written, &again) == 0);
	fuzz_check(listen_address_same(&address, &again));
}

/* Well-formed, without control characters, and closed by the last quote and by no other. */
static void check_label(const char *name)
{
	char *text = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&text, &length);
	const unsigned char *at;

	fuzz_check(out != NULL);
	metrics_label(out, "name", name);
	fuzz_check(fclose(out) == 0 && length >= 7 && strncmp(text, "name=\"", 6) == 0);
	at = (const unsigned char *)text + 6;
	while (*at != '"') {
		fuzz_check(utf8_length(at) > 0 && *at >= ' ' && *at != 0x7f);
		if (*at == '\\') {
			at++;
			fuzz_check(*at == '\\' || *at == '"' || *at == 'n');
		}
		at += utf8_length(at);
	}
	fuzz_check(at[1] == '\0');
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *const text = fuzz_string(data, size);
	char *rest = text;
	const char *const accept = strsep(&rest, "\n");
	const char *const address = rest ? strsep(&rest, "\n") : "";
	const enum metrics_format format = metrics_format_choose(accept);

	fuzz_check(format == METRICS_TEXT || strcasestr(accept, "application/openmetrics-text"));
	check_address(address);
	check_label(rest ? rest : "");
	free(text);
	return 0;
}
