/* What both files of the client share: one client, what is expected of it, and its pixels. */
#ifndef C_CLIENT_H
#define C_CLIENT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "upscaler.h"

#define PATIENCE_MS 20000
#define EXPECT(condition) expect((condition) != 0, #condition, __LINE__)
#define EXPECT_CODE(code, call) expect_code(&client, UPSCALER_##code, call, #call, __LINE__)

extern upscaler_client client;

void expect(int holds, const char *what, int line);
void expect_code(const upscaler_client *c, int wanted, int code, const char *call, int line);
int says(const char *words);
upscaler_options options_for(const char *endpoint, const char *transport);
void begin(const upscaler_options *options);
uint32_t channels(const upscaler_image *image);
void fill(const upscaler_image *frame, uint32_t seed);
int is_upscaled(const upscaler_image *image, uint32_t seed, uint32_t scale);

/* Everything that a game may do wrong. */
void wrong(const char *endpoint, const char *transport);

#endif
