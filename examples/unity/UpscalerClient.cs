// Shows a camera's picture upscaled, in Unity 2021.2 or later, in any render pipeline.
//
// NEVER RUN: there was no Unity. It was written to Unity's documentation, and compiled against
// stand-ins of the classes that it uses. UpscalerSession.cs beneath it has been run.
//
// Put it on the camera that draws the world. The camera then renders, with its post-processing and
// its tone mapping, into a small texture; the GPU writes that into the memory shared with the service;
// the newest result is shown on a canvas behind all others. The HUD: a Screen Space - Overlay canvas.

using System;
using Unity.Collections;
using Unity.Collections.LowLevel.Unsafe;
using UnityEngine;
using UnityEngine.Experimental.Rendering;
using UnityEngine.Rendering;
using UnityEngine.UI;

namespace Upscaler
{
    [RequireComponent(typeof(Camera))]
    public sealed class UpscalerClient : MonoBehaviour
    {
        public string endpoint = "tcp://127.0.0.1:5560";
        public string method = ""; // the service's default; "fsr1", "bicubic", ...
        public int width = 960, height = 540;
        public int scaleNumerator = 2, scaleDenominator = 1;

        public string Status { get; private set; }

        private Session session;
        private RenderTexture small; // sRGB, 8 bits: what the screen would get
        private Texture2D large;
        private RawImage card;
        private int reading; // slots that the GPU is writing to
        private bool refused;

        private void OnEnable()
        {
            small = new RenderTexture(width, height, GraphicsFormat.B8G8R8A8_SRGB,
                SystemInfo.GetGraphicsFormat(DefaultFormat.DepthStencil));
            large = new Texture2D(width * scaleNumerator / scaleDenominator,
                height * scaleNumerator / scaleDenominator, TextureFormat.BGRA32, false, false);
            GetComponent<Camera>().targetTexture = small;
            var canvas = new GameObject("Upscaled").AddComponent<Canvas>();
            canvas.renderMode = RenderMode.ScreenSpaceOverlay;
            canvas.sortingOrder = short.MinValue; // behind the HUD
            card = new GameObject("Card").AddComponent<RawImage>();
            card.transform.SetParent(canvas.transform, false);
            card.rectTransform.anchorMin = Vector2.zero;
            card.rectTransform.anchorMax = Vector2.one;
            card.rectTransform.offsetMin = card.rectTransform.offsetMax = Vector2.zero;
            card.texture = small; // until there is a result: the GPU's own filter
            Begin();
        }

        // Change the method while the game runs.
        public void SetMethod(string name)
        {
            method = name;
            End();
            Begin();
        }

        private void Begin()
        {
            refused = false;
            try
            {
                session = new Session(endpoint, method, width, height, PixelFormat.Bgra8,
                    scaleNumerator, scaleDenominator);
            }
            catch (UpscalerException error)
            {
                Refuse(error);
            }
        }

        private void Refuse(UpscalerException error)
        {
            refused = true;
            Status = error.Message;
        }

        // After the cameras have rendered: hand this frame over, and show the newest result.
        private void LateUpdate()
        {
            if (refused) return;
            try
            {
                if (!session.Connect())
                {
                    Status = session.ErrorText;
                    card.texture = small;
                    return;
                }
            }
            catch (UpscalerException error)
            {
                Refuse(error);
                return;
            }
            Status = method;
            Upscaled newest;
            if (session.TryNewest(out newest))
            {
                int bytes = (int)(newest.Image.Stride * newest.Image.Height);
                large.LoadRawTextureData(newest.Image.Pixels, bytes); // the one copy on the way back
                large.Apply(false);
                session.Release(ref newest.Image);
                card.texture = large;
            }
            Read();
        }

        // Rows keep the order of the texture in both directions, so nothing has to be turned over.
        private unsafe void Read()
        {
            Image frame;
            if (session.InFlight + reading >= 3 || !session.TryAcquire(out frame)) return;
            int bytes = (int)(frame.Stride * frame.Height);
            var memory = NativeArrayUnsafeUtility.ConvertExistingDataToNativeArray<byte>(
                (void*)frame.Pixels, bytes, Allocator.None);
#if ENABLE_UNITY_COLLECTIONS_CHECKS
            AtomicSafetyHandle safety = AtomicSafetyHandle.Create();
            NativeArrayUnsafeUtility.SetAtomicSafetyHandle(ref memory, safety);
#endif
            reading++;
            AsyncGPUReadback.RequestIntoNativeArray(ref memory, small, 0,
                GraphicsFormat.B8G8R8A8_SRGB, request =>
                {
                    reading--;
#if ENABLE_UNITY_COLLECTIONS_CHECKS
                    AtomicSafetyHandle.Release(safety);
#endif
                    if (session == null) return;
                    ulong id;
                    if (request.hasError || !session.TrySubmit(ref frame, 0, out id))
                        session.Release(ref frame);
                });
        }

        private void End()
        {
            AsyncGPUReadback.WaitAllRequests(); // the GPU must not write into memory that has gone
            if (session != null) session.Dispose();
            session = null;
            card.texture = small;
        }

        private void OnDisable()
        {
            End();
            GetComponent<Camera>().targetTexture = null;
            Destroy(card.canvas.gameObject);
            Destroy(large);
            small.Release();
        }
    }
}
