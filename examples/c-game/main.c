/* A game that renders at 960x540 and shows 1920x1080. See README.md; main() has the frame. */
#include <SDL.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hud.h"
#include "link.h"
#include "scene.h"

#define SCALE 2
#define MIP_BIAS (-1.0f) /* log2(1 / SCALE): textures as the shown picture would sample them */
#define WAIT_MS 60000    /* for the service, when frames are counted */

static const char *const METHODS[] = {"quicksrnet-small", "fsr1", "bicubic", OFF};
static const char USAGE[] =
    "usage: c-game [--method NAME|off] [--endpoint ENDPOINT] [--size WxH]\n"
    "              [--frames N [--screenshot FILE.bmp]] [--hidden] [--no-hud]\n";

enum { PACE_FRAMES = 15 };

typedef struct options {
    const char *method, *endpoint, *screenshot;
    int width, height, frames, hidden, no_hud;
} options;

typedef struct game {
    SDL_Window *window;
    SDL_Renderer *renderer;
    SDL_Texture *small, *large; /* the frame itself, and the newest result */
    uint8_t *own;               /* where a frame is drawn that nobody upscales */
    upscaler_link link;
    int have_result, quit, integer, hud;
    double fps;
    char pace[1200];
    int pace_age; /* frames since it was put into words */
} game;

static int number(const char *text, int most) {
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    return errno || *end || end == text || value < 1 || value > most ? 0 : (int)value;
}

static int read_options(options *o, int count, char **words) {
    for (int i = 1; i < count; i++) {
        const char *word = words[i], *value = i + 1 < count ? words[i + 1] : "";
        int taken = 1;
        if (!strcmp(word, "--method"))
            o->method = value;
        else if (!strcmp(word, "--endpoint"))
            o->endpoint = value;
        else if (!strcmp(word, "--screenshot"))
            o->screenshot = value;
        else if (!strcmp(word, "--frames"))
            taken = (o->frames = number(value, 1000000)) != 0;
        else if (!strcmp(word, "--size"))
            taken = sscanf(value, "%4dx%4d", &o->width, &o->height) == 2 && o->width >= 16 &&
                o->height >= 16 && o->width <= 4096 && o->height <= 2160;
        else {
            taken = 0;
            if (!strcmp(word, "--hidden"))
                o->hidden = 1;
            else if (!strcmp(word, "--no-hud"))
                o->no_hud = 1;
            else {
                fprintf(stderr, "c-game: unknown option %s\n%s", word, USAGE);
                return 0;
            }
            continue;
        }
        if (!taken || !*value) {
            fprintf(stderr, "c-game: %s cannot be \"%s\"\n%s", word, value, USAGE);
            return 0;
        }
        i++;
    }
    if (o->screenshot && !o->frames) {
        fprintf(stderr, "c-game: a screenshot is of the last of --frames N\n%s", USAGE);
        return 0;
    }
    return 1;
}

static int start(game *g, const options *o) {
    memset(g, 0, sizeof *g);
    g->hud = !o->no_hud;
    SDL_SetHint(SDL_HINT_RENDER_SCALE_QUALITY, "linear");
    if (SDL_Init(SDL_INIT_VIDEO) != 0)
        return 0;
    int width = SCALE * o->width, height = SCALE * o->height;
    Uint32 flags = SDL_WINDOW_RESIZABLE | (o->hidden ? SDL_WINDOW_HIDDEN : 0);
    g->window = SDL_CreateWindow(
        "c-game", SDL_WINDOWPOS_CENTERED, SDL_WINDOWPOS_CENTERED, width, height, flags);
    if (g->window && !o->frames)
        g->renderer = SDL_CreateRenderer(g->window, -1, SDL_RENDERER_PRESENTVSYNC);
    if (g->window && !g->renderer) /* counted frames give the same pictures on every machine */
        g->renderer = SDL_CreateRenderer(g->window, -1, SDL_RENDERER_SOFTWARE);
    if (!g->renderer)
        return 0;
    /* ARGB as a number is B, G, R, A in memory. */
    Uint32 format = SDL_PIXELFORMAT_ARGB8888;
    int access = SDL_TEXTUREACCESS_STREAMING;
    g->small = SDL_CreateTexture(g->renderer, format, access, o->width, o->height);
    g->large = SDL_CreateTexture(g->renderer, format, access, width, height);
    g->own = malloc((size_t)o->width * (size_t)o->height * 4);
    if (!g->small || !g->large || !g->own)
        return 0;
    SDL_SetTextureBlendMode(g->small, SDL_BLENDMODE_NONE);
    SDL_SetTextureBlendMode(g->large, SDL_BLENDMODE_NONE);
    return 1;
}

static void handle_events(game *g) {
    SDL_Event event;
    while (SDL_PollEvent(&event)) {
        if (event.type == SDL_QUIT)
            g->quit = 1;
        if (event.type != SDL_KEYDOWN || event.key.repeat)
            continue;
        SDL_Keycode key = event.key.keysym.sym;
        if (key == SDLK_ESCAPE || key == SDLK_q)
            g->quit = 1;
        else if (key >= SDLK_1 && key <= SDLK_4) {
            link_change_method(&g->link, METHODS[key - SDLK_1]);
            g->have_result = 0;
        } else if (key == SDLK_h)
            g->hud = !g->hud;
        else if (key == SDLK_i)
            g->integer = !g->integer;
        else if (key == SDLK_f) {
            Uint32 full = SDL_GetWindowFlags(g->window) & SDL_WINDOW_FULLSCREEN_DESKTOP;
            SDL_SetWindowFullscreen(g->window, full ? 0 : SDL_WINDOW_FULLSCREEN_DESKTOP);
        }
    }
}

/* The largest place in the window with the picture's shape; of whole multiples where they are wanted
 * and there is room. */
static SDL_Rect place(const game *g, int width, int height) {
    int w, h;
    SDL_GetRendererOutputSize(g->renderer, &w, &h);
    if (w <= 0 || h <= 0)
        return (SDL_Rect){0, 0, width, height};
    double share = SDL_min((double)w / width, (double)h / height);
    if (g->integer && share >= 1)
        share = (int)share;
    SDL_Rect at = {0, 0, (int)(width * share + 0.5), (int)(height * share + 0.5)};
    at.x = (w - at.w) / 2, at.y = (h - at.h) / 2;
    return at;
}

/* Frames a second, and what the service has done: for the HUD, and at the end. */
static void describe_pace(const game *g, char *line, size_t room) {
    upscaler_statistics s;
    int size = snprintf(line, room, "%.0f frames/s", g->fps);
    if (upscaler_stats(&g->link.client, &s) == UPSCALER_OK && s.recent)
        snprintf(line + size, room - (size_t)size,
            ", %.0f upscaled/s, after %.1f ms (p95 %.1f), %llu left out", s.fps, s.total.p50_ms,
            s.total.p95_ms, (unsigned long long)s.dropped);
}

static void draw_hud(game *g, const options *o) {
    char line[1200];
    int y = 20, bottom;
    snprintf(line, sizeof line, "%dx%d to %dx%d: %s", o->width, o->height, SCALE * o->width,
        SCALE * o->height, g->link.status);
    y += hud_text(g->renderer, 24, y, 3, line);
    if (!o->frames) { /* frames that wait for one another have no pace */
        /* Percentiles sort what they are of, and nobody reads figures that change every frame. */
        if (g->pace_age++ % PACE_FRAMES == 0)
            describe_pace(g, g->pace, sizeof g->pace);
        hud_text(g->renderer, 24, y, 3, g->pace);
    }
    SDL_GetRendererOutputSize(g->renderer, NULL, &bottom);
    hud_text(g->renderer, 24, bottom - 36, 2,
        "1 network   2 FSR 1.0   3 bicubic   4 off   H words   I whole multiples   F full screen");
}

static void show(game *g, const options *o) {
    int large = g->have_result;
    SDL_Rect at = place(g, SCALE * o->width, SCALE * o->height);
    SDL_SetRenderDrawColor(g->renderer, 0, 0, 0, 255);
    SDL_RenderClear(g->renderer);
    SDL_RenderCopy(g->renderer, large ? g->large : g->small, NULL, &at);
    if (g->hud)
        draw_hud(g, o);
}

static int keep(game *g, const char *path) {
    int width, height;
    SDL_GetRendererOutputSize(g->renderer, &width, &height);
    SDL_Surface *picture =
        SDL_CreateRGBSurfaceWithFormat(0, width, height, 32, SDL_PIXELFORMAT_ARGB8888);
    int kept = picture &&
        !SDL_RenderReadPixels(
            g->renderer, NULL, picture->format->format, picture->pixels, picture->pitch) &&
        !SDL_SaveBMP(picture, path);
    SDL_FreeSurface(picture);
    return kept;
}

/* Take the newest result, if there is one, and put it into the texture. */
static void take(game *g, int wait_ms) {
    upscaler_upscaled result;
    if (link_newest(&g->link, &result, wait_ms)) {
        SDL_UpdateTexture(g->large, NULL, result.image.pixels, (int)result.image.stride);
        upscaler_release(&g->link.client, &result.image);
        g->have_result = 1;
    } else if (g->link.frames_sent == 0) {
        g->have_result = 0; /* no session: the picture of the last one would stand still */
    }
}

/* One frame: draw frame N into the service's memory, hand it over, and show the newest result, N-1's
 * if the service keeps up. It works while the game waits for the screen and draws the next. */
static void play_frame(game *g, const options *o, double seconds, int wait_ms) {
    upscaler_image slot;
    take(g, 0); /* credits first */
    int sent = link_acquire(&g->link, &slot);
    canvas to = {sent ? slot.pixels : g->own, o->width, o->height,
        sent ? (int)slot.stride : 4 * o->width};
    scene_draw(&to, seconds, MIP_BIAS);
    if (!g->have_result || !sent) /* before it is handed over, for nobody may look into it then */
        SDL_UpdateTexture(g->small, NULL, to.pixels, to.stride);
    if (sent)
        link_submit(&g->link, &slot);
    take(g, wait_ms);
    show(g, o);
    SDL_RenderPresent(g->renderer);
}

/* The service may still be compiling: counted frames shall all be upscaled. */
static int wait_for_service(game *g) {
    int code = g->link.wanted && !g->link.refused ? upscaler_connect(&g->link.client, WAIT_MS) : 0;
    if (code != UPSCALER_OK || g->link.refused)
        fprintf(stderr, "c-game: %s\n", upscaler_error_text(&g->link.client));
    return code == UPSCALER_OK && !g->link.refused;
}

int main(int count, char **words) {
    options o = {METHODS[0], upscaler_default_options().endpoint, NULL, 960, 540, 0, 0, 0};
    static game g; /* large: a client keeps its statistics inside */
    if (!read_options(&o, count, words))
        return 2;
    if (!start(&g, &o)) {
        fprintf(stderr, "c-game: no window can be opened: %s\n", SDL_GetError());
        return 1;
    }
    scene_init();
    link_start(&g.link, o.endpoint, o.method, o.width, o.height, o.frames > 0);
    int failed = o.frames && !wait_for_service(&g);
    uint64_t began = upscaler_now_ns(), before = began;
    for (int frame = 0; !failed && !g.quit && (!o.frames || frame < o.frames); frame++) {
        handle_events(&g);
        uint64_t now = upscaler_now_ns();
        double seconds = o.frames ? frame / 60.0 : (double)(now - began) / 1e9;
        if (frame > 0 && now > before) {
            double fps = 1e9 / (double)(now - before);
            g.fps += (frame == 1 ? 1 : 0.1) * (fps - g.fps);
        }
        before = now;
        play_frame(&g, &o, seconds, o.frames ? WAIT_MS : 0);
    }
    if (!failed && o.screenshot) {
        show(&g, &o); /* what is on the screen may not be readable any more */
        failed = !keep(&g, o.screenshot);
        if (failed)
            fprintf(stderr, "c-game: cannot write %s: %s\n", o.screenshot, SDL_GetError());
    }
    if (!failed) {
        char pace[200];
        describe_pace(&g, pace, sizeof pace);
        printf("%s\n%s\n", g.link.status, pace);
    }
    link_stop(&g.link);
    free(g.own);
    SDL_Quit();
    return failed;
}
