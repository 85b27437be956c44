/* upscaler.h - a client of the upscaling service for game engines, in one file. C99, C11, C++17.
 *
 *     #define UPSCALER_IMPLEMENTATION   in exactly one source file, before any other include
 *     #include "upscaler.h"             needs zmq.h and -lzmq; nothing else
 *
 *     upscaler_client client;
 *     upscaler_options options = upscaler_default_options();
 *     options.width = 960, options.height = 540, options.pixel_format = UPSCALER_BGRA8;
 *     upscaler_open(&client, &options);
 *     while (playing) {
 *         upscaler_image frame;
 *         upscaler_upscaled result;
 *         if (upscaler_connect(&client, 0) == UPSCALER_OK &&          // does not wait
 *             upscaler_acquire(&client, &frame) == UPSCALER_OK) {
 *             render_into(frame.pixels, frame.stride);
 *             upscaler_submit(&client, &frame, 0, NULL);
 *         }
 *         if (upscaler_poll(&client, &result) == UPSCALER_OK && result.image.pixels) {
 *             show(result.image.pixels, result.image.stride);
 *             upscaler_release(&client, &result.image);
 *         }
 *     }
 *     upscaler_close(&client);
 *
 * Pixels lie in memory that this process shares with the service: the game renders into it and shows
 * results from it, and only headers travel. Where memory cannot be shared they travel in messages;
 * see upscaler_welcomed and options.transport.
 *
 * Errors. Functions return UPSCALER_OK or an upscaler_error_code; upscaler_error_text says it in a
 * sentence. NULL, closed clients and images of the past are errors, never crashes. Functions other
 * than upscaler_open want a client that it has filled, or all zero.
 *
 * Memory. An upscaler_client is the caller's, and is not to be moved while open; a copy is a closed
 * one. Nothing is allocated per frame here (libzmq allocates what a message needs). No thread is
 * started here (libzmq has two per client). A client belongs to one thread at a time.
 *
 * The messages, states and rules behind it: protocol/SPEC.md. Linux, macOS and Windows; only Linux
 * has been run. Little-endian machines only.
 */
#ifndef UPSCALER_H
#define UPSCALER_H

#if defined(UPSCALER_IMPLEMENTATION) && !defined(_WIN32)
#if !defined(_POSIX_C_SOURCE) && !defined(_GNU_SOURCE)
#define _POSIX_C_SOURCE 200809L
#endif
#if defined(__APPLE__) && !defined(_DARWIN_C_SOURCE)
#define _DARWIN_C_SOURCE
#endif
#endif

#include <stddef.h>
#include <stdint.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "upscaler.h: messages are written as they lie in memory, which must be little-endian"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- The messages, byte by byte ------------------------------------------------------------- */

#define UPSCALER_MAGIC "UPSC"
#define UPSCALER_MAJOR 1
#define UPSCALER_MINOR 0
#define UPSCALER_INLINE_SLOT 0xFFFFu
#define UPSCALER_MAX_CREDITS 8
#define UPSCALER_MAX_SIDE 8192u
#define UPSCALER_MAX_PIXELS (7680u * 4320u)

enum upscaler_kind {
    UPSCALER_HELLO = 1,
    UPSCALER_WELCOME = 2,
    UPSCALER_FRAME = 3,
    UPSCALER_RESULT = 4,
    UPSCALER_ERROR = 5,
    UPSCALER_KEEPALIVE = 6,
    UPSCALER_BYE = 7,
    UPSCALER_QUERY = 8,
    UPSCALER_LOAD = 9,
    UPSCALER_REPORT = 10
};

enum upscaler_pixel_format {
    UPSCALER_RGB8 = 1,
    UPSCALER_BGR8 = 2,
    UPSCALER_RGBA8 = 3,
    UPSCALER_BGRA8 = 4
};

enum upscaler_transport { UPSCALER_AUTO = 0, UPSCALER_INLINE = 1, UPSCALER_SHARED_MEMORY = 2 };
enum upscaler_delivery { UPSCALER_LATEST = 1, UPSCALER_EVERY = 2 };
enum upscaler_outcome { UPSCALER_UPSCALED = 1, UPSCALER_DROPPED = 2, UPSCALER_FALLBACK = 3 };

enum upscaler_error_code {
    UPSCALER_OK = 0,
    UPSCALER_E_INTERNAL = 1,
    UPSCALER_E_MALFORMED = 2,
    UPSCALER_E_UNSUPPORTED_VERSION = 3,
    UPSCALER_E_UNEXPECTED_MESSAGE = 4,
    UPSCALER_E_UNKNOWN_METHOD = 5,
    UPSCALER_E_UNSUPPORTED_SCALE = 6,
    UPSCALER_E_UNSUPPORTED_SIZE = 7,
    UPSCALER_E_UNSUPPORTED_FORMAT = 8,
    UPSCALER_E_UNKNOWN_MODEL = 9,
    UPSCALER_E_ENGINE_UNAVAILABLE = 10,
    UPSCALER_E_PIXELS_MISMATCH = 11,
    UPSCALER_E_TOO_MANY_FRAMES = 12,
    UPSCALER_E_TOO_MANY_CLIENTS = 13,
    UPSCALER_E_SHUTTING_DOWN = 14,
    UPSCALER_E_UNSUPPORTED_TRANSPORT = 15,
    UPSCALER_E_UNREADABLE_FILE = 16,
    UPSCALER_E_TIMEOUT = 17,
    UPSCALER_E_BAD_OPTION = 18,
    UPSCALER_E_BAD_SLOT = 19,
    UPSCALER_E_STALE_DEADLINE = 20,
    UPSCALER_E_SERVICE_LOST = 21,
    UPSCALER_E_NOT_ALLOWED = 22
};

/* The start of every header. KEEPALIVE, BYE, QUERY and REPORT have nothing behind it. */
typedef struct upscaler_prefix {
    char magic[4];
    uint8_t major;
    uint8_t minor;
    uint8_t kind;
    uint8_t zero;
    uint32_t size; /* of the whole header, in bytes */
    uint32_t zero2;
} upscaler_prefix;

/* Client to service: opens a session. An empty method asks for the service's default. */
typedef struct upscaler_hello {
    upscaler_prefix prefix;
    uint32_t width;
    uint32_t height;
    uint16_t scale_numerator;
    uint16_t scale_denominator;
    uint8_t pixel_format;
    uint8_t transport;
    uint8_t delivery;
    uint8_t pad;
    uint16_t credits; /* frames wanted in flight, 1 to 8 */
    uint16_t pad2;
    float sharpness_stops; /* FSR1; 0 is sharpest, 0.2 usual */
    char method[96];       /* a filter's may carry options: "fsr1:limiter=1.0,denoise" */
    char fallback[96];     /* of a frame that would be late: a filter, "drop", or "" for none */
    char client[32];
} upscaler_hello;

/* Service to client: the session is open. Slots and segment are zero when pixels are inline. In
 * shared memory frame slot i lies at i * slot_bytes of the segment, result slot i at
 * slot_count * slot_bytes + i * result_slot_bytes. FRAME hands the pair i over to the service,
 * RESULT or ERROR with that frame's id hands it back. */
typedef struct upscaler_welcome {
    upscaler_prefix prefix;
    uint32_t upscaled_width;
    uint32_t upscaled_height;
    uint16_t credits;
    uint8_t transport;
    uint8_t delivery;
    uint8_t pixel_format;
    uint8_t emulated; /* 1: another processor is imitated, times mean nothing */
    uint16_t slot_count;
    uint64_t slot_bytes;
    uint64_t result_slot_bytes;
    char method[32];
    char engine[32];
    char device[64];
    char segment[64];
} upscaler_welcome;

/* Client to service: one frame; inline pixels are the second part, stride * height bytes. The
 * deadline lies after submitted_ns, on the same clock. */
typedef struct upscaler_frame {
    upscaler_prefix prefix;
    uint64_t frame_id; /* starts at 1 and grows */
    uint64_t submitted_ns;
    uint64_t deadline_ns; /* 0: none */
    uint32_t width;
    uint32_t height;
    uint32_t stride; /* bytes from row to row */
    uint16_t slot;
    uint8_t pixel_format;
    uint8_t pad;
} upscaler_frame;

/* Service to client: one frame is done; inline pixels are the second part. One that was dropped has
 * no pixels. */
typedef struct upscaler_result {
    upscaler_prefix prefix;
    uint64_t frame_id;
    uint64_t submitted_ns;
    uint64_t received_ns;
    uint64_t started_ns;
    uint64_t finished_ns;
    uint64_t returned_ns;
    uint64_t deadline_ns; /* the frame's */
    uint32_t width;
    uint32_t height;
    uint32_t stride;
    uint16_t slot;
    uint8_t pixel_format;
    uint8_t outcome;
} upscaler_result;

/* Service to client: an error; its sentence is the second part. frame_id 0: about no frame. */
typedef struct upscaler_error {
    upscaler_prefix prefix;
    uint64_t frame_id;
    uint16_t code;
    uint8_t pad[6];
} upscaler_error;

/* ---- The client ------------------------------------------------------------------------------ */

#define UPSCALER_MAX_SLOTS (2 * UPSCALER_MAX_CREDITS + 1)
#define UPSCALER_MAX_WAITING 32 /* results that may wait to be polled */
#define UPSCALER_RECENT 256     /* frames whose times the statistics keep */
#define UPSCALER_TEXT_BYTES 512 /* longest sentence, with its zero */
#define UPSCALER_MAX_DEADLINE_MS 60000.0

/* What to ask the service for. Texts are copied by upscaler_open; NULL is "". */
typedef struct upscaler_options {
    const char *endpoint; /* tcp://127.0.0.1:PORT or ipc://PATH */
    const char *method;   /* "" for the service's default, "fsr1", "bicubic", ... */
    const char *fallback; /* of frames that would miss their deadline: a filter, "drop", or "" */
    const char *name;     /* of this client, in the service's log and in `upscaler top` */
    uint32_t width;       /* of the frames, in pixels, 1 to 8192 */
    uint32_t height;
    uint16_t scale_numerator; /* of the scale: 2/1, 3/2, 3/1, 4/1, or for filters any 1 to 4 */
    uint16_t scale_denominator;
    uint16_t credits;     /* frames in flight, 1 to 8; from 3 on, LATEST never has to wait */
    uint8_t pixel_format; /* enum upscaler_pixel_format */
    uint8_t transport;    /* enum upscaler_transport; AUTO shares memory where it can */
    uint8_t delivery; /* LATEST: a newer frame replaces one that waits; EVERY: none is dropped */
    float sharpness_stops; /* FSR1 alone: 0 is sharpest, 0.2 usual */
} upscaler_options;

/* A picture in the session's memory, sRGB-encoded, rows from the top. For a frame, stride may be set
 * before it is submitted, to anything from a row's bytes to max_stride. */
typedef struct upscaler_image {
    uint8_t *pixels; /* NULL: there are none */
    uint32_t width;
    uint32_t height;
    uint32_t stride; /* bytes from row to row */
    uint32_t max_stride;
    uint8_t pixel_format;
    uint8_t slot; /* this and what follows is for upscaler.h */
    uint64_t serial;
} upscaler_image;

/* What became of a frame. Times are ns of upscaler_now_ns; 0 where there is none. */
typedef struct upscaler_upscaled {
    uint64_t frame_id;
    int outcome;          /* enum upscaler_outcome; 0 for an error */
    upscaler_image image; /* yours until released; no pixels when DROPPED */
    uint64_t submitted_ns;
    uint64_t received_ns; /* by the service */
    uint64_t started_ns;
    uint64_t finished_ns;
    uint64_t returned_ns;
    uint64_t arrived_ns;  /* here */
    uint64_t deadline_ns; /* missed if finished_ns is later */
} upscaler_upscaled;

/* Percentiles of one stage over the recent frames, in milliseconds. */
typedef struct upscaler_percentiles {
    double p50_ms;
    double p95_ms;
    double p99_ms;
} upscaler_percentiles;

typedef struct upscaler_statistics {
    uint64_t submitted;
    uint64_t upscaled;  /* by the session's method */
    uint64_t fallbacks; /* by the fallback */
    uint64_t dropped;
    uint64_t failed;
    uint64_t lost;               /* with a service that has gone */
    uint64_t missed;             /* results after their deadline */
    uint32_t recent;             /* frames that the figures below are of */
    double fps;                  /* results a second */
    upscaler_percentiles sent;   /* from submit to the service */
    upscaler_percentiles waited; /* for other frames */
    upscaler_percentiles upscaling;
    upscaler_percentiles returned; /* from the end of upscaling to the transport */
    upscaler_percentiles arrived;  /* from there to here */
    upscaler_percentiles total;
    upscaler_percentiles overhead; /* total without upscaling */
} upscaler_statistics;

/* Space for a zmq_msg_t, so that this part needs no zmq.h. */
typedef union upscaler_message {
    unsigned char bytes[64];
    void *aligned;
} upscaler_message;

typedef struct upscaler_waiting {
    int code;
    upscaler_upscaled result;
    char text[UPSCALER_TEXT_BYTES];
} upscaler_waiting;

/* A client. All of it belongs to upscaler.h; set it to zero or give it to upscaler_open. */
typedef struct upscaler_client {
    const void *self; /* while open */
    int state;
    void *context;
    void *socket;
    void *monitor;
    uint32_t monitors;
    int lost;
    uint64_t heard_ns;
    uint64_t retry_ns;
    char endpoint[256];
    upscaler_hello hello;
    int may_go_inline;
    upscaler_welcome welcome;
    char inline_reason[UPSCALER_TEXT_BYTES];
    /* memory of frames and results */
    uint8_t *memory;
    size_t memory_bytes;
    uint8_t *inline_memory;
    uint64_t slot_bytes;
    uint32_t slot_count;
    uint32_t max_stride;
    uint8_t slot_state[UPSCALER_MAX_SLOTS];
    uint64_t slot_serial[UPSCALER_MAX_SLOTS];
    upscaler_message messages[UPSCALER_MAX_SLOTS];
    uint8_t has_message[UPSCALER_MAX_SLOTS];
    uint64_t last_serial;
    /* frames in flight, oldest first */
    uint64_t last_frame_id;
    uint64_t flying_ids[UPSCALER_MAX_CREDITS];
    uint8_t flying_slots[UPSCALER_MAX_CREDITS];
    uint32_t flying;
    uint64_t lost_ids[UPSCALER_MAX_CREDITS];
    uint32_t lost_count;
    /* results that have come and not been polled */
    upscaler_waiting waiting[UPSCALER_MAX_WAITING];
    uint32_t waiting_first;
    uint32_t waiting_count;
    upscaler_statistics counts;
    float recent_ms[7][UPSCALER_RECENT];
    uint64_t recent_ns[UPSCALER_RECENT];
    uint64_t recent_count;
    char text[UPSCALER_TEXT_BYTES];
} upscaler_client;

/* Options as they usually are: 2x, RGBA8, tcp://127.0.0.1:5560, the service's default method, the
 * latest frame wins, 3 credits. Width and height are 0 and have to be set. */
upscaler_options upscaler_default_options(void);

/* Fill *client and begin to connect; does not wait, whether or not a service is there.
 * Ownership: the client is open until upscaler_close, and is not to be opened again before; after an
 * error it is closed.
 * Errors: BAD_OPTION, UNSUPPORTED_SIZE, UNSUPPORTED_SCALE, UNSUPPORTED_FORMAT,
 * UNSUPPORTED_TRANSPORT for options that cannot be right; INTERNAL when libzmq fails. */
int upscaler_open(upscaler_client *client, const upscaler_options *options);

/* Open the session, or go on opening it, for at most timeout_ms (0: only look). OK at once while it
 * is open. After SERVICE_LOST it connects anew; images of the session before, and results that
 * nobody has polled, are then gone.
 * Errors: TIMEOUT while nobody has answered, or while a network is still being compiled (seconds);
 * call it again. The service's own code for what it refuses; the next call asks again. */
int upscaler_connect(upscaler_client *client, int timeout_ms);

/* Take a free slot for a frame. *frame is yours to fill until it is submitted or released.
 * Errors: BAD_SLOT when all are in use: release a result; SERVICE_LOST without a session. */
int upscaler_acquire(upscaler_client *client, upscaler_image *frame);

/* Send a frame that was acquired. It is the service's from here on: frame->pixels becomes NULL.
 * deadline_ms, 0 for none, is from now until it should be finished. *frame_id, which may be NULL, is
 * the frame's number. Does not wait.
 * Errors, after which the frame is still yours: TOO_MANY_FRAMES without a credit: poll or wait, then
 * submit again; STALE_DEADLINE; PIXELS_MISMATCH for the stride; TIMEOUT when the service takes
 * nothing; BAD_SLOT for a frame that is not acquired; SERVICE_LOST, which takes the frame with it. */
int upscaler_submit(
    upscaler_client *client, upscaler_image *frame, double deadline_ms, uint64_t *frame_id);

/* Return the next result if it is there; upscaler_wait waits for it, at most timeout_ms.
 * Results come in the order in which frames are done. result->image is yours until upscaler_release,
 * to write as well.
 * Errors: TIMEOUT when there is none yet; UNEXPECTED_MESSAGE when no frame is in flight. A frame's own
 * error, with result->frame_id: that frame has no result. Others have frame_id 0.
 * SERVICE_LOST, or SHUTTING_DOWN, when the service has gone: see upscaler_lost_frames. */
int upscaler_poll(upscaler_client *client, upscaler_upscaled *result);
int upscaler_wait(upscaler_client *client, upscaler_upscaled *result, int timeout_ms);

/* Give the slot of a result, or of an acquired frame, back; image->pixels becomes NULL.
 * Does nothing to what has been released, or belongs to an earlier session. */
int upscaler_release(upscaler_client *client, upscaler_image *image);

/* What the service said of the open session: method, engine, device, sizes. The copy's texts may fill
 * their fields without a zero. Errors: SERVICE_LOST without a session. */
int upscaler_welcomed(const upscaler_client *client, upscaler_welcome *welcome);

/* Why pixels travel in messages though options.transport was AUTO; "" when they do not. Never NULL;
 * lives as long as the client. */
const char *upscaler_inline_reason(const upscaler_client *client);

/* Ids of the frames that went with the service that was lost last: fills up to `capacity` of ids,
 * which may be NULL, and returns how many there are. */
uint32_t upscaler_lost_frames(const upscaler_client *client, uint64_t *ids, uint32_t capacity);

/* Frames in flight: submitted, and their results have not arrived. */
uint32_t upscaler_in_flight(const upscaler_client *client);

/* Counts since upscaler_open, and percentiles over the recent frames. */
int upscaler_stats(const upscaler_client *client, upscaler_statistics *statistics);

/* Say goodbye, wait at most a second for that to be sent, and free everything. Images are gone.
 * Idempotent; NULL is allowed. */
void upscaler_close(upscaler_client *client);

/* The sentence of the last error of this client. Never NULL; lives until the next call. */
const char *upscaler_error_text(const upscaler_client *client);

/* Name of an error code, such as "BAD_SLOT". Never NULL; static. */
const char *upscaler_error_name(int code);

/* Nanoseconds on the clock of all times here, the service's and Python's perf_counter_ns. */
uint64_t upscaler_now_ns(void);

#ifdef __cplusplus
}
#endif
#endif /* UPSCALER_H */

/* ---- Implementation -------------------------------------------------------------------------- */

#if defined(UPSCALER_IMPLEMENTATION) && !defined(UPSCALER_IMPLEMENTED)
#define UPSCALER_IMPLEMENTED

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>
#ifdef _WIN32
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#include <windows.h>
#else
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#endif

#define UPS_SEGMENT "upscaler-"
#define UPS_LOOK_NS 50000000u   /* as long a connection is taken to be there unlooked */
#define UPS_RETRY_NS 100000000u /* between attempts at a service that ends each time */
#define UPS_HIGH_WATER_MARK 16
#define UPS_BUFFER_BYTES (4 << 20) /* of ipc sockets: a whole frame waits in the kernel */

typedef char ups_message_has_room[sizeof(upscaler_message) >= sizeof(zmq_msg_t) ? 1 : -1];

enum { UPS_NEW, UPS_OPENING, UPS_OPEN, UPS_LOST };
enum { UPS_FREE, UPS_FILLING, UPS_SUBMITTED, UPS_RETURNED };

/* What a message of the service was. */
typedef struct ups_event {
    int kind; /* enum upscaler_kind; 0: it breaks the contract, and `code` says how */
    int code;
    uint64_t frame_id;
    upscaler_result result;
    uint32_t flight; /* of a RESULT: place in flying_ids */
} ups_event;

/* -- Words -- */

static int ups_fail(upscaler_client *c, int code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(c->text, sizeof c->text, format, arguments);
    va_end(arguments);
    return code;
}

/* Bytes of a text, up to a zero, or to what there is room for: then it is cut between characters. */
static size_t ups_length(const char *text, size_t size, size_t room) {
    size_t n = 0;
    while (n < size && n < room && text[n]) n++;
    if (n == room && n < size)
        while (n && ((unsigned char)text[n] & 0xC0) == 0x80) n--;
    return n;
}

/* A text field of the wire, or a sentence, with a zero behind it and no control characters. */
static void ups_copy(char *to, size_t room, const char *from, size_t size) {
    const size_t n = ups_length(from, size, room - 1);
    size_t i;
    for (i = 0; i < n; i++) to[i] = (unsigned char)from[i] < 0x20 ? ' ' : from[i];
    to[n] = 0;
}

static void ups_field(char *field, size_t room, const char *text) {
    if (text) memcpy(field, text, ups_length(text, strlen(text), room));
}

const char *upscaler_error_name(int code) {
    /* clang-format off */
    static const char *const names[] = {
        "OK", "INTERNAL", "MALFORMED", "UNSUPPORTED_VERSION", "UNEXPECTED_MESSAGE",
        "UNKNOWN_METHOD", "UNSUPPORTED_SCALE", "UNSUPPORTED_SIZE", "UNSUPPORTED_FORMAT",
        "UNKNOWN_MODEL", "ENGINE_UNAVAILABLE", "PIXELS_MISMATCH", "TOO_MANY_FRAMES",
        "TOO_MANY_CLIENTS", "SHUTTING_DOWN", "UNSUPPORTED_TRANSPORT", "UNREADABLE_FILE",
        "TIMEOUT", "BAD_OPTION", "BAD_SLOT", "STALE_DEADLINE", "SERVICE_LOST", "NOT_ALLOWED"};
    /* clang-format on */
    const int count = (int)(sizeof names / sizeof *names);
    return code < 0 || code >= count ? "an unknown code" : names[code];
}

static int ups_alive(const upscaler_client *c) { return c && c->self == c; }

const char *upscaler_error_text(const upscaler_client *c) {
    if (!c) return "the client is NULL";
    if (c->text[0]) return c->text;
    return ups_alive(c) ? "" : "the client is closed; call upscaler_open first";
}

#define UPS_FAIL(code, ...) return ups_fail(c, UPSCALER_E_##code, __VA_ARGS__)

/* -- Time -- */

uint64_t upscaler_now_ns(void) {
#if defined(_WIN32)
    LARGE_INTEGER ticks, frequency;
    QueryPerformanceCounter(&ticks);
    QueryPerformanceFrequency(&frequency);
    return (uint64_t)(ticks.QuadPart / frequency.QuadPart) * 1000000000u +
           (uint64_t)(ticks.QuadPart % frequency.QuadPart) * 1000000000u /
               (uint64_t)frequency.QuadPart;
#elif defined(__APPLE__)
    return clock_gettime_nsec_np(CLOCK_UPTIME_RAW);
#else
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
#endif
}

static uint64_t ups_until(int timeout_ms) {
    return upscaler_now_ns() + (timeout_ms > 0 ? (uint64_t)timeout_ms * 1000000u : 0);
}

/* Whole milliseconds that are left, rounded up, so that a wait never ends early and spins. */
static long ups_left_ms(uint64_t until_ns) {
    const uint64_t now = upscaler_now_ns();
    return now >= until_ns ? 0 : (long)((until_ns - now + 999999u) / 1000000u);
}

/* -- Shared memory -- */

static int ups_is_segment(const char *name) {
    const size_t prefix = sizeof UPS_SEGMENT - 1;
    size_t i;
    if (strncmp(name, UPS_SEGMENT, prefix) || !name[prefix]) return 0;
    /* The service names it: no path may hide in the name. */
    for (i = prefix; name[i]; i++) {
        const char x = name[i];
        if (!((x >= '0' && x <= '9') || (x >= 'a' && x <= 'z') || (x >= 'A' && x <= 'Z'))) return 0;
    }
    return 1;
}

static uint8_t *ups_map(const char *name, uint64_t size) {
#ifdef _WIN32
    void *memory;
    HANDLE mapping = OpenFileMappingA(FILE_MAP_ALL_ACCESS, FALSE, name);
    if (!mapping) return NULL;
    memory = MapViewOfFile(mapping, FILE_MAP_ALL_ACCESS, 0, 0, (SIZE_T)size);
    CloseHandle(mapping); /* the view keeps it */
    return (uint8_t *)memory;
#else
    char path[512];
    struct stat about;
    void *memory = MAP_FAILED;
    int file;
    const char *folder = "/dev/shm";
    if (stat(folder, &about) != 0 || !S_ISDIR(about.st_mode)) {
        folder = getenv("TMPDIR");
        if (!folder || !*folder) folder = "/tmp";
    }
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path) return NULL;
    file = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (file < 0) return NULL;
    /* A file that is shorter than was said would be a SIGBUS later. */
    if (fstat(file, &about) == 0 && S_ISREG(about.st_mode) && (uint64_t)about.st_size >= size)
        memory = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    return memory == MAP_FAILED ? NULL : (uint8_t *)memory;
#endif
}

static void ups_unmap(uint8_t *memory, size_t size) {
#ifdef _WIN32
    (void)size;
    UnmapViewOfFile(memory);
#else
    munmap(memory, size);
#endif
}

/* -- Geometry -- */

static uint32_t ups_channels(uint8_t pixel_format) {
    return pixel_format == UPSCALER_RGBA8 || pixel_format == UPSCALER_BGRA8 ? 4 : 3;
}

static uint64_t ups_rounded(uint64_t value, uint64_t step) {
    return (value + step - 1) / step * step;
}

/* Rows may be padded; memory may not be wasted. */
static uint64_t ups_longest_stride(uint64_t row_bytes) { return 2 * row_bytes + 256; }

static uint32_t ups_upscaled_side(const upscaler_hello *hello, uint32_t side) {
    const uint64_t n = hello->scale_numerator, d = hello->scale_denominator;
    return (uint32_t)((2 * side * n + d) / (2 * d));
}

static int ups_check_size(upscaler_client *c, const char *what, uint32_t width, uint32_t height) {
    if (width && height && width <= UPSCALER_MAX_SIDE && height <= UPSCALER_MAX_SIDE &&
        width * height <= UPSCALER_MAX_PIXELS)
        return UPSCALER_OK;
    UPS_FAIL(UNSUPPORTED_SIZE, "%s of %ux%u cannot be; sides are 1 to %u, %u pixels in all", what,
        width, height, UPSCALER_MAX_SIDE, UPSCALER_MAX_PIXELS);
}

static int ups_check_options(upscaler_client *c) {
    const upscaler_hello *h = &c->hello;
    const uint32_t n = h->scale_numerator, d = h->scale_denominator;
    const int code = ups_check_size(c, "frames", h->width, h->height);
    if (code) return code;
    if (d == 0 || n < d || n > 4 * d || d > 1000)
        UPS_FAIL(UNSUPPORTED_SCALE,
            "a scale of %u/%u cannot be; choose 2/1, 3/2, 3/1 or 4/1, or a filter's from 1 to 4", n,
            d);
    if (h->pixel_format < UPSCALER_RGB8 || h->pixel_format > UPSCALER_BGRA8)
        UPS_FAIL(UNSUPPORTED_FORMAT, "unknown pixel format %u", h->pixel_format);
    if (h->credits < 1 || h->credits > UPSCALER_MAX_CREDITS)
        UPS_FAIL(BAD_OPTION, "credits are 1 to %d, not %u", UPSCALER_MAX_CREDITS, h->credits);
    if (h->delivery != UPSCALER_LATEST && h->delivery != UPSCALER_EVERY)
        UPS_FAIL(BAD_OPTION, "unknown delivery %u; see enum upscaler_delivery", h->delivery);
    if (h->transport > UPSCALER_SHARED_MEMORY)
        UPS_FAIL(UNSUPPORTED_TRANSPORT, "unknown transport %u", h->transport);
    return ups_check_size(
        c, "results", ups_upscaled_side(h, h->width), ups_upscaled_side(h, h->height));
}

/* -- The socket -- */

/* On this machine alone: tcp on loopback, or ipc, but for Linux's @names without permissions. */
static int ups_is_endpoint(const char *endpoint) {
    static const char *const hosts[] = {"tcp://127.0.0.1:", "tcp://localhost:", "tcp://[::1]:"};
    int i;
    for (i = 0; i < 3; i++) {
        const size_t host = strlen(hosts[i]);
        const char *const port = endpoint + host;
        if (!strncmp(endpoint, hosts[i], host))
            return strlen(port) <= 5 && !port[strspn(port, "0123456789")] && atol(port) > 0 &&
                   atol(port) <= 65535;
    }
    return !strncmp(endpoint, "ipc://", 6) && endpoint[6] && endpoint[6] != '@';
}

static int ups_events(void *socket) {
    int events = 0;
    size_t size = sizeof events;
    return zmq_getsockopt(socket, ZMQ_EVENTS, &events, &size) == 0 ? events : 0;
}

static void ups_set(void *socket, int option, int value) {
    zmq_setsockopt(socket, option, &value, sizeof value);
}

static void ups_disconnect(upscaler_client *c, int linger_ms) {
    if (!c->socket) return;
    zmq_socket_monitor(c->socket, NULL, 0);
    if (c->monitor) {
        ups_set(c->monitor, ZMQ_LINGER, 0);
        zmq_close(c->monitor);
    }
    ups_set(c->socket, ZMQ_LINGER, linger_ms);
    zmq_close(c->socket);
    c->socket = c->monitor = NULL;
}

static int ups_begin(upscaler_client *c) {
    const int64_t longest = (int64_t)UPSCALER_MAX_PIXELS * 4 + 65536;
    char name[64];
    c->lost = 0;
    c->heard_ns = upscaler_now_ns();
    c->socket = zmq_socket(c->context, ZMQ_DEALER);
    if (!c->socket) UPS_FAIL(INTERNAL, "zmq_socket: %s", zmq_strerror(zmq_errno()));
    ups_set(c->socket, ZMQ_LINGER, 0);
    ups_set(c->socket, ZMQ_IPV6, strchr(c->endpoint, '[') != NULL);
    ups_set(c->socket, ZMQ_SNDHWM, UPS_HIGH_WATER_MARK);
    /* No mark: credits bound the results, and a game that pauses must not stop reading, or its
     * heartbeats cease and it is cut off. */
    ups_set(c->socket, ZMQ_RCVHWM, 0);
    zmq_setsockopt(c->socket, ZMQ_MAXMSGSIZE, &longest, sizeof longest);
    if (strncmp(c->endpoint, "ipc://", 6) == 0) {
        ups_set(c->socket, ZMQ_SNDBUF, UPS_BUFFER_BYTES);
        ups_set(c->socket, ZMQ_RCVBUF, UPS_BUFFER_BYTES);
    }
    /* Tells at once when the service has gone: a killed one closes its sockets, too. */
    snprintf(name, sizeof name, "inproc://upscaler-monitor-%u", (unsigned)c->monitors++);
    if (zmq_socket_monitor(c->socket, name, ZMQ_EVENT_DISCONNECTED) == 0) {
        c->monitor = zmq_socket(c->context, ZMQ_PAIR);
        if (c->monitor) zmq_connect(c->monitor, name);
    }
    if (zmq_connect(c->socket, c->endpoint) != 0) {
        ups_fail(c, UPSCALER_E_BAD_OPTION, "cannot connect to %.200s: %s", c->endpoint,
            zmq_strerror(zmq_errno()));
        ups_disconnect(c, 0);
        return UPSCALER_E_BAD_OPTION;
    }
    return UPSCALER_OK;
}

/* Send both parts or none: when the second is refused, libzmq takes the first back. */
static int ups_send(
    upscaler_client *c, const void *header, size_t size, void *pixels, size_t pixel_bytes) {
    zmq_msg_t message;
    int sent;
    /* Sent from where they lie, and not touched before the service has answered. */
    if (pixels && zmq_msg_init_data(&message, pixels, pixel_bytes, NULL, NULL) != 0)
        UPS_FAIL(INTERNAL, "zmq_msg_init_data: %s", zmq_strerror(zmq_errno()));
    do sent = zmq_send(c->socket, header, size, ZMQ_DONTWAIT | (pixels ? ZMQ_SNDMORE : 0));
    while (sent < 0 && zmq_errno() == EINTR);
    if (sent >= 0 && pixels) {
        do sent = zmq_msg_send(&message, c->socket, ZMQ_DONTWAIT);
        while (sent < 0 && zmq_errno() == EINTR);
    }
    if (sent >= 0) return UPSCALER_OK; /* and the message is libzmq's */
    ups_fail(c, UPSCALER_E_TIMEOUT, "the service at %.200s takes no messages: %s", c->endpoint,
        zmq_strerror(zmq_errno()));
    if (pixels) zmq_msg_close(&message);
    return UPSCALER_E_TIMEOUT;
}

static upscaler_prefix ups_prefix(int kind, size_t size) {
    upscaler_prefix prefix;
    memset(&prefix, 0, sizeof prefix);
    memcpy(prefix.magic, UPSCALER_MAGIC, 4);
    prefix.major = UPSCALER_MAJOR;
    prefix.minor = UPSCALER_MINOR;
    prefix.kind = (uint8_t)kind;
    prefix.size = (uint32_t)size;
    return prefix;
}

static int ups_say_bye(upscaler_client *c) {
    const upscaler_prefix bye = ups_prefix(UPSCALER_BYE, sizeof bye);
    return zmq_send(c->socket, &bye, sizeof bye, ZMQ_DONTWAIT) >= 0;
}

/* Whether the service has gone and nothing that it sent is left to receive. */
static int ups_gone(upscaler_client *c) {
    const uint64_t now = upscaler_now_ns();
    if (!c->lost && c->monitor && now - c->heard_ns > UPS_LOOK_NS) {
        c->lost = (ups_events(c->monitor) & ZMQ_POLLIN) != 0;
        c->heard_ns = now;
    }
    return c->lost && !(ups_events(c->socket) & ZMQ_POLLIN);
}

/* Receive a message; returns its number of parts, 0 when there is none in time. The first two are
 * kept, in messages that the caller has initialised. */
static int ups_receive(upscaler_client *c, zmq_msg_t *first, zmq_msg_t *second, uint64_t until_ns) {
    int parts = 1, more;
    while (zmq_msg_recv(first, c->socket, ZMQ_DONTWAIT) < 0) {
        zmq_pollitem_t items[2];
        const long left = ups_left_ms(until_ns);
        if (c->lost) return 0;
        if (left == 0) {
            ups_gone(c);
            if (c->lost) continue; /* what came before the connection was lost still counts */
            return 0;
        }
        memset(items, 0, sizeof items);
        items[0].socket = c->socket;
        items[1].socket = c->monitor;
        items[0].events = items[1].events = ZMQ_POLLIN;
        if (zmq_poll(items, c->monitor ? 2 : 1, left) < 0 && zmq_errno() == ETERM) return 0;
        if (items[1].revents & ZMQ_POLLIN) c->lost = 1;
    }
    c->heard_ns = upscaler_now_ns();
    more = zmq_msg_more(first);
    while (more) {
        zmq_msg_t surplus;
        zmq_msg_t *next = parts == 1 ? second : &surplus;
        int received;
        if (next == &surplus) zmq_msg_init(&surplus);
        do received = zmq_msg_recv(next, c->socket, 0); /* parts come together: never waits */
        while (received < 0 && zmq_errno() == EINTR);
        more = received >= 0 && zmq_msg_more(next);
        if (next == &surplus) zmq_msg_close(&surplus);
        parts++;
    }
    return parts;
}

/* -- Understanding what came; touches neither sockets nor pixels -- */

static ups_event ups_broken(upscaler_client *c, int code, uint64_t frame_id, const char *what) {
    ups_event event;
    memset(&event, 0, sizeof event);
    event.code = ups_fail(c, code, "the service's message breaks the contract: %s", what);
    event.frame_id = frame_id;
    return event;
}

#define UPS_BREAKS(condition, code, frame_id, what) \
    if (condition) return ups_broken(c, UPSCALER_E_##code, frame_id, what)

static ups_event ups_read_welcome(upscaler_client *c, const void *header) {
    ups_event event;
    upscaler_welcome w;
    const upscaler_hello *h = &c->hello;
    memcpy(&w, header, sizeof w);
    UPS_BREAKS(c->state != UPS_OPENING, UNEXPECTED_MESSAGE, 0, "a WELCOME that was not asked for");
    UPS_BREAKS(w.transport != UPSCALER_INLINE && w.transport != UPSCALER_SHARED_MEMORY,
        UNSUPPORTED_TRANSPORT, 0, "a WELCOME of unknown transport");
    UPS_BREAKS(w.upscaled_width != ups_upscaled_side(h, h->width) ||
                   w.upscaled_height != ups_upscaled_side(h, h->height) ||
                   w.pixel_format != h->pixel_format || w.credits < 1 ||
                   w.transport != h->transport,
        MALFORMED, 0, "a WELCOME to another session than was asked for");
    memset(&event, 0, sizeof event);
    event.kind = UPSCALER_WELCOME;
    c->welcome = w;
    return event;
}

static ups_event ups_read_result(
    upscaler_client *c, const void *header, size_t pixel_bytes, int parts) {
    ups_event event;
    upscaler_result *r = &event.result;
    const upscaler_welcome *w = &c->welcome;
    const uint64_t row = (uint64_t)w->upscaled_width * ups_channels(w->pixel_format);
    const int shared = w->transport == UPSCALER_SHARED_MEMORY;
    uint64_t needed;
    memset(&event, 0, sizeof event);
    memcpy(r, header, sizeof *r);
    UPS_BREAKS(c->state != UPS_OPEN, UNEXPECTED_MESSAGE, r->frame_id, "a RESULT without a session");
    while (event.flight < c->flying && c->flying_ids[event.flight] != r->frame_id) event.flight++;
    UPS_BREAKS(event.flight == c->flying, MALFORMED, r->frame_id,
        "a RESULT of a frame that is not in flight");
    UPS_BREAKS(r->slot != (shared ? c->flying_slots[event.flight] : UPSCALER_INLINE_SLOT), BAD_SLOT,
        r->frame_id, "a RESULT in another slot than its frame's");
    UPS_BREAKS(r->width != w->upscaled_width || r->height != w->upscaled_height ||
                   r->pixel_format != w->pixel_format || r->stride < row ||
                   r->stride > ups_longest_stride(row),
        PIXELS_MISMATCH, r->frame_id, "a RESULT of another size, format or stride");
    UPS_BREAKS(r->outcome < UPSCALER_UPSCALED || r->outcome > UPSCALER_FALLBACK, MALFORMED,
        r->frame_id, "a RESULT of unknown outcome");
    needed = (uint64_t)r->stride * r->height;
    if (r->outcome == UPSCALER_DROPPED || shared) {
        UPS_BREAKS(parts != 1, PIXELS_MISMATCH, r->frame_id,
            "a RESULT with pixels inline, where none belong");
        UPS_BREAKS(r->outcome != UPSCALER_DROPPED && needed > w->result_slot_bytes, PIXELS_MISMATCH,
            r->frame_id, "a RESULT that is larger than its slot");
    } else
        UPS_BREAKS(parts != 2 || pixel_bytes != needed, PIXELS_MISMATCH, r->frame_id,
            "a RESULT without the pixels that its header says");
    event.kind = UPSCALER_RESULT;
    event.frame_id = r->frame_id;
    return event;
}

static ups_event ups_read_error(
    upscaler_client *c, const void *header, const void *sentence, size_t bytes, int parts) {
    ups_event event;
    upscaler_error e;
    memset(&event, 0, sizeof event);
    memcpy(&e, header, sizeof e);
    event.kind = UPSCALER_ERROR;
    event.code = e.code;
    if (e.code < 1 || e.code > UPSCALER_E_NOT_ALLOWED) event.code = UPSCALER_E_INTERNAL;
    event.frame_id = e.frame_id;
    if (parts > 1 && bytes) {
        ups_copy(c->text, sizeof c->text, (const char *)sentence, bytes);
    } else {
        ups_fail(
            c, event.code, "the service gave no reason for %s", upscaler_error_name(event.code));
    }
    return event;
}

/* Read a message of the service. Any bytes will do: what breaks the contract changes nothing. */
static ups_event ups_read(upscaler_client *c, const void *header, size_t size, const void *second,
    size_t second_bytes, int parts) {
    static const size_t sizes[] = {0, 0, sizeof(upscaler_welcome), 0, sizeof(upscaler_result),
        sizeof(upscaler_error), sizeof(upscaler_prefix), sizeof(upscaler_prefix)};
    ups_event event;
    upscaler_prefix prefix;
    size_t needed;
    memset(&event, 0, sizeof event);
    UPS_BREAKS(size < sizeof prefix || memcmp(header, UPSCALER_MAGIC, 4) != 0, MALFORMED, 0,
        "no header; it does not start with UPSC");
    memcpy(&prefix, header, sizeof prefix);
    UPS_BREAKS(prefix.major != UPSCALER_MAJOR, UNSUPPORTED_VERSION, 0,
        "another major version; install the same on both sides");
    needed = prefix.kind < sizeof sizes / sizeof *sizes ? sizes[prefix.kind] : 0;
    UPS_BREAKS(!needed, UNEXPECTED_MESSAGE, 0, "a kind of message that is not for a client");
    /* A newer minor version may append fields. */
    UPS_BREAKS(
        size != prefix.size || size < needed || (size > needed && prefix.minor <= UPSCALER_MINOR),
        MALFORMED, 0, "a header of another size than its kind has");
    if (prefix.kind == UPSCALER_WELCOME) return ups_read_welcome(c, header);
    if (prefix.kind == UPSCALER_RESULT) return ups_read_result(c, header, second_bytes, parts);
    if (prefix.kind == UPSCALER_ERROR)
        return ups_read_error(c, header, second, second_bytes, parts);
    event.kind = prefix.kind;
    return event;
}

/* -- Slots and sessions -- */

static void ups_free_slot(upscaler_client *c, uint32_t slot) {
    if (c->has_message[slot]) zmq_msg_close((zmq_msg_t *)(void *)&c->messages[slot]);
    c->has_message[slot] = 0;
    c->slot_state[slot] = UPS_FREE;
}

/* Let go of the pictures of a session that is over. */
static void ups_end_session(upscaler_client *c) {
    uint32_t slot;
    for (slot = 0; slot < UPSCALER_MAX_SLOTS; slot++) ups_free_slot(c, slot);
    if (c->memory && c->memory != c->inline_memory) ups_unmap(c->memory, c->memory_bytes);
    c->memory = NULL;
    c->slot_count = c->waiting_count = c->flying = 0;
    memset(&c->welcome, 0, sizeof c->welcome);
}

/* Memory of the session that WELCOME has opened. */
static int ups_furnish(upscaler_client *c) {
    const upscaler_welcome *w = &c->welcome;
    const uint64_t row = (uint64_t)c->hello.width * ups_channels(c->hello.pixel_format);
    const uint64_t usual = ups_rounded(ups_rounded(row, 512) * c->hello.height, 4096);
    uint64_t total, stride = ups_longest_stride(row);
    char name[sizeof w->segment + 1];
    if (w->transport == UPSCALER_INLINE) {
        c->slot_bytes = usual;
        c->slot_count = 2u * c->hello.credits + 1;
        c->memory_bytes = (size_t)(usual * c->slot_count);
        if (!c->inline_memory) c->inline_memory = (uint8_t *)calloc(c->memory_bytes, 1);
        c->memory = c->inline_memory;
        if (!c->memory) {
            c->slot_count = 0;
            UPS_FAIL(INTERNAL, "no memory for %u frames", c->hello.credits);
        }
    } else {
        const uint64_t result_row = (uint64_t)w->upscaled_width * ups_channels(w->pixel_format);
        const uint64_t most = 1u << 30;
        ups_copy(name, sizeof name, w->segment, sizeof w->segment);
        if (!ups_is_segment(name) || w->slot_count < 1 || w->slot_bytes < row * c->hello.height ||
            w->slot_bytes > most || w->result_slot_bytes < result_row * w->upscaled_height ||
            w->result_slot_bytes > most) {
            UPS_FAIL(UNSUPPORTED_TRANSPORT,
                "the service offers shared memory that cannot be right (%s)", name);
        }
        total = w->slot_count * (w->slot_bytes + w->result_slot_bytes);
        c->memory_bytes = (size_t)total;
        c->memory = c->memory_bytes == total ? ups_map(name, total) : NULL;
        if (!c->memory) {
            UPS_FAIL(UNSUPPORTED_TRANSPORT, "the service's shared memory %s cannot be mapped here",
                name);
        }
        c->slot_bytes = w->slot_bytes;
        c->slot_count = w->slot_count < UPSCALER_MAX_SLOTS ? w->slot_count : UPSCALER_MAX_SLOTS;
    }
    if (stride > c->slot_bytes / c->hello.height) stride = c->slot_bytes / c->hello.height;
    c->max_stride = (uint32_t)stride;
    return UPSCALER_OK;
}

static int ups_lose(upscaler_client *c, int code, const char *reason) {
    uint32_t i;
    c->lost_count = c->flying;
    for (i = 0; i < c->flying; i++) {
        c->lost_ids[i] = c->flying_ids[i];
        c->slot_state[c->flying_slots[i]] = UPS_FREE;
    }
    c->counts.lost += c->flying;
    c->flying = 0;
    c->state = UPS_LOST;
    ups_disconnect(c, 0);
    return ups_fail(c, code,
        "the service at %.200s %s; %u frames of this client are lost; "
        "upscaler_connect connects anew",
        c->endpoint, reason, c->lost_count);
}

static int ups_check_open(upscaler_client *c) {
    if (!c) return UPSCALER_E_BAD_OPTION;
    if (!ups_alive(c)) UPS_FAIL(BAD_OPTION, "the client is closed; call upscaler_open first");
    if (c->state == UPS_OPEN) return UPSCALER_OK;
    UPS_FAIL(SERVICE_LOST,
        "there is no session with the service at %.200s; upscaler_connect opens one", c->endpoint);
}

/* The first free slot, or slot_count. */
static uint32_t ups_free_at(const upscaler_client *c) {
    uint32_t slot = 0;
    while (slot < c->slot_count && c->slot_state[slot] != UPS_FREE) slot++;
    return slot;
}

/* The image's slot if that is what it says it is, and -1 otherwise. */
static int ups_slot_of(const upscaler_client *c, const upscaler_image *image, int state) {
    if (!image || image->slot >= c->slot_count || c->slot_serial[image->slot] != image->serial)
        return -1;
    return c->slot_state[image->slot] == state ? image->slot : -1;
}

static upscaler_image ups_image(upscaler_client *c, uint32_t slot, int state) {
    upscaler_image image;
    memset(&image, 0, sizeof image);
    image.slot = (uint8_t)slot;
    image.serial = c->slot_serial[slot] = ++c->last_serial;
    c->slot_state[slot] = (uint8_t)state;
    image.pixel_format = c->hello.pixel_format;
    return image;
}

/* -- Results -- */

static void ups_note(upscaler_client *c, const upscaler_upscaled *r) {
    const uint64_t times[6] = {r->submitted_ns, r->received_ns, r->started_ns, r->finished_ns,
        r->returned_ns, r->arrived_ns};
    const uint32_t at = (uint32_t)(c->recent_count++ % UPSCALER_RECENT);
    int i;
    for (i = 0; i < 5; i++)
        c->recent_ms[i][at] = (float)((double)(int64_t)(times[i + 1] - times[i]) / 1e6);
    c->recent_ms[5][at] = (float)((double)(int64_t)(times[5] - times[0]) / 1e6);
    c->recent_ms[6][at] = c->recent_ms[5][at] - c->recent_ms[2][at];
    c->recent_ns[at] = r->arrived_ns;
}

/* Take a RESULT, and its pixels if they came in `second`. */
static upscaler_upscaled ups_take(upscaler_client *c, const ups_event *event, zmq_msg_t *second) {
    const upscaler_result *r = &event->result;
    const uint32_t slot = c->flying_slots[event->flight];
    upscaler_upscaled u;
    memset(&u, 0, sizeof u);
    u.frame_id = r->frame_id;
    u.outcome = r->outcome;
    u.submitted_ns = r->submitted_ns;
    u.received_ns = r->received_ns;
    u.started_ns = r->started_ns;
    u.finished_ns = r->finished_ns;
    u.returned_ns = r->returned_ns;
    u.deadline_ns = r->deadline_ns;
    u.arrived_ns = upscaler_now_ns();
    if (u.outcome == UPSCALER_DROPPED) {
        ups_free_slot(c, slot);
        c->counts.dropped++;
        return u;
    }
    u.image = ups_image(c, slot, UPS_RETURNED);
    u.image.width = r->width;
    u.image.height = r->height;
    u.image.stride = u.image.max_stride = r->stride;
    if (c->welcome.transport == UPSCALER_SHARED_MEMORY) {
        u.image.pixels = c->memory + c->welcome.slot_count * c->welcome.slot_bytes +
                         slot * c->welcome.result_slot_bytes;
    } else {
        zmq_msg_t *kept = (zmq_msg_t *)(void *)&c->messages[slot];
        zmq_msg_init(kept);
        zmq_msg_move(kept, second);
        c->has_message[slot] = 1;
        u.image.pixels = (uint8_t *)zmq_msg_data(kept);
    }
    c->counts.upscaled += u.outcome == UPSCALER_UPSCALED;
    c->counts.fallbacks += u.outcome == UPSCALER_FALLBACK;
    c->counts.missed += u.deadline_ns && u.finished_ns > u.deadline_ns;
    ups_note(c, &u);
    return u;
}

static void ups_land(upscaler_client *c, uint32_t flight) {
    c->flying--;
    memmove(&c->flying_ids[flight], &c->flying_ids[flight + 1],
        (c->flying - flight) * sizeof *c->flying_ids);
    memmove(&c->flying_slots[flight], &c->flying_slots[flight + 1],
        (c->flying - flight) * sizeof *c->flying_slots);
}

/* Act on one message of an open session. Returns 1 when *entry has something for the caller. */
static int ups_act(
    upscaler_client *c, const ups_event *event, zmq_msg_t *second, upscaler_waiting *entry) {
    uint32_t flight = event->flight;
    if (event->kind == UPSCALER_KEEPALIVE) return 0;
    memset(&entry->result, 0, sizeof entry->result);
    entry->code = event->code;
    if (event->kind == UPSCALER_BYE) {
        entry->code = ups_lose(c, UPSCALER_E_SHUTTING_DOWN, "has shut down");
    } else if (event->kind == UPSCALER_RESULT) {
        entry->code = UPSCALER_OK;
        entry->result = ups_take(c, event, second);
        ups_land(c, flight);
        return 1;
    } else if (event->kind == UPSCALER_ERROR && event->frame_id) {
        entry->result.frame_id = event->frame_id;
        for (flight = 0; flight < c->flying && c->flying_ids[flight] != event->frame_id;) flight++;
        if (flight < c->flying) {
            ups_free_slot(c, c->flying_slots[flight]);
            ups_land(c, flight);
            c->counts.failed++;
        }
    }
    memcpy(entry->text, c->text, sizeof entry->text);
    return 1;
}

/* Receive and read one message. Returns 0 when none comes in time; otherwise *second, which the
 * caller closes, may have pixels. */
static int ups_get(upscaler_client *c, uint64_t until_ns, ups_event *event, zmq_msg_t *second) {
    zmq_msg_t first;
    int parts;
    zmq_msg_init(&first);
    zmq_msg_init(second);
    parts = ups_receive(c, &first, second, until_ns);
    if (parts) {
        *event = ups_read(c, zmq_msg_data(&first), zmq_msg_size(&first), zmq_msg_data(second),
            zmq_msg_size(second), parts);
    }
    zmq_msg_close(&first);
    return parts;
}

/* Take the next message of an open session. Returns 0 when none comes in time. */
static int ups_next(upscaler_client *c, uint64_t until_ns, upscaler_waiting *entry) {
    int parts, found = 0;
    do {
        ups_event event;
        zmq_msg_t second;
        parts = ups_get(c, until_ns, &event, &second);
        if (parts) found = ups_act(c, &event, &second, entry);
        zmq_msg_close(&second);
    } while (parts && !found);
    return found;
}

/* Keep what has arrived for the caller to poll, so that its credits and slots are free again. */
static void ups_collect(upscaler_client *c) {
    while (c->state == UPS_OPEN && c->waiting_count < UPSCALER_MAX_WAITING) {
        const uint32_t at = (c->waiting_first + c->waiting_count) % UPSCALER_MAX_WAITING;
        if (!ups_next(c, 0, &c->waiting[at])) return;
        c->waiting_count++;
    }
}

/* ---- The functions --------------------------------------------------------------------------- */

upscaler_options upscaler_default_options(void) {
    upscaler_options options;
    memset(&options, 0, sizeof options);
    options.endpoint = "tcp://127.0.0.1:5560";
    options.name = "upscaler.h";
    options.scale_numerator = 2;
    options.scale_denominator = 1;
    options.credits = 3;
    options.pixel_format = UPSCALER_RGBA8;
    options.transport = UPSCALER_AUTO;
    options.delivery = UPSCALER_LATEST;
    options.sharpness_stops = 0.2f;
    return options;
}

int upscaler_open(upscaler_client *c, const upscaler_options *options) {
    const char *endpoint;
    int code;
    if (!c) return UPSCALER_E_BAD_OPTION;
    memset(c, 0, sizeof *c);
    if (!options) UPS_FAIL(BAD_OPTION, "the options are NULL");
    endpoint = options->endpoint ? options->endpoint : "";
    if (!ups_is_endpoint(endpoint)) {
        UPS_FAIL(BAD_OPTION,
            "%.200s is no endpoint on this machine; use tcp://127.0.0.1:PORT or ipc://PATH",
            endpoint);
    }
    if (strlen(endpoint) >= sizeof c->endpoint)
        UPS_FAIL(BAD_OPTION, "the endpoint is longer than %d bytes", (int)sizeof c->endpoint - 1);
    memcpy(c->endpoint, endpoint, strlen(endpoint) + 1);
    c->hello.prefix = ups_prefix(UPSCALER_HELLO, sizeof c->hello);
    c->hello.width = options->width;
    c->hello.height = options->height;
    c->hello.scale_numerator = options->scale_numerator;
    c->hello.scale_denominator = options->scale_denominator;
    c->hello.pixel_format = options->pixel_format;
    c->hello.transport = options->transport;
    if (options->transport == UPSCALER_AUTO) c->hello.transport = UPSCALER_SHARED_MEMORY;
    c->hello.delivery = options->delivery;
    c->hello.credits = options->credits;
    c->hello.sharpness_stops = options->sharpness_stops;
    ups_field(c->hello.method, sizeof c->hello.method, options->method);
    ups_field(c->hello.fallback, sizeof c->hello.fallback, options->fallback);
    ups_field(c->hello.client, sizeof c->hello.client, options->name);
    code = ups_check_options(c);
    if (code) return code;
    c->may_go_inline = options->transport == UPSCALER_AUTO;
    c->last_serial = upscaler_now_ns(); /* unlike those of other clients, and of this one before */
    c->context = zmq_ctx_new();
    if (!c->context) UPS_FAIL(INTERNAL, "zmq_ctx_new: %s", zmq_strerror(zmq_errno()));
    c->self = c;
    code = ups_begin(c);
    if (code) {
        char kept[UPSCALER_TEXT_BYTES];
        memcpy(kept, c->text, sizeof kept);
        upscaler_close(c);
        memcpy(c->text, kept, sizeof kept);
    }
    return code;
}

/* Act on one message while the session opens. Returns UPSCALER_OK while there is more to wait for. */
static int ups_opening(upscaler_client *c, const ups_event *event) {
    int code;
    const int shared = c->hello.transport == UPSCALER_SHARED_MEMORY;
    switch (event->kind) {
    case UPSCALER_KEEPALIVE: return UPSCALER_OK;
    case UPSCALER_BYE: c->lost = 1; return UPSCALER_OK;
    case UPSCALER_WELCOME:
        code = ups_furnish(c);
        if (!code) {
            c->state = UPS_OPEN;
            return UPSCALER_OK;
        }
        ups_say_bye(c);
        break;
    default: code = event->code; break;
    }
    if (event->kind == UPSCALER_ERROR && event->frame_id) return UPSCALER_OK; /* an old session's */
    if (event->kind == 0) return code; /* broken: still waiting for the true answer */
    c->state = UPS_NEW;
    if (code != UPSCALER_E_UNSUPPORTED_TRANSPORT || !shared || !c->may_go_inline) return code;
    /* Ask again, with pixels in messages: not silently, since it costs milliseconds a frame. */
    memcpy(c->inline_reason, c->text, sizeof c->inline_reason);
    c->hello.transport = UPSCALER_INLINE;
    return UPSCALER_OK;
}

/* Connect anew after the service has gone, but not more often than every so often. */
static int ups_again(upscaler_client *c, uint64_t until_ns) {
    const uint64_t now = upscaler_now_ns();
    if (now < c->retry_ns) {
        const long wait = (long)((c->retry_ns - now) / 1000000u) + 1, left = ups_left_ms(until_ns);
        zmq_poll(NULL, 0, wait < left ? wait : left); /* sleeps */
        if (left < wait) return UPSCALER_OK;
    }
    c->retry_ns = upscaler_now_ns() + UPS_RETRY_NS;
    ups_disconnect(c, 0);
    ups_end_session(c);
    c->state = UPS_NEW;
    return ups_begin(c);
}

int upscaler_connect(upscaler_client *c, int timeout_ms) {
    const uint64_t until_ns = ups_until(timeout_ms);
    int code = UPSCALER_OK;
    if (!ups_alive(c)) return ups_check_open(c);
    if (c->state == UPS_OPEN) {
        if (!ups_gone(c)) return UPSCALER_OK;
        return ups_lose(c, UPSCALER_E_SERVICE_LOST, "has gone");
    }
    for (;;) {
        ups_event event;
        zmq_msg_t second;
        int parts;
        if (c->state == UPS_LOST || !c->socket || ups_gone(c)) {
            code = ups_again(c, until_ns);
            if (code) return code;
        }
        if (c->socket && c->state == UPS_NEW) {
            code = ups_send(c, &c->hello, sizeof c->hello, NULL, 0);
            if (code) return code;
            c->state = UPS_OPENING;
        }
        if (c->socket && !ups_gone(c)) {
            parts = ups_get(c, until_ns, &event, &second);
            if (parts) code = ups_opening(c, &event);
            zmq_msg_close(&second);
            if (code || c->state == UPS_OPEN) return code;
            if (parts) continue;
        }
        if (ups_left_ms(until_ns) == 0) {
            UPS_FAIL(TIMEOUT,
                "the service at %.200s has not answered yet; is `upscaler serve` running there?",
                c->endpoint);
        }
    }
}

int upscaler_acquire(upscaler_client *c, upscaler_image *frame) {
    uint32_t slot;
    int code = ups_check_open(c);
    if (frame) memset(frame, 0, sizeof *frame);
    if (code) return code;
    if (!frame) UPS_FAIL(BAD_OPTION, "the frame is NULL");
    if (ups_gone(c)) return ups_lose(c, UPSCALER_E_SERVICE_LOST, "has gone");
    slot = ups_free_at(c);
    if (slot == c->slot_count) {
        ups_collect(c); /* a frame that was dropped has a slot */
        code = ups_check_open(c);
        if (code) return code;
        slot = ups_free_at(c);
    }
    if (slot == c->slot_count)
        UPS_FAIL(BAD_SLOT, "no slot is free; poll and release results first");
    *frame = ups_image(c, slot, UPS_FILLING);
    frame->pixels = c->memory + slot * c->slot_bytes;
    frame->width = c->hello.width;
    frame->height = c->hello.height;
    frame->stride = frame->width * ups_channels(c->hello.pixel_format);
    frame->max_stride = c->max_stride;
    return UPSCALER_OK;
}

int upscaler_submit(
    upscaler_client *c, upscaler_image *frame, double deadline_ms, uint64_t *frame_id) {
    const uint64_t now = upscaler_now_ns();
    upscaler_frame header;
    uint32_t row;
    int code = ups_check_open(c), slot, shared;
    if (frame_id) *frame_id = 0;
    if (code) return code;
    slot = ups_slot_of(c, frame, UPS_FILLING);
    if (slot < 0) UPS_FAIL(BAD_SLOT, "the frame is not yours to submit; upscaler_acquire another");
    row = c->hello.width * ups_channels(c->hello.pixel_format);
    if (frame->stride < row || frame->stride > c->max_stride) {
        UPS_FAIL(PIXELS_MISMATCH, "rows cannot be %u bytes apart here; choose %u to %u",
            frame->stride, row, c->max_stride);
    }
    if (!(deadline_ms >= 0 && deadline_ms <= UPSCALER_MAX_DEADLINE_MS)) {
        UPS_FAIL(STALE_DEADLINE,
            "a deadline %g ms from now has passed, or is no deadline; give one up to %g ms ahead",
            deadline_ms, UPSCALER_MAX_DEADLINE_MS);
    }
    if (ups_gone(c)) return ups_lose(c, UPSCALER_E_SERVICE_LOST, "has gone");
    if (c->flying >= c->hello.credits || c->flying >= c->welcome.credits) {
        ups_collect(c);
        code = ups_check_open(c);
        if (code) return code;
        if (c->flying >= c->hello.credits || c->flying >= c->welcome.credits) {
            UPS_FAIL(TOO_MANY_FRAMES, "%u frames are in flight already; wait for a result first",
                c->flying);
        }
    }
    shared = c->welcome.transport == UPSCALER_SHARED_MEMORY;
    memset(&header, 0, sizeof header);
    header.prefix = ups_prefix(UPSCALER_FRAME, sizeof header);
    header.frame_id = c->last_frame_id + 1;
    header.submitted_ns = now;
    header.deadline_ns = deadline_ms > 0 ? now + 1 + (uint64_t)(deadline_ms * 1e6) : 0;
    header.width = c->hello.width;
    header.height = c->hello.height;
    header.stride = frame->stride;
    header.slot = shared ? (uint16_t)slot : (uint16_t)UPSCALER_INLINE_SLOT;
    header.pixel_format = c->hello.pixel_format;
    code = ups_send(c, &header, sizeof header,
        shared ? NULL : c->memory + (size_t)slot * c->slot_bytes,
        (size_t)frame->stride * c->hello.height);
    if (code) return code;
    c->last_frame_id++;
    c->counts.submitted++;
    c->flying_ids[c->flying] = header.frame_id;
    c->flying_slots[c->flying++] = (uint8_t)slot;
    c->slot_state[slot] = UPS_SUBMITTED;
    frame->pixels = NULL;
    if (frame_id) *frame_id = header.frame_id;
    return UPSCALER_OK;
}

int upscaler_wait(upscaler_client *c, upscaler_upscaled *result, int timeout_ms) {
    upscaler_waiting *entry;
    if (result) memset(result, 0, sizeof *result);
    if (!ups_alive(c)) return ups_check_open(c);
    if (!result) UPS_FAIL(BAD_OPTION, "the result is NULL");
    if (!c->waiting_count) {
        const int code = ups_check_open(c);
        if (code) return code;
        if (!c->flying && timeout_ms > 0)
            UPS_FAIL(UNEXPECTED_MESSAGE, "no frame is in flight; submit one first");
        if (ups_next(c, ups_until(timeout_ms), &c->waiting[c->waiting_first]))
            c->waiting_count = 1;
        else if (c->lost)
            return ups_lose(c, UPSCALER_E_SERVICE_LOST, "has gone");
        else if (!c->flying)
            UPS_FAIL(UNEXPECTED_MESSAGE, "no frame is in flight; submit one first");
        else
            UPS_FAIL(TIMEOUT, "no result has come yet");
    }
    entry = &c->waiting[c->waiting_first];
    c->waiting_first = (c->waiting_first + 1) % UPSCALER_MAX_WAITING;
    c->waiting_count--;
    *result = entry->result;
    if (entry->code) memcpy(c->text, entry->text, sizeof c->text);
    return entry->code;
}

int upscaler_poll(upscaler_client *c, upscaler_upscaled *result) {
    return upscaler_wait(c, result, 0);
}

int upscaler_release(upscaler_client *c, upscaler_image *image) {
    int slot;
    if (!ups_alive(c)) return ups_check_open(c);
    if (!image) UPS_FAIL(BAD_OPTION, "the image is NULL");
    slot = ups_slot_of(c, image, UPS_RETURNED);
    if (slot < 0) slot = ups_slot_of(c, image, UPS_FILLING);
    if (slot >= 0) ups_free_slot(c, (uint32_t)slot);
    image->pixels = NULL;
    return UPSCALER_OK;
}

int upscaler_welcomed(const upscaler_client *c, upscaler_welcome *welcome) {
    if (welcome) memset(welcome, 0, sizeof *welcome);
    if (!ups_alive(c) || !welcome) return UPSCALER_E_BAD_OPTION;
    if (c->state != UPS_OPEN) return UPSCALER_E_SERVICE_LOST;
    *welcome = c->welcome;
    return UPSCALER_OK;
}

const char *upscaler_inline_reason(const upscaler_client *c) {
    return ups_alive(c) ? c->inline_reason : "";
}

uint32_t upscaler_lost_frames(const upscaler_client *c, uint64_t *ids, uint32_t capacity) {
    uint32_t i;
    if (!ups_alive(c)) return 0;
    for (i = 0; ids && i < capacity && i < c->lost_count; i++) ids[i] = c->lost_ids[i];
    return c->lost_count;
}

uint32_t upscaler_in_flight(const upscaler_client *c) { return ups_alive(c) ? c->flying : 0; }

static int ups_compare(const void *a, const void *b) {
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Interpolated between the samples on both sides. */
static double ups_percentile(const float *sorted, uint32_t count, double share) {
    const double at = share * (count - 1);
    const uint32_t below = (uint32_t)at, above = below + 1 < count ? below + 1 : below;
    return (double)sorted[below] + (at - below) * (double)(sorted[above] - sorted[below]);
}

int upscaler_stats(const upscaler_client *c, upscaler_statistics *s) {
    uint32_t n, last, first;
    int i;
    if (s) memset(s, 0, sizeof *s);
    if (!ups_alive(c) || !s) return UPSCALER_E_BAD_OPTION;
    *s = c->counts;
    n = s->recent = c->recent_count < UPSCALER_RECENT ? (uint32_t)c->recent_count : UPSCALER_RECENT;
    for (i = 0; n && i < 7; i++) {
        upscaler_percentiles *const stages[7] = {&s->sent, &s->waited, &s->upscaling, &s->returned,
            &s->arrived, &s->total, &s->overhead};
        float sorted[UPSCALER_RECENT];
        memcpy(sorted, c->recent_ms[i], n * sizeof *sorted);
        qsort(sorted, n, sizeof *sorted, ups_compare);
        stages[i]->p50_ms = ups_percentile(sorted, n, 0.50);
        stages[i]->p95_ms = ups_percentile(sorted, n, 0.95);
        stages[i]->p99_ms = ups_percentile(sorted, n, 0.99);
    }
    if (n > 1) {
        last = (uint32_t)((c->recent_count - 1) % UPSCALER_RECENT);
        first = n < UPSCALER_RECENT ? 0 : (uint32_t)(c->recent_count % UPSCALER_RECENT);
        if (c->recent_ns[last] > c->recent_ns[first])
            s->fps = (n - 1) * 1e9 / (double)(c->recent_ns[last] - c->recent_ns[first]);
    }
    return UPSCALER_OK;
}

void upscaler_close(upscaler_client *c) {
    if (!ups_alive(c)) return;
    ups_disconnect(c, c->state == UPS_OPEN && !ups_gone(c) && ups_say_bye(c) ? 1000 : 0);
    ups_end_session(c);
    while (zmq_ctx_term(c->context) != 0 && zmq_errno() == EINTR) continue;
    free(c->inline_memory); /* after libzmq, which may have been sending from it */
    memset(c, 0, sizeof *c);
}

#endif /* UPSCALER_IMPLEMENTATION */
