#include "raster.h"

#include <math.h>
#include <stdlib.h>

#define ENCODE_STEPS 4096
#define NEAR 0.05f

static uint8_t encoded[ENCODE_STEPS + 1]; /* light to sRGB */
static float decoded[256];                /* sRGB to light */

void raster_init(void) {
    for (int i = 0; i <= ENCODE_STEPS; i++) {
        float light = (float)i / ENCODE_STEPS;
        float curve = light <= 0.0031308f ? 12.92f * light
                                          : 1.055f * powf(light, 1 / 2.4f) - 0.055f;
        encoded[i] = (uint8_t)(255 * curve + 0.5f);
    }
    for (int i = 0; i < 256; i++) {
        float level = (float)i / 255;
        decoded[i] = level <= 0.04045f ? level / 12.92f : powf((level + 0.055f) / 1.055f, 2.4f);
    }
}

static uint8_t encode(float light) {
    return encoded[(int)(clampf(light, 0, 1) * ENCODE_STEPS + 0.5f)];
}

void raster_blend(const canvas *to, int x, int y, vec3 light, float coverage) {
    uint8_t *pixel = to->pixels + (size_t)y * (size_t)to->stride + 4 * (size_t)x;
    if (coverage < 1) {
        vec3 under = vec(decoded[pixel[2]], decoded[pixel[1]], decoded[pixel[0]]);
        light = mix(under, light, coverage);
    }
    pixel[0] = encode(light.z);
    pixel[1] = encode(light.y);
    pixel[2] = encode(light.x);
    pixel[3] = 255;
}

int texture_make(texture *made, vec3 (*colour_at)(float u, float v)) {
    for (int level = 0, side = TEXTURE_SIDE; level < TEXTURE_LEVELS; level++, side /= 2) {
        vec3 *texels = made->levels[level] = malloc(sizeof(vec3) * (size_t)side * (size_t)side);
        if (texels == NULL)
            return 0;
        for (int y = 0; y < side; y++)
            for (int x = 0; x < side; x++) {
                if (level == 0) {
                    texels[y * side + x] = colour_at((x + 0.5f) / side, (y + 0.5f) / side);
                    continue;
                }
                const vec3 *above = made->levels[level - 1];
                int row = 2 * y * 2 * side + 2 * x, next = row + 2 * side;
                vec3 sum = add(add(above[row], above[row + 1]), add(above[next], above[next + 1]));
                texels[y * side + x] = mul(sum, 0.25f);
            }
    }
    return 1;
}

static vec3 bilinear(const vec3 *texels, int side, float u, float v) {
    float x = u * side - 0.5f, y = v * side - 0.5f;
    float left = floorf(x), top = floorf(y);
    /* Sides are powers of two, so this wraps negative numbers, too. */
    int x0 = (int)left & (side - 1), y0 = (int)top & (side - 1);
    int x1 = (x0 + 1) & (side - 1), y1 = (y0 + 1) & (side - 1);
    x -= left, y -= top;
    vec3 upper = mix(texels[y0 * side + x0], texels[y0 * side + x1], x);
    return mix(upper, mix(texels[y1 * side + x0], texels[y1 * side + x1], x), y);
}

vec3 texture_sample(const texture *from, float u, float v, float level) {
    level = clampf(level, 0, TEXTURE_LEVELS - 1);
    int low = (int)level;
    vec3 fine = bilinear(from->levels[low], TEXTURE_SIDE >> low, u, v);
    if (low + 1 >= TEXTURE_LEVELS || level == (float)low)
        return fine;
    vec3 coarse = bilinear(from->levels[low + 1], TEXTURE_SIDE >> (low + 1), u, v);
    return mix(fine, coarse, level - (float)low);
}

/* Value of a plane over the screen, a * x + b * y + c, through three corners' values. */
typedef struct plane {
    float a, b, c;
} plane;

static plane through(const float *x, const float *y, float v0, float v1, float v2) {
    float area = (x[1] - x[0]) * (y[2] - y[0]) - (x[2] - x[0]) * (y[1] - y[0]);
    plane p;
    p.a = ((v1 - v0) * (y[2] - y[0]) - (v2 - v0) * (y[1] - y[0])) / area;
    p.b = ((v2 - v0) * (x[1] - x[0]) - (v1 - v0) * (x[2] - x[0])) / area;
    p.c = v0 - p.a * x[0] - p.b * y[0];
    return p;
}

void raster_face(const canvas *to, float focal, const corner *corners, int count,
    const texture *skin, vec3 light, float mip_bias) {
    float x[8], y[8], area = 0;
    float left = 1e9f, right = -1e9f, top = 1e9f, bottom = -1e9f;
    if (count < 3 || count > 8)
        return;
    for (int i = 0; i < count; i++) {
        if (corners[i].at.z < NEAR)
            return;
        x[i] = to->width * 0.5f + focal * corners[i].at.x / corners[i].at.z;
        y[i] = to->height * 0.5f + focal * corners[i].at.y / corners[i].at.z;
        left = fminf(left, x[i]), right = fmaxf(right, x[i]);
        top = fminf(top, y[i]), bottom = fmaxf(bottom, y[i]);
    }
    for (int i = 0; i < count; i++) {
        int j = (i + 1) % count;
        area += x[i] * y[j] - x[j] * y[i];
    }
    if (fabsf(area) < 0.5f)
        return;
    /* Distances to the edges, positive inside. */
    plane edges[8];
    for (int i = 0; i < count; i++) {
        int j = (i + 1) % count;
        float dx = x[j] - x[i], dy = y[j] - y[i];
        float length = fmaxf(sqrtf(dx * dx + dy * dy), 1e-6f) * (area > 0 ? 1 : -1);
        edges[i] = (plane){-dy / length, dx / length, (dy * x[i] - dx * y[i]) / length};
    }
    /* 1/z, u/z and v/z are planes over the screen. */
    float w[3];
    for (int i = 0; i < 3; i++)
        w[i] = 1 / corners[i].at.z;
    plane depth = through(x, y, w[0], w[1], w[2]);
    plane us = through(x, y, corners[0].u * w[0], corners[1].u * w[1], corners[2].u * w[2]);
    plane vs = through(x, y, corners[0].v * w[0], corners[1].v * w[1], corners[2].v * w[2]);
    int first = (int)clampf(floorf(top - 1), 0, (float)to->height);
    int last = (int)clampf(ceilf(bottom + 1), 0, (float)to->height);
    int begin = (int)clampf(floorf(left - 1), 0, (float)to->width);
    int end = (int)clampf(ceilf(right + 1), 0, (float)to->width);
    for (int row = first; row < last; row++)
        for (int column = begin; column < end; column++) {
            float px = column + 0.5f, py = row + 0.5f, coverage = 1;
            for (int i = 0; i < count && coverage > 0; i++) {
                float inside = edges[i].a * px + edges[i].b * py + edges[i].c;
                /* Edges between two faces overlap a little, or the background would show. */
                coverage = fminf(coverage, corners[i].outline ? inside + 0.5f : (inside + 0.5f) * 64);
            }
            if (coverage <= 0)
                continue;
            float z = 1 / fmaxf(depth.a * px + depth.b * py + depth.c, 1e-4f);
            float u = (us.a * px + us.b * py + us.c) * z, v = (vs.a * px + vs.b * py + vs.c) * z;
            float ux = (us.a - u * depth.a) * z, uy = (us.b - u * depth.b) * z;
            float vx = (vs.a - v * depth.a) * z, vy = (vs.b - v * depth.b) * z;
            float span = fmaxf(ux * ux + vx * vx, uy * uy + vy * vy);
            float level = 0.5f * log2f(span * TEXTURE_SIDE * TEXTURE_SIDE + 1e-9f) + mip_bias;
            raster_blend(to, column, row, tint(texture_sample(skin, u, v, level), light), coverage);
        }
}

void raster_ball(const canvas *to, float focal, vec3 centre, float radius,
    vec3 (*shade)(vec3 n, const void *data), const void *data) {
    if (centre.z < radius + NEAR)
        return;
    /* A sphere's outline is nearly a circle; towards the edge of the picture a longer one. */
    float size = focal * radius / sqrtf(centre.z * centre.z - radius * radius);
    float cx = to->width * 0.5f + focal * centre.x / centre.z;
    float cy = to->height * 0.5f + focal * centre.y / centre.z;
    int first = (int)clampf(floorf(cy - size - 1), 0, (float)to->height);
    int last = (int)clampf(ceilf(cy + size + 1), 0, (float)to->height);
    int begin = (int)clampf(floorf(cx - size - 1), 0, (float)to->width);
    int end = (int)clampf(ceilf(cx + size + 1), 0, (float)to->width);
    for (int row = first; row < last; row++)
        for (int column = begin; column < end; column++) {
            float dx = column + 0.5f - cx, dy = row + 0.5f - cy;
            float away = sqrtf(dx * dx + dy * dy), coverage = clampf(size - away + 0.5f, 0, 1);
            if (coverage <= 0)
                continue;
            float nx = dx / size, ny = dy / size, flat = nx * nx + ny * ny;
            if (flat > 0.999f) {
                float shrink = sqrtf(0.999f / flat);
                nx *= shrink, ny *= shrink, flat = 0.999f;
            }
            raster_blend(to, column, row, shade(vec(nx, ny, -sqrtf(1 - flat)), data), coverage);
        }
}

void raster_line(const canvas *to, float focal, vec3 from, vec3 until, float width, vec3 light) {
    if (from.z < NEAR && until.z < NEAR)
        return;
    if (from.z < NEAR)
        from = mix(from, until, (NEAR - from.z) / (until.z - from.z));
    if (until.z < NEAR)
        until = mix(until, from, (NEAR - until.z) / (from.z - until.z));
    float x0 = to->width * 0.5f + focal * from.x / from.z;
    float y0 = to->height * 0.5f + focal * from.y / from.z;
    float x1 = to->width * 0.5f + focal * until.x / until.z;
    float y1 = to->height * 0.5f + focal * until.y / until.z;
    float w0 = focal * width / from.z, w1 = focal * width / until.z;
    float dx = x1 - x0, dy = y1 - y0, length2 = dx * dx + dy * dy + 1e-6f;
    float reach = fmaxf(w0, w1) * 0.5f + 1;
    int first = (int)clampf(floorf(fminf(y0, y1) - reach), 0, (float)to->height);
    int last = (int)clampf(ceilf(fmaxf(y0, y1) + reach), 0, (float)to->height);
    for (int row = first; row < last; row++) {
        float py = row + 0.5f, lowest = fminf(x0, x1), highest = fmaxf(x0, x1);
        if (fabsf(dy) > 1e-3f) { /* only where the line passes this row */
            float a = x0 + (py - 1.5f * reach - y0) * dx / dy;
            float b = x0 + (py + 1.5f * reach - y0) * dx / dy;
            lowest = fmaxf(lowest, fminf(a, b)), highest = fminf(highest, fmaxf(a, b));
        }
        int begin = (int)clampf(floorf(lowest - reach), 0, (float)to->width);
        int end = (int)clampf(ceilf(highest + reach), 0, (float)to->width);
        for (int column = begin; column < end; column++) {
            float px = column + 0.5f;
            float along = clampf(((px - x0) * dx + (py - y0) * dy) / length2, 0, 1);
            float ax = px - x0 - along * dx, ay = py - y0 - along * dy;
            float half = 0.5f * (w0 + along * (w1 - w0));
            float away = sqrtf(ax * ax + ay * ay), wide = fmaxf(half, 0.5f);
            float coverage = clampf(wide - away + 0.5f, 0, 1) * (half / wide);
            if (coverage > 0)
                raster_blend(to, column, row, light, coverage);
        }
    }
}
