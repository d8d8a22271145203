/*
 * Hashes by the C reference implementation, one password a line: prints the nanoseconds of
 * processor time and the page faults the hash took, and its tag in hexadecimal.
 *
 * usage: reference MEMORY_KIB ITERATIONS LANES SALT
 */
#define _POSIX_C_SOURCE 200809L
#include <argon2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static long long nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static long faults(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt;
}

int main(int argc, char **argv) {
    char password[256];
    if (argc != 5) {
        return 2;
    }
    while (fgets(password, sizeof password, stdin)) {
        unsigned char tag[32];
        long faults_before = faults();
        long long start = nanoseconds();
        int error = argon2id_hash_raw(atoi(argv[2]), atoi(argv[1]), atoi(argv[3]), password,
                                      strcspn(password, "\n"), argv[4], strlen(argv[4]), tag,
                                      sizeof tag);
        long long took = nanoseconds() - start;
        if (error != ARGON2_OK) {
            fprintf(stderr, "%s\n", argon2_error_message(error));
            return 1;
        }
        printf("%lld %ld ", took, faults() - faults_before);
        for (size_t i = 0; i < sizeof tag; i++) {
            printf("%02x", tag[i]);
        }
        printf("\n");
        fflush(stdout);
    }
    return 0;
}
