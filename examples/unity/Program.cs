// UpscalerSession.cs without Unity: sends frames to a service and checks what comes back.
//
//     cc -O2 -shared -fPIC -I../../protocol/c upscaler_library.c -o libupscaler.so -lzmq
//     mcs -out:session.exe Program.cs UpscalerSession.cs
//     LD_LIBRARY_PATH=. mono session.exe tcp://127.0.0.1:5560

using System;
using System.Runtime.InteropServices;
using Upscaler;

internal static class Program
{
    private const int Width = 96, Height = 54, Frames = 10;

    private static int Main(string[] arguments)
    {
        using (var session = new Session(arguments[0], "nearest", Width, Height, PixelFormat.Bgra8))
        {
            if (!session.Connect(60000))
            {
                Console.Error.WriteLine(session.ErrorText);
                return 1;
            }
            for (int number = 0; number < Frames; number++)
            {
                Image frame;
                Upscaled result;
                ulong id;
                if (!session.TryAcquire(out frame)) throw new Exception(session.ErrorText);
                byte[] pixels = Picture(number);
                Marshal.Copy(pixels, 0, frame.Pixels, pixels.Length);
                if (!session.TrySubmit(ref frame, 0, out id)) throw new Exception(session.ErrorText);
                if (!session.TryNewest(out result, 60000)) throw new Exception(session.ErrorText);
                byte[] large = new byte[4 * pixels.Length];
                Marshal.Copy(result.Image.Pixels, large, 0, large.Length);
                session.Release(ref result.Image);
                for (int y = 0; y < 2 * Height; y++)
                    for (int x = 0; x < 8 * Width; x++)
                        if (large[y * 8 * Width + x] != pixels[y / 2 * 4 * Width + x / 8 * 4 + x % 4])
                            throw new Exception("frame " + id + " differs at byte " + x + " of row " + y);
                if (result.FrameId != id || result.TotalMs <= 0) throw new Exception("the times");
            }
        }
        try
        {
            using (var refused = new Session(arguments[0], "dlss", Width, Height, PixelFormat.Bgra8))
                refused.Connect(60000);
            throw new Exception("an unknown method was taken");
        }
        catch (UpscalerException error)
        {
            Console.WriteLine(Frames + " frames; then: " + error.Message);
        }
        return 0;
    }

    private static byte[] Picture(int number)
    {
        byte[] pixels = new byte[Width * Height * 4];
        for (int i = 0; i < pixels.Length; i++) pixels[i] = (byte)(i * 7 + i / 384 * 13 + number * 31);
        return pixels;
    }
}
