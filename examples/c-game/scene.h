/* A small scene, drawn by the processor: the same time gives the same picture, byte for byte. */
#ifndef SCENE_H
#define SCENE_H

#include <stdint.h>

/* Where pixels go: BGRA8, sRGB-encoded, rows from the top, `stride` bytes apart. */
typedef struct canvas {
    uint8_t *pixels;
    int width;
    int height;
    int stride;
} canvas;

/* Make the textures. Once, before the first frame. */
void scene_init(void);

/* Draw the scene at `seconds`. `mip_bias` is added to the mip levels of textures: log2 of the size
 * that is rendered over the size that is shown, so -1 for a frame that is upscaled 2x. */
void scene_draw(const canvas *to, double seconds, float mip_bias);

#endif
