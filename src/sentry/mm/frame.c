/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames: the guest's physical pages, in chunks of 2 MiB (the host's huge page).
 *
 * Contract.  Contiguous runs of up to FRAME_RUN_MAX frames.  A frame that was never handed out
 * since its chunk was a hole in the memory file is zero for free; any other one is dirty, and is
 * zeroed when it is handed out (or its whole chunk punched).  Every first touch of a chunk costs
 * the host 2 MiB, so small runs are packed: first into chunks in partial use, then into free chunks
 * the host still holds ("spare"), then into holes; always the lowest address first. At most
 * SPARE_MAX spare chunks are kept, the others are punched; large runs go back to the host at once,
 * as nobody knows how much of them was ever touched.
 *
 * Locks: g_frames.lock (RANK_FRAME) guards bitmaps and chunk records, but for reference counts
 * (atomic).  A chunk that is in none of the bitmaps as free or partial belongs to the one who took
 * it out.  Chunk records are never freed, so counts are reached without a lock.
 */
#include "mm/internal.h"
#include "mm/bits.h"

#include <linux/errno.h>

#include "base/string.h"
#include "kernel/kmalloc.h"
#include "kernel/log.h"

#define CHUNK_SHIFT  9u
#define CHUNK_FRAMES (1u << CHUNK_SHIFT)
#define CHUNK_WORDS  (CHUNK_FRAMES / 64)
#define GROUP_SHIFT  9u /* chunks of one record table: 1 GiB */
#define SPARE_MAX    16u
#define SEARCH_MAX   64u /* partial chunks looked into for a run before a fresh chunk is taken */
#define NONE         UINT64_MAX

struct chunk {
    uint32_t refs[CHUNK_FRAMES]; /* atomic */
    uint64_t free[CHUNK_WORDS];  /* bit set: free */
    uint64_t dirty[CHUNK_WORDS]; /* bit set: may hold old contents */
    uint32_t free_count;
    uint32_t run_bound; /* no free run is longer than this */
};

static struct {
    struct spinlock lock;
    uint64_t frame_count, chunk_count, word_count;
    struct chunk ***groups; /* [chunk >> GROUP_SHIFT][chunk & mask]; published once */
    uint64_t *taken;        /* a bit a chunk: not a hole any more */
    uint64_t *partial;      /* some frames free, some used */
    uint64_t *spare;        /* all frames free, memory still held by the host */
    uint64_t partial_from, spare_from, hole_from; /* no such bit in words below */
    uint64_t spare_count;
    uint64_t used; /* frames handed out; atomic reads */
} g_frames;

void frame_init(void) {
    const struct hal_memory *mem = hal_memory();
    memset(&g_frames, 0, sizeof(g_frames));
    spin_init(&g_frames.lock, RANK_FRAME);
    g_frames.chunk_count = mem->frame_count >> CHUNK_SHIFT;
    g_frames.frame_count = g_frames.chunk_count << CHUNK_SHIFT;
    g_frames.word_count = (g_frames.chunk_count + 63) / 64;
    g_frames.groups = kcalloc((g_frames.chunk_count >> GROUP_SHIFT) + 1, sizeof(*g_frames.groups));
    g_frames.taken = kcalloc(g_frames.word_count + 1, 8);
    g_frames.partial = kcalloc(g_frames.word_count + 1, 8);
    g_frames.spare = kcalloc(g_frames.word_count + 1, 8);
    if (g_frames.groups == NULL || g_frames.taken == NULL || g_frames.partial == NULL ||
        g_frames.spare == NULL) {
        panic("frame_init: no memory for %llu chunks", (unsigned long long)g_frames.chunk_count);
    }
    /* Bits past the last chunk look taken for ever. */
    for (uint64_t i = g_frames.chunk_count; i < g_frames.word_count * 64; i++) {
        g_frames.taken[i / 64] |= 1ull << (i % 64);
    }
}

/* ---- bitmaps and records ---- */

/* Lowest chunk whose bit is `set` in `map`, from chunk *inout_word * 64 on, which is moved up to
 * where one is. */
static uint64_t chunk_first(const uint64_t *map, bool set, uint64_t *inout_word) {
    for (uint64_t w = *inout_word; w < g_frames.word_count; w++) {
        uint64_t word = set ? map[w] : ~map[w];
        if (word != 0) {
            *inout_word = w;
            return w * 64 + (uint64_t)__builtin_ctzll(word);
        }
    }
    *inout_word = g_frames.word_count;
    return NONE;
}

static uint64_t chunk_next_partial(uint64_t index) {
    uint64_t w = index / 64;
    if (w >= g_frames.word_count) {
        return NONE;
    }
    uint64_t word = g_frames.partial[w] & (~0ull << (index % 64));
    while (word == 0) {
        if (++w >= g_frames.word_count) {
            return NONE;
        }
        word = g_frames.partial[w];
    }
    return w * 64 + (uint64_t)__builtin_ctzll(word);
}

static struct chunk *chunk_get(uint64_t index) {
    return atomic_load(&g_frames.groups[index >> GROUP_SHIFT])[index & ((1u << GROUP_SHIFT) - 1)];
}

/* The record of a chunk, made when it is first used.  Precondition: lock. */
static struct chunk *chunk_make(uint64_t index) {
    struct chunk ***slot = &g_frames.groups[index >> GROUP_SHIFT];
    if (*slot == NULL) {
        struct chunk **group = kcalloc(1u << GROUP_SHIFT, sizeof(*group));
        if (group == NULL) {
            return NULL;
        }
        atomic_store(slot, group);
    }
    struct chunk **entry = &(*slot)[index & ((1u << GROUP_SHIFT) - 1)];
    if (*entry == NULL) {
        struct chunk *c = kzalloc(sizeof(*c));
        if (c == NULL) {
            return NULL;
        }
        memset(c->free, 0xff, sizeof(c->free));
        c->free_count = CHUNK_FRAMES;
        c->run_bound = CHUNK_FRAMES;
        atomic_store(entry, c);
    }
    return *entry;
}

static uint32_t *frame_refs_ptr(uint64_t pfn) {
    kassert(pfn < g_frames.frame_count);
    return &chunk_get(pfn >> CHUNK_SHIFT)->refs[pfn & (CHUNK_FRAMES - 1)];
}

/* Puts a chunk into the bitmaps as its free count asks for.  Precondition: lock. */
static void chunk_publish(uint64_t index, struct chunk *c) {
    if (c->free_count == 0) {
        bit_clear(g_frames.partial, index);
        return;
    }
    if (c->free_count == CHUNK_FRAMES) {
        bit_clear(g_frames.partial, index);
        bit_set(g_frames.spare, index);
        g_frames.spare_count++;
        g_frames.spare_from = MIN(g_frames.spare_from, index / 64);
        return;
    }
    bit_set(g_frames.partial, index);
    g_frames.partial_from = MIN(g_frames.partial_from, index / 64);
}

/* ---- taking ---- */

/* True when the guest holds all the memory that the user gave it. */
static bool limit_reached(void) {
    uint64_t limit = hal_memory()->limit_bytes;
    return limit != 0 && hal_memory_used() >= limit;
}

/* Start of a free run of `count` in the chunk, or CHUNK_FRAMES; lowers the bound when there is
 * none. */
static uint32_t chunk_find_run(struct chunk *c, uint32_t count) {
    uint32_t longest = 0;
    for (uint32_t at = bits_next(c->free, CHUNK_FRAMES, 0, true); at < CHUNK_FRAMES;) {
        uint32_t end = bits_next(c->free, CHUNK_FRAMES, at, false);
        if (end - at >= count) {
            return at;
        }
        longest = MAX(longest, end - at);
        at = bits_next(c->free, CHUNK_FRAMES, end, true);
    }
    c->run_bound = longest;
    return CHUNK_FRAMES;
}

/* A chunk in partial use with room for `count`; its place in *out_at. */
static uint64_t find_partial(uint32_t count, uint32_t *out_at) {
    uint32_t looked = 0;
    for (uint64_t i = chunk_first(g_frames.partial, true, &g_frames.partial_from);
         i != NONE && looked < SEARCH_MAX; i = chunk_next_partial(i + 1)) {
        struct chunk *c = chunk_get(i);
        if (c->run_bound < count) {
            continue;
        }
        looked++;
        *out_at = chunk_find_run(c, count);
        if (*out_at < CHUNK_FRAMES) {
            return i;
        }
    }
    return NONE;
}

/* A wholly free chunk: a spare one, else a hole. */
static uint64_t find_free_chunk(void) {
    uint64_t i = chunk_first(g_frames.spare, true, &g_frames.spare_from);
    if (i != NONE) {
        bit_clear(g_frames.spare, i);
        g_frames.spare_count--;
        return i;
    }
    i = chunk_first(g_frames.taken, false, &g_frames.hole_from);
    if (i == NONE || limit_reached() || chunk_make(i) == NULL) {
        return NONE;
    }
    bit_set(g_frames.taken, i);
    return i;
}

static void set_refs(struct chunk *c, uint32_t at, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        atomic_store_relaxed(&c->refs[at + i], 1u);
    }
}

/* Zeroes those of the run's frames that were dirty. */
static int zero_dirty(uint64_t chunk_pfn, const uint64_t *dirty, uint32_t at, uint32_t count) {
    uint32_t end = at + count;
    for (uint32_t i = bits_next(dirty, CHUNK_FRAMES, at, true); i < end;) {
        uint32_t stop = MIN(bits_next(dirty, CHUNK_FRAMES, i, false), end);
        if (hal_zero(frame_ptr(chunk_pfn + i), (stop - i) * PAGE_SIZE) != 0) {
            return -ENOMEM;
        }
        i = bits_next(dirty, CHUNK_FRAMES, stop, true);
    }
    return 0;
}

static int take_small(uint32_t count, bool zero, uint64_t *out_pfn, bool *out_touched) {
    uint64_t dirty[CHUNK_WORDS];
    uint32_t at = 0;
    spin_lock(&g_frames.lock);
    uint64_t index = find_partial(count, &at);
    if (index == NONE) {
        index = find_free_chunk();
        at = 0;
    }
    if (index == NONE) {
        spin_unlock(&g_frames.lock);
        return -ENOMEM;
    }
    struct chunk *c = chunk_get(index);
    memcpy(dirty, c->dirty, sizeof(dirty));
    bits_clear(c->free, at, count);
    bits_set(c->dirty, at, count);
    c->free_count -= count;
    g_frames.used += count;
    set_refs(c, at, count);
    chunk_publish(index, c);
    spin_unlock(&g_frames.lock);

    *out_pfn = (index << CHUNK_SHIFT) + at;
    *out_touched = bits_next(dirty, CHUNK_FRAMES, at, false) >= at + count;
    if (zero && zero_dirty(index << CHUNK_SHIFT, dirty, at, count) != 0) {
        frame_put_run(*out_pfn, count);
        return -ENOMEM;
    }
    return 0;
}

/* First of `count` neighbouring chunks that are all free, or NONE. */
static uint64_t find_chunk_run(uint64_t count) {
    uint64_t run = 0;
    for (uint64_t i = 0; i < g_frames.chunk_count; i++) {
        uint64_t usable = ~g_frames.taken[i / 64] | g_frames.spare[i / 64];
        if (usable == 0) {
            i |= 63;
            run = 0;
            continue;
        }
        run = (usable >> (i % 64) & 1) != 0 ? run + 1 : 0;
        if (run == count) {
            return i + 1 - count;
        }
    }
    return NONE;
}

/* Takes the chunks out of all bitmaps: they are the caller's then. */
static int claim_chunks(uint64_t first, uint64_t count) {
    for (uint64_t i = first; i < first + count; i++) {
        if (chunk_make(i) == NULL) {
            return -ENOMEM;
        }
    }
    for (uint64_t i = first; i < first + count; i++) {
        if (bit_test(g_frames.spare, i)) {
            bit_clear(g_frames.spare, i);
            g_frames.spare_count--;
        }
        bit_set(g_frames.taken, i);
    }
    return 0;
}

/* Gives the memory of owned chunks back, those that have any. */
static void clean_chunks(uint64_t first, uint64_t count) {
    uint64_t run = 0;
    for (uint64_t i = first; i <= first + count; i++) {
        struct chunk *c = i < first + count ? chunk_get(i) : NULL;
        if (c != NULL && bits_next(c->dirty, CHUNK_FRAMES, 0, true) < CHUNK_FRAMES) {
            memset(c->dirty, 0, sizeof(c->dirty));
            run++;
        } else if (run > 0) {
            hal_memory_punch((i - run) << CHUNK_SHIFT, run << CHUNK_SHIFT);
            run = 0;
        }
    }
}

static int take_large(uint64_t count, bool zero, uint64_t *out_pfn, bool *out_touched) {
    uint64_t chunks = (count + CHUNK_FRAMES - 1) >> CHUNK_SHIFT;
    spin_lock(&g_frames.lock);
    uint64_t first = limit_reached() ? NONE : find_chunk_run(chunks);
    if (first == NONE || claim_chunks(first, chunks) != 0) {
        spin_unlock(&g_frames.lock);
        return -ENOMEM;
    }
    g_frames.used += count;
    spin_unlock(&g_frames.lock);

    if (zero) {
        clean_chunks(first, chunks);
    }
    uint64_t left = count;
    for (uint64_t i = first; i < first + chunks; i++) {
        struct chunk *c = chunk_get(i);
        uint32_t n = (uint32_t)MIN(left, CHUNK_FRAMES);
        bits_clear(c->free, 0, n);
        bits_set(c->dirty, 0, n);
        c->free_count -= n;
        set_refs(c, 0, n);
        left -= n;
    }
    spin_lock(&g_frames.lock);
    chunk_publish(first + chunks - 1, chunk_get(first + chunks - 1));
    spin_unlock(&g_frames.lock);
    *out_pfn = first << CHUNK_SHIFT;
    *out_touched = false;
    return 0;
}

int frame_take(uint64_t count, bool zero, uint64_t *out_pfn, bool *out_touched) {
    if (count == 0 || count > FRAME_RUN_MAX) {
        return -ENOMEM;
    }
    return count < CHUNK_FRAMES ? take_small((uint32_t)count, zero, out_pfn, out_touched)
                                : take_large(count, zero, out_pfn, out_touched);
}

int frame_alloc(uint64_t *out_pfn) {
    return frame_alloc_run(1, out_pfn);
}

int frame_alloc_run(uint64_t count, uint64_t *out_pfn) {
    bool touched;
    return frame_take(count, true, out_pfn, &touched);
}

int frame_alloc_run_raw(uint64_t count, uint64_t *out_pfn) {
    bool touched;
    return frame_take(count, false, out_pfn, &touched);
}

/* ---- giving back ---- */

/* Frees frames without references.  Chunks that became free and are not kept are punched outside
 * the lock. */
static void free_run(uint64_t pfn, uint64_t count) {
    bool large = count >= CHUNK_FRAMES;
    uint64_t limbo = 0, limbo_count = 0;
    spin_lock(&g_frames.lock);
    g_frames.used -= count;
    for (uint64_t end = pfn + count; pfn < end;) {
        uint64_t index = pfn >> CHUNK_SHIFT;
        uint32_t at = (uint32_t)(pfn & (CHUNK_FRAMES - 1));
        uint32_t n = (uint32_t)MIN(CHUNK_FRAMES - at, end - pfn);
        struct chunk *c = chunk_get(index);
        bits_set(c->free, at, n);
        c->free_count += n;
        c->run_bound = c->free_count;
        if (c->free_count == CHUNK_FRAMES && (large || g_frames.spare_count >= SPARE_MAX)) {
            bit_clear(g_frames.partial, index);
            limbo = limbo_count == 0 ? index : limbo;
            limbo_count = index - limbo + 1;
        } else {
            chunk_publish(index, c);
        }
        pfn += n;
    }
    spin_unlock(&g_frames.lock);
    if (limbo_count == 0) {
        return;
    }
    hal_memory_punch(limbo << CHUNK_SHIFT, limbo_count << CHUNK_SHIFT);
    spin_lock(&g_frames.lock);
    for (uint64_t i = limbo; i < limbo + limbo_count; i++) {
        memset(chunk_get(i)->dirty, 0, sizeof(chunk_get(i)->dirty));
        bit_clear(g_frames.taken, i);
    }
    g_frames.hole_from = MIN(g_frames.hole_from, limbo / 64);
    spin_unlock(&g_frames.lock);
}

/* Compilers know shorter loops, and make them calls of their run-time. */
static uint32_t count_bits(uint64_t word) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < 64; i++) {
        n += (uint32_t)(word >> i & 1);
    }
    return n;
}

/* Takes the free frames of a chunk that may hold memory, *out_held of them.  Precondition: lock. */
static bool hold_free(uint64_t index, uint64_t out_held[CHUNK_WORDS], uint32_t *out_count) {
    struct chunk *c = chunk_get(index);
    *out_count = 0;
    for (uint32_t w = 0; w < CHUNK_WORDS; w++) {
        out_held[w] = c->free[w] & c->dirty[w];
        c->free[w] &= ~out_held[w];
        *out_count += count_bits(out_held[w]);
    }
    if (*out_count == 0) {
        return false;
    }
    if (bit_test(g_frames.spare, index)) {
        bit_clear(g_frames.spare, index);
        g_frames.spare_count--;
    }
    c->free_count -= *out_count;
    chunk_publish(index, c);
    return true;
}

/* Gives them back as holes.  Precondition: lock. */
static void release_clean(uint64_t index, const uint64_t *held, uint32_t count) {
    struct chunk *c = chunk_get(index);
    for (uint32_t w = 0; w < CHUNK_WORDS; w++) {
        c->free[w] |= held[w];
        c->dirty[w] &= ~held[w];
    }
    c->free_count += count;
    c->run_bound = c->free_count;
    if (c->free_count < CHUNK_FRAMES || bits_next(c->dirty, CHUNK_FRAMES, 0, true) < CHUNK_FRAMES) {
        chunk_publish(index, c);
        return;
    }
    bit_clear(g_frames.partial, index);
    bit_clear(g_frames.taken, index);
    g_frames.hole_from = MIN(g_frames.hole_from, index / 64);
}

static void trim_chunk(uint64_t index) {
    uint64_t held[CHUNK_WORDS];
    uint32_t count;
    spin_lock(&g_frames.lock);
    bool free = bit_test(g_frames.spare, index) || bit_test(g_frames.partial, index);
    free = free && hold_free(index, held, &count);
    spin_unlock(&g_frames.lock);
    if (!free) {
        return;
    }
    for (uint32_t at = bits_next(held, CHUNK_FRAMES, 0, true); at < CHUNK_FRAMES;) {
        uint32_t end = bits_next(held, CHUNK_FRAMES, at, false);
        hal_memory_punch((index << CHUNK_SHIFT) + at, end - at);
        at = bits_next(held, CHUNK_FRAMES, end, true);
    }
    spin_lock(&g_frames.lock);
    release_clean(index, held, count);
    spin_unlock(&g_frames.lock);
}

void frame_trim(void) {
    for (uint64_t w = 0; w < g_frames.word_count; w++) {
        uint64_t some = atomic_load_relaxed(&g_frames.spare[w]);
        some |= atomic_load_relaxed(&g_frames.partial[w]);
        for (; some != 0; some &= some - 1) {
            trim_chunk(w * 64 + (uint64_t)__builtin_ctzll(some));
        }
    }
}

bool frame_is_window(uint64_t pfn) {
    return pfn >= hal_memory()->window_base;
}

/* The counts of a run's frames that lie in one chunk; *inout_count is cut to them. */
static uint32_t *refs_in_chunk(uint64_t pfn, uint64_t *inout_count) {
    uint32_t *refs = frame_refs_ptr(pfn);
    *inout_count = MIN(*inout_count, CHUNK_FRAMES - (pfn & (CHUNK_FRAMES - 1)));
    return refs;
}

void frame_get_run(uint64_t pfn, uint64_t count) {
    if (frame_is_window(pfn)) {
        return;
    }
    while (count > 0) {
        uint64_t n = count;
        uint32_t *refs = refs_in_chunk(pfn, &n);
        for (uint64_t i = 0; i < n; i++) {
            (void)atomic_fetch_add(&refs[i], 1u); /* the old count is of no use */
        }
        pfn += n;
        count -= n;
    }
}

void frame_get(uint64_t pfn) {
    frame_get_run(pfn, 1);
}

uint32_t frame_refs(uint64_t pfn) {
    return frame_is_window(pfn) ? UINT32_MAX : atomic_load(frame_refs_ptr(pfn));
}

/* Drops a reference; true when it was the last.  Whoever holds the only one needs no locked
 * instruction. */
static bool drop_ref(uint32_t *refs) {
    uint32_t n = atomic_load(refs);
    kassert(n != 0);
    if (n == 1) {
        atomic_store_relaxed(refs, 0u);
        return true;
    }
    return atomic_fetch_sub(refs, 1u) == 1;
}

void frame_put_run(uint64_t pfn, uint64_t count) {
    if (frame_is_window(pfn)) {
        return;
    }
    uint64_t run = 0; /* frames before pfn that nobody refers to any more */
    while (count > 0) {
        uint64_t n = count;
        uint32_t *refs = refs_in_chunk(pfn, &n);
        for (uint64_t i = 0; i < n; i++) {
            if (drop_ref(&refs[i])) {
                run++;
            } else if (run > 0) {
                free_run(pfn + i - run, run);
                run = 0;
            }
        }
        pfn += n;
        count -= n;
    }
    if (run > 0) {
        free_run(pfn - run, run);
    }
}

void frame_put(uint64_t pfn) {
    frame_put_run(pfn, 1);
}

uint64_t frames_used(void) {
    return atomic_load_relaxed(&g_frames.used);
}

uint64_t frames_total(void) {
    uint64_t limit = hal_memory()->limit_bytes >> PAGE_SHIFT;
    return limit != 0 && limit < g_frames.frame_count ? limit : g_frames.frame_count;
}
