// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor-glue/vmm.h"

#include <errno.h>
#include <limits.h>

#include "tests/unit/fake_root.h"

#define STAT_REST " S 1 0 0 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 1234 0"
#define GIB(n)    (UINT64_C(n) << 30)
#define MIB(n)    (UINT64_C(n) << 20)

/* Arguments are written with '|' for the NUL between them. */
static size_t to_cmdline(const char *arguments, char ret[4096])
{
	const size_t length = strlen(arguments);

	assert_true(length < 4096);
	for (size_t i = 0; i <= length; i++)
		ret[i] = arguments[i] == '|' ? '\0' : arguments[i];
	return length;
}

static struct qemu_cmdline parse(const char *arguments)
{
	struct qemu_cmdline parsed;
	char cmdline[4096];
	const size_t length = to_cmdline(arguments, cmdline);

	qemu_cmdline_parse(cmdline, length, &parsed);
	return parsed;
}

static void test_cmdline_as_libvirt_writes_it(void **state)
{
	const struct qemu_cmdline parsed = parse(
		"/usr/bin/qemu-system-x86_64|-name|guest=web1,debug-threads=on|-S|"
		"-object|{\"qom-type\":\"secret\",\"id\":\"masterKey0\",\"format\":\"raw\"}|"
		"-machine|pc-i440fx-7.2,usb=off,memory-backend=pc.ram|-accel|kvm|-m|2048|"
		"-object|{\"qom-type\":\"memory-backend-ram\",\"id\":\"pc.ram\",\"size\":"
		"2147483648}|"
		"-uuid|7D9B8BF4-3c5f-4d1c-9f5e-0123456789ab|-incoming|defer|-msg|timestamp=on|");

	(void)state;
	assert_string_equal(parsed.name, "web1");
	assert_string_equal(parsed.uuid, "7d9b8bf4-3c5f-4d1c-9f5e-0123456789ab");
	assert_int_equal(parsed.ram_bytes, GIB(2));
	assert_true(parsed.incoming);
	assert_false(parsed.confidential);
}

static void test_cmdline_names(void **state)
{
	static const struct {
		const char *arguments, *name;
	} cases[] = {
		{ "q|-name|web1|", "web1" },
		{ "q|--name|web1|", "web1" },
		{ "q|-name|guest=web1|", "web1" },
		{ "q|-name|debug-threads=on,guest=web1|", "web1" },
		{ "q|-name|a,,b,process=x|", "a,b" },
		{ "q|-name|guest=a,,,,b|", "a,,b" },
		{ "q|-name|a|-name|b|", "b" },
		{ "q|-name|guest=a,guest=b|", "b" },
		{ "q|-name|guest=a|-name|debug-threads=on|", "a" },
		{ "q|-name|process=x|", "" },
		{ "q|-name|guest=|", "" },
		{ "q|-name||", "" },
		{ "q|-name|", "" },
		{ "q|-name", "" },
		{ "q|-name|web1", "" }, /* cut off: the last argument has no NUL */
		{ "q|name|web1|", "" },
		{ "q|-names|web1|", "" },
		{ "q|-name|guest=a=b|", "a=b" },
		{ "q|-name|\x1b[31mred\n|", "?[31mred?" },
		{ "q|-name|b\xc3\xbcro|", "b\xc3\xbcro" },
		{ "q|-name|\xf0\x9f\x90\xa7|", "\xf0\x9f\x90\xa7" },
		{ "q|-name|\xff\xc3|", "??" },
		{ "q|-name|\xc0\xaf|", "??" },           /* overlong */
		{ "q|-name|\xed\xa0\x80|", "???" },      /* a surrogate */
		{ "q|-name|\xc2\x9b|", "??" },           /* a control character */
		{ "q|-name|\xf4\x90\x80\x80|", "????" }, /* beyond Unicode */
		{ "q|-name|\x7f|", "?" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct qemu_cmdline parsed = parse(cases[i].arguments);

		assert_string_equal(parsed.name, cases[i].name);
	}
}

static void test_cmdline_name_too_long_is_dropped_not_cut(void **state)
{
	char arguments[1024];

	(void)state;
	for (size_t length = VMM_NAME_BYTES - 2; length < VMM_NAME_BYTES + 2; length++) {
		struct qemu_cmdline parsed;

		(void)snprintf(arguments, sizeof(arguments), "q|-name|%0*d|", (int)length, 0);
		parsed = parse(arguments);
		assert_int_equal(strlen(parsed.name), length < VMM_NAME_BYTES ? length : 0);
	}
}

static void test_cmdline_qmp_sockets(void **state)
{
	static const struct {
		const char *arguments, *path;
	} cases[] = {
		{ "q|-qmp|unix:/run/a.sock,server=on,wait=off|", "/run/a.sock" },
		{ "q|--qmp|unix:/run/a.sock,server,nowait|", "/run/a.sock" },
		{ "q|-qmp|unix:path=/run/a.sock,server=on|", "/run/a.sock" },
		{ "q|-qmp|unix:/run/a,,b.sock,server=on|", "/run/a,b.sock" },
		{ "q|-qmp|unix:/a,server=on|-qmp|unix:/b,server=on|", "/a" },
		{ "q|-chardev|socket,id=x,path=/p,server=on,wait=off|-mon|chardev=x,mode=control|",
			"/p" },
		{ "q|-mon|x,mode=control|-chardev|socket,id=x,path=/p,server=on|", "/p" },
		/* as Proxmox writes it */
		{ "kvm|-chardev|socket,id=qmp,path=/var/run/qemu-server/100.qmp,server=on,wait=off|"
		  "-mon|chardev=qmp,mode=control|"
		  "-chardev|socket,id=qmp-event,path=/var/run/qmeventd.sock,reconnect=5|"
		  "-mon|chardev=qmp-event,mode=control|",
			"/var/run/qemu-server/100.qmp" },
		{ "q|-mon|chardev=x,mode=control|-chardev|{\"id\":\"x\",\"backend\":{\"type\":"
		  "\"socket\",\"data\":{\"addr\":{\"type\":\"unix\",\"data\":{\"path\":\"/p\"}},"
		  "\"server\":true}}}|",
			"/p" },
		/* libvirt's own is libvirt's */
		{ "q|-chardev|socket,id=charmonitor,path=/p,server=on|"
		  "-mon|chardev=charmonitor,id=monitor,mode=control|",
			"" },
		{ "q|-chardev|socket,id=x,path=/p,server=on|-mon|chardev=x|", "" }, /* HMP */
		{ "q|-chardev|socket,id=x,path=/p,server=on|-mon|chardev=y,mode=control|", "" },
		{ "q|-chardev|socket,id=x,path=/p,server=off|-mon|chardev=x,mode=control|", "" },
		{ "q|-chardev|pipe,id=x,path=/p,server=on|-mon|chardev=x,mode=control|", "" },
		{ "q|-qmp|unix:/run/a.sock|", "" },
		{ "q|-qmp|unix:a.sock,server=on|", "" }, /* relative to QEMU */
		{ "q|-qmp|tcp:localhost:4444,server=on|", "" },
		{ "q|-qmp|stdio|", "" },
		{ "q|-qmp|", "" },
		{ "q|-qmp|unix:/cut,server=on", "" },
		{ "q|-mon|chardev=x,mode=control|-chardev|{|", "" },
		{ "q|-mon|chardev=x,mode=control|-chardev|{\"id\":\"x\",\"id\":\"x\"}|", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(parse(cases[i].arguments).qmp_path, cases[i].path);
}

static void test_cmdline_qmp_path_that_no_socket_has_is_dropped(void **state)
{
	(void)state;
	for (int length = 105; length < 112; length++) {
		char arguments[256];
		struct qemu_cmdline parsed;

		(void)snprintf(arguments, sizeof(arguments), "q|-qmp|unix:/%0*d,server=on|",
			length - 1, 0);
		parsed = parse(arguments);
		assert_int_equal(strlen(parsed.qmp_path),
			length < VMM_QMP_PATH_BYTES ? length : 0);
	}
}

static void test_cmdline_memory_sizes(void **state)
{
	static const struct {
		const char *size;
		uint64_t bytes;
	} cases[] = {
		{ "1024", GIB(1) },
		{ "1G", GIB(1) },
		{ "1g", GIB(1) },
		{ "512M", MIB(512) },
		{ "524288k", MIB(512) },
		{ "536870912B", MIB(512) },
		{ "0x400", GIB(1) },
		{ "1.5G", MIB(1536) },
		{ "1.5", MIB(1) + (MIB(1) / 2) },
		{ "0.25T", GIB(256) },
		{ "size=1G,slots=2,maxmem=4G", GIB(1) },
		{ "slots=2,size=1G", GIB(1) },
		{ "1G,slots=2", GIB(1) },
		{ "1G,size=2G", GIB(2) },
		{ "slots=2,maxmem=4G", 0 },
		{ "1000000b", 1007616 }, /* QEMU rounds up to 8 KiB */
		{ "", 0 },
		{ "G", 0 },
		{ "-1", 0 },
		{ "1e3", 0 },
		{ "1GG", 0 },
		{ "1GB", 0 },
		{ "1 G", 0 },
		{ "0xG", 0 },
		{ "0x", 0 },
		{ "17179869184G", 0 },
		{ "18446744073709551615B", 0 },
		{ "99999999999999999999", 0 },
		{ "15.99999999999999999999999999E", UINT64_C(0) },
		{ "many", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char arguments[128];
		struct qemu_cmdline parsed;

		(void)snprintf(arguments, sizeof(arguments), "q|-m|%s|", cases[i].size);
		parsed = parse(arguments);
		assert_int_equal(parsed.ram_bytes, cases[i].bytes);
	}
	assert_int_equal(parse("q|-m|1G|-m|2G|").ram_bytes, GIB(2));
	assert_int_equal(parse("q|-m|1G|-m|slots=4|").ram_bytes, GIB(1));
}

static void test_cmdline_uuids(void **state)
{
	static const struct {
		const char *arguments, *uuid;
	} cases[] = {
		{ "q|-uuid|7d9b8bf4-3c5f-4d1c-9f5e-0123456789ab|",
			"7d9b8bf4-3c5f-4d1c-9f5e-0123456789ab" },
		{ "q|-uuid|7D9B8BF4-3C5F-4D1C-9F5E-0123456789AB|",
			"7d9b8bf4-3c5f-4d1c-9f5e-0123456789ab" },
		{ "q|-uuid|7d9b8bf4-3c5f-4d1c-9f5e-0123456789a|", "" },
		{ "q|-uuid|7d9b8bf4-3c5f-4d1c-9f5e-0123456789abc|", "" },
		{ "q|-uuid|7d9b8bf4_3c5f-4d1c-9f5e-0123456789ab|", "" },
		{ "q|-uuid|7d9b8bg4-3c5f-4d1c-9f5e-0123456789ab|", "" },
		{ "q|-uuid|7d9b8bf43c5f4d1c9f5e0123456789ab|", "" },
		{ "q|-uuid||", "" },
		{ "q|-uuid|7d9b8bf4-3c5f-4d1c-9f5e-0123456789ab|-uuid|x|", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct qemu_cmdline parsed = parse(cases[i].arguments);

		assert_string_equal(parsed.uuid, cases[i].uuid);
	}
}

static void test_cmdline_confidential_guests(void **state)
{
	static const struct {
		const char *arguments;
		bool confidential;
	} cases[] = {
		{ "q|-object|sev-guest,id=s,cbitpos=47|", true },
		{ "q|-object|qom-type=sev-snp-guest,id=s|", true },
		{ "q|-object|id=s,qom-type=tdx-guest|", true },
		{ "q|-object|s390-pv-guest,id=s|-object|secret,id=k|", true },
		{ "q|-object|{\"qom-type\":\"sev-guest\",\"id\":\"lsec0\"}|", true },
		{ "q|-object|{ \"id\": \"x\", \"qom-type\" : \"tdx-guest\" }|", true },
		{ "q|-machine|q35,confidential-guest-support=lsec0|", true },
		{ "q|-M|memory-encryption=sev0|", true },
		{ "q|-object|memory-backend-ram,id=sev-guest|", false },
		{ "q|-object|{\"qom-type\":\"memory-backend-ram\",\"id\":\"sev-guest\"}|", false },
		{ "q|-object|sev-guest-2,id=s|", false },
		{ "q|-object|{\"qom-type\"|", false },
		{ "q|-object|{\"qom-type\":\"sev-guest|", true }, /* cut JSON: better safe */
		{ "q|-object|{|", false },
		{ "q|-machine|q35|", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(parse(cases[i].arguments).confidential, cases[i].confidential);
}

static void test_cmdline_of_nothing_is_empty(void **state)
{
	struct qemu_cmdline parsed;

	(void)state;
	qemu_cmdline_parse("", 0, &parsed);
	assert_string_equal(parsed.name, "");
	assert_string_equal(parsed.uuid, "");
	assert_int_equal(parsed.ram_bytes, 0);
	assert_false(parse("q|-incoming|").incoming); /* its value is missing */
}

static void write_process(const struct fake_root *fake, pid_t pid, const char *comm,
	const char *exe, const char *arguments)
{
	char path[64], text[4096];

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	(void)snprintf(text, sizeof(text), "%d (%s)%s\n", pid, comm, STAT_REST);
	fake_root_write(fake, path, text);
	(void)snprintf(path, sizeof(path), "/proc/%d/fd/0", pid);
	fake_root_link(fake, path, "/dev/null");
	(void)snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	fake_root_write_bytes(fake, path, text, to_cmdline(arguments, text));
	if (exe) {
		(void)snprintf(path, sizeof(path), "/proc/%d/exe", pid);
		fake_root_link(fake, path, exe);
	}
}

static void test_vmms_of_a_host_are_listed_in_order(void **state)
{
	struct fake_root fake;
	struct vmm *vmms;
	size_t count;

	(void)state;
	fake_root_init(&fake);
	write_process(&fake, 1, "systemd", "/usr/lib/systemd/systemd", "/sbin/init|");
	write_process(&fake, 2, "kthreadd", NULL, "");
	write_process(&fake, 300, "qemu-system-x86", "/usr/bin/qemu-system-x86_64 (deleted)",
		"qemu-system-x86_64|-name|web1|-m|1G|");
	write_process(&fake, 40, "fire cracker", "/usr/bin/firecracker", "firecracker|");
	fake_root_link(&fake, "/proc/40/fd/9", "anon_inode:kvm-vm");
	write_process(&fake, 50, "kvm", "/usr/bin/kvm", "kvm|-uuid|x|");
	fake_root_link(&fake, "/proc/50/fd/7", "/dev/vfio/12");
	write_process(&fake, 60, "qemu-kvm", "/usr/libexec/qemu-kvm", "qemu-kvm|-name|");
	fake_root_link(&fake, "/proc/60/fd/7", "anon_inode:[vfio-device]");
	write_process(&fake, 70, "qemu-img", "/usr/bin/qemu-img", "qemu-img|-name|x|");
	write_process(&fake, 80, "kvm-reader", "/usr/bin/reader", "reader|");
	fake_root_link(&fake, "/proc/80/fd/7", "/tmp/anon_inode:kvm-vm");
	assert_int_equal(vmm_list(&fake.root, &vmms, &count), 0);
	assert_int_equal(count, 4);
	assert_int_equal(vmms[0].id.pid, 40);
	assert_int_equal(vmms[0].id.start_ticks, 1234);
	assert_false(vmms[0].is_qemu || vmms[0].has_vfio);
	assert_string_equal(vmms[0].cmdline.name, "fire cracker");
	assert_int_equal(vmms[1].id.pid, 50);
	assert_true(vmms[1].is_qemu && vmms[1].has_vfio);
	assert_string_equal(vmms[1].cmdline.name, "kvm");
	assert_int_equal(vmms[2].id.pid, 60);
	assert_true(vmms[2].is_qemu && vmms[2].has_vfio);
	assert_int_equal(vmms[3].id.pid, 300);
	assert_false(vmms[3].has_vfio);
	assert_string_equal(vmms[3].cmdline.name, "web1");
	assert_int_equal(vmms[3].cmdline.ram_bytes, GIB(1));
	free(vmms);
	fake_root_done(&fake);
}

static void test_vmm_pins_by_vfio_iommufd_or_vdpa(void **state)
{
	static const struct {
		const char *target;
		bool has_vfio;
	} cases[] = {
		{ "/dev/vfio/vfio", true },
		{ "/dev/vfio/devices/vfio0", true },
		{ "/dev/iommu", true },
		{ "/dev/vhost-vdpa-0", true },
		{ "anon_inode:[vfio-device]", true },
		{ "/dev/vhost-net", false },
		{ "anon_inode:kvm-vcpu:0", false },
		{ "/srv/dev/vfio/1", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fake_root fake;
		struct vmm vmm;
		bool is_vmm;

		fake_root_init(&fake);
		write_process(&fake, 5, "q", "/usr/bin/qemu-system-x86_64", "q|");
		fake_root_link(&fake, "/proc/5/fd/3", cases[i].target);
		assert_int_equal(vmm_read(&fake.root, 5, &vmm, &is_vmm), 0);
		assert_true(is_vmm);
		assert_int_equal(vmm.has_vfio, cases[i].has_vfio);
		fake_root_done(&fake);
	}
}

static void test_broken_process_does_not_hide_the_others(void **state)
{
	struct fake_root fake;
	struct vmm *vmms;
	size_t count;

	(void)state;
	fake_root_init(&fake);
	write_process(&fake, 5, "q", "/usr/bin/qemu-system-x86_64", "q|-name|five|");
	fake_root_write(&fake, "/proc/6/stat", "garbage");
	fake_root_link(&fake, "/proc/6/exe", "/usr/bin/qemu-system-x86_64");
	fake_root_write(&fake, "/proc/7/x", "");
	write_process(&fake, 8, "q", "/usr/bin/qemu-system-x86_64", "");
	assert_int_equal(vmm_list(&fake.root, &vmms, &count), 0);
	assert_int_equal(count, 2);
	assert_string_equal(vmms[0].cmdline.name, "five");
	assert_string_equal(vmms[1].cmdline.name, "q");
	free(vmms);
	fake_root_done(&fake);
}

static void test_this_process_is_no_vmm(void **state)
{
	struct host_root root;
	struct vmm vmm;
	bool is_vmm = true;

	(void)state;
	assert_int_equal(host_root_open("", &root), 0);
	assert_int_equal(vmm_read(&root, getpid(), &vmm, &is_vmm), 0);
	assert_false(is_vmm);
	assert_int_equal(vmm_read(&root, 2, &vmm, &is_vmm), 0); /* a kernel thread, or not ours */
	assert_false(is_vmm);
	assert_int_equal(vmm_read(&root, INT_MAX, &vmm, &is_vmm), -ESRCH);
	host_root_done(&root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cmdline_as_libvirt_writes_it),
		cmocka_unit_test(test_cmdline_names),
		cmocka_unit_test(test_cmdline_name_too_long_is_dropped_not_cut),
		cmocka_unit_test(test_cmdline_qmp_sockets),
		cmocka_unit_test(test_cmdline_qmp_path_that_no_socket_has_is_dropped),
		cmocka_unit_test(test_cmdline_memory_sizes),
		cmocka_unit_test(test_cmdline_uuids),
		cmocka_unit_test(test_cmdline_confidential_guests),
		cmocka_unit_test(test_cmdline_of_nothing_is_empty),
		cmocka_unit_test(test_vmms_of_a_host_are_listed_in_order),
		cmocka_unit_test(test_vmm_pins_by_vfio_iommufd_or_vdpa),
		cmocka_unit_test(test_broken_process_does_not_hide_the_others),
		cmocka_unit_test(test_this_process_is_no_vmm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
