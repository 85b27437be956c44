/* The game's side of the service: a method, whether a session is open, and the newest result. */
#ifndef LINK_H
#define LINK_H

#include "upscaler.h"

#define OFF "off" /* the method that asks no service */

typedef struct upscaler_link {
    upscaler_client client;
    upscaler_options options;
    int wanted; /* whether a service is asked at all */
    int refused; /* it said no: it is not asked again before the method changes */
    int frames_sent;
    char status[UPSCALER_TEXT_BYTES]; /* for the HUD */
} upscaler_link;

/* Ask the service at `endpoint` for frames of width x height in BGRA, twice as large. Waits for
 * nothing. `every`: no frame may be dropped for a newer one. */
void link_start(upscaler_link *link, const char *endpoint, const char *method, int width,
    int height, int every);
void link_change_method(upscaler_link *link, const char *method);

/* Take memory for a frame; 0 when there is no session yet, or nothing is free: draw elsewhere. */
int link_acquire(upscaler_link *link, upscaler_image *frame);

/* Send the frame that was drawn. */
void link_submit(upscaler_link *link, upscaler_image *frame);

/* Return 1 and the newest result that is there, or with timeout_ms wait for one. Older ones are
 * given back. Release result->image when it has been shown. */
int link_newest(upscaler_link *link, upscaler_upscaled *result, int timeout_ms);

void link_stop(upscaler_link *link);

#endif
