// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * filler PRIVATE_MIB [COMMON_MIB [ZERO_MIB]]
 *
 * Fills memory with random data that no other instance has, with data that every instance has, and
 * with zeros, says "filled", and holds it until it is ended. What a guest's own work does to its
 * memory, without the work.
 *
 * A number N on its input: from now on it writes N MiB of its private memory anew each minute, a piece
 * each second, going round; 0 ends that. It answers with the number.
 */
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

static const uint64_t common_seed = 0x5041474546454c44;

static uint64_t *map_mib(unsigned long mib)
{
	void *memory =
		mmap(NULL, mib << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	return memory;
}

/* xorshift64: any seed but 0 gives 2^64 - 1 words before it repeats, and it is quick even where
 * every instruction is translated. */
static uint64_t random_write(uint64_t *words, uint64_t count, uint64_t state)
{
	for (uint64_t i = 0; i < count; i++) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		words[i] = state;
	}
	return state;
}

static uint64_t *fill_random(unsigned long mib, uint64_t *state)
{
	uint64_t *words = mib ? map_mib(mib) : NULL;

	*state = random_write(words, (uint64_t)mib << 17, *state | 1);
	return words;
}

/* The next number on the input within a second; otherwise what it was. */
static unsigned long number_read(unsigned long number)
{
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
	char line[32];
	ssize_t length;

	if (poll(&input, 1, number ? 1000 : -1) <= 0)
		return number;
	length = read(STDIN_FILENO, line, sizeof line - 1);
	if (length <= 0) {
		pause(); /* nobody will ask for anything any more */
		return number;
	}
	line[length] = '\0';
	number = strtoul(line, NULL, 10);
	length = snprintf(line, sizeof line, "%lu\n", number);
	if (write(STDOUT_FILENO, line, (size_t)length) != length)
		exit(1);
	return number;
}

static void rewrite_for_ever(uint64_t *words, unsigned long mib, uint64_t state)
{
	const uint64_t all = (uint64_t)mib << 17;
	unsigned long mib_per_minute = 0;
	uint64_t at = 0;

	for (;;) {
		uint64_t left;

		mib_per_minute = number_read(mib_per_minute);
		left = all ? ((uint64_t)mib_per_minute << 17) / 60 : 0;
		while (left) {
			const uint64_t piece = left < all - at ? left : all - at;

			state = random_write(words + at, piece, state);
			at = (at + piece) % all;
			left -= piece;
		}
	}
}

static unsigned long mib_argument(int argc, char **argv, int index)
{
	return index < argc ? strtoul(argv[index], NULL, 10) : 0;
}

int main(int argc, char **argv)
{
	unsigned long zero_mib = mib_argument(argc, argv, 3);
	uint64_t seed, common = common_seed, *private;

	if (argc < 2 || getrandom(&seed, sizeof seed, 0) != sizeof seed) {
		fprintf(stderr, "usage: %s PRIVATE_MIB [COMMON_MIB [ZERO_MIB]]\n", argv[0]);
		return 2;
	}
	private = fill_random(mib_argument(argc, argv, 1), &seed);
	(void)fill_random(mib_argument(argc, argv, 2), &common);
	if (zero_mib > 0)
		memset(map_mib(zero_mib), 0, zero_mib << 20);
	/* One line, at once, also into a file. */
	if (write(STDOUT_FILENO, "filled\n", 7) != 7)
		return 1;
	rewrite_for_ever(private, mib_argument(argc, argv, 1), seed);
}
