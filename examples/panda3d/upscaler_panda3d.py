"""The plugin for Panda3D: the 3D scene is rendered small, upscaled, and shown under the HUD.

    base = ShowBase()
    view = UpscalerView(base, size=(960, 540), scale=2, method="quicksrnet-small")

From here on `base.cam` renders off screen. The way of a frame:

    scene      size, linear light in 16-bit floats, multisampled     buffer, sort -20
    capture    size, tone-mapped, sRGB in 8 bits                     buffer, sort -10
    window     the newest result on a card, then render2d: the HUD   sort 0

Between the last two, inside the same `renderFrame`, the capture of frame N is submitted and the
newest result, that of N-1 if the service keeps up, is put on the card. So the service works while
the game thinks and draws, and nothing waits for it.

Copies. Panda owns the memory of its textures, so pixels are copied once from its capture into the
service's slot, and once from the slot with the result into its texture. Nothing is flipped or
reordered: the capture is drawn upside down, since Panda's rows come from the bottom, and both
sides speak BGRA. Panda 1.10 reads a capture back synchronously; an engine that can read that of
the frame before hides that, too.

While there is no service, or while it is being connected to, the card shows the capture itself,
filtered by the GPU, and `status` says why. A session is opened on a thread of its own, because
that compiles a network and may take seconds; the one before it is used until then.
"""

from __future__ import annotations

import math

import numpy as np
from opening import Opening
from panda3d.core import (
    AntialiasAttrib,
    Camera,
    CardMaker,
    FrameBufferProperties,
    GraphicsOutput,
    GraphicsPipe,
    NodePath,
    OrthographicLens,
    PythonCallbackObject,
    SamplerState,
    Shader,
    Texture,
    WindowProperties,
)

from protocol.errors import ServiceTimeoutError, UpscalerError
from protocol.frames import Size, parse_scale, upscaled_size
from upscaler import Client
from upscaler.client import DEFAULT_ENDPOINT

OFF = "off"
"""The method that asks no service: the GPU's bilinear filter."""
SAMPLES = 4

_QUAD = """#version 130
uniform mat4 p3d_ModelViewProjectionMatrix;
uniform float flip;
in vec4 p3d_Vertex;
in vec2 p3d_MultiTexCoord0;
out vec2 at;
void main() {
    gl_Position = p3d_ModelViewProjectionMatrix * p3d_Vertex;
    gl_Position.y *= flip;
    at = p3d_MultiTexCoord0;
}
"""
# Extended Reinhard: `white` is the luminance that becomes 1. Then sRGB's own curve: upscalers want
# what the screen gets.
_TONE_MAP = """#version 130
uniform sampler2D scene;
uniform float exposure;
uniform float white;
in vec2 at;
out vec4 colour;
void main() {
    vec3 light = max(texture(scene, at).rgb * exposure, vec3(0.0));
    vec3 mapped = clamp(light * (1.0 + light / (white * white)) / (1.0 + light), 0.0, 1.0);
    vec3 low = mapped * 12.92;
    vec3 high = 1.055 * pow(mapped, vec3(1.0 / 2.4)) - 0.055;
    colour = vec4(mix(high, low, lessThanEqual(mapped, vec3(0.0031308))), 1.0);
}
"""
_SHOW = """#version 130
uniform sampler2D picture;
in vec2 at;
out vec4 colour;
void main() {
    colour = vec4(texture(picture, at).rgb, 1.0);
}
"""


class UpscalerView:
    """Shows the 3D scene of a ShowBase, rendered at `size` and upscaled `scale` times.

    `status` is a line for the HUD: what upscales, or why nothing does.
    """

    def __init__(
        self,
        base,
        *,
        size=(960, 540),
        scale=2,
        method="",
        endpoint=DEFAULT_ENDPOINT,
        wait_s=0.0,
        exposure=1.0,
        white=2.5,
    ):
        """Take over `base.cam`.

        `method` is the service's name for it, "" its default, "off" none. `wait_s` is how long a
        frame waits for the result of the one before: 0 never, which a game wants; some seconds make
        every run show the same pictures. Raises RuntimeError where the driver makes no buffer, and
        BadRequestError for a size or scale that cannot be upscaled.
        """
        self.scale = parse_scale(scale)
        self.size = Size(*size)
        self.upscaled = upscaled_size(self.size, self.scale)
        self.endpoint, self.wait_s = endpoint, wait_s
        self.method = self.status = ""
        self.paused = False
        self._base = base
        self._client = self._opening = None
        self._submitted_id = self._taken_id = 0
        self._capture = self._make_capture(exposure, white)
        self._result = _texture("upscaled", self.upscaled)
        self._card = self._make_card()
        self.set_method(method)

    @property
    def mip_bias(self):
        """What to add to the mip level of textures: log2(1 / scale), so -1 at 2x."""
        return -math.log2(self.scale)

    def bias_textures(self, node, bias):
        """Add `bias` to the mip level of every texture below `node`; usually `mip_bias`."""
        for texture in node.findAllTextures():
            sampler = SamplerState(texture.getDefaultSampler())
            sampler.setLodBias(bias)
            texture.setDefaultSampler(sampler)

    @property
    def statistics(self):
        """The session's counts and latencies (`Client.stats`), or None without one."""
        return self._client.stats() if self._client else None

    @property
    def ready(self):
        """Whether nothing is being opened: the method runs, is off, or was refused."""
        return self._opening is None

    def set_method(self, method):
        """Change the method; the present one goes on until the service is ready for the new one."""
        if self._opening:
            self._opening.abandon()
            self._opening = None
        self.method = method
        if method == OFF:
            self._drop_client()
            self.status = "off: bilinear on the GPU"
        else:
            self.status = f"connecting to {self.endpoint}: bilinear until then"
            self._open()

    def finish(self):
        """Stop submitting, and wait for what is in flight: the next frame shows the last result."""
        self.paused = True
        while self._client and self._client.in_flight:
            try:
                self._take(self._client.receive(self.wait_s or None))
            except UpscalerError as error:
                self._lose(error)

    def close(self):
        """Leave the service. The scene stays as it is."""
        if self._opening:
            self._opening.abandon()
            self._opening = None
        self._drop_client()

    def _open(self):
        def make():
            return Client(
                self.endpoint,
                size=(self.size.width, self.size.height),
                scale=self.scale,
                pixel_format="bgra8",
                method=self.method,
                # Who waits for every result must not have one dropped for a newer frame.
                delivery="every" if self.wait_s else "latest",
                name="panda3d",
            )

        self._opening = Opening(make)

    def _look_for_service(self):
        """Take over a session that has been opened; not waiting for it."""
        if self._opening is None or not self._opening.done:
            return
        opening, self._opening = self._opening, None
        if opening.client is None:
            self._drop_client()
            self.status = f"bilinear on the GPU: {opening.error}"
            return
        self._drop_client()
        self._client = opening.client
        self._submitted_id = self._taken_id = 0
        welcome = self._client.welcome
        device = "emulated: " * welcome.emulated + welcome.device
        self.status = f"{welcome.method} on {welcome.engine or device}, {self._client.transport}"

    def _exchange(self, _data):
        """Submit this frame's capture, and show the newest result. Called inside `renderFrame`."""
        self._look_for_service()
        if self._client is None:
            return
        try:
            before = self._submitted_id
            self._take_all()
            if not self.paused:
                self._submit()
            while self.wait_s and self._taken_id < before:
                self._take(self._client.receive(self.wait_s))
        except ServiceTimeoutError:
            pass  # only with `wait_s`: shown when it comes
        except UpscalerError as error:
            self._lose(error)

    def _submit(self):
        client = self._client
        if not self._capture.hasRamImage() or client.in_flight >= client.welcome.credits:
            return  # a frame that nobody could take is left out: a newer one follows
        slot = client.acquire()
        np.copyto(slot, _pixels(self._capture.getRamImage(), self.size))
        self._submitted_id = client.submit(slot)

    def _take_all(self):
        """Show the newest of the results that are there."""
        newest = None
        while (result := self._client.poll()) is not None:
            if newest is not None:
                self._client.release(newest)
            newest = result if not result.dropped else newest
        if newest is not None:
            self._take(newest)

    def _take(self, result):
        self._taken_id = result.frame_id
        if not result.dropped:
            np.copyto(_pixels(self._result.modifyRamImage(), self.upscaled), result.pixels)
            self._card.setShaderInput("picture", self._result)
        self._client.release(result)

    def _lose(self, error):
        """The service has gone, or a frame failed: the game goes on, and asks again."""
        self._drop_client()
        self.status = f"bilinear on the GPU: {error}"
        self._open()

    def _drop_client(self):
        if self._client:
            self._client.close()
            self._client = None
        self._card.setShaderInput("picture", self._shown_capture)

    def _make_capture(self, exposure, white):
        """Render `base.cam` off screen and tone-map it; return the texture that is read back."""
        base = self._base
        light = _buffer_of(16)
        light.setFloatColor(True)
        light.setDepthBits(24)
        light.setMultisamples(SAMPLES)
        scene = self._make_buffer("scene", -20, light)
        scene.setClearColor(base.win.getClearColor())
        lit = Texture("scene")
        scene.addRenderTexture(lit, GraphicsOutput.RTMBindOrCopy, GraphicsOutput.RTPColor)
        for region in base.win.getDisplayRegions():
            if region.getCamera() == base.cam:
                region.setActive(False)
        scene.makeDisplayRegion().setCamera(base.cam)
        # Samples alone do nothing. A spatial upscaler makes jagged edges larger, never smooth.
        smooth = AntialiasAttrib.make(AntialiasAttrib.MMultisample)
        base.camNode.setInitialState(base.camNode.getInitialState().setAttrib(smooth))

        capture = self._make_buffer("capture", -10, _buffer_of(8))
        # For the GPU, when nobody upscales, and for the service.
        self._shown_capture, read = Texture("shown capture"), Texture("capture")
        _filter_linearly(self._shown_capture)
        for texture, mode in (
            (self._shown_capture, GraphicsOutput.RTMBindOrCopy),
            (read, GraphicsOutput.RTMCopyRam),
        ):
            capture.addRenderTexture(texture, mode, GraphicsOutput.RTPColor)
        quad = _quad(capture.makeDisplayRegion(), _TONE_MAP)
        quad.setShaderInputs(scene=lit, exposure=exposure, white=white, flip=-1.0)
        return read

    def _make_card(self):
        """Show a full-screen card in the window, under render2d, and exchange frames before it."""
        window = self._base.win
        # Its own empty region: what it does must come after the buffers and before the card.
        exchange = window.makeDisplayRegion()
        exchange.setSort(1)
        exchange.setCamera(NodePath(Camera("exchange")))
        exchange.getCamera().node().setScene(NodePath("nothing"))
        exchange.setDrawCallback(PythonCallbackObject(self._exchange))
        region = window.makeDisplayRegion()
        region.setSort(2)
        card = _quad(region, _SHOW)
        card.setShaderInputs(picture=self._shown_capture, flip=-1.0)
        return card

    def _make_buffer(self, name, sort, properties):
        base = self._base
        buffer = base.graphicsEngine.makeOutput(
            base.pipe,
            name,
            sort,
            properties,
            WindowProperties.size(self.size.width, self.size.height),
            GraphicsPipe.BFRefuseWindow,
            base.win.getGsg(),
            base.win,
        )
        if buffer is None:
            msg = f"the driver makes no off-screen buffer of {self.size} for the {name}"
            raise RuntimeError(msg)
        return buffer


def _buffer_of(bits):
    properties = FrameBufferProperties()
    properties.setRgbColor(True)
    properties.setRgbaBits(bits, bits, bits, bits)
    return properties


def _quad(region, fragment):
    """Fill a display region with one card, drawn by `fragment`; returns the card."""
    scene = NodePath("quad")
    maker = CardMaker("card")
    maker.setFrameFullscreenQuad()
    card = scene.attachNewNode(maker.generate())
    card.setDepthTest(False)
    card.setDepthWrite(False)
    card.setTwoSided(True)
    card.setShader(Shader.make(Shader.SL_GLSL, _QUAD, fragment))
    lens = OrthographicLens()
    lens.setFilmSize(2, 2)
    lens.setNearFar(-10, 10)
    region.setCamera(scene.attachNewNode(Camera("card", lens)))
    return card


def _texture(name, size):
    texture = Texture(name)
    texture.setup2dTexture(size.width, size.height, Texture.TUnsignedByte, Texture.FRgba8)
    texture.setCompression(Texture.CMOff)
    _filter_linearly(texture)
    return texture


def _filter_linearly(texture):
    texture.setMinfilter(SamplerState.FTLinear)
    texture.setMagfilter(SamplerState.FTLinear)
    texture.setWrapU(SamplerState.WMClamp)
    texture.setWrapV(SamplerState.WMClamp)


def _pixels(image, size):
    """A texture's memory as (height, width, 4) uint8, without a copy."""
    return np.frombuffer(image, np.uint8).reshape(size.height, size.width, 4)
