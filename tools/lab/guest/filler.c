// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * filler PRIVATE_MIB [COMMON_MIB [ZERO_MIB]]
 *
 * Fills memory with random data that no other instance has, with data that every instance has, and
 * with zeros, says "filled", and holds it until it is ended. What a guest's own work does to its
 * memory, without the work.
 */
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
static void fill_random(unsigned long mib, uint64_t seed)
{
	if (mib == 0)
		return;
	uint64_t *words = map_mib(mib);
	uint64_t state = seed | 1;

	for (uint64_t i = 0; i < (uint64_t)mib << 17; i++) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		words[i] = state;
	}
}

static unsigned long mib_argument(int argc, char **argv, int index)
{
	return index < argc ? strtoul(argv[index], NULL, 10) : 0;
}

int main(int argc, char **argv)
{
	unsigned long zero_mib = mib_argument(argc, argv, 3);
	uint64_t seed;

	if (argc < 2 || getrandom(&seed, sizeof seed, 0) != sizeof seed) {
		fprintf(stderr, "usage: %s PRIVATE_MIB [COMMON_MIB [ZERO_MIB]]\n", argv[0]);
		return 2;
	}
	fill_random(mib_argument(argc, argv, 1), seed);
	fill_random(mib_argument(argc, argv, 2), common_seed);
	if (zero_mib > 0)
		memset(map_mib(zero_mib), 0, zero_mib << 20);
	/* One line, at once, also into a file. */
	if (write(STDOUT_FILENO, "filled\n", 7) != 7)
		return 1;
	for (;;)
		pause();
}
