/* Words over the picture, drawn at the window's own resolution: after upscaling, so they stay sharp. */
#ifndef HUD_H
#define HUD_H

#include <SDL.h>

/* Draw a line of text; small letters become capitals, unknown characters a box. `size` is the side of
 * a letter's pixel. Returns the height of a line. */
int hud_text(SDL_Renderer *renderer, int x, int y, int size, const char *text);

#endif
