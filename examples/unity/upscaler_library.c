/* upscaler.h as a library that C# can load.
 *
 *     cc -O2 -shared -fPIC -I../../protocol/c upscaler_library.c -o libupscaler.so -lzmq
 *     cl /O2 /LD /I..\..\protocol\c upscaler_library.c libzmq.lib /Fe:upscaler.dll
 *
 * Put it into Assets/Plugins. The second line has not been run. */
#define UPSCALER_IMPLEMENTATION
#include "upscaler.h"

#ifdef _MSC_VER
#define EXPORT(name) __pragma(comment(linker, "/EXPORT:" #name))
EXPORT(upscaler_default_options)
EXPORT(upscaler_open)
EXPORT(upscaler_connect)
EXPORT(upscaler_acquire)
EXPORT(upscaler_submit)
EXPORT(upscaler_wait)
EXPORT(upscaler_release)
EXPORT(upscaler_in_flight)
EXPORT(upscaler_close)
EXPORT(upscaler_error_text)
EXPORT(upscaler_client_bytes)
EXPORT(upscaler_struct_bytes)
#endif

/* How much memory a client is, which C# has to provide; and the other structs, to compare. */
uint64_t upscaler_client_bytes(void);
uint64_t upscaler_client_bytes(void) { return sizeof(upscaler_client); }

uint64_t upscaler_struct_bytes(int which);
uint64_t upscaler_struct_bytes(int which) {
    return which == 0 ? sizeof(upscaler_options)
        : which == 1  ? sizeof(upscaler_image)
                      : sizeof(upscaler_upscaled);
}
