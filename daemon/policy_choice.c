// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/policy_choice.h"

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "daemon/log.h"
#include "daemon/metadata.h"

void policy_texts_read(const struct policy_sources *sources, const struct host_root *root,
	const struct process_entry *process, struct policy_texts *ret)
{
	*ret = (struct policy_texts){ .exe = process->exe };
	if (!policy_set_wants_cgroups(sources->files) ||
		host_root_read_process(root, process->pid, "cgroup", &ret->cgroups, NULL) < 0)
		ret->cgroups = NULL;
}

void policy_texts_done(struct policy_texts *texts)
{
	free(texts->cgroups);
}

static const struct policy_rule *rule_find(const struct policy_sources *sources, pid_t pid,
	const struct guest *guest, const struct policy_texts *texts)
{
	const bool is_vm = guest && guest->is_vm;
	const struct policy_subject subject = {
		.is_vm = is_vm,
		.pid = pid,
		.name = is_vm ? guest->vmm.cmdline.name : NULL,
		.uuid = is_vm ? guest->vmm.cmdline.uuid : NULL,
		.exe = texts->exe,
		.cgroups = texts->cgroups,
	};

	return policy_set_find(sources->files, &subject);
}

const struct policy_rule *policy_choice_rule(
	const struct policy_sources *sources, pid_t pid, const struct policy_texts *texts)
{
	return rule_find(sources, pid, NULL, texts);
}

static void policy_error_clear(struct target *target)
{
	free(target->policy_error);
	target->policy_error = NULL;
}

/* Said in the log once, not in every pass. */
static void policy_error_set(struct target *target, const char *reason)
{
	char *sentence = NULL;

	text_set(&sentence, "its libvirt metadata is no policy, so it is only observed: %s", reason);
	if (sentence && (!target->policy_error || strcmp(sentence, target->policy_error) != 0))
		log_warning("%s (pid %d): %s", target_name(target), (int)target_pid(target), sentence);
	free(target->policy_error);
	target->policy_error = sentence;
}

static bool choose_metadata(const struct libvirt_domain *domain, enum policy_mode default_mode,
	struct target *target, struct policy *policy)
{
	char reason[METADATA_REASON_BYTES];

	if (!domain || !domain->policy_xml)
		return false;
	policy_init(policy, default_mode);
	if (metadata_parse(domain->policy_xml, policy, reason) < 0) {
		policy_init(policy, MODE_OBSERVE);
		policy_error_set(target, reason);
	} else {
		policy_error_clear(target);
	}
	text_set(&target->policy_source, "libvirt metadata");
	return true;
}

static bool choose_rule(const struct policy_rule *rule, enum policy_mode default_mode,
	struct target *target, struct policy *policy)
{
	policy_error_clear(target);
	if (!rule && target->inherited) {
		*policy = target->inherited_policy;
		text_set(&target->policy_source, "the process that it was forked from");
		return false;
	}
	if (!rule) {
		/* A process that no rule names any more is none of our business. */
		policy_init(policy, target->guest.is_vm ? default_mode : MODE_OFF);
		text_set(&target->policy_source, "default-mode");
		return false;
	}
	*policy = rule->policy;
	if (!rule->mode_given)
		policy->mode = default_mode;
	text_set(&target->policy_source, "%s:%u", rule->file, rule->line);
	return true;
}

static void target_set_policy(struct target *target, const struct policy *policy)
{
	const enum policy_hook hook_before = target->policy.hook;
	_cleanup_free_ char *before = target_policy_text(&target->policy);
	_cleanup_free_ char *text = target_policy_text(policy);

	target->policy_is_new = !before || !text || strcmp(before, text) != 0;
	target->policy = *policy;
	if (policy->hook != hook_before) {
		/* What stood in the way of the other one says nothing of this one. */
		target->hook_reason[0] = target->hook_note[0] = '\0';
		target->hook_retry_ns = 0;
		target->hook_was_stopped = false;
	}
	if (target->held && text && target->held_policy && strcmp(text, target->held_policy) != 0)
		target_end_hold(target);
}

/* libvirt started it, and libvirt's word on it is not known: it does not answer (yet). Nothing is done to it
 * that was not asked for before. */
static bool is_policy_unknown(const struct policy_sources *sources, const struct guest *guest,
	const struct libvirt_domain *domain)
{
	bool trouble = false;

	for (size_t i = 0; i < sources->libvirt->count; i++)
		trouble = trouble || sources->libvirt->tables[i]->trouble;
	return guest->is_vm && guest->vmm.cmdline.by_libvirt && !domain && trouble;
}

static bool choose_nothing_new(struct target *target)
{
	if (!target->policy_source)
		policy_init(&target->policy, MODE_OBSERVE);
	return true;
}

bool policy_choose(const struct policy_sources *sources, const struct policy_texts *texts,
	struct target *target)
{
	const struct guest *guest = &target->guest;
	const struct libvirt_domain *domain = guest->is_vm
		? links_tables_find(sources->libvirt, guest->vmm.cmdline.uuid)
		: NULL;
	const struct policy_rule *rule =
		rule_find(sources, target_pid(target), guest, texts);
	struct policy policy;
	bool named;

	target->is_domain = domain || guest->vmm.cmdline.by_libvirt;
	target->domain_arriving = target->is_domain && (!domain || domain->arriving);
	target->policy_unknown = is_policy_unknown(sources, guest, domain);
	if (target->policy_unknown)
		return choose_nothing_new(target);
	named = choose_metadata(domain, sources->default_mode, target, &policy) ||
		choose_rule(rule, sources->default_mode, target, &policy);
	target->nosharepages = domain && domain->nosharepages;
	if (target->nosharepages && policy.mode == MODE_MERGE)
		policy.mode = MODE_OBSERVE;
	target_set_policy(target, &policy);
	return named;
}
