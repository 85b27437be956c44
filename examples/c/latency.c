/* Streams frames through a service, one after the other, and prints what each stage takes. */
#define UPSCALER_IMPLEMENTATION
#include "upscaler.h"

static int failed(const upscaler_client *client, int code, const char *what) {
    fprintf(stderr, "latency: %s: %s: %s\n", what, upscaler_error_name(code),
        upscaler_error_text(client));
    return 1;
}

static void print_row(const char *stage, const upscaler_percentiles *of) {
    printf("%-10s %8.3f %8.3f %8.3f\n", stage, of->p50_ms, of->p95_ms, of->p99_ms);
}

static void print_statistics(const upscaler_client *client) {
    upscaler_statistics s;
    upscaler_welcome welcome;
    if (upscaler_stats(client, &s) || upscaler_welcomed(client, &welcome)) return;
    printf("%.32s on %.64s%s, %s, to %ux%u: %u frames at %.1f fps\n", welcome.method,
        welcome.device, welcome.emulated ? " (emulated)" : "",
        welcome.transport == UPSCALER_SHARED_MEMORY ? "shared memory" : "inline",
        welcome.upscaled_width, welcome.upscaled_height, s.recent, s.fps);
    printf("%-10s %8s %8s %8s\n", "ms", "p50", "p95", "p99");
    print_row("sent", &s.sent);
    print_row("waited", &s.waited);
    print_row("upscaling", &s.upscaling);
    print_row("returned", &s.returned);
    print_row("arrived", &s.arrived);
    print_row("total", &s.total);
    print_row("overhead", &s.overhead);
}

/* Draw, send, wait, let go: one frame's way. */
static int play_frame(upscaler_client *client, int number) {
    upscaler_image frame;
    upscaler_upscaled result;
    int code = upscaler_acquire(client, &frame);
    if (code) return failed(client, code, "acquire");
    memset(frame.pixels, number, (size_t)frame.stride * frame.height);
    code = upscaler_submit(client, &frame, 0, NULL);
    if (code) return failed(client, code, "submit");
    code = upscaler_wait(client, &result, 10000);
    if (code) return failed(client, code, "wait");
    upscaler_release(client, &result.image);
    return 0;
}

static int play(upscaler_client *client, int frames, double fps) {
    const uint64_t began_ns = upscaler_now_ns();
    int i;
    for (i = 0; i < frames; i++) {
        const uint64_t due_ns = began_ns + (fps > 0 ? (uint64_t)(i * 1e9 / fps) : 0);
        const uint64_t now_ns = upscaler_now_ns();
        if (now_ns < due_ns) zmq_poll(NULL, 0, (long)((due_ns - now_ns) / 1000000u)); /* sleeps */
        if (play_frame(client, i)) return 1;
    }
    print_statistics(client);
    return 0;
}

int main(int count, char **arguments) {
    upscaler_client client;
    upscaler_options options = upscaler_default_options();
    const char *const transport = count > 3 ? arguments[3] : "auto";
    const int frames = count > 5 ? atoi(arguments[5]) : 300;
    int code;
    if (count < 2 || count > 7 || frames < 1) {
        fprintf(stderr, "usage: latency ENDPOINT [METHOD [shm|inline|auto [WIDTHxHEIGHT [FRAMES "
                        "[FPS]]]]]\n");
        return 2;
    }
    options.endpoint = arguments[1];
    options.method = count > 2 ? arguments[2] : "";
    options.name = "latency, C";
    if (!strcmp(transport, "shm")) options.transport = UPSCALER_SHARED_MEMORY;
    if (!strcmp(transport, "inline")) options.transport = UPSCALER_INLINE;
    if (sscanf(count > 4 ? arguments[4] : "960x540", "%ux%u", &options.width, &options.height) != 2)
        options.width = 0; /* which the client refuses, and says why */
    code = upscaler_open(&client, &options);
    if (!code) code = upscaler_connect(&client, 60000);
    if (code) {
        failed(&client, code, "no session");
    } else {
        if (*upscaler_inline_reason(&client))
            printf("pixels travel inline: %s\n", upscaler_inline_reason(&client));
        code = play(&client, frames, count > 6 ? atof(arguments[6]) : 0);
    }
    upscaler_close(&client);
    return code != 0;
}
