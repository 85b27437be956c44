/* Drives upscaler.h for `upscaler conformance`: one command a line on stdin, one answer on stdout.
 * The language: docs/conformance.md.
 *
 *     cc -std=c99 -O2 conformance_driver.c -lzmq -o driver
 *     upscaler conformance --command ./driver
 */
#define UPSCALER_IMPLEMENTATION
#include "upscaler.h"

#define LINE_BYTES 1100

typedef struct kept_result {
    uint64_t frame_id;
    upscaler_image image;
} kept_result;

static upscaler_client client;
static upscaler_image submitted; /* as it was when it was submitted last */
static kept_result kept[UPSCALER_MAX_SLOTS];
static int kept_count;
static int submit_timeout_ms;

/* -- Lines -- */

static int hex_digit(char x) {
    if (x >= '0' && x <= '9') return x - '0';
    if (x >= 'A' && x <= 'F') return x - 'A' + 10;
    return x >= 'a' && x <= 'f' ? x - 'a' + 10 : 0;
}

/* Copy the value of ` key=` in a line, decoded; "" when it has no such key. */
static const char *value_of(const char *line, const char *key, char value[LINE_BYTES]) {
    char sought[32];
    const char *at;
    size_t n = 0;
    snprintf(sought, sizeof sought, " %s=", key);
    at = strstr(line, sought);
    for (at = at ? at + strlen(sought) : ""; *at && *at != ' '; at++) {
        if (*at == '%' && at[1] && at[2]) {
            value[n++] = (char)(16 * hex_digit(at[1]) + hex_digit(at[2]));
            at += 2;
        } else {
            value[n++] = *at;
        }
    }
    value[n] = 0;
    return value;
}

static int is(const char *line, const char *command) {
    const size_t length = strlen(command);
    return !strncmp(line, command, length) && (line[length] == ' ' || !line[length]);
}

static long number_of(const char *line, const char *key) {
    char value[LINE_BYTES];
    return strtol(value_of(line, key, value), NULL, 10);
}

static void print_encoded(const char *text) {
    for (; *text; text++) {
        const unsigned char x = (unsigned char)*text;
        if (x < 33 || x > 126 || x == '%')
            printf("%%%02X", x);
        else
            putchar(x);
    }
}

static void print_error(int code, uint64_t frame_id) {
    printf("error code=%d", code);
    if (frame_id) printf(" id=%llu", (unsigned long long)frame_id);
    printf(" message=");
    print_encoded(upscaler_error_text(&client));
    putchar('\n');
}

/* -- Pixels -- */

static void fill(const upscaler_image *frame, uint32_t seed) {
    const uint32_t row = frame->width * ups_channels(frame->pixel_format);
    uint32_t x, y;
    for (y = 0; y < frame->height; y++) {
        uint8_t *pixels = frame->pixels + (size_t)y * frame->stride;
        for (x = 0; x < row; x++) pixels[x] = (uint8_t)(seed * 31 + x * 3 + y * 5 + ((x * y) >> 3));
    }
}

static uint32_t crc_of(const upscaler_image *image) {
    const uint32_t row = image->width * ups_channels(image->pixel_format);
    uint32_t table[256], crc = 0xFFFFFFFFu, i, x, y;
    for (i = 0; i < 256; i++) {
        int bit;
        table[i] = i;
        for (bit = 0; bit < 8; bit++) table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xEDB88320u : 0);
    }
    for (y = 0; y < image->height; y++) {
        const uint8_t *pixels = image->pixels + (size_t)y * image->stride;
        for (x = 0; x < row; x++) crc = crc >> 8 ^ table[(crc ^ pixels[x]) & 255];
    }
    return ~crc;
}

/* -- Commands -- */

static void open_session(const char *line) {
    char endpoint[LINE_BYTES], method[LINE_BYTES], fallback[LINE_BYTES], value[LINE_BYTES];
    char name[33];
    upscaler_options options = upscaler_default_options();
    upscaler_welcome welcome;
    unsigned numerator = 0, denominator = 0;
    int code;
    options.endpoint = value_of(line, "endpoint", endpoint);
    options.method = value_of(line, "method", method);
    options.fallback = value_of(line, "fallback", fallback);
    options.name = "conformance, C";
    options.width = (uint32_t)number_of(line, "width");
    options.height = (uint32_t)number_of(line, "height");
    sscanf(value_of(line, "scale", value), "%u/%u", &numerator, &denominator);
    options.scale_numerator = (uint16_t)numerator;
    options.scale_denominator = (uint16_t)denominator;
    value_of(line, "format", value);
    options.pixel_format = (uint8_t)(!strcmp(value, "rgb8")    ? UPSCALER_RGB8
                                     : !strcmp(value, "bgr8")  ? UPSCALER_BGR8
                                     : !strcmp(value, "rgba8") ? UPSCALER_RGBA8
                                     : !strcmp(value, "bgra8") ? UPSCALER_BGRA8
                                                               : 0);
    value_of(line, "transport", value);
    options.transport = (uint8_t)(!strcmp(value, "shm")      ? UPSCALER_SHARED_MEMORY
                                  : !strcmp(value, "inline") ? UPSCALER_INLINE
                                  : !strcmp(value, "auto")   ? UPSCALER_AUTO
                                                             : 255);
    value_of(line, "delivery", value);
    options.delivery = (uint8_t)(!strcmp(value, "latest")  ? UPSCALER_LATEST
                                 : !strcmp(value, "every") ? UPSCALER_EVERY
                                                           : 0);
    options.credits = (uint16_t)number_of(line, "credits");
    options.sharpness_stops = (float)strtod(value_of(line, "sharpness", value), NULL);
    submit_timeout_ms = (int)number_of(line, "timeout_ms");
    kept_count = 0;
    memset(&submitted, 0, sizeof submitted);
    code = upscaler_open(&client, &options);
    if (!code) code = upscaler_connect(&client, submit_timeout_ms);
    if (code) {
        print_error(code, 0);
        upscaler_close(&client);
        return;
    }
    upscaler_welcomed(&client, &welcome);
    memcpy(name, welcome.method, 32);
    name[32] = 0;
    printf("ok transport=%s width=%u height=%u credits=%u method=",
        welcome.transport == UPSCALER_SHARED_MEMORY ? "shm" : "inline", welcome.upscaled_width,
        welcome.upscaled_height, welcome.credits);
    print_encoded(name);
    putchar('\n');
}

static void submit(const char *line) {
    char value[LINE_BYTES];
    upscaler_image frame;
    uint64_t frame_id;
    const uint32_t stride = (uint32_t)number_of(line, "stride");
    int code = upscaler_acquire(&client, &frame);
    if (code) {
        print_error(code, 0);
        return;
    }
    if (stride) frame.stride = stride;
    /* Memory ends where max_stride does: a stride that is too long must not be filled. */
    if (frame.stride >= frame.width * ups_channels(frame.pixel_format) &&
        frame.stride <= frame.max_stride)
        fill(&frame, (uint32_t)number_of(line, "seed"));
    code = upscaler_submit(
        &client, &frame, strtod(value_of(line, "deadline_ms", value), NULL), &frame_id);
    if (code) {
        print_error(code, 0);
        upscaler_release(&client, &frame);
        return;
    }
    submitted = frame;
    printf("ok id=%llu\n", (unsigned long long)frame_id);
}

static void submit_again(void) {
    const int code = upscaler_submit(&client, &submitted, 0, NULL);
    if (code)
        print_error(code, 0);
    else
        puts("ok");
}

static void receive(const char *line) {
    static const char *const outcomes[] = {"", "upscaled", "dropped", "fallback"};
    upscaler_upscaled result;
    const int code = upscaler_wait(&client, &result, (int)number_of(line, "timeout_ms"));
    if (code) {
        uint64_t lost[UPSCALER_MAX_CREDITS];
        uint32_t i, count = upscaler_lost_frames(&client, lost, UPSCALER_MAX_CREDITS);
        if (code != UPSCALER_E_SERVICE_LOST && code != UPSCALER_E_SHUTTING_DOWN) {
            print_error(code, result.frame_id);
            return;
        }
        printf("error code=%d lost=", code);
        for (i = 0; i < count; i++) printf(i ? ",%llu" : "%llu", (unsigned long long)lost[i]);
        printf(" message=");
        print_encoded(upscaler_error_text(&client));
        putchar('\n');
        return;
    }
    printf("ok id=%llu outcome=%s", (unsigned long long)result.frame_id, outcomes[result.outcome]);
    if (result.image.pixels) {
        printf(" crc=%08x", crc_of(&result.image));
        if (number_of(line, "keep") && kept_count < UPSCALER_MAX_SLOTS) {
            kept[kept_count].frame_id = result.frame_id;
            kept[kept_count++].image = result.image;
        } else {
            upscaler_release(&client, &result.image);
        }
    }
    putchar('\n');
}

static void release(const char *line) {
    const uint64_t frame_id = (uint64_t)number_of(line, "id");
    int i = 0;
    while (i < kept_count && kept[i].frame_id != frame_id) i++;
    if (i == kept_count) {
        puts("error code=18 message=no%20such%20result%20is%20kept");
        return;
    }
    printf("ok crc=%08x\n", crc_of(&kept[i].image));
    upscaler_release(&client, &kept[i].image);
    kept[i] = kept[--kept_count];
}

static void print_stats(void) {
    upscaler_statistics s;
    upscaler_stats(&client, &s);
    printf("ok frames=%llu fallbacks=%llu dropped=%llu missed=%llu failed=%llu lost=%llu\n",
        (unsigned long long)(s.upscaled + s.fallbacks), (unsigned long long)s.fallbacks,
        (unsigned long long)s.dropped, (unsigned long long)s.missed, (unsigned long long)s.failed,
        (unsigned long long)s.lost);
}

int main(void) {
    char line[LINE_BYTES];
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\r\n")] = 0;
        if (is(line, "hello")) {
            puts("ok client=upscaler.h transports=shm,inline");
        } else if (is(line, "open")) {
            open_session(line);
        } else if (is(line, "submit")) {
            submit(line);
        } else if (is(line, "submit_again")) {
            submit_again();
        } else if (is(line, "receive")) {
            receive(line);
        } else if (is(line, "release")) {
            release(line);
        } else if (is(line, "reconnect")) {
            const int code = upscaler_connect(&client, (int)number_of(line, "timeout_ms"));
            kept_count = 0;
            if (code)
                print_error(code, 0);
            else
                puts("ok");
        } else if (is(line, "stats")) {
            print_stats();
        } else {
            upscaler_close(&client); /* close and quit */
            puts(is(line, "close") || is(line, "quit") ? "ok"
                                                       : "error code=18 message=unknown%20command");
            if (is(line, "quit")) return 0;
        }
        fflush(stdout);
    }
    upscaler_close(&client);
    return 0;
}
