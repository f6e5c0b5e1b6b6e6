// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor-glue/libvirt_xml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/cleanup.h"
#include "common/clock.h"

#define BACKING(inner) "<memoryBacking>" inner "</memoryBacking>"
#define DOMAIN(inner)  "<domain type='kvm'><name>a</name>" inner "</domain>"
#define NO             "<nosharepages/>"

static void test_nosharepages_is_found_where_libvirt_writes_it(void **state)
{
	static const struct {
		const char *xml;
		bool found;
	} cases[] = {
		{ DOMAIN(BACKING(NO)), true },
		{ DOMAIN(BACKING(
			  "<hugepages><page size='2048'/></hugepages><nosharepages/><locked/>")),
			true },
		{ DOMAIN(BACKING("<nosharepages></nosharepages>")), true },
		{ DOMAIN(BACKING("<locked/>") BACKING(NO)), true },
		{ "<?xml version='1.0' encoding='UTF-8'?>\n<!-- it -->\n" DOMAIN(BACKING(NO)),
			true },
		{ DOMAIN("<metadata><a xmlns='urn:a'><b/></a></metadata>" BACKING(NO)), true },
		{ DOMAIN(""), false },
		{ "<domain/>", false },
		{ "<?xml version='1.0' encoding='UTF-32'?>" DOMAIN(""), false },
		{ DOMAIN(BACKING("")), false },
		{ DOMAIN(BACKING("<hugepages/>")), false },
		/* Somewhere else it means nothing. */
		{ DOMAIN(NO), false },
		{ DOMAIN(BACKING("<hugepages>" NO "</hugepages>")), false },
		{ DOMAIN("<metadata>" BACKING(NO) "</metadata>"), false },
		{ DOMAIN("<metadata><domain>" BACKING(NO) "</domain></metadata>"), false },
		{ DOMAIN("<metadata><memoryBacking/><x>" NO "</x></metadata>"), false },
		{ DOMAIN("<description>&lt;memoryBacking&gt;&lt;nosharepages/&gt;</description>"),
			false },
		{ DOMAIN("<description><![CDATA[" BACKING(NO) "]]></description>"), false },
		{ DOMAIN("<!-- " BACKING(NO) " -->"), false },
		{ DOMAIN(BACKING("") NO), false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (libvirt_xml_has_nosharepages(cases[i].xml) != cases[i].found)
			fail_msg("%s: not %d", cases[i].xml, cases[i].found);
}

static void test_nosharepages_is_assumed_of_what_cannot_be_read(void **state)
{
	static const char *const cases[] = {
		"",
		" ",
		"domain",
		"<",
		"<domain",
		"<domain>",
		"<domain></domain><domain/>",
		"<domain><name></domain>",
		"<domain/>trailing",
		"<network/>",
		"<x:domain xmlns:x='urn:x'/>",
		DOMAIN("<name>\xff\xfe</name>"),
		DOMAIN("<name>\xc0\x80</name>"),
		DOMAIN("<name>&#0;</name>"),
		DOMAIN("<name>\x01</name>"),
		DOMAIN("<name>&undeclared;</name>"),
		/* A document type is none that libvirt writes, however harmless. */
		"<!DOCTYPE domain><domain/>",
		"<!DOCTYPE domain SYSTEM 'file:///etc/passwd'><domain/>",
		"<!DOCTYPE domain SYSTEM 'http://127.0.0.1:9/x.dtd'><domain/>",
		"<!DOCTYPE d [<!ENTITY a 'b'>]><domain><name>&a;</name></domain>",
		"<!DOCTYPE d [<!ENTITY a SYSTEM '/etc/passwd'>]><domain><name>&a;</name></domain>",
		"<!DOCTYPE d [<!ENTITY % p SYSTEM '/etc/passwd'> %p;]><domain/>",
		"<!DOCTYPE d [<!ENTITY a '&b;'><!ENTITY b '&a;'>]><domain name='&a;'/>",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (!libvirt_xml_has_nosharepages(cases[i]))
			fail_msg("%s: read as yes", cases[i]);
}

/* head, count times body, count times closing, tail. */
static char *repeated(
	const char *head, const char *body, size_t count, const char *closing, const char *tail)
{
	char *const text =
		malloc(strlen(head) + count * (strlen(body) + strlen(closing)) + strlen(tail) + 1);
	char *end;

	assert_non_null(text);
	end = stpcpy(text, head);
	for (size_t i = 0; i < count; i++)
		end = stpcpy(end, body);
	for (size_t i = 0; i < count; i++)
		end = stpcpy(end, closing);
	(void)strcpy(end, tail);
	return text;
}

static void test_nosharepages_of_a_large_domain_is_found_at_its_end(void **state)
{
	_cleanup_free_ char *xml = repeated("<domain><metadata>", "<x a='1'>text</x>", 500000, "",
		"</metadata>" BACKING(NO) "</domain>");
	_cleanup_free_ char *without = repeated(
		"<domain><metadata>", "<x a='1'>text</x>", 500000, "", "</metadata></domain>");

	(void)state;
	assert_true(libvirt_xml_has_nosharepages(xml));
	assert_false(libvirt_xml_has_nosharepages(without));
}

static void test_nosharepages_is_assumed_of_what_is_too_deep_or_too_long(void **state)
{
	_cleanup_free_ char *deep = repeated("<domain>", "<a>", 100000, "</a>", "</domain>");
	_cleanup_free_ char *text =
		repeated("<domain><name>", "aaaaaaaa", 2 << 20, "", "</name></domain>");
	_cleanup_free_ char *huge = repeated("<domain>", "<aaaaa/>", 9 << 20, "", "</domain>");

	(void)state;
	assert_true(libvirt_xml_has_nosharepages(deep));
	assert_true(libvirt_xml_has_nosharepages(text));
	assert_true(libvirt_xml_has_nosharepages(huge));
}

static void test_entities_that_multiply_cost_nothing(void **state)
{
	static const char xml[] =
		"<!DOCTYPE d [<!ENTITY a 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'>"
		"<!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;'>"
		"<!ENTITY c '&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;'>"
		"<!ENTITY d '&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;'>"
		"<!ENTITY e '&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;'>"
		"<!ENTITY f '&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;'>"
		"<!ENTITY g '&f;&f;&f;&f;&f;&f;&f;&f;&f;&f;&f;&f;&f;&f;&f;&f;'>"
		"]><domain name='&g;'><name>&g;</name></domain>";
	const uint64_t before = clock_thread_cpu_ns();

	(void)state;
	assert_true(libvirt_xml_has_nosharepages(xml));
	assert_true(clock_thread_cpu_ns() - before < NS_PER_S);
}

/* A FIFO that nobody writes to: whoever opened it to read would wait for ever. */
static void test_external_entities_are_not_opened(void **state)
{
	char directory[] = "/tmp/test_libvirt_xml.XXXXXX";
	char path[64], xml[256];

	(void)state;
	assert_non_null(mkdtemp(directory));
	(void)snprintf(path, sizeof(path), "%s/fifo", directory);
	assert_int_equal(mkfifo(path, 0600), 0);
	(void)snprintf(xml, sizeof(xml),
		"<!DOCTYPE d SYSTEM '%s' [<!ENTITY a SYSTEM '%s'>]><domain>&a;</domain>", path,
		path);
	(void)alarm(10);
	assert_true(libvirt_xml_has_nosharepages(xml));
	(void)alarm(0);
	(void)unlink(path);
	(void)rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nosharepages_is_found_where_libvirt_writes_it),
		cmocka_unit_test(test_nosharepages_is_assumed_of_what_cannot_be_read),
		cmocka_unit_test(test_nosharepages_of_a_large_domain_is_found_at_its_end),
		cmocka_unit_test(test_nosharepages_is_assumed_of_what_is_too_deep_or_too_long),
		cmocka_unit_test(test_entities_that_multiply_cost_nothing),
		cmocka_unit_test(test_external_entities_are_not_opened),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
