#include "scene.h"

#include <math.h>
#include <stdlib.h>

#include "raster.h"

#define CUBES 9
#define BALLS 7
#define POLES 12
#define FOCAL 0.9f /* of the width: a field of view of 58 degrees */
#define EYE 1.7f   /* metres above the floor */
#define PI 3.14159265f

static texture floor_skin, brick_skin, crate_skin;
static const vec3 SUN = {0.48f, -0.66f, -0.58f}; /* towards it, in the world; y is down */
static const vec3 WARM = {1.25f, 1.05f, 0.80f}, COOL = {0.16f, 0.20f, 0.29f};
static const vec3 HAZE = {0.72f, 0.58f, 0.44f}, ZENITH = {0.06f, 0.16f, 0.42f};

typedef struct view {
    canvas to;
    float focal, cosine, sine, bias;
    vec3 eye;
} view;

/* A hash of two integers, 0 to 1: the same on every machine. */
static float noise_at(int x, int y) {
    uint32_t h = (uint32_t)x * 374761393u + (uint32_t)y * 668265263u;
    h = (h ^ (h >> 13)) * 1274126177u;
    return (float)((h ^ (h >> 16)) & 0xFFFF) / 65535;
}

static float grain_at(float u, float v) {
    float sum = 0, weight = 0.5f;
    for (int cells = 8; cells <= 128; cells *= 2, weight *= 0.6f) {
        float x = u * cells, y = v * cells;
        int x0 = (int)x, y0 = (int)y, x1 = (x0 + 1) % cells, y1 = (y0 + 1) % cells;
        x -= x0, y -= y0;
        float upper = noise_at(x0, y0) * (1 - x) + noise_at(x1, y0) * x;
        float lower = noise_at(x0, y1) * (1 - x) + noise_at(x1, y1) * x;
        sum += weight * (upper * (1 - y) + lower * y);
    }
    return sum;
}

static float edge_of_cell(float x, float y) {
    x -= floorf(x), y -= floorf(y);
    return fminf(fminf(x, 1 - x), fminf(y, 1 - y));
}

static vec3 floor_colour(float u, float v) {
    int dark = ((int)(u * 4) + (int)(v * 4)) & 1;
    vec3 tile = dark ? vec(0.12f, 0.13f, 0.15f) : vec(0.42f, 0.38f, 0.31f);
    float joint = clampf((edge_of_cell(u * 4, v * 4) - 0.02f) / 0.02f, 0.25f, 1);
    return mul(tile, joint * (0.55f + 0.6f * grain_at(u, v)));
}

static vec3 brick_colour(float u, float v) {
    float row = floorf(v * 8), x = u * 4 + ((int)row & 1 ? 0.5f : 0);
    float up = v * 8 - row, across = x - floorf(x);
    float edge = fminf(fminf(across, 1 - across) * 2, fminf(up, 1 - up));
    float tone = noise_at((int)floorf(x) & 3, (int)row + 17);
    vec3 brick = vec(0.26f + 0.16f * tone, 0.07f + 0.06f * tone, 0.04f + 0.03f * tone);
    float joint = clampf((edge - 0.05f) / 0.06f, 0, 1);
    return mul(mix(vec(0.40f, 0.36f, 0.30f), brick, joint), 0.55f + 0.6f * grain_at(u, v));
}

static vec3 crate_colour(float u, float v) {
    float frame = edge_of_cell(u, v), cross = fabsf(u - v), plank = v * 6 - floorf(v * 6);
    float light = 0.8f + 0.5f * grain_at(u * 0.25f, v);
    if (frame < 0.09f || (cross < 0.06f && frame >= 0.09f))
        return mul(vec(0.36f, 0.20f, 0.08f), light);
    return mul(vec(0.52f, 0.33f, 0.15f), light * (plank < 0.06f ? 0.3f : 1));
}

void scene_init(void) {
    raster_init();
    if (!texture_make(&floor_skin, floor_colour) || !texture_make(&brick_skin, brick_colour) ||
        !texture_make(&crate_skin, crate_colour))
        abort(); /* two megabytes cannot be had */
}

static vec3 turned(const view *v, vec3 d) {
    return vec(v->cosine * d.x - v->sine * d.z, d.y, v->sine * d.x + v->cosine * d.z);
}

static vec3 seen(const view *v, vec3 at) { return turned(v, sub(at, v->eye)); }

static vec3 fogged(vec3 light, float distance) {
    return mix(light, HAZE, 1 - expf(-0.022f * fmaxf(distance - 6, 0)));
}

static vec3 sky_light(vec3 way) { /* a unit vector in the world */
    vec3 sky = mix(HAZE, ZENITH, sqrtf(clampf(-way.y, 0, 1)));
    float near_sun = fmaxf(dot(way, SUN), 0);
    float glow = near_sun * near_sun, disc = clampf((near_sun - 0.9988f) * 4000, 0, 1);
    for (int i = 0; i < 5; i++)
        glow *= glow;
    return add(sky, mul(vec(1.0f, 0.75f, 0.45f), 0.5f * glow + disc));
}

static vec3 object_place(int i, float time, float *size) {
    if (i < CUBES) {
        float angle = (float)i * 2 * PI / CUBES;
        *size = 1.1f + 0.5f * noise_at(i, 3);
        return vec(9 * sinf(angle), -*size / 2, 9 * cosf(angle));
    }
    float angle = (float)(i - CUBES) * 2 * PI / BALLS + 0.35f * time;
    float bounce = fabsf(sinf(2.1f * time + (float)i));
    *size = 0.45f + 0.25f * noise_at(i, 5);
    return vec(5 * sinf(angle), -*size - 1.1f * bounce, 5 * cosf(angle));
}

/* The floor and the sky: a ray for each pixel. Shadows are where a ray to the sun meets a ball. */
static void draw_ground(const view *v, float time) {
    vec3 balls[CUBES + BALLS];
    float sizes[CUBES + BALLS];
    for (int i = 0; i < CUBES + BALLS; i++)
        balls[i] = object_place(i, time, &sizes[i]);
    for (int row = 0; row < v->to.height; row++) {
        float down = (row + 0.5f - v->to.height * 0.5f) / v->focal;
        float distance = down > 1e-4f ? EYE / down : 1e9f; /* along the camera's z */
        for (int column = 0; column < v->to.width; column++) {
            float aside = (column + 0.5f - v->to.width * 0.5f) / v->focal;
            vec3 way = vec(v->cosine * aside + v->sine, down, v->cosine - v->sine * aside);
            float length = sqrtf(dot(way, way));
            vec3 light;
            if (distance > 120) {
                light = sky_light(mul(way, 1 / length));
            } else {
                float x = v->eye.x + way.x * distance, z = v->eye.z + way.z * distance;
                float footprint = distance * distance / (EYE * v->focal) / 3;
                float level = log2f(sqrtf(footprint * distance / v->focal / 3) * TEXTURE_SIDE);
                vec3 skin = texture_sample(&floor_skin, x / 3, z / 3, level + v->bias);
                float lit = 1;
                for (int i = CUBES; i < CUBES + BALLS; i++) {
                    vec3 to_ball = sub(balls[i], vec(x, 0, z));
                    float along = dot(to_ball, SUN);
                    float apart = dot(to_ball, to_ball) - along * along;
                    float r = sizes[i] * sizes[i];
                    lit = fminf(lit, clampf((apart - 0.7f * r) / (0.6f * r), 0, 1));
                }
                for (int i = 0; i < CUBES; i++) { /* dark where a cube stands on the floor */
                    float dx = balls[i].x - x, dz = balls[i].z - z;
                    float near = (dx * dx + dz * dz) / (sizes[i] * sizes[i]);
                    lit = fminf(lit, clampf(near - 0.1f, 0.2f, 1));
                }
                vec3 sun = mul(WARM, lit * -SUN.y);
                light = fogged(tint(skin, add(sun, COOL)), distance * length);
            }
            raster_blend(&v->to, column, row, light, 1);
        }
    }
}

static void draw_cube(const view *v, int i, float time) {
    static const int faces[6][4] = {
        {0, 1, 3, 2}, {5, 4, 6, 7}, {4, 0, 2, 6}, {1, 5, 7, 3}, {4, 5, 1, 0}, {2, 3, 7, 6}};
    static const vec3 normals[6] = {
        {0, 0, -1}, {0, 0, 1}, {-1, 0, 0}, {1, 0, 0}, {0, -1, 0}, {0, 1, 0}};
    float size, angle = 0.5f * (float)i + (i % 3 ? 0 : 0.4f * time);
    vec3 centre = object_place(i, time, &size);
    float c = cosf(angle), s = sinf(angle);
    vec3 points[8];
    for (int p = 0; p < 8; p++) {
        float x = size * ((p & 1) - 0.5f), y = size * ((p >> 1 & 1) - 0.5f);
        float z = size * ((p >> 2 & 1) - 0.5f);
        points[p] = seen(v, add(centre, vec(c * x - s * z, y, s * x + c * z)));
        if (points[p].z < 0.1f)
            return;
    }
    int visible[6];
    vec3 worlds[6];
    for (int f = 0; f < 6; f++) {
        vec3 n = normals[f];
        worlds[f] = vec(c * n.x - s * n.z, n.y, s * n.x + c * n.z);
        visible[f] = dot(turned(v, worlds[f]), points[faces[f][0]]) < 0;
    }
    for (int f = 0; f < 6; f++) {
        if (!visible[f])
            continue;
        corner corners[4];
        for (int k = 0; k < 4; k++) {
            int a = faces[f][k], b = faces[f][(k + 1) % 4];
            corners[k] = (corner){points[a], (float)(k == 1 || k == 2), (float)(k >= 2), 1};
            for (int g = 0; g < 6; g++) /* an edge that two visible faces share is inside */
                for (int m = 0; m < 4 && g != f && visible[g]; m++)
                    if (faces[g][m] == b && faces[g][(m + 1) % 4] == a)
                        corners[k].outline = 0;
        }
        vec3 light = add(mul(WARM, fmaxf(dot(worlds[f], SUN), 0)), mul(COOL, 1.4f));
        raster_face(&v->to, v->focal, corners, 4, i % 2 ? &crate_skin : &brick_skin, light, v->bias);
    }
}

typedef struct ball_paint {
    const view *v;
    vec3 colour;
    float turn;
} ball_paint;

static vec3 ball_light(vec3 n, const void *data) {
    const ball_paint *paint = data;
    const view *v = paint->v;
    vec3 world = vec(v->cosine * n.x + v->sine * n.z, n.y, v->cosine * n.z - v->sine * n.x);
    float c = cosf(paint->turn), s = sinf(paint->turn);
    float x = c * world.x + s * world.y, y = c * world.y - s * world.x;
    /* Four stripes and a cap, whose edges are as wide as a fortieth of the ball. */
    float stripe = clampf(sinf(5 * (x + 0.3f * y)) * 8, -1, 1) * 0.5f + 0.5f;
    vec3 base = mix(paint->colour, vec(0.75f, 0.72f, 0.66f), stripe);
    vec3 light = tint(base, add(mul(WARM, fmaxf(dot(world, SUN), 0)), mul(COOL, 1.2f - world.y)));
    vec3 mirrored = sub(vec(0, 0, 1), mul(n, 2 * n.z)); /* the eye's ray, in the camera's space */
    vec3 sun = turned(v, SUN);
    float shine = fmaxf(dot(mirrored, sun), 0);
    for (int i = 0; i < 5; i++)
        shine *= shine;
    return add(light, mul(vec(1, 0.9f, 0.75f), shine));
}

static void draw_ball(const view *v, int i, float time) {
    float size;
    vec3 at = object_place(i, time, &size);
    vec3 colour = vec(0.75f * noise_at(i, 7), 0.45f * noise_at(i, 8), 0.75f * noise_at(i, 9));
    ball_paint paint = {v, colour, 1.3f * time + (float)i};
    raster_ball(&v->to, v->focal, seen(v, at), size, ball_light, &paint);
}

static vec3 pole_place(int i) {
    float angle = ((float)i + 0.5f) * 2 * PI / POLES;
    return vec(14 * sinf(angle), 0, 14 * cosf(angle));
}

/* Poles, wires that hang between them and a fence: what upscalers find hard. */
static void draw_lines(const view *v, int i) {
    vec3 foot = pole_place(i), next = pole_place(i + 1);
    float distance = sqrtf(dot(sub(foot, v->eye), sub(foot, v->eye)));
    vec3 dark = fogged(vec(0.03f, 0.03f, 0.035f), distance);
    vec3 up = vec(0, -1, 0);
    for (int post = 0; post <= 24; post++) {
        vec3 at = mix(foot, next, (float)post / 24);
        raster_line(&v->to, v->focal, seen(v, at), seen(v, add(at, mul(up, 1.3f))), 0.04f, dark);
    }
    for (int rail = 0; rail < 2; rail++) {
        vec3 lift = mul(up, rail ? 1.2f : 0.2f);
        raster_line(&v->to, v->focal, seen(v, add(foot, lift)), seen(v, add(next, lift)), 0.05f, dark);
    }
    for (int wire = 0; wire < 3; wire++)
        for (int piece = 0; piece < 12; piece++) {
            float t0 = (float)piece / 12, t1 = (float)(piece + 1) / 12, high = 4.6f + 0.5f * wire;
            vec3 a = add(mix(foot, next, t0), mul(up, high - 2.8f * t0 * (1 - t0)));
            vec3 b = add(mix(foot, next, t1), mul(up, high - 2.8f * t1 * (1 - t1)));
            raster_line(&v->to, v->focal, seen(v, a), seen(v, b), 0.03f, dark);
        }
    raster_line(&v->to, v->focal, seen(v, foot), seen(v, add(foot, mul(up, 6))), 0.18f,
        fogged(vec(0.16f, 0.10f, 0.06f), distance));
}

typedef struct drawn {
    float distance;
    int index;
} drawn;

static int farther(const void *a, const void *b) {
    float x = ((const drawn *)a)->distance, y = ((const drawn *)b)->distance;
    return (x < y) - (x > y);
}

void scene_draw(const canvas *to, double seconds, float mip_bias) {
    float time = (float)seconds, heading = 0.25f * time;
    view v = {*to, FOCAL * to->width, cosf(heading), sinf(heading), mip_bias, {0, -EYE, 0}};
    v.eye.x = 2.0f * sinf(0.31f * time), v.eye.z = 2.0f * cosf(0.23f * time) - 2;
    draw_ground(&v, time);
    for (int i = 0; i < POLES; i++)
        draw_lines(&v, i); /* outside of all else, so behind it */
    drawn order[CUBES + BALLS];
    for (int i = 0; i < CUBES + BALLS; i++) {
        float size;
        vec3 d = sub(object_place(i, time, &size), v.eye);
        order[i] = (drawn){dot(d, d), i};
    }
    qsort(order, CUBES + BALLS, sizeof *order, farther);
    for (int i = 0; i < CUBES + BALLS; i++) {
        if (order[i].index < CUBES)
            draw_cube(&v, order[i].index, time);
        else
            draw_ball(&v, order[i].index, time);
    }
}
