// A session with the upscaling service, over upscaler.h built as a library (upscaler_library.c).
//
// Plain C#, without Unity. Compiled with Mono's compiler and run against the service by Program.cs.
// What each call does and whose memory is whose: protocol/c/upscaler.h. Not thread-safe.

using System;
using System.Runtime.InteropServices;

namespace Upscaler
{
    public enum PixelFormat : byte { Rgb8 = 1, Bgr8 = 2, Rgba8 = 3, Bgra8 = 4 }

    public enum Outcome { Upscaled = 1, Dropped = 2, Fallback = 3 }

    [StructLayout(LayoutKind.Sequential)]
    public struct Image
    {
        public IntPtr Pixels; // sRGB; zero: there are none
        public uint Width, Height, Stride, MaxStride;
        public PixelFormat PixelFormat;
        public byte Slot;
        public ulong Serial;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct Upscaled
    {
        public ulong FrameId;
        public Outcome Outcome;
        public Image Image; // yours until Release; has no pixels when dropped
        public ulong SubmittedNs, ReceivedNs, StartedNs, FinishedNs, ReturnedNs, ArrivedNs, DeadlineNs;

        public double TotalMs { get { return (ArrivedNs - SubmittedNs) / 1e6; } }
    }

    [StructLayout(LayoutKind.Sequential)]
    internal struct Options
    {
        public IntPtr Endpoint, Method, Fallback, Name;
        public uint Width, Height;
        public ushort ScaleNumerator, ScaleDenominator, Credits;
        public PixelFormat PixelFormat;
        public byte Transport, Delivery;
        public float SharpnessStops;
    }

    public sealed class UpscalerException : Exception
    {
        public readonly int Code; // enum upscaler_error_code

        public UpscalerException(int code, string words) : base(words) { Code = code; }
    }

    public sealed class Session : IDisposable
    {
        public const int Ok = 0, ShuttingDown = 14, Timeout = 17, ServiceLost = 21;
        private IntPtr client;

        // Begins to connect, and waits for nothing. Throws for what cannot be right.
        public Session(
            string endpoint, string method, int width, int height, PixelFormat format,
            int scaleNumerator = 2, int scaleDenominator = 1, string fallback = "")
        {
            CheckLayout();
            Options options = upscaler_default_options();
            options.Width = (uint)width;
            options.Height = (uint)height;
            options.ScaleNumerator = (ushort)scaleNumerator;
            options.ScaleDenominator = (ushort)scaleDenominator;
            options.PixelFormat = format;
            string[] texts = { endpoint, method, fallback, "unity" };
            IntPtr[] copies = Array.ConvertAll(texts, Marshal.StringToHGlobalAnsi);
            options.Endpoint = copies[0];
            options.Method = copies[1];
            options.Fallback = copies[2];
            options.Name = copies[3];
            int bytes = (int)upscaler_client_bytes();
            client = Marshal.AllocHGlobal(bytes);
            Marshal.Copy(new byte[bytes], 0, client, bytes);
            int code = upscaler_open(client, ref options);
            Array.ForEach(copies, Marshal.FreeHGlobal); // upscaler_open has copied them
            if (code != Ok)
            {
                var error = new UpscalerException(code, ErrorText);
                Dispose();
                throw error;
            }
        }

        // Whether frames may be sent now. Waits at most timeoutMs; opens the session anew after a
        // loss. Throws what the service refuses.
        public bool Connect(int timeoutMs = 0)
        {
            int code = upscaler_connect(client, timeoutMs);
            if (code == Ok) return true;
            if (code == Timeout || code == ServiceLost || code == ShuttingDown) return false;
            throw new UpscalerException(code, ErrorText);
        }

        // A slot to be filled; false when none is free.
        public bool TryAcquire(out Image frame) { return upscaler_acquire(client, out frame) == Ok; }

        // False without a credit, or when the service has gone: Release the frame then.
        public bool TrySubmit(ref Image frame, double deadlineMs, out ulong frameId)
        {
            return upscaler_submit(client, ref frame, deadlineMs, out frameId) == Ok;
        }

        // The newest result that has come; older ones are given back. Release its image.
        public bool TryNewest(out Upscaled newest, int timeoutMs = 0)
        {
            bool have = false;
            newest = default(Upscaled);
            while (true)
            {
                Upscaled next;
                int code = upscaler_wait(client, out next, have ? 0 : timeoutMs);
                if (code != Ok && next.FrameId != 0) continue; // that frame failed, others may not
                if (code == ServiceLost || code == ShuttingDown) return false; // and its pictures
                if (code != Ok) return have;
                if (next.Image.Pixels == IntPtr.Zero) continue; // dropped for a newer one
                if (have) Release(ref newest.Image);
                newest = next;
                have = true;
            }
        }

        public void Release(ref Image image) { upscaler_release(client, ref image); }

        public int InFlight { get { return (int)upscaler_in_flight(client); } }

        public string ErrorText
        {
            get { return Marshal.PtrToStringAnsi(upscaler_error_text(client)); }
        }

        public void Dispose()
        {
            if (client == IntPtr.Zero) return;
            upscaler_close(client);
            Marshal.FreeHGlobal(client);
            client = IntPtr.Zero;
        }

        // A library of another version would write over what is not its own.
        private static void CheckLayout()
        {
            Type[] types = { typeof(Options), typeof(Image), typeof(Upscaled) };
            for (int i = 0; i < types.Length; i++)
                if ((int)upscaler_struct_bytes(i) != Marshal.SizeOf(types[i]))
                    throw new UpscalerException(3, "the upscaler library is of another version");
        }

        private const string Library = "upscaler";

        [DllImport(Library)] private static extern Options upscaler_default_options();
        [DllImport(Library)] private static extern int upscaler_open(IntPtr client, ref Options options);
        [DllImport(Library)] private static extern int upscaler_connect(IntPtr client, int timeoutMs);
        [DllImport(Library)] private static extern int upscaler_acquire(IntPtr client, out Image frame);
        [DllImport(Library)]
        private static extern int upscaler_submit(
            IntPtr client, ref Image frame, double deadlineMs, out ulong frameId);
        [DllImport(Library)]
        private static extern int upscaler_wait(IntPtr client, out Upscaled result, int timeoutMs);
        [DllImport(Library)] private static extern int upscaler_release(IntPtr client, ref Image image);
        [DllImport(Library)] private static extern uint upscaler_in_flight(IntPtr client);
        [DllImport(Library)] private static extern void upscaler_close(IntPtr client);
        [DllImport(Library)] private static extern IntPtr upscaler_error_text(IntPtr client);
        [DllImport(Library)] private static extern ulong upscaler_client_bytes();
        [DllImport(Library)] private static extern ulong upscaler_struct_bytes(int which);
    }
}
