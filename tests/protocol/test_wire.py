"""Field codecs, and the C header held against the Python tables."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from protocol import errors, frames, messages
from protocol.wire import text

HEADER = Path(messages.__file__).parent / "c" / "upscaler.h"
STRUCTS = {
    "hello": messages.Hello,
    "welcome": messages.Welcome,
    "frame": messages.Frame,
    "result": messages.Result,
    "error": messages.Failure,
}
FIELDS = {
    "hello": ["scale_numerator", "pixel_format", "credits", "method", "fallback", "client"],
    "welcome": ["credits", "slot_bytes", "method", "engine", "device", "segment"],
    "frame": ["submitted_ns", "deadline_ns", "width", "stride", "slot", "pixel_format"],
    "result": ["submitted_ns", "returned_ns", "deadline_ns", "width", "slot", "outcome"],
    "error": ["frame_id", "code"],
}
OFFSETS = {
    "hello": [24, 28, 32, 40, 136, 232],
    "welcome": [24, 32, 48, 80, 112, 176],
    "frame": [24, 32, 40, 48, 52, 54],
    "result": [24, 56, 64, 72, 84, 87],
    "error": [16, 24],
}


def test_text_is_cut_between_characters() -> None:
    codec = text(4)
    assert codec.to_wire is not None
    assert codec.from_wire is not None
    assert codec.to_wire("aé€") == b"a\xc3\xa9"
    assert codec.from_wire(b"a\xc3\xa9\0") == "aé"


@pytest.mark.parametrize(("compiler", "flags"), [("cc", ["-std=c99"]), ("c++", ["-std=c++17"])])
def test_the_c_header_has_the_same_layout_and_numbers(
    compiler: str, flags: list[str], tmp_path: Path
) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler} on this machine")
    checks = [
        f"sizeof(upscaler_{name}) == {16 + message.layout.size}"
        for name, message in STRUCTS.items()
    ]
    for name, fields in FIELDS.items():
        offsets = zip(fields, OFFSETS[name], strict=True)
        checks += [f"offsetof(upscaler_{name}, {field}) == {at}" for field, at in offsets]
    checks += [f"UPSCALER_{kind.name} == {kind.value}" for kind in messages.Kind]
    checks += [f"UPSCALER_{each.name} == {each.value}" for each in frames.PixelFormat]
    checks += [f"UPSCALER_E_{code.name} == {code.value}" for code in errors.ErrorCode]
    checks += [f"UPSCALER_{each.name} == {each.value}" for each in messages.Outcome]
    lines = [f"char check_{n}[({check}) ? 1 : -1];" for n, check in enumerate(checks)]
    source = tmp_path / ("layout.c" if compiler == "cc" else "layout.cc")
    source.write_text(f'#include <stddef.h>\n#include "{HEADER}"\n' + "\n".join(lines) + "\n")
    warnings = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    subprocess.run([compiler, *flags, *warnings, "-fsyntax-only", str(source)], check=True)
