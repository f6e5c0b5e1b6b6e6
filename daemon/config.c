// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/number.h"
#include "daemon/ini.h"

static int _printf_(2, 3) refuse(char reason[INI_REASON_BYTES], const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(reason, INI_REASON_BYTES, format, arguments);
	va_end(arguments);
	return -EINVAL;
}

static int parse_number(const struct ini_item *item, unsigned min, unsigned max, unsigned *ret,
	char reason[INI_REASON_BYTES])
{
	uint64_t value;

	if (number_parse_u64(item->value, 10, &value) < 0 || value < min || value > max)
		return refuse(reason, "%s is \"%.40s\", but takes a number from %u to %u",
			item->key, item->value, min, max);
	*ret = (unsigned)value;
	return 0;
}

/* "512M": K, M and G are powers of 1024. */
static int parse_size(const struct ini_item *item, uint64_t *ret, char reason[INI_REASON_BYTES])
{
	static const char suffixes[] = "KMG";
	char digits[32];
	size_t length = strlen(item->value);
	const char *suffix = length > 0 ? strchr(suffixes, item->value[length - 1]) : NULL;
	const unsigned shift = suffix ? (unsigned)(suffix - suffixes + 1) * 10 : 0;
	uint64_t value;

	length -= suffix ? 1 : 0;
	if (length >= sizeof(digits))
		length = 0; /* no number of bytes is that long */
	memcpy(digits, item->value, length);
	digits[length] = '\0';
	if (number_parse_u64(digits, 10, &value) < 0 || value > (UINT64_MAX >> 1) >> shift)
		return refuse(reason,
			"%s is \"%.40s\", but takes a number of bytes, or one followed by K, M or "
			"G",
			item->key, item->value);
	*ret = value << shift;
	return 0;
}

static int set_default_mode(
	struct config *config, const struct ini_item *item, char reason[INI_REASON_BYTES])
{
	struct policy policy = { .mode = config->default_mode };

	if (policy_set_key(&policy, "mode", item->value, reason) < 0)
		return refuse(reason,
			"default-mode is \"%.40s\", but takes one of: merge, observe, off",
			item->value);
	config->default_mode = policy.mode;
	return 0;
}

static int set_cpu_percent(
	struct config *config, const struct ini_item *item, char reason[INI_REASON_BYTES])
{
	return parse_number(item, 1, 1000, &config->cpu_percent, reason);
}

static int set_stall_budget_ms(
	struct config *config, const struct ini_item *item, char reason[INI_REASON_BYTES])
{
	return parse_number(item, 1, 1000, &config->stall_budget_ms, reason);
}

static int set_memory_max(
	struct config *config, const struct ini_item *item, char reason[INI_REASON_BYTES])
{
	return parse_size(item, &config->memory_max_bytes, reason);
}

static int set_scan_interval(
	struct config *config, const struct ini_item *item, char reason[INI_REASON_BYTES])
{
	return parse_number(item, 1, 86400, &config->scan_interval_s, reason);
}

static int set_settle_seconds(
	struct config *config, const struct ini_item *item, char reason[INI_REASON_BYTES])
{
	return parse_number(item, 0, 3600, &config->settle_seconds, reason);
}

static int set_fold_when(
	struct config *config, const struct ini_item *item, char reason[INI_REASON_BYTES])
{
	if (strcmp(item->value, "always") != 0 && strcmp(item->value, "pressure") != 0)
		return refuse(reason, "fold-when is \"%.40s\", but takes always or pressure",
			item->value);
	config->fold_when = strcmp(item->value, "pressure") == 0 ? FOLD_PRESSURE : FOLD_ALWAYS;
	return 0;
}

static int set_hook(
	struct config *config, const struct ini_item *item, char reason[INI_REASON_BYTES])
{
	struct policy policy = { .hook = config->hook };

	if (policy_set_key(&policy, "hook", item->value, reason) < 0)
		return -EINVAL;
	config->hook = policy.hook;
	return 0;
}

static int set_active_group(
	struct config *config, const struct ini_item *item, char reason[INI_REASON_BYTES])
{
	struct policy policy = { 0 };

	if (strcmp(item->value, "auto") != 0 &&
		policy_set_key(&policy, "group", item->value, reason) < 0)
		return refuse(reason,
			"active-group is \"%.70s\", but takes auto or 1 to %d letters, digits, "
			"'.', "
			"'_' and '-'",
			item->value, POLICY_GROUP_BYTES - 1);
	memcpy(config->active_group, policy.group, sizeof(policy.group));
	return 0;
}

static int set_take_over(
	struct config *config, const struct ini_item *item, char reason[INI_REASON_BYTES])
{
	if (strcmp(item->value, "yes") != 0 && strcmp(item->value, "no") != 0)
		return refuse(reason, "take-over is \"%.40s\", but takes yes or no", item->value);
	config->take_over = strcmp(item->value, "yes") == 0;
	return 0;
}

static int set_ksm_owner(
	struct config *config, const struct ini_item *item, char reason[INI_REASON_BYTES])
{
	static const char *const names[] = {
		[KSM_OWNER_AUTO] = "auto",
		[KSM_OWNER_PAGEFOLD] = "pagefold",
		[KSM_OWNER_STAND_BY] = "stand-by",
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(item->value, names[i]) == 0) {
			config->ksm_owner = (enum ksm_owner)i;
			return 0;
		}
	return refuse(reason, "ksm-owner is \"%.40s\", but takes one of: auto, pagefold, stand-by",
		item->value);
}

static int set_libvirt_uri(struct config *config, const struct ini_item *item,
	_unused_ char reason[INI_REASON_BYTES])
{
	char *uri = strdup(item->value);

	if (!uri)
		return -ENOMEM;
	free(config->libvirt_uri);
	config->libvirt_uri = uri;
	return 0;
}

static int set_policy_dir(
	struct config *config, const struct ini_item *item, char reason[INI_REASON_BYTES])
{
	char *dir;

	if (item->value[0] != '/')
		return refuse(reason, "policy-dir is \"%.100s\", but takes an absolute path",
			item->value);
	dir = strdup(item->value);
	if (!dir)
		return -ENOMEM;
	free(config->policy_dir);
	config->policy_dir = dir;
	return 0;
}

static int set_metrics_listen(
	struct config *config, const struct ini_item *item, char reason[INI_REASON_BYTES])
{
	int r;

	if (!*item->value) {
		config->metrics_listen = (struct listen_address){ 0 };
		return 0;
	}
	r = listen_address_parse(item->value, &config->metrics_listen);
	if (r == -EACCES)
		return refuse(reason,
			"metrics-listen is \"%.60s\", but takes an address of loopback only: the "
			"metrics name every VM, and ask nobody who he is; put a proxy that does in "
			"front",
			item->value);
	return r == 0 ? 0
		      : refuse(reason,
				"metrics-listen is \"%.60s\", but takes an address and a port, as "
				"in 127.0.0.1:9743 or [::1]:9743",
				item->value);
}

static const struct {
	const char *name;
	int (*set)(
		struct config *config, const struct ini_item *item, char reason[INI_REASON_BYTES]);
} keys[] = {
	{ "default-mode", set_default_mode },
	{ "cpu-percent", set_cpu_percent },
	{ "stall-budget-ms", set_stall_budget_ms },
	{ "memory-max", set_memory_max },
	{ "scan-interval", set_scan_interval },
	{ "settle-seconds", set_settle_seconds },
	{ "fold-when", set_fold_when },
	{ "hook", set_hook },
	{ "active-group", set_active_group },
	{ "take-over", set_take_over },
	{ "ksm-owner", set_ksm_owner },
	{ "libvirt-uri", set_libvirt_uri },
	{ "policy-dir", set_policy_dir },
	{ "metrics-listen", set_metrics_listen },
};

static int on_item(void *data, const struct ini_item *item, char reason[INI_REASON_BYTES])
{
	if (strcmp(item->section, "pagefold") != 0)
		return *item->section
			       ? refuse(reason, "the section is [%s], but there is [pagefold] only",
					 item->section)
			       : refuse(reason, "a key before [pagefold]");
	if (!item->key)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (strcmp(keys[i].name, item->key) == 0)
			return keys[i].set(data, item, reason);
	return refuse(reason, "there is no key \"%.60s\"; pagefold.conf(5) lists them", item->key);
}

static int config_init(struct config *config)
{
	*config = (struct config){
		.default_mode = MODE_OBSERVE,
		.cpu_percent = 10,
		.stall_budget_ms = 5,
		.scan_interval_s = 30,
		.settle_seconds = 10,
		.hook = HOOK_AUTO,
		.ksm_owner = KSM_OWNER_AUTO,
		.policy_dir = strdup("/etc/pagefold/policy.d"),
		.libvirt_uri = strdup("qemu:///system"),
	};
	return config->policy_dir && config->libvirt_uri ? 0 : -ENOMEM;
}

int config_load(const char *path, bool must_exist, struct config *ret, char **ret_error)
{
	_cleanup_free_ char *dir = NULL;
	struct config config;
	int r = config_init(&config);

	if (r == 0 && asprintf(&dir, "%s.d", path) < 0) {
		dir = NULL;
		r = -ENOMEM;
	}
	if (r < 0)
		(void)ini_error(ret_error, r, path, 0, "out of memory");
	if (r == 0 && (must_exist || access(path, F_OK) == 0 || errno != ENOENT))
		r = ini_read_file(path, on_item, &config, ret_error);
	if (r == 0)
		r = ini_read_dir(dir, on_item, &config, ret_error);
	if (r < 0) {
		config_done(&config);
		return r;
	}
	*ret = config;
	return 0;
}

void config_done(struct config *config)
{
	free(config->policy_dir);
	free(config->libvirt_uri);
	*config = (struct config){ 0 };
}
