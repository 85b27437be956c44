#include "hud.h"

#include <ctype.h>

#define COLUMNS 5
#define ROWS 7

/* From space to Z: seven rows of five pixels, the leftmost in bit 4. */
static const unsigned char FONT[][ROWS] = {
    {0, 0, 0, 0, 0, 0, 0}, {4, 4, 4, 4, 4, 0, 4}, {10, 10, 0, 0, 0, 0, 0},
    {10, 31, 10, 10, 31, 10, 0}, {4, 15, 20, 14, 5, 30, 4}, {25, 26, 2, 4, 8, 11, 19},
    {12, 18, 20, 8, 21, 18, 13}, {4, 4, 0, 0, 0, 0, 0}, {2, 4, 8, 8, 8, 4, 2},
    {8, 4, 2, 2, 2, 4, 8}, {0, 4, 21, 14, 21, 4, 0}, {0, 4, 4, 31, 4, 4, 0},
    {0, 0, 0, 0, 4, 4, 8}, {0, 0, 0, 31, 0, 0, 0}, {0, 0, 0, 0, 0, 12, 12},
    {1, 1, 2, 4, 8, 16, 16}, {14, 17, 19, 21, 25, 17, 14}, {4, 12, 4, 4, 4, 4, 14},
    {14, 17, 1, 6, 8, 16, 31}, {14, 17, 1, 6, 1, 17, 14}, {2, 6, 10, 18, 31, 2, 2},
    {31, 16, 30, 1, 1, 17, 14}, {6, 8, 16, 30, 17, 17, 14}, {31, 1, 2, 4, 8, 8, 8},
    {14, 17, 17, 14, 17, 17, 14}, {14, 17, 17, 15, 1, 2, 12}, {0, 12, 12, 0, 12, 12, 0},
    {0, 4, 4, 0, 4, 4, 8}, {2, 4, 8, 16, 8, 4, 2}, {0, 0, 31, 0, 31, 0, 0},
    {8, 4, 2, 1, 2, 4, 8}, {14, 17, 1, 2, 4, 0, 4}, {14, 17, 23, 21, 23, 16, 14},
    {14, 17, 17, 31, 17, 17, 17}, {30, 17, 17, 30, 17, 17, 30}, {14, 17, 16, 16, 16, 17, 14},
    {28, 18, 17, 17, 17, 18, 28}, {31, 16, 16, 30, 16, 16, 31}, {31, 16, 16, 30, 16, 16, 16},
    {14, 17, 16, 23, 17, 17, 15}, {17, 17, 17, 31, 17, 17, 17}, {14, 4, 4, 4, 4, 4, 14},
    {7, 2, 2, 2, 2, 18, 12}, {17, 18, 20, 24, 20, 18, 17}, {16, 16, 16, 16, 16, 16, 31},
    {17, 27, 21, 21, 17, 17, 17}, {17, 25, 21, 21, 19, 17, 17}, {14, 17, 17, 17, 17, 17, 14},
    {30, 17, 17, 30, 16, 16, 16}, {14, 17, 17, 17, 21, 18, 13}, {30, 17, 17, 30, 20, 18, 17},
    {15, 16, 16, 14, 1, 1, 30}, {31, 4, 4, 4, 4, 4, 4}, {17, 17, 17, 17, 17, 17, 14},
    {17, 17, 17, 17, 17, 10, 4}, {17, 17, 17, 21, 21, 27, 17}, {17, 17, 10, 4, 10, 17, 17},
    {17, 17, 10, 4, 4, 4, 4}, {31, 1, 2, 4, 8, 16, 31},
};
static const unsigned char BOX[ROWS] = {31, 17, 17, 17, 17, 17, 31};

static void draw(SDL_Renderer *renderer, int x, int y, int size, const char *text) {
    for (; *text; text++, x += (COLUMNS + 1) * size) {
        int letter = toupper((unsigned char)*text) - ' ';
        int known = letter >= 0 && letter < (int)(sizeof FONT / sizeof *FONT);
        const unsigned char *rows = known ? FONT[letter] : BOX;
        for (int row = 0; row < ROWS; row++)
            for (int column = 0; column < COLUMNS; column++)
                if (rows[row] >> (COLUMNS - 1 - column) & 1) {
                    SDL_Rect pixel = {x + column * size, y + row * size, size, size};
                    SDL_RenderFillRect(renderer, &pixel);
                }
    }
}

int hud_text(SDL_Renderer *renderer, int x, int y, int size, const char *text) {
    int shadow = (size + 1) / 2;
    SDL_SetRenderDrawColor(renderer, 0, 0, 0, 255);
    draw(renderer, x + shadow, y + shadow, size, text);
    SDL_SetRenderDrawColor(renderer, 240, 240, 235, 255);
    draw(renderer, x, y, size, text);
    return (ROWS + 4) * size;
}
