/* A game in C that does what games should and should not; test_c_header.py runs it.
 *
 *     c_client formats|signals|wrong|refused|lost ENDPOINT shm|inline
 *     c_client upscale ENDPOINT shm|inline METHOD WIDTH HEIGHT < rgba8 > rgba8, twice the size
 *
 * `signals` is `formats`, interrupted two thousand times a second. `lost` says on stdout how far it
 * is, and waits for a line on stdin while the service is killed.
 */
#define _GNU_SOURCE /* for setitimer */
#define UPSCALER_IMPLEMENTATION
#include "upscaler.h"

#include <signal.h>
#include <sys/time.h>

#include "c_client.h"

upscaler_client client;

void expect(int holds, const char *what, int line) {
    if (holds) return;
    fprintf(stderr, "line %d: not so: %s (%s)\n", line, what, upscaler_error_text(&client));
    exit(1);
}

void expect_code(const upscaler_client *c, int wanted, int code, const char *call, int line) {
    if (code == wanted) return;
    fprintf(stderr, "line %d: %s is %s instead of %s: %s\n", line, call, upscaler_error_name(code),
        upscaler_error_name(wanted), upscaler_error_text(c));
    exit(1);
}

int says(const char *words) { return strstr(upscaler_error_text(&client), words) != NULL; }

upscaler_options options_for(const char *endpoint, const char *transport) {
    upscaler_options options = upscaler_default_options();
    options.endpoint = endpoint;
    options.transport = UPSCALER_AUTO;
    if (!strcmp(transport, "shm")) options.transport = UPSCALER_SHARED_MEMORY;
    if (!strcmp(transport, "inline")) options.transport = UPSCALER_INLINE;
    options.method = "nearest";
    options.name = "c_client";
    options.width = 20;
    options.height = 6;
    return options;
}

void begin(const upscaler_options *options) {
    EXPECT_CODE(OK, upscaler_open(&client, options));
    EXPECT_CODE(OK, upscaler_connect(&client, PATIENCE_MS));
}

uint32_t channels(const upscaler_image *image) {
    return image->pixel_format == UPSCALER_RGBA8 || image->pixel_format == UPSCALER_BGRA8 ? 4 : 3;
}

static uint8_t pixel(uint32_t seed, uint32_t x, uint32_t y, uint32_t channel) {
    return (uint8_t)(seed * 41 + x * 7 + y * 29 + channel * 101);
}

void fill(const upscaler_image *frame, uint32_t seed) {
    const uint32_t n = channels(frame);
    uint32_t x, y, i;
    for (y = 0; y < frame->height; y++) {
        uint8_t *row = frame->pixels + (size_t)y * frame->stride;
        memset(row, 0xEE, y + 1 < frame->height ? frame->stride : n * frame->width);
        for (x = 0; x < frame->width; x++)
            for (i = 0; i < n; i++) row[n * x + i] = pixel(seed, x, y, i);
    }
}

/* Whether an image is the frame of that seed with every pixel repeated `scale` times each way. */
int is_upscaled(const upscaler_image *image, uint32_t seed, uint32_t scale) {
    const uint32_t n = channels(image);
    uint32_t x, y, i;
    for (y = 0; y < image->height; y++)
        for (x = 0; x < image->width; x++)
            for (i = 0; i < n; i++) {
                const uint8_t got = image->pixels[(size_t)y * image->stride + n * x + i];
                if (got != pixel(seed, x / scale, y / scale, i)) return 0;
            }
    return 1;
}

static uint64_t send(uint32_t seed) {
    upscaler_image frame;
    uint64_t id;
    EXPECT_CODE(OK, upscaler_acquire(&client, &frame));
    fill(&frame, seed);
    EXPECT_CODE(OK, upscaler_submit(&client, &frame, 0, &id));
    EXPECT(frame.pixels == NULL);
    return id;
}

/* -- What games should do -- */

/* Every format, scale and stride; frames in flight together; results kept while others come. */
static void formats(const char *endpoint, const char *transport) {
    const int shared = !strcmp(transport, "shm");
    uint32_t round, seed = 1;
    uint8_t format;
    for (format = UPSCALER_RGB8; format <= UPSCALER_BGRA8; format++) {
        upscaler_options options = options_for(endpoint, transport);
        upscaler_welcome welcome;
        upscaler_statistics statistics;
        upscaler_upscaled result, kept;
        options.pixel_format = format;
        options.scale_numerator = (uint16_t)(1 + format % 4);
        options.delivery = UPSCALER_EVERY;
        begin(&options);
        EXPECT_CODE(OK, upscaler_welcomed(&client, &welcome));
        EXPECT(welcome.transport == (shared ? UPSCALER_SHARED_MEMORY : UPSCALER_INLINE));
        EXPECT(!strcmp(welcome.method, "nearest") && welcome.credits == 3);
        EXPECT(welcome.upscaled_width == 20u * options.scale_numerator);
        EXPECT(!*upscaler_inline_reason(&client));
        memset(&kept, 0, sizeof kept);
        for (round = 0; round < 6; round++, seed++) {
            upscaler_image frame;
            uint64_t id;
            EXPECT_CODE(OK, upscaler_acquire(&client, &frame));
            EXPECT(frame.width == 20 && frame.height == 6 && frame.pixel_format == format);
            EXPECT(frame.stride == 20 * channels(&frame));
            if (round % 3 == 1) frame.stride += 7;
            if (round % 3 == 2) frame.stride = frame.max_stride;
            fill(&frame, seed);
            EXPECT_CODE(OK, upscaler_submit(&client, &frame, round == 3 ? 5000 : 0, &id));
            EXPECT(id == round + 1 && upscaler_in_flight(&client) == 1);
            EXPECT_CODE(OK, upscaler_wait(&client, &result, PATIENCE_MS));
            EXPECT(result.frame_id == id && result.outcome == UPSCALER_UPSCALED);
            EXPECT(result.image.height == 6u * options.scale_numerator);
            EXPECT(is_upscaled(&result.image, seed, options.scale_numerator));
            EXPECT((result.deadline_ns != 0) == (round == 3));
            EXPECT(result.submitted_ns <= result.received_ns);
            EXPECT(result.received_ns <= result.started_ns);
            EXPECT(result.started_ns <= result.finished_ns);
            EXPECT(result.finished_ns <= result.returned_ns);
            EXPECT(result.returned_ns <= result.arrived_ns);
            if (kept.image.pixels) {
                EXPECT(is_upscaled(&kept.image, seed - 1, options.scale_numerator));
                EXPECT_CODE(OK, upscaler_release(&client, &kept.image));
                EXPECT(!kept.image.pixels);
            }
            kept = result;
        }
        memset(kept.image.pixels, 1, (size_t)kept.image.stride * kept.image.height);
        for (round = 0; round < 3; round++) send(seed + round);
        for (round = 0; round < 3; round++) {
            EXPECT_CODE(OK, upscaler_wait(&client, &result, PATIENCE_MS));
            EXPECT(result.frame_id == 7 + round);
            EXPECT(is_upscaled(&result.image, seed + round, options.scale_numerator));
        }
        EXPECT_CODE(OK, upscaler_stats(&client, &statistics));
        EXPECT(statistics.submitted == 9 && statistics.upscaled == 9 && statistics.recent == 9);
        EXPECT(!statistics.dropped && !statistics.failed && !statistics.lost);
        EXPECT(statistics.fps > 0 && statistics.total.p50_ms > 0);
        EXPECT(statistics.total.p50_ms <= statistics.total.p95_ms);
        EXPECT(statistics.total.p95_ms <= statistics.total.p99_ms);
        upscaler_close(&client);
    }
}

static volatile sig_atomic_t interruptions;

static void interrupt(int number) {
    (void)number;
    interruptions++;
}

static void signals(const char *endpoint, const char *transport) {
    const struct itimerval often = {{0, 500}, {0, 500}}, never = {{0, 0}, {0, 0}};
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = interrupt; /* without SA_RESTART: calls return EINTR */
    EXPECT(sigaction(SIGALRM, &action, NULL) == 0);
    EXPECT(setitimer(ITIMER_REAL, &often, NULL) == 0);
    formats(endpoint, transport);
    EXPECT(setitimer(ITIMER_REAL, &never, NULL) == 0);
    EXPECT(interruptions > 0);
}

static void upscale(const char *endpoint, const char *transport, char **arguments) {
    upscaler_options options = options_for(endpoint, transport);
    upscaler_image frame;
    upscaler_upscaled result;
    size_t bytes;
    options.method = arguments[0];
    options.width = (uint32_t)atoi(arguments[1]);
    options.height = (uint32_t)atoi(arguments[2]);
    options.credits = 1;
    begin(&options);
    EXPECT_CODE(OK, upscaler_acquire(&client, &frame));
    bytes = (size_t)frame.stride * frame.height;
    EXPECT(fread(frame.pixels, 1, bytes, stdin) == bytes);
    EXPECT_CODE(OK, upscaler_submit(&client, &frame, 0, NULL));
    EXPECT_CODE(OK, upscaler_wait(&client, &result, PATIENCE_MS));
    bytes = (size_t)result.image.stride * result.image.height;
    EXPECT(fwrite(result.image.pixels, 1, bytes, stdout) == bytes);
    upscaler_close(&client);
}

/* What the service refuses; the client may ask again, and others go on. */
static void refused(const char *endpoint, const char *transport) {
    upscaler_options options = options_for(endpoint, transport);
    upscaler_welcome welcome;
    int i;
    options.method = "no-such-method";
    EXPECT_CODE(OK, upscaler_open(&client, &options));
    for (i = 0; i < 2; i++) {
        EXPECT_CODE(E_UNKNOWN_METHOD, upscaler_connect(&client, PATIENCE_MS));
        EXPECT(says("no-such-method"));
        EXPECT_CODE(E_SERVICE_LOST, upscaler_welcomed(&client, &welcome));
    }
    upscaler_close(&client);
    options.method = "nearest";
    options.width = 21;
    options.scale_numerator = 3, options.scale_denominator = 2;
    EXPECT_CODE(OK, upscaler_open(&client, &options));
    EXPECT_CODE(E_UNSUPPORTED_SIZE, upscaler_connect(&client, PATIENCE_MS));
    upscaler_close(&client);
    options.width = 20;
    options.fallback = "no-such-filter";
    EXPECT_CODE(OK, upscaler_open(&client, &options));
    EXPECT_CODE(E_UNKNOWN_METHOD, upscaler_connect(&client, PATIENCE_MS));
    upscaler_close(&client);
}

static void tell(const char *what) {
    char line[16];
    printf("%s\n", what);
    fflush(stdout);
    EXPECT(fgets(line, sizeof line, stdin) != NULL);
}

/* A service that stops answering, is killed, comes back, and ends in order. */
static void lost(const char *endpoint, const char *transport) {
    upscaler_options options = options_for(endpoint, transport);
    upscaler_image frame, held;
    upscaler_upscaled result, old;
    upscaler_statistics statistics;
    uint64_t ids[8], id;
    int i, code;
    EXPECT_CODE(OK, upscaler_open(&client, &options));
    EXPECT_CODE(E_TIMEOUT, upscaler_connect(&client, 20)); /* nobody is there */
    EXPECT(says("has not answered"));
    tell("start");
    EXPECT_CODE(OK, upscaler_connect(&client, PATIENCE_MS));
    send(1);
    EXPECT_CODE(OK, upscaler_wait(&client, &old, PATIENCE_MS));
    tell("stop");
    for (i = 0; i < 3; i++) EXPECT(send((uint32_t)i) == 2u + (uint32_t)i);
    EXPECT_CODE(OK, upscaler_acquire(&client, &held));
    EXPECT_CODE(E_TOO_MANY_FRAMES, upscaler_submit(&client, &held, 0, &id));
    EXPECT_CODE(E_TIMEOUT, upscaler_poll(&client, &result));
    EXPECT_CODE(E_TIMEOUT, upscaler_wait(&client, &result, 20));
    tell("kill");
    EXPECT_CODE(E_SERVICE_LOST, upscaler_wait(&client, &result, PATIENCE_MS));
    EXPECT(says("has gone; 3 frames"));
    EXPECT(upscaler_lost_frames(&client, NULL, 0) == 3);
    EXPECT(upscaler_lost_frames(&client, ids, 2) == 3 && ids[0] == 2 && ids[1] == 3);
    EXPECT(upscaler_in_flight(&client) == 0);
    EXPECT_CODE(E_SERVICE_LOST, upscaler_acquire(&client, &frame));
    EXPECT_CODE(E_SERVICE_LOST, upscaler_submit(&client, &held, 0, NULL));
    EXPECT_CODE(E_SERVICE_LOST, upscaler_poll(&client, &result));
    EXPECT(is_upscaled(&old.image, 1, 2)); /* it lives until the client connects anew */
    EXPECT_CODE(OK, upscaler_release(&client, &old.image));
    EXPECT_CODE(E_TIMEOUT, upscaler_connect(&client, 0));
    EXPECT_CODE(E_TIMEOUT, upscaler_connect(&client, 150));
    tell("start");
    EXPECT_CODE(OK, upscaler_connect(&client, PATIENCE_MS));
    EXPECT_CODE(E_BAD_SLOT, upscaler_submit(&client, &held, 0, NULL)); /* of a former session */
    EXPECT_CODE(OK, upscaler_release(&client, &held));
    EXPECT(send(9) == 5); /* ids go on */
    EXPECT_CODE(OK, upscaler_wait(&client, &result, PATIENCE_MS));
    EXPECT(is_upscaled(&result.image, 9, 2));
    tell("end");
    /* It says goodbye, and what came before that counts. */
    code = upscaler_acquire(&client, &frame);
    if (!code) code = upscaler_submit(&client, &frame, 0, NULL);
    if (!code) code = upscaler_wait(&client, &result, PATIENCE_MS);
    EXPECT(code == UPSCALER_E_SHUTTING_DOWN || code == UPSCALER_E_SERVICE_LOST);
    EXPECT_CODE(OK, upscaler_stats(&client, &statistics));
    EXPECT(statistics.upscaled == 2);
    EXPECT(statistics.lost == 3u + upscaler_lost_frames(&client, NULL, 0));
    EXPECT_CODE(E_TIMEOUT, upscaler_connect(&client, 20));
    upscaler_close(&client);
}

int main(int count, char **arguments) {
    const char *const scenario = count > 2 ? arguments[1] : "";
    const char *const transport = count > 3 ? arguments[3] : "";
    if (!strcmp(scenario, "formats")) formats(arguments[2], transport);
    if (!strcmp(scenario, "signals")) signals(arguments[2], transport);
    if (!strcmp(scenario, "wrong")) wrong(arguments[2], transport);
    if (!strcmp(scenario, "refused")) refused(arguments[2], transport);
    if (!strcmp(scenario, "lost")) lost(arguments[2], transport);
    if (!strcmp(scenario, "upscale") && count > 6) upscale(arguments[2], transport, arguments + 4);
    return 0;
}
