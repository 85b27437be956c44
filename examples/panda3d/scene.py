"""The yard of the game: every mesh and every texture is made here, of numbers.

Lengths are metres, z is up. Colours of textures are sRGB, light is linear.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from panda3d.core import (
    Geom,
    GeomNode,
    GeomTriangles,
    GeomVertexData,
    GeomVertexFormat,
    SamplerState,
    Shader,
    Texture,
    Vec3,
)

SUN = Vec3(0.45, -0.55, 0.70).normalized()

_VERTEX = """#version 130
uniform mat4 p3d_ModelViewProjectionMatrix;
uniform mat4 p3d_ModelMatrix;
in vec4 p3d_Vertex;
in vec3 p3d_Normal;
in vec2 p3d_MultiTexCoord0;
in vec4 p3d_Color;
out vec4 tint;
out vec3 place;
out vec3 normal;
out vec2 at;
void main() {
    gl_Position = p3d_ModelViewProjectionMatrix * p3d_Vertex;
    place = (p3d_ModelMatrix * p3d_Vertex).xyz;
    normal = mat3(p3d_ModelMatrix) * p3d_Normal;
    at = p3d_MultiTexCoord0;
    tint = p3d_Color;
}
"""
_FRAGMENT = """#version 130
uniform sampler2D p3d_Texture0;
uniform mat4 p3d_ViewMatrixInverse;
uniform vec3 sun;
uniform float shine;
uniform float glow;
in vec3 place;
in vec3 normal;
in vec2 at;
in vec4 tint;
out vec4 light;
vec3 sky(vec3 way) {
    vec3 haze = mix(vec3(0.80, 0.60, 0.42), vec3(0.08, 0.20, 0.55), pow(max(way.z, 0.0), 0.5));
    return haze + vec3(1.0, 0.7, 0.4) * pow(max(dot(way, sun), 0.0), 60.0) * 2.0;
}
void main() {
    vec3 from = place - p3d_ViewMatrixInverse[3].xyz;
    vec3 way = normalize(from);
    if (glow < -0.5) {  // the sky itself
        light = vec4(sky(way), 1.0);
        return;
    }
    vec3 base = texture(p3d_Texture0, at).rgb * tint.rgb;
    vec3 n = normalize(normal);
    vec3 ambient = mix(vec3(0.10, 0.08, 0.07), vec3(0.17, 0.22, 0.32), n.z * 0.5 + 0.5);
    vec3 lit = base * (ambient + vec3(2.1, 1.75, 1.35) * max(dot(n, sun), 0.0));
    vec3 mirrored = reflect(way, n);
    lit += shine * sky(mirrored) * (0.04 + 0.96 * pow(1.0 - max(dot(n, -way), 0.0), 5.0));
    lit += shine * vec3(3.0, 2.4, 1.8) * pow(max(dot(mirrored, sun), 0.0), 90.0);
    lit += base * glow;
    float fog = 1.0 - exp(-max(length(from) - 12.0, 0.0) * 0.006);
    light = vec4(mix(lit, vec3(0.75, 0.62, 0.50), fog), 1.0);
}
"""


def make_yard(root):
    """Build the yard under `root`; returns where its lanterns hang, as points."""
    root.setShader(Shader.make(Shader.SL_GLSL, _VERTEX, _FRAGMENT))
    root.setShaderInputs(sun=SUN, shine=0.0, glow=0.0)
    bricks, tiles, plain = _bricks(), _tiles(), plain_texture()
    sky = _put(root, sphere(400, 24), plain)
    sky.setTwoSided(True)
    sky.setShaderInput("glow", -1.0)
    _put(root, box((90, 90, 0.2), repeat=1.0), tiles, at=(0, 0, -0.2))
    for x, y, wide, deep, high in (
        (-22, 14, 9, 8, 9), (-9, 24, 12, 7, 13), (8, 25, 9, 9, 7), (22, 15, 8, 10, 11),
        (25, -6, 8, 12, 8), (-25, -6, 7, 12, 12), (14, -24, 12, 8, 9), (-12, -25, 14, 8, 7),
    ):  # fmt: skip
        _put(root, box((wide, deep, high), repeat=2.0), bricks, at=(x, y, 0))
        _put(root, box((wide + 0.6, deep + 0.6, 0.35)), plain, (0.35, 0.30, 0.28), (x, y, high))
    _tower(root, bricks, plain)
    _fence(root, plain)
    _wires(root, plain)
    points = []
    for turn in range(12):
        angle = turn * math.tau / 12
        points.append((11 * math.cos(angle), 11 * math.sin(angle), 1.8 + 0.6 * math.sin(3 * angle)))
    return points


def make_lantern(root):
    """A lantern: a glowing ball in a cage of thin bars."""
    lantern = root.attachNewNode("lantern")
    ball = _put(lantern, sphere(0.22, 16), plain_texture(), (1.0, 0.55, 0.15))
    ball.setShaderInput("glow", 3.5)
    for turn in range(6):
        angle = turn * math.tau / 6
        x, y = 0.34 * math.cos(angle), 0.34 * math.sin(angle)
        bar = tube((x, y, -0.4), (x, y, 0.4), 0.012)
        _put(lantern, bar, plain_texture(), (0.1, 0.1, 0.12))
    for z in (-0.4, 0.4):
        _put(lantern, box((0.8, 0.8, 0.03)), plain_texture(), (0.12, 0.12, 0.14), (0, 0, z))
    return lantern


def make_drone(root):
    """The player's drone; returns it and its rotors."""
    drone = root.attachNewNode("drone")
    drone.setShaderInput("shine", 1.0)
    plain = plain_texture()
    _put(drone, sphere(0.28, 20), plain, (0.75, 0.10, 0.08)).setScale(1.0, 1.5, 0.6)
    _put(drone, sphere(0.14, 16), plain, (0.05, 0.07, 0.10), (0, 0.3, 0.08))
    rotors = []
    for x, y in ((-0.55, -0.5), (0.55, -0.5), (-0.55, 0.5), (0.55, 0.5)):
        _put(drone, tube((0, 0, 0.03), (x, y, 0.08), 0.03), plain, (0.2, 0.2, 0.22))
        rotor = drone.attachNewNode("rotor")
        rotor.setPos(x, y, 0.14)
        _put(rotor, box((0.62, 0.05, 0.012)), plain, (0.85, 0.85, 0.9))
        _put(rotor, tube((0, 0, -0.1), (0, 0, 0.02), 0.02), plain, (0.1, 0.1, 0.1))
        rotors.append(rotor)
    return drone, rotors


def _tower(root, bricks, plain):
    _put(root, tube((0, 0, 0), (0, 0, 9), 2.2, sides=40, repeat=1.6), bricks)
    _put(root, sphere(2.3, 32), plain, (0.16, 0.30, 0.28), (0, 0, 9)).setShaderInput("shine", 1.0)
    _put(root, tube((0, 0, 11), (0, 0, 15), 0.03), plain, (0.8, 0.8, 0.8))
    for turn in range(48):
        angle = turn * math.tau / 16
        step = _put(root, box((1.3, 0.45, 0.08)), plain, (0.5, 0.42, 0.34))
        step.setPos(2.8 * math.cos(angle), 2.8 * math.sin(angle), 0.2 + turn * 0.18)
        step.setH(math.degrees(angle))
        x, y, z = 3.35 * math.cos(angle), 3.35 * math.sin(angle), 0.2 + turn * 0.18
        _put(root, tube((x, y, z), (x, y, z + 0.9), 0.018), plain, (0.12, 0.13, 0.15))


def _fence(root, plain):
    fence = root.attachNewNode("fence")
    bars = [
        tube((x, side, 0), (x, side, 1.6), 0.025, sides=6)
        for side in (-15.0, 15.0)
        for x in np.arange(-16.0, 16.01, 0.32)
    ]
    rails = [
        tube((-16, side, z), (16, side, z), 0.03, sides=6)
        for side in (-15.0, 15.0)
        for z in (0.25, 1.4)
    ]
    for part in (*bars, *rails):
        _put(fence, part, plain, (0.13, 0.15, 0.17))
    fence.flattenStrong()


def _wires(root, plain):
    poles = [(-17.0, -17.0), (-17.0, 0.0), (-17.0, 17.0), (0.0, 18.0), (17.0, 17.0), (17.0, 0.0)]
    wires = root.attachNewNode("wires")
    for x, y in poles:
        _put(wires, tube((x, y, 0), (x, y, 6.5), 0.09), plain, (0.30, 0.22, 0.16))
        _put(
            wires,
            tube((x - 0.7, y - 0.7, 6.1), (x + 0.7, y + 0.7, 6.1), 0.06),
            plain,
            (0.3, 0.22, 0.16),
        )
    for (x0, y0), (x1, y1) in pairwise(poles):
        for shift in (-0.6, 0.6):
            along = np.linspace(0, 1, 13)
            hang = 6.2 - 1.2 * 4 * along * (1 - along)
            path = [
                (x0 + (x1 - x0) * t + shift, y0 + (y1 - y0) * t + shift, z)
                for t, z in zip(along, hang, strict=True)
            ]
            for begin, end in pairwise(path):
                _put(wires, tube(begin, end, 0.018, sides=5), plain, (0.06, 0.06, 0.07))
    wires.flattenStrong()


def _put(root, mesh, texture, colour=(1.0, 1.0, 1.0), at=(0, 0, 0)):
    node = root.attachNewNode(mesh)
    node.setTexture(texture)
    node.setColor(*colour, 1)
    node.setPos(*at)
    return node


def mesh_node(places, normals, coordinates, triangles):
    """A GeomNode of float arrays (n, 3), (n, 3) and (n, 2), and integers (m, 3)."""
    data = GeomVertexData("mesh", GeomVertexFormat.getV3n3t2(), Geom.UHStatic)
    data.setNumRows(len(places))
    rows = np.hstack([places, normals, coordinates]).astype(np.float32)
    memoryview(data.modifyArray(0)).cast("B")[:] = rows.tobytes()
    faces = GeomTriangles(Geom.UHStatic)
    for a, b, c in triangles:
        faces.addVertices(int(a), int(b), int(c))
    geometry = Geom(data)
    geometry.addPrimitive(faces)
    node = GeomNode("mesh")
    node.addGeom(geometry)
    return node


def box(size, *, repeat=0.0):
    """A box that stands on its origin; its texture repeats every `repeat` metres, 0 is once."""
    half = np.array(size, float) / 2
    places, normals, coordinates, triangles = [], [], [], []
    for axis in range(3):
        u, v = ((1, 2), (0, 2), (0, 1))[axis]
        for sign in (-1, 1):
            first = len(places)
            corners = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
            for cu, cv in corners:
                place = np.zeros(3)
                place[axis], place[u], place[v] = sign * half[axis], cu * half[u], cv * half[v]
                place[2] += half[2]
                places.append(place)
                normals.append(np.eye(3)[axis] * sign)
                span = (2 * half[u], 2 * half[v])
                scale = (span[0] / repeat, span[1] / repeat) if repeat else (1, 1)
                coordinates.append(((cu + 1) / 2 * scale[0], (cv + 1) / 2 * scale[1]))
            order = [(0, 1, 2), (0, 2, 3)]
            outwards = (sign > 0) == (axis != 1)
            triangles += [
                tuple(first + i for i in (face if outwards else face[::-1])) for face in order
            ]
    return mesh_node(np.array(places), np.array(normals), np.array(coordinates), triangles)


def tube(begin, end, radius, *, sides=8, repeat=0.0):
    """A round bar from one point to another, open at its ends."""
    begin, end = np.array(begin, float), np.array(end, float)
    along = (end - begin) / np.linalg.norm(end - begin)
    aside = np.cross(along, [0, 0, 1] if abs(along[2]) < 0.9 else [1, 0, 0])
    aside /= np.linalg.norm(aside)
    third = np.cross(along, aside)
    turns = np.linspace(0, math.tau, sides + 1)
    round_ = np.cos(turns)[:, None] * aside + np.sin(turns)[:, None] * third
    length = float(np.linalg.norm(end - begin))
    around = np.round(math.tau * radius / repeat) if repeat else 1.0
    places = np.concatenate([begin + radius * round_, end + radius * round_])
    u = np.linspace(0, around, sides + 1)
    top = length / repeat if repeat else 1.0
    coordinates = np.concatenate([np.column_stack([u, 0 * u]), np.column_stack([u, 0 * u + top])])
    triangles = []
    for side in range(sides):
        a, b, c, d = side, side + 1, side + sides + 1, side + sides + 2
        triangles += [(a, b, d), (a, d, c)]
    return mesh_node(places, np.concatenate([round_, round_]), coordinates, triangles)


def sphere(radius, sides):
    """A ball around its origin."""
    turns, tilts = (
        np.linspace(0, math.tau, sides + 1),
        np.linspace(-math.pi / 2, math.pi / 2, sides),
    )
    tilt, turn = (grid.ravel() for grid in np.meshgrid(tilts, turns, indexing="ij"))
    normals = np.column_stack(
        [np.cos(tilt) * np.cos(turn), np.cos(tilt) * np.sin(turn), np.sin(tilt)]
    )
    coordinates = np.column_stack([turn / math.tau, tilt / math.pi + 0.5])
    triangles = []
    for row in range(sides - 1):
        for column in range(sides):
            a = row * (sides + 1) + column
            b, c, d = a + 1, a + sides + 1, a + sides + 2
            triangles += [(a, b, d), (a, d, c)]
    return mesh_node(radius * normals, normals, coordinates, triangles)


def texture_of(name, rgb):
    """A mipmapped texture of (height, width, 3) floats in sRGB, 0 to 1."""
    height, width, _ = rgb.shape
    texture = Texture(name)
    texture.setup2dTexture(width, height, Texture.TUnsignedByte, Texture.FSrgb)
    texture.setRamImage(np.ascontiguousarray(np.clip(rgb[..., ::-1] * 255, 0, 255), np.uint8))
    texture.setMinfilter(SamplerState.FTLinearMipmapLinear)
    texture.setMagfilter(SamplerState.FTLinear)
    texture.setAnisotropicDegree(4)
    return texture


_made: dict[str, Texture] = {}


def plain_texture():
    """White: the colour comes from the node."""
    if "plain" not in _made:
        _made["plain"] = texture_of("plain", np.ones((4, 4, 3)))
    return _made["plain"]


def _noise(size, seed):
    """Smooth noise of several octaves that repeats at its edges, 0 to 1."""
    random, total = np.random.default_rng(seed), np.zeros((size, size))
    for octave in range(2, 8):
        grid = random.random((2**octave, 2**octave))
        place = np.arange(size) * 2**octave / size
        low, part = place.astype(int), place % 1
        part = part * part * (3 - 2 * part)
        high = (low + 1) % 2**octave
        rows = grid[low] * (1 - part)[:, None] + grid[high] * part[:, None]
        total += (rows[:, low] * (1 - part) + rows[:, high] * part) / 2 ** (octave - 1)
    return (total - total.min()) / (total.max() - total.min())


def _bricks():
    size, rows, columns = 512, 8, 4
    y, x = np.mgrid[0:size, 0:size] / size
    row = np.floor(y * rows)
    shifted = x * columns + 0.5 * (row % 2)
    across, up = shifted % 1, (y * rows) % 1
    edge = np.minimum(np.minimum(across, 1 - across) * 2, np.minimum(up, 1 - up))
    joint = np.clip((edge - 0.05) / 0.06, 0, 1)[..., None]
    each = np.random.default_rng(1).random((rows, columns))
    tone = each[row.astype(int), (np.floor(shifted) % columns).astype(int)]
    grain = _noise(size, 2)
    brick = np.dstack([0.50 + 0.20 * tone, 0.26 + 0.12 * tone, 0.20 + 0.07 * tone])
    brick *= (0.70 + 0.45 * grain)[..., None]
    mortar = np.array([0.62, 0.58, 0.52]) * (0.75 + 0.3 * grain)[..., None]
    return texture_of("bricks", mortar * (1 - joint) + brick * joint)


def _tiles():
    size = 512
    y, x = np.mgrid[0:size, 0:size] / size
    across, up = (x * 4) % 1, (y * 4) % 1
    edge = np.minimum(np.minimum(across, 1 - across), np.minimum(up, 1 - up))
    joint = np.clip((edge - 0.03) / 0.03, 0, 1)[..., None]
    dark = ((np.floor(x * 4) + np.floor(y * 4)) % 2)[..., None]
    grain = (0.78 + 0.35 * _noise(size, 3))[..., None]
    tile = (np.array([0.66, 0.60, 0.50]) * (1 - dark) + np.array([0.46, 0.42, 0.38]) * dark) * grain
    return texture_of("tiles", tile * joint + 0.25 * grain * (1 - joint))
