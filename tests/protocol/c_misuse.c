/* Everything that a game may do wrong: NULL, closed clients, images of others and of the past. */
#include "c_client.h"

static void closed_calls(upscaler_client *c) {
    upscaler_image image;
    upscaler_upscaled result;
    upscaler_welcome welcome;
    upscaler_statistics statistics;
    uint64_t id = 5;
    memset(&image, 0, sizeof image);
    EXPECT_CODE(E_BAD_OPTION, upscaler_connect(c, 10));
    EXPECT_CODE(E_BAD_OPTION, upscaler_acquire(c, &image));
    EXPECT_CODE(E_BAD_OPTION, upscaler_acquire(c, NULL));
    EXPECT_CODE(E_BAD_OPTION, upscaler_submit(c, &image, 0, &id));
    EXPECT(id == 0);
    EXPECT_CODE(E_BAD_OPTION, upscaler_submit(c, NULL, 0, NULL));
    EXPECT_CODE(E_BAD_OPTION, upscaler_poll(c, &result));
    EXPECT_CODE(E_BAD_OPTION, upscaler_wait(c, NULL, 10));
    EXPECT_CODE(E_BAD_OPTION, upscaler_release(c, &image));
    EXPECT_CODE(E_BAD_OPTION, upscaler_release(c, NULL));
    EXPECT_CODE(E_BAD_OPTION, upscaler_welcomed(c, &welcome));
    EXPECT_CODE(E_BAD_OPTION, upscaler_stats(c, &statistics));
    EXPECT(!*upscaler_inline_reason(c) && !upscaler_in_flight(c));
    EXPECT(upscaler_lost_frames(c, &id, 1) == 0);
    EXPECT(*upscaler_error_text(c));
    upscaler_close(c);
    upscaler_close(c);
}

/* Options that cannot be right are refused by upscaler_open, which leaves the client closed. */
static void wrong_options(const char *endpoint) {
    static const char *const endpoints[] = {NULL, "", "tcp://", "tcp://127.0.0.1:", "ipc://",
        "ipc://@abstract", "tcp://192.168.1.2:5560", "tcp://127.0.0.1:0", "tcp://127.0.0.1:65536",
        "tcp://127.0.0.1:1;192.168.1.2:5560", "tcp://127.0.0.1:x"};
    const upscaler_options good = options_for(endpoint, "shm");
    upscaler_options bad = good;
    char path[400];
    size_t i;
    EXPECT_CODE(E_BAD_OPTION, upscaler_open(NULL, &good));
    EXPECT_CODE(E_BAD_OPTION, upscaler_open(&client, NULL));
    for (i = 0; i < sizeof endpoints / sizeof *endpoints; i++) {
        bad.endpoint = endpoints[i];
        EXPECT_CODE(E_BAD_OPTION, upscaler_open(&client, &bad));
        EXPECT(says("no endpoint on this machine"));
    }
    memset(path, 'a', sizeof path);
    memcpy(path, "ipc:///", 7);
    path[sizeof path - 1] = 0;
    bad.endpoint = path;
    EXPECT_CODE(E_BAD_OPTION, upscaler_open(&client, &bad));
    path[200] = 0; /* short enough for the client, too long for a socket */
    EXPECT_CODE(E_BAD_OPTION, upscaler_open(&client, &bad));
    EXPECT(says("cannot connect"));
    bad = good, bad.width = 0;
    EXPECT_CODE(E_UNSUPPORTED_SIZE, upscaler_open(&client, &bad));
    bad = good, bad.width = 8193;
    EXPECT_CODE(E_UNSUPPORTED_SIZE, upscaler_open(&client, &bad));
    bad = good, bad.width = 0xFFFFFFFFu, bad.height = 0xFFFFFFFFu;
    EXPECT_CODE(E_UNSUPPORTED_SIZE, upscaler_open(&client, &bad));
    bad = good, bad.width = 8000, bad.height = 4000;
    EXPECT_CODE(E_UNSUPPORTED_SIZE, upscaler_open(&client, &bad));
    EXPECT(says("results of 16000x8000"));
    bad = good, bad.scale_denominator = 0;
    EXPECT_CODE(E_UNSUPPORTED_SCALE, upscaler_open(&client, &bad));
    bad = good, bad.scale_numerator = 5;
    EXPECT_CODE(E_UNSUPPORTED_SCALE, upscaler_open(&client, &bad));
    bad = good, bad.pixel_format = 5;
    EXPECT_CODE(E_UNSUPPORTED_FORMAT, upscaler_open(&client, &bad));
    bad = good, bad.credits = 9;
    EXPECT_CODE(E_BAD_OPTION, upscaler_open(&client, &bad));
    bad = good, bad.delivery = 0;
    EXPECT_CODE(E_BAD_OPTION, upscaler_open(&client, &bad));
    bad = good, bad.transport = 3;
    EXPECT_CODE(E_UNSUPPORTED_TRANSPORT, upscaler_open(&client, &bad));
    EXPECT(says("unknown transport 3"));
    closed_calls(&client);
}

void wrong(const char *endpoint, const char *transport) {
    upscaler_options options = options_for(endpoint, transport);
    upscaler_client copy, other;
    upscaler_image frame, again, foreign, slots[7];
    upscaler_upscaled result;
    uint64_t id;
    int i;
    closed_calls(NULL);
    closed_calls(&client);
    EXPECT(!strcmp(upscaler_error_name(-1), "an unknown code"));
    EXPECT(!strcmp(upscaler_error_name(UPSCALER_E_NOT_ALLOWED), "NOT_ALLOWED"));
    EXPECT(!strcmp(upscaler_error_name(UPSCALER_E_NOT_ALLOWED + 1), "an unknown code"));
    wrong_options(endpoint);

    EXPECT_CODE(OK, upscaler_open(&client, &options));
    EXPECT_CODE(E_SERVICE_LOST, upscaler_acquire(&client, &frame)); /* not connected yet */
    EXPECT_CODE(E_SERVICE_LOST, upscaler_poll(&client, &result));
    EXPECT_CODE(OK, upscaler_connect(&client, PATIENCE_MS));
    EXPECT_CODE(OK, upscaler_connect(&client, -1));
    memcpy(&copy, &client, sizeof copy);
    closed_calls(&copy);

    EXPECT_CODE(E_BAD_OPTION, upscaler_acquire(&client, NULL));
    EXPECT_CODE(E_BAD_OPTION, upscaler_wait(&client, NULL, 0));
    EXPECT_CODE(E_BAD_OPTION, upscaler_release(&client, NULL));
    EXPECT_CODE(E_BAD_OPTION, upscaler_stats(&client, NULL));
    EXPECT_CODE(E_BAD_OPTION, upscaler_welcomed(&client, NULL));
    EXPECT_CODE(E_BAD_SLOT, upscaler_submit(&client, NULL, 0, NULL));
    EXPECT_CODE(E_UNEXPECTED_MESSAGE, upscaler_wait(&client, &result, PATIENCE_MS));
    EXPECT_CODE(E_UNEXPECTED_MESSAGE, upscaler_poll(&client, &result));

    /* Out of slots. What is released may be released again, and does not free another's slot. */
    for (i = 0; i < 7; i++) EXPECT_CODE(OK, upscaler_acquire(&client, &slots[i]));
    EXPECT_CODE(E_BAD_SLOT, upscaler_acquire(&client, &frame));
    EXPECT(!frame.pixels && says("no slot is free"));
    again = slots[0];
    EXPECT_CODE(OK, upscaler_release(&client, &slots[0]));
    EXPECT_CODE(OK, upscaler_acquire(&client, &frame));
    EXPECT(frame.pixels == again.pixels);
    EXPECT_CODE(OK, upscaler_release(&client, &again));
    EXPECT_CODE(E_BAD_SLOT, upscaler_acquire(&client, &again));
    EXPECT_CODE(E_BAD_SLOT, upscaler_submit(&client, &slots[0], 0, NULL));
    for (i = 1; i < 7; i++) EXPECT_CODE(OK, upscaler_release(&client, &slots[i]));

    /* Strides, deadlines and sizes; the frame stays the caller's. */
    fill(&frame, 3);
    frame.stride--;
    EXPECT_CODE(E_PIXELS_MISMATCH, upscaler_submit(&client, &frame, 0, NULL));
    frame.stride = frame.max_stride + 1;
    EXPECT_CODE(E_PIXELS_MISMATCH, upscaler_submit(&client, &frame, 0, NULL));
    frame.stride = 80;
    EXPECT_CODE(E_STALE_DEADLINE, upscaler_submit(&client, &frame, -1, NULL));
    EXPECT_CODE(E_STALE_DEADLINE, upscaler_submit(&client, &frame, 60001, NULL));
    EXPECT_CODE(E_STALE_DEADLINE, upscaler_submit(&client, &frame, strtod("nan", NULL), &id));
    EXPECT(id == 0 && frame.pixels);
    again = frame;
    frame.height = 60000; /* fields that are not the caller's to change */
    frame.width = 60000;
    frame.pixels = NULL;
    EXPECT_CODE(OK, upscaler_submit(&client, &frame, 0, &id));
    EXPECT(id == 1);
    EXPECT_CODE(E_BAD_SLOT, upscaler_submit(&client, &frame, 0, &id));
    EXPECT_CODE(E_BAD_SLOT, upscaler_submit(&client, &again, 0, &id));
    EXPECT(id == 0);
    EXPECT_CODE(OK, upscaler_release(&client, &again)); /* it is the service's: nothing happens */
    EXPECT(upscaler_in_flight(&client) == 1);
    EXPECT_CODE(OK, upscaler_wait(&client, &result, PATIENCE_MS));
    EXPECT(result.frame_id == 1 && is_upscaled(&result.image, 3, 2));
    EXPECT_CODE(E_BAD_SLOT, upscaler_submit(&client, &result.image, 0, NULL)); /* no frame */

    /* Images of other clients, and of this one before it was closed. */
    memset(&other, 0, sizeof other);
    EXPECT_CODE(OK, upscaler_open(&other, &options));
    expect_code(&other, UPSCALER_OK, upscaler_connect(&other, PATIENCE_MS), "other", __LINE__);
    EXPECT_CODE(OK, upscaler_acquire(&other, &foreign));
    EXPECT_CODE(OK, upscaler_acquire(&client, &frame));
    EXPECT_CODE(E_BAD_SLOT, upscaler_submit(&client, &foreign, 0, NULL));
    EXPECT_CODE(OK, upscaler_release(&client, &foreign));
    upscaler_close(&other);
    upscaler_close(&client);
    EXPECT_CODE(E_BAD_OPTION, upscaler_submit(&client, &frame, 0, NULL));
    begin(&options);
    EXPECT_CODE(OK, upscaler_acquire(&client, &again));
    EXPECT_CODE(E_BAD_SLOT, upscaler_submit(&client, &frame, 0, NULL));
    EXPECT_CODE(OK, upscaler_release(&client, &frame));
    EXPECT_CODE(OK, upscaler_release(&client, &result.image));
    EXPECT_CODE(OK, upscaler_submit(&client, &again, 0, NULL)); /* still acquired */
    upscaler_close(&client);
    closed_calls(&client);
}
