/* The messages of the upscaling service, byte by byte, for engines. C99 and C++.
 *
 * Every message is one header as the first ZeroMQ part; FRAME and RESULT carry inline pixels, ERROR
 * its sentence, LOAD the model's name or file and REPORT its JSON (all UTF-8) as the second. All fields are little-endian and naturally aligned, so
 * these structs are the wire format on every little-endian machine. Text is UTF-8, padded with
 * zero bytes. Times are nanoseconds on the machine's monotonic clock, 0 if unknown.
 *
 * The same tables in Python: protocol/messages.py. A test holds the two against one another.
 */
#ifndef UPSCALER_PROTOCOL_H
#define UPSCALER_PROTOCOL_H

#include <stdint.h>

#define UPSCALER_MAGIC "UPSC"
#define UPSCALER_MAJOR 1
#define UPSCALER_MINOR 0
#define UPSCALER_INLINE_SLOT 0xFFFFu

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

enum upscaler_transport { UPSCALER_INLINE = 1, UPSCALER_SHARED_MEMORY = 2 };
enum upscaler_delivery { UPSCALER_LATEST = 1, UPSCALER_EVERY = 2 };
enum upscaler_outcome { UPSCALER_UPSCALED = 1, UPSCALER_DROPPED = 2, UPSCALER_FALLBACK = 3 };

enum upscaler_error_code {
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
    char method[96]; /* a filter's may carry options: "fsr1:limiter=1.0,denoise" */
    char fallback[96]; /* of a frame that would be late: a filter, "drop", or "" for none */
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

/* To the service: replace a model; the second part is its name or file. */
typedef struct upscaler_load {
    upscaler_prefix prefix;
    char token[64];
} upscaler_load;

/* Service to client: an error; its sentence is the second part. frame_id 0: about no frame. */
typedef struct upscaler_error {
    upscaler_prefix prefix;
    uint64_t frame_id;
    uint16_t code;
    uint8_t pad[6];
} upscaler_error;

#endif
