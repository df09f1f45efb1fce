/* A plugin of QEMU's user mode that counts the guest's instructions between marks.
 *
 * A mark is the guest's system call getpriority(0x5eed, k), which any kernel refuses and which changes nothing. At each,
 * the plugin appends a line to the file of its argument `out`: k, the instructions executed so far, and how many of them
 * were dot products of bytes (SDOT, UDOT: what int8 kernels are chosen by). A repetition of a block that ends early by
 * an exception counts whole; with one thread and no signals this does not happen.
 *
 * The declarations are our own, because Debian ships no qemu-plugin.h: as documented under "QEMU TCG Plugins" in QEMU's
 * manual. Version 1 of that interface (QEMU 4.2 to 8.2) adds to one counter; version 2 (QEMU 9.0) has one per CPU
 * instead, and version 3 (QEMU 9.1) copies an instruction's bytes out. Which of them QEMU has is found when it loads us.
 *
 *     gcc -O2 -Wall -Wextra -Werror -shared -fPIC -o count.so count.c
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define SHARED __attribute__((visibility("default")))
#define MAYBE __attribute__((weak)) /* its address is null where QEMU lacks it */
#define GETPRIORITY 141             /* of arm64 */
#define MARK 0x5eed
#define ADD_U64 0 /* the only operation that is done in the translated code itself */

struct qemu_plugin_tb;   /* a block of the guest's instructions, translated once */
struct qemu_plugin_insn; /* one of them */
struct qemu_plugin_scoreboard;

typedef uint64_t plugin_id;
typedef struct { /* the beginning of QEMU's own, which is all that is read */
    const char *target;
    struct {
        int oldest, newest;
    } version;
} plugin_info;
typedef struct {
    struct qemu_plugin_scoreboard *board;
    size_t offset;
} counter;
typedef void (*on_block)(plugin_id, struct qemu_plugin_tb *);
typedef void (*on_syscall)(plugin_id, unsigned int cpu, int64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                           uint64_t e, uint64_t f, uint64_t g, uint64_t h);

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, on_block);
void qemu_plugin_register_vcpu_syscall_cb(plugin_id, on_syscall);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
MAYBE void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int, void *, uint64_t);
MAYBE void qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(struct qemu_plugin_tb *, int, counter, uint64_t);
MAYBE struct qemu_plugin_scoreboard *qemu_plugin_scoreboard_new(size_t);
MAYBE uint64_t qemu_plugin_u64_get(counter, unsigned int);
/* since version 3; before, the bytes are what it returns, and it ignores the rest */
uintptr_t qemu_plugin_insn_data(const struct qemu_plugin_insn *, void *, size_t);

enum { ALL, DOTS, COUNTERS };

SHARED int qemu_plugin_version = 1;
static bool copies;
static uint64_t totals[COUNTERS];            /* version 1 */
static struct qemu_plugin_scoreboard *board; /* else: COUNTERS totals for each CPU */
static FILE *out;

__attribute__((constructor)) static void choose_version(void) { /* before QEMU looks at it */
    if (qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu)
        qemu_plugin_version = 2;
}

static counter entry(int which) {
    return (counter){board, which * sizeof(uint64_t)};
}

static void add(struct qemu_plugin_tb *block, int which, uint64_t n) {
    if (board)
        qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(block, ADD_U64, entry(which), n);
    else
        qemu_plugin_register_vcpu_tb_exec_inline(block, ADD_U64, &totals[which], n);
}

static uint64_t total(int which, unsigned int cpu) {
    return board ? qemu_plugin_u64_get(entry(which), cpu) : totals[which];
}

/* SDOT and UDOT, by vector and by element: Arm Architecture Reference Manual for A-profile, C7.2. */
static bool is_dot(const struct qemu_plugin_insn *instruction) {
    uint32_t code = 0;
    if (copies)
        qemu_plugin_insn_data(instruction, &code, sizeof code);
    else
        memcpy(&code, (const void *)qemu_plugin_insn_data(instruction, NULL, 0), sizeof code);
    return (code & 0x9fe0fc00) == 0x0e809400 || (code & 0x9fc0f400) == 0x0f80e000;
}

static void translated(plugin_id id, struct qemu_plugin_tb *block) {
    (void)id;
    size_t n = qemu_plugin_tb_n_insns(block);
    uint64_t dots = 0;
    for (size_t i = 0; i < n; i++)
        dots += is_dot(qemu_plugin_tb_get_insn(block, i));
    add(block, ALL, n);
    if (dots)
        add(block, DOTS, dots);
}

static void called(plugin_id id, unsigned int cpu, int64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                   uint64_t e, uint64_t f, uint64_t g, uint64_t h) {
    (void)id, (void)c, (void)d, (void)e, (void)f, (void)g, (void)h;
    if (number != GETPRIORITY || a != MARK)
        return;
    fprintf(out, "%" PRIu64 " %" PRIu64 " %" PRIu64 "\n", b, total(ALL, cpu), total(DOTS, cpu));
    fflush(out);
}

SHARED int qemu_plugin_install(plugin_id id, const plugin_info *info, int argc, char **argv) {
    if (strcmp(info->target, "aarch64") || argc != 1 || strncmp(argv[0], "out=", 4)) {
        fprintf(stderr, "count: takes out=FILE, under qemu-aarch64\n");
        return 1;
    }
    out = fopen(argv[0] + 4, "a");
    if (!out) {
        perror(argv[0] + 4);
        return 1;
    }
    copies = info->version.newest >= 3;
    if (qemu_plugin_version > 1)
        board = qemu_plugin_scoreboard_new(COUNTERS * sizeof(uint64_t));
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_vcpu_syscall_cb(id, called);
    return 0;
}
