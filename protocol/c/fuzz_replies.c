/* Fuzzes what upscaler.h does with a service's messages: the reader, and the states behind it.
 *
 *     python ../../tests/protocol/fuzz_seeds.py seeds
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
 *         fuzz_replies.c -lzmq -o fuzz_replies
 *     ./fuzz_replies -max_total_time=600 -max_len=4096 corpus seeds
 *
 * With -DFUZZ_FILES, and any compiler, it is a program that takes the files it is given, once each.
 *
 * An input is one byte, what the client asks for, and then steps: a byte for what happens, two
 * lengths of 16 bits, and as many bytes, the parts of a message. No socket is open: messages are put
 * where one would have been received, frames are in flight because the client's tables say so.
 */
#define UPSCALER_IMPLEMENTATION
#include "upscaler.h"

#include <sys/file.h>

#define SEGMENT "upscaler-fuzz" /* what a WELCOME has to name */
#define WIDTH 8
#define HEIGHT 4
#define IMAGES 64

/* Steps, by their lowest three bits. */
enum { MESSAGE, SUBMIT, POLL, RELEASE, ACQUIRE, LOOK };
#define PREFIXED 8 /* a message's prefix is made valid, its kind being the upper four bits */

typedef struct fuzz_input {
    const uint8_t *bytes;
    size_t size;
} fuzz_input;

static upscaler_client client;
static upscaler_image images[IMAGES]; /* results and frames, of this session and of former ones */
static uint32_t image_count;
static uint8_t *exact; /* memory of the segment, to the byte, so that the sanitizer sees its ends */

static void check(int holds, const char *what) {
    if (holds) return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
}

static upscaler_welcome agreed; /* of the open session */

static void keep(const upscaler_image *image) { images[image_count++ % IMAGES] = *image; }

/* Read and write every pixel, and the padding between rows that belongs to an image. */
static void touch(const upscaler_image *image) {
    const uint32_t row = image->width * ups_channels(image->pixel_format);
    uint32_t y;
    check(image->stride >= row, "a stride shorter than a row");
    for (y = 0; y < image->height; y++) {
        uint8_t *pixels = image->pixels + (size_t)y * image->stride;
        pixels[0] = (uint8_t)(pixels[0] + pixels[row - 1]);
        memset(pixels, pixels[row / 2], row);
    }
}

/* A result that lies where it should: in the slot of its own frame, all of it. */
static void check_result(const upscaler_client *c, const upscaler_image *image) {
    const uint64_t bytes = (uint64_t)image->stride * image->height;
    check(image->width == 2 * WIDTH && image->height == 2 * HEIGHT, "the size of a result");
    check(c->slot_state[image->slot] == UPS_RETURNED, "a result in a slot that holds none");
    if (agreed.transport == UPSCALER_SHARED_MEMORY) {
        const uint64_t begin = agreed.slot_count * agreed.slot_bytes;
        const uint64_t at = (uint64_t)(image->pixels - c->memory) - begin;
        check(at == image->slot * agreed.result_slot_bytes, "a result beside its slot");
        check(bytes <= agreed.result_slot_bytes, "a result beyond its slot");
        check(begin + at + bytes <= c->memory_bytes, "a result beyond the memory");
    }
    touch(image);
}

static void check_invariants(const upscaler_client *c) {
    uint32_t slot, i, submitted = 0;
    check(c->slot_count <= UPSCALER_MAX_SLOTS && c->flying <= UPSCALER_MAX_CREDITS, "counts");
    check(c->waiting_count <= UPSCALER_MAX_WAITING, "the ring is over-full");
    check(c->waiting_first < UPSCALER_MAX_WAITING, "the ring's begin");
    check(memchr(c->text, 0, sizeof c->text) != NULL, "a sentence without an end");
    for (slot = 0; slot < UPSCALER_MAX_SLOTS; slot++) {
        submitted += c->slot_state[slot] == UPS_SUBMITTED;
        check(
            !c->has_message[slot] || c->slot_state[slot] == UPS_RETURNED, "a message left behind");
        check(c->slot_state[slot] == UPS_FREE || slot < c->slot_count, "a slot that is not there");
    }
    if (c->state != UPS_OPEN) agreed.credits = 0;
    if (c->state == UPS_OPEN && !agreed.credits) agreed = c->welcome;
    check(c->state != UPS_OPEN || !memcmp(&agreed, &c->welcome, sizeof agreed),
        "an open session that has changed");
    check(submitted == c->flying, "slots submitted and frames in flight");
    for (i = 0; i < c->flying; i++) {
        check(c->slot_state[c->flying_slots[i]] == UPS_SUBMITTED, "a frame in flight in no slot");
        check(i == 0 || c->flying_ids[i - 1] < c->flying_ids[i], "ids of frames in flight");
    }
}

/* A session that is over: what upscaler_connect does before it asks anew. */
static void begin_again(upscaler_client *c) {
    if (c->memory == exact) c->memory = NULL;
    ups_end_session(c);
    c->lost = 0;
    c->state = UPS_OPENING;
}

static void receive(
    upscaler_client *c, uint8_t step, const uint8_t *first, size_t size, fuzz_input second) {
    zmq_msg_t message;
    ups_event event;
    uint8_t *header = (uint8_t *)malloc(size ? size : 1); /* a block of its own, to the byte */
    int parts = second.size ? 2 : 1;
    if (size) memcpy(header, first, size);
    if ((step & PREFIXED) && size >= sizeof(upscaler_prefix)) {
        const upscaler_prefix prefix = ups_prefix(step >> 4, size);
        memcpy(header, &prefix, sizeof prefix);
    }
    zmq_msg_init_size(&message, second.size);
    if (second.size) memcpy(zmq_msg_data(&message), second.bytes, second.size);
    event = ups_read(c, header, size, zmq_msg_data(&message), zmq_msg_size(&message), parts);
    if (c->state == UPS_OPENING) {
        ups_opening(c, &event);
        if (c->state == UPS_NEW) c->state = UPS_OPENING; /* upscaler_connect says HELLO again */
    } else if (c->state == UPS_OPEN && c->waiting_count < UPSCALER_MAX_WAITING) {
        const uint32_t at = (c->waiting_first + c->waiting_count) % UPSCALER_MAX_WAITING;
        if (ups_act(c, &event, &message, &c->waiting[at])) {
            const upscaler_image *const image = &c->waiting[at].result.image;
            c->waiting_count++;
            if (image->pixels) check_result(c, image);
        }
    }
    zmq_msg_close(&message);
    free(header);
}

/* As upscaler_submit does, but for the socket. */
static void submit(upscaler_client *c) {
    upscaler_image frame;
    if (c->flying >= c->hello.credits || c->flying >= c->welcome.credits) return;
    if (upscaler_acquire(c, &frame) != UPSCALER_OK) return;
    touch(&frame);
    c->flying_ids[c->flying] = ++c->last_frame_id;
    c->flying_slots[c->flying++] = frame.slot;
    c->slot_state[frame.slot] = UPS_SUBMITTED;
    keep(&frame);
}

static void take(upscaler_client *c, uint8_t step, fuzz_input first, fuzz_input second) {
    upscaler_image image;
    upscaler_upscaled result;
    upscaler_statistics statistics;
    uint64_t ids[UPSCALER_MAX_CREDITS];
    switch (step & 7) {
    case SUBMIT: submit(c); break;
    case POLL:
        if (upscaler_poll(c, &result) == UPSCALER_OK && result.image.pixels) {
            touch(&result.image);
            keep(&result.image);
        }
        break;
    case RELEASE: upscaler_release(c, &images[(image_count - 1 - (step >> 3)) % IMAGES]); break;
    case ACQUIRE:
        if (upscaler_acquire(c, &image) == UPSCALER_OK) {
            image.stride = image.max_stride;
            touch(&image);
            keep(&image);
        }
        break;
    case LOOK:
        if (upscaler_stats(c, &statistics) == UPSCALER_OK)
            check(statistics.recent <= UPSCALER_RECENT, "recent frames");
        check(upscaler_lost_frames(c, ids, UPSCALER_MAX_CREDITS) <= UPSCALER_MAX_CREDITS, "lost");
        break;
    default: receive(c, step, first.bytes, first.size, second); break;
    }
    if (c->state == UPS_LOST && (step & 7) == LOOK) begin_again(c);
}

/* What the first byte says: format, transport, credits, and whether the session is open. */
static void set_up(upscaler_client *c, uint8_t wanted) {
    upscaler_hello *hello = &c->hello;
    upscaler_welcome *welcome = &c->welcome;
    memset(c, 0, sizeof *c);
    c->self = c;
    hello->width = WIDTH, hello->height = HEIGHT;
    hello->scale_numerator = 2, hello->scale_denominator = 1;
    hello->pixel_format = wanted & 1 ? UPSCALER_RGBA8 : UPSCALER_RGB8;
    hello->transport = wanted & 2 ? UPSCALER_SHARED_MEMORY : UPSCALER_INLINE;
    hello->credits = (uint16_t)(1 + (wanted >> 4 & 7));
    c->may_go_inline = wanted & 8;
    c->state = UPS_OPENING;
    memset(images, 0, sizeof images);
    image_count = 0;
    agreed.credits = 0;
    if (!(wanted & 4)) return;
    welcome->upscaled_width = 2 * WIDTH, welcome->upscaled_height = 2 * HEIGHT;
    welcome->credits = hello->credits;
    welcome->pixel_format = hello->pixel_format;
    welcome->transport = hello->transport;
    c->state = UPS_OPEN;
    if (hello->transport == UPSCALER_INLINE) {
        check(ups_furnish(c) == UPSCALER_OK, "memory for frames");
        return;
    }
    welcome->slot_count = (uint16_t)(2 * hello->credits + 1);
    welcome->slot_bytes = WIDTH * HEIGHT * ups_channels(hello->pixel_format);
    welcome->result_slot_bytes = 4 * welcome->slot_bytes;
    c->slot_count = welcome->slot_count;
    c->slot_bytes = welcome->slot_bytes;
    c->max_stride = (uint32_t)(welcome->slot_bytes / HEIGHT);
    exact = (uint8_t *)calloc(c->slot_count, 5 * (size_t)welcome->slot_bytes);
    c->memory = exact;
    c->memory_bytes = c->slot_count * 5 * (size_t)welcome->slot_bytes;
}

static void remove_segment(void) { unlink("/dev/shm/" SEGMENT); }

/* Locked for as long as this process lives: services that start remove those that are not. */
static void make_segment(void) {
    int file;
    do {
        file = open("/dev/shm/" SEGMENT, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        check(file >= 0 && ftruncate(file, 1 << 20) == 0, "a segment in /dev/shm");
        check(flock(file, LOCK_SH) == 0, "a lock of it");
    } while (access("/dev/shm/" SEGMENT, F_OK) != 0);
    atexit(remove_segment);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static int prepared;
    if (!prepared++) make_segment();
    if (!size) return 0;
    set_up(&client, *data++);
    size--;
    check_invariants(&client);
    while (size) {
        const uint8_t step = *data++;
        fuzz_input first = {NULL, 0}, second = {NULL, 0};
        size--;
        if ((step & 7) == MESSAGE || (step & 7) > LOOK) {
            if (size < 4) break;
            first.size = data[0] | (size_t)data[1] << 8;
            second.size = data[2] | (size_t)data[3] << 8;
            data += 4, size -= 4;
            if (first.size > size) first.size = size;
            first.bytes = data, data += first.size, size -= first.size;
            if (second.size > size) second.size = size;
            second.bytes = data, data += second.size, size -= second.size;
        }
        take(&client, step, first, second);
        check_invariants(&client);
    }
    begin_again(&client);
    free(client.inline_memory);
    free(exact);
    exact = NULL;
    return 0;
}

#ifdef FUZZ_FILES
int main(int count, char **names) {
    static uint8_t bytes[1 << 16];
    int i;
    for (i = 1; i < count; i++) {
        FILE *file = fopen(names[i], "rb");
        check(file != NULL, names[i]);
        LLVMFuzzerTestOneInput(bytes, fread(bytes, 1, sizeof bytes, file));
        fclose(file);
    }
    printf("%d inputs\n", count - 1);
    return 0;
}
#endif
