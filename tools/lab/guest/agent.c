// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Runs commands for the host over a serial line, inside a guest.
 *
 * As process 1 of an initramfs it sets the small system up first; as a service of a Debian guest it
 * is told the line only. It says "READY\n" once, then answers each
 *
 *   LENGTH\n and LENGTH bytes of shell command
 *
 * with "STATUS LENGTH\n" and that many bytes of what the command wrote (both outputs).
 *
 * The same program loads the modules that Debian's kernel needs to reach its root disk and hands
 * over to it, when the kernel command line says lab.root=DEVICE.
 */
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

enum { COMMAND_BYTES_MAX = 64 << 10, OUTPUT_BYTES_MAX = 4 << 20 };

static const char line_default[] = "/dev/ttyS1";

static bool write_all(int fd, const char *bytes, size_t length)
{
	while (length > 0) {
		ssize_t written = write(fd, bytes, length);

		if (written < 0 && errno != EINTR)
			return false;
		if (written > 0) {
			bytes += written;
			length -= (size_t)written;
		}
	}
	return true;
}

static bool read_all(int fd, char *bytes, size_t length)
{
	while (length > 0) {
		ssize_t got = read(fd, bytes, length);

		if (got == 0 || (got < 0 && errno != EINTR))
			return false;
		if (got > 0) {
			bytes += got;
			length -= (size_t)got;
		}
	}
	return true;
}

/* The number on the next line; -1 at the end of the line's life. */
static long read_length(int fd)
{
	char text[16];
	size_t length = 0;

	while (length < sizeof text) {
		if (!read_all(fd, &text[length], 1))
			return -1;
		if (text[length] == '\n') {
			text[length] = '\0';
			return atol(text);
		}
		length++;
	}
	return -1;
}

static pid_t command_start(const char *command, int *ret_output)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	pid_t pid = fork();

	if (pid == 0) {
		int null = open("/dev/null", O_RDONLY);

		setsid();
		dup2(null, STDIN_FILENO);
		dup2(ends[1], STDOUT_FILENO);
		dup2(ends[1], STDERR_FILENO);
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	close(ends[1]);
	if (pid < 0)
		close(ends[0]);
	else
		*ret_output = ends[0];
	return pid;
}

/* Everything the command wrote; what is too much is read and dropped, so that it can end. */
static size_t command_output(int fd, char *output)
{
	char rest[4096];
	size_t length = 0;

	for (;;) {
		bool full = length == OUTPUT_BYTES_MAX;
		ssize_t got = full ? read(fd, rest, sizeof rest)
				   : read(fd, output + length, OUTPUT_BYTES_MAX - length);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return length;
		if (!full)
			length += (size_t)got;
	}
}

/* As process 1 we also reap what others left; only our own child's status counts. */
static int command_status(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static bool command_serve(int line, const char *command, char *output)
{
	char header[64];
	int fd, status = 127;
	size_t length = 0;
	pid_t pid = command_start(command, &fd);

	if (pid > 0) {
		length = command_output(fd, output);
		close(fd);
		status = command_status(pid);
	}
	int header_length = snprintf(header, sizeof header, "%d %zu\n", status, length);

	return write_all(line, header, (size_t)header_length) && write_all(line, output, length);
}

static int line_open(const char *path)
{
	struct termios raw;
	int line = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (line < 0 || tcgetattr(line, &raw) < 0)
		err(1, "%s", path);
	cfmakeraw(&raw);
	raw.c_cflag |= CLOCAL | CREAD;
	if (tcsetattr(line, TCSANOW, &raw) < 0)
		err(1, "%s", path);
	return line;
}

static int serve(const char *path)
{
	static char command[COMMAND_BYTES_MAX + 1];
	char *output = malloc(OUTPUT_BYTES_MAX);
	int line = line_open(path);

	if (!output || !write_all(line, "READY\n", 6))
		return 1;
	for (;;) {
		long length = read_length(line);

		if (length < 0 || length > COMMAND_BYTES_MAX ||
			!read_all(line, command, (size_t)length))
			return 1;
		command[length] = '\0';
		if (!command_serve(line, command, output))
			return 1;
	}
}

static void mount_kernel_file_systems(void)
{
	mkdir("/proc", 0755);
	mkdir("/sys", 0755);
	mkdir("/dev", 0755);
	mkdir("/tmp", 01777);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
}

/* The value of KEY=VALUE on the kernel's command line. */
static bool boot_option(const char *key, char *ret_value, size_t size)
{
	char text[4096] = "";
	int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

	if (fd >= 0)
		close(fd);
	if (length < 0)
		return false;
	for (char *word = strtok(text, " \n"); word; word = strtok(NULL, " \n")) {
		size_t key_length = strlen(key);

		if (strncmp(word, key, key_length) == 0 && word[key_length] == '=') {
			snprintf(ret_value, size, "%s", word + key_length + 1);
			return true;
		}
	}
	return false;
}

static bool load_module(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool loaded = fd >= 0 && syscall(SYS_finit_module, fd, "", 0) == 0;

	if (fd >= 0)
		close(fd);
	return loaded;
}

/* Everything in /modules. Which module needs which changes from kernel to kernel (virtio and
 * virtio_ring swapped places), so each is tried again as long as another one got in meanwhile. */
static void load_modules(void)
{
	struct dirent **entries;
	int count = scandir("/modules", &entries, NULL, alphasort);

	for (bool progress = true; progress;) {
		progress = false;
		for (int i = 0; i < count; i++) {
			char path[PATH_MAX];

			snprintf(path, sizeof path, "/modules/%s", entries[i]->d_name);
			progress |= load_module(path);
		}
	}
}

static bool copy_file(const char *from, const char *to)
{
	char buffer[65536];
	ssize_t got;
	int in = open(from, O_RDONLY | O_CLOEXEC);
	int out = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	bool copied = in >= 0 && out >= 0;

	while (copied && (got = read(in, buffer, sizeof buffer)) != 0)
		copied = got > 0 && write_all(out, buffer, (size_t)got);
	if (in >= 0)
		close(in);
	if (out >= 0)
		close(out);
	return copied;
}

/* Into a /run that systemd finds there and keeps: the image itself has nothing of ours but a unit
 * that starts /run/lab/agent. */
static void leave_programs(void)
{
	static const char *const programs[][2] = {
		{ "/init", "/root/run/lab/agent" },
		{ "/bin/memcheck", "/root/run/lab/memcheck" },
		{ "/bin/filler", "/root/run/lab/filler" },
	};

	if (mount("tmpfs", "/root/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755") < 0)
		err(1, "/run");
	mkdir("/root/run/lab", 0755);
	for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++)
		if (!copy_file(programs[i][0], programs[i][1]))
			err(1, "%s", programs[i][1]);
}

/* devtmpfs has the disk as soon as its driver has found it, which insmod waits for. */
static void hand_over(const char *root)
{
	static char init[] = "/sbin/init";
	char *const arguments[] = { init, NULL };

	mkdir("/root", 0755);
	if (mount(root, "/root", "ext4", 0, NULL) < 0)
		err(1, "%s", root);
	leave_programs();
	umount2("/sys", MNT_DETACH);
	mount("/dev", "/root/dev", NULL, MS_MOVE, NULL);
	umount2("/proc", MNT_DETACH);
	if (chdir("/root") < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
		chdir("/") < 0)
		err(1, "switching to %s", root);
	execv(init, arguments);
	err(1, "%s", init);
}

int main(int argc, char **argv)
{
	char root[128];

	if (getpid() != 1)
		return serve(argc > 1 ? argv[1] : line_default);
	mount_kernel_file_systems();
	load_modules();
	if (boot_option("lab.root", root, sizeof root))
		hand_over(root);
	return serve(line_default);
}
