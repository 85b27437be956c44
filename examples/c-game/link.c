#define UPSCALER_IMPLEMENTATION
#include "link.h"

#include <stdio.h>
#include <string.h>

static void say(upscaler_link *link, const char *words, const char *more) {
    snprintf(link->status, sizeof link->status, "%s%.400s", words, more);
}

void link_start(upscaler_link *link, const char *endpoint, const char *method, int width,
    int height, int every) {
    memset(link, 0, sizeof *link);
    link->options = upscaler_default_options();
    link->options.endpoint = endpoint;
    link->options.width = (uint32_t)width;
    link->options.height = (uint32_t)height;
    link->options.pixel_format = UPSCALER_BGRA8;
    link->options.delivery = every ? UPSCALER_EVERY : UPSCALER_LATEST;
    link->options.name = "c-game";
    link_change_method(link, method);
}

void link_change_method(upscaler_link *link, const char *method) {
    upscaler_close(&link->client);
    link->frames_sent = link->refused = 0;
    link->options.method = method;
    link->wanted = strcmp(method, OFF) != 0;
    say(link, link->wanted ? "connecting to " : "off: bilinear, drawn by the game itself",
        link->wanted ? link->options.endpoint : "");
    if (link->wanted && upscaler_open(&link->client, &link->options) != UPSCALER_OK) {
        say(link, "bilinear: ", upscaler_error_text(&link->client));
        link->refused = 1;
    }
}

static void note(upscaler_link *link, int code) {
    if (code == UPSCALER_E_TIMEOUT) /* nobody is there, or a network is being compiled */
        say(link, "bilinear until the service answers at ", link->options.endpoint);
    else
        say(link, "bilinear: ", upscaler_error_text(&link->client));
}

int link_acquire(upscaler_link *link, upscaler_image *frame) {
    memset(frame, 0, sizeof *frame);
    if (!link->wanted || link->refused)
        return 0;
    int code = upscaler_connect(&link->client, 0);
    if (code != UPSCALER_OK) {
        note(link, code);
        /* What the service refuses it would refuse at the next frame, too; one that has gone may
         * come back. */
        link->refused = code != UPSCALER_E_TIMEOUT && code != UPSCALER_E_SERVICE_LOST &&
            code != UPSCALER_E_SHUTTING_DOWN;
        return 0;
    }
    if (link->frames_sent == 0) {
        upscaler_welcome welcome;
        if (upscaler_welcomed(&link->client, &welcome) == UPSCALER_OK)
            snprintf(link->status, sizeof link->status, "%.32s on %.32s%s, %s", welcome.method,
                welcome.engine, welcome.emulated ? " (emulated)" : "",
                welcome.transport == UPSCALER_SHARED_MEMORY ? "shared memory" : "inline");
    }
    /* Without a credit the frame could not be sent: results first, and the next frame then. */
    if (upscaler_in_flight(&link->client) >= link->options.credits)
        return 0;
    return upscaler_acquire(&link->client, frame) == UPSCALER_OK;
}

void link_submit(upscaler_link *link, upscaler_image *frame) {
    int code = upscaler_submit(&link->client, frame, 0, NULL);
    if (code == UPSCALER_OK) {
        link->frames_sent++;
        return;
    }
    note(link, code);
    upscaler_release(&link->client, frame);
    if (code == UPSCALER_E_SERVICE_LOST)
        link->frames_sent = 0;
}

int link_newest(upscaler_link *link, upscaler_upscaled *result, int timeout_ms) {
    int have = 0;
    upscaler_upscaled next;
    memset(result, 0, sizeof *result);
    if (!link->wanted || link->refused || link->frames_sent == 0)
        return 0;
    for (;;) {
        int code = upscaler_wait(&link->client, &next, have ? 0 : timeout_ms);
        if (code == UPSCALER_E_TIMEOUT || code == UPSCALER_E_UNEXPECTED_MESSAGE)
            return have;
        if (code != UPSCALER_OK) {
            note(link, code);
            if (code == UPSCALER_E_SERVICE_LOST || code == UPSCALER_E_SHUTTING_DOWN) {
                link->frames_sent = 0;
                return 0; /* pictures of that session are gone, too */
            }
            if (next.frame_id == 0)
                return have;
            continue;
        }
        if (next.image.pixels == NULL)
            continue; /* dropped for a newer frame */
        if (have)
            upscaler_release(&link->client, &result->image);
        *result = next;
        have = 1;
    }
}

void link_stop(upscaler_link *link) { upscaler_close(&link->client); }
