/* Polygons, balls and lines with antialiased edges, drawn over what is there: from back to front.
 *
 * Space is the camera's: x to the right, y down, z ahead, in metres. `focal` is in pixels. Colours
 * are linear light, 0 to 1; they are blended as light and stored in sRGB. */
#ifndef RASTER_H
#define RASTER_H

#include "scene.h"

#define TEXTURE_SIDE 256
#define TEXTURE_LEVELS 9

typedef struct vec3 {
    float x, y, z;
} vec3;

/* A square texture with its mipmaps, linear light, which repeats. */
typedef struct texture {
    vec3 *levels[TEXTURE_LEVELS];
} texture;

typedef struct corner {
    vec3 at;
    float u, v;
    int outline; /* whether the edge to the next corner is the object's outline, to be smoothed */
} corner;

void raster_init(void);
int texture_make(texture *made, vec3 (*colour_at)(float u, float v));
vec3 texture_sample(const texture *from, float u, float v, float level);

/* Blend `light` over a pixel, `coverage` 0 to 1. */
void raster_blend(const canvas *to, int x, int y, vec3 light, float coverage);

/* A flat convex face of `count` corners, all ahead of the camera, lit by `light`. */
void raster_face(const canvas *to, float focal, const corner *corners, int count,
    const texture *skin, vec3 light, float mip_bias);

/* A ball; `shade` says what light comes from the point with normal `n`. */
void raster_ball(const canvas *to, float focal, vec3 centre, float radius,
    vec3 (*shade)(vec3 n, const void *data), const void *data);

/* A line of `width` metres. Thinner than a pixel it is fainter, not broken. */
void raster_line(const canvas *to, float focal, vec3 from, vec3 until, float width, vec3 light);

static inline vec3 vec(float x, float y, float z) { return (vec3){x, y, z}; }
static inline vec3 add(vec3 a, vec3 b) { return vec(a.x + b.x, a.y + b.y, a.z + b.z); }
static inline vec3 sub(vec3 a, vec3 b) { return vec(a.x - b.x, a.y - b.y, a.z - b.z); }
static inline vec3 mul(vec3 a, float s) { return vec(a.x * s, a.y * s, a.z * s); }
static inline vec3 tint(vec3 a, vec3 b) { return vec(a.x * b.x, a.y * b.y, a.z * b.z); }
static inline vec3 mix(vec3 a, vec3 b, float t) { return add(mul(a, 1 - t), mul(b, t)); }
static inline float dot(vec3 a, vec3 b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
static inline float clampf(float x, float low, float high) {
    return x < low ? low : x > high ? high : x;
}

#endif
