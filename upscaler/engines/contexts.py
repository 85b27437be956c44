"""Folders of compiled contexts: what each was compiled for, and finding the one that fits.

A folder holds `manifest.json` and, for each entry of it, an ONNX file that wraps the context and
the binary beside it. The library checks neither: it loads a context for another Hexagon, whose
results differ, and one with damaged bytes. So whatever is loaded is first compared with its
manifest, here, and its bytes with their hashes.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

import upscaler
from protocol.errors import BadRequestError, EngineError, ErrorCode
from upscaler.engines.certificate import Graph
from upscaler.engines.socs import Soc

if TYPE_CHECKING:
    import onnx

MANIFEST = "manifest.json"
FORMAT = 1
"""Of the manifest; raised when it or the way contexts are compiled changes."""


class Purpose(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that a context depends on: two of the same purpose are interchangeable.

    `network_sha256` is of the graph as compiled, with its size and pixel format and all weights.
    `driver` is of the NPU that compiled for itself, empty when compiled for a chip elsewhere.
    """

    model: str
    scale: str
    weights_sha256: str
    network_sha256: str
    input_size: str
    pixel_format: str
    socs: tuple[Soc, ...]
    libraries: dict[str, str]
    options: dict[str, str]
    driver: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 of all of it, and of the manifest's format."""
        text = msgspec.json.encode((FORMAT, self), order="sorted")
        return hashlib.sha256(text).hexdigest()

    @property
    def remedy(self) -> str:
        """The command that compiles a context for this purpose."""
        return (
            f"compile one: upscaler npu compile --model {self.model} --sizes {self.input_size} "
            f"--format {self.pixel_format} --soc {','.join(soc.code for soc in self.socs)}"
        )


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One context: what it is for, its files with their SHA-256, and the graph in it.

    `files` has the ONNX file first, then the binary; `bytes` is the size of both.
    """

    purpose: Purpose
    files: dict[str, str]
    bytes: int
    graphs: list[Graph]


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a folder holds; `upscaler` is the version that wrote it."""

    format: int
    upscaler: str
    entries: list[Entry]


def network_sha256(proto: onnx.ModelProto) -> str:
    """SHA-256 of a network's graph with its weights; metadata does not count."""
    digest = hashlib.sha256(proto.graph.SerializeToString(deterministic=True))
    for used in proto.opset_import:
        digest.update(f"{used.domain} {used.version}\n".encode())
    return digest.hexdigest()


def make_entry(purpose: Purpose, folder: Path, names: Sequence[str], graphs: list[Graph]) -> Entry:
    """Describe the files `names` in `folder`, which were just compiled."""
    contents = {name: (folder / name).read_bytes() for name in names}
    return Entry(
        purpose=purpose,
        files={name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
        bytes=sum(map(len, contents.values())),
        graphs=graphs,
    )


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of `folder`.

    Raises EngineError when there is none, or it is damaged or of another version.
    """
    path = folder / MANIFEST
    again = "write the folder again with upscaler npu compile"
    try:
        text = path.read_bytes()
        found = msgspec.json.decode(text)
        if isinstance(found, dict) and found.get("format") != FORMAT:
            msg = f"{path} is of another version of upscaler ({found.get('upscaler')}); {again}"
            raise EngineError(msg)
        manifest = msgspec.json.decode(text, type=Manifest)
    except FileNotFoundError as error:
        msg = f"{folder} has no {MANIFEST}: it is no folder of contexts; {again}"
        raise EngineError(msg) from error
    except OSError as error:
        msg = f"cannot read {path}: {error.strerror or error}"
        raise EngineError(msg) from error
    except msgspec.DecodeError as error:
        msg = f"{path} is damaged ({error}); {again}"
        raise EngineError(msg) from error
    for entry in manifest.entries:
        strange = [name for name in entry.files if not name or Path(name).name != name]
        if strange or not entry.files:
            what = f"a file named {strange[0]!r}" if strange else "an entry without files"
            msg = f"{path} is damaged ({what}); {again}"
            raise EngineError(msg)
    return manifest


def write_manifest(folder: Path, entries: Sequence[Entry]) -> None:
    """Write the manifest of `folder`, whole or not at all."""
    manifest = Manifest(format=FORMAT, upscaler=upscaler.__version__, entries=list(entries))
    text = msgspec.json.format(msgspec.json.encode(manifest)) + b"\n"
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".manifest-", delete=False) as file:
        try:
            file.write(text)
            file.close()
            # What is shared with other users should be readable by them, unlike temporary files.
            Path(file.name).chmod(0o644)
            Path(file.name).replace(folder / MANIFEST)
        except OSError:
            Path(file.name).unlink(missing_ok=True)
            raise


def add_entry(folder: Path, entry: Entry) -> None:
    """Add to the manifest of `folder`, or begin one; takes the place of what it replaces.

    Raises EngineError when there is a manifest that cannot be read.
    """
    entries = read_manifest(folder).entries if (folder / MANIFEST).exists() else []
    others = [each for each in entries if not each.files.keys() & entry.files.keys()]
    write_manifest(folder, [*others, entry])


def checked_file(folder: Path, entry: Entry, *, remedy: str = "") -> Path:
    """Return the ONNX file of an entry, after comparing all its bytes with the manifest.

    Raises EngineError for files that are missing, damaged or others; `remedy` ends its sentence.
    """
    then = f"; {remedy}" if remedy else ""
    for name, expected in entry.files.items():
        path = folder / name
        try:
            found = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            msg = f"the context {path} cannot be read ({error.strerror or error}){then}"
            raise EngineError(msg) from error
        if found != expected:
            msg = (
                f"the context {path} is damaged or another: its SHA-256 is {found[:12]}..., its "
                f"manifest says {expected[:12]}...{then}"
            )
            raise EngineError(msg)
    return folder / next(iter(entry.files))


class ContextFolder:
    """Contexts that were compiled ahead. `find` gives the one that fits, or says what does not."""

    def __init__(self, folder: Path) -> None:
        """Read the manifest; raises EngineError when there is none that can be read."""
        self.folder = folder
        self.entries = read_manifest(folder).entries

    def check(self, soc: Soc, libraries: dict[str, str]) -> None:
        """Raise EngineError unless some context is for this chip and these libraries."""
        self._for_libraries(self._for_chip(self.entries, soc, ""), libraries, "")

    def find(self, wanted: Purpose) -> Entry:
        """Return the entry for `wanted`, of which `socs` is the one chip to run on.

        Raises BadRequestError for a size or pixel format that was not compiled, and EngineError
        for another model, chip, library or option.
        """
        remedy = f"{wanted.remedy} --out {self.folder}"
        fits = _narrow(
            self.entries,
            lambda purpose: purpose.weights_sha256 == wanted.weights_sha256,
            lambda has: EngineError(
                f"{self.folder} has no context of {wanted.model} with the weights "
                f"{wanted.weights_sha256[:12]}, only of {has}; {remedy}"
            ),
            lambda purpose: f"{purpose.model} ({purpose.weights_sha256[:12]})",
        )
        fits = _narrow(
            fits,
            lambda purpose: purpose.input_size == wanted.input_size,
            lambda has: BadRequestError(
                f"{self.folder} has {wanted.model} for frames of {has}, not {wanted.input_size}; "
                f"{remedy}",
                code=ErrorCode.UNSUPPORTED_SIZE,
            ),
            lambda purpose: purpose.input_size,
        )
        fits = _narrow(
            fits,
            lambda purpose: purpose.pixel_format == wanted.pixel_format,
            lambda has: BadRequestError(
                f"{self.folder} has {wanted.model} at {wanted.input_size} for {has}, not "
                f"{wanted.pixel_format}; {remedy}",
                code=ErrorCode.UNSUPPORTED_FORMAT,
            ),
            lambda purpose: purpose.pixel_format,
        )
        fits = self._for_chip(fits, wanted.socs[0], f"; {remedy}")
        fits = self._for_libraries(fits, wanted.libraries, f"; {remedy}")
        fits = _narrow(
            fits,
            lambda purpose: purpose.network_sha256 == wanted.network_sha256,
            lambda _: EngineError(
                f"{self.folder} has {wanted.model} as another version of upscaler built its graph; "
                f"{remedy}"
            ),
        )
        if wanted.options["vtcm_mb"] != "all":
            fits = _narrow(
                fits,
                lambda purpose: purpose.options["vtcm_mb"] == wanted.options["vtcm_mb"],
                lambda has: EngineError(
                    f"{self.folder} has {wanted.model} compiled for vtcm_mb {has}, not "
                    f"{wanted.options['vtcm_mb']}; {remedy} --npu vtcm_mb="
                    f"{wanted.options['vtcm_mb']}"
                ),
                lambda purpose: purpose.options["vtcm_mb"],
            )
        # One that is for this chip alone before one for several.
        return min(fits, key=lambda entry: len(entry.purpose.socs))

    def _for_chip(self, entries: list[Entry], soc: Soc, remedy: str) -> list[Entry]:
        chips = dict.fromkeys(each.label for entry in entries for each in entry.purpose.socs)
        return _narrow(
            entries,
            lambda purpose: soc.id in [each.id for each in purpose.socs],
            lambda _: EngineError(
                f"the contexts in {self.folder} are for {', '.join(chips) or 'nothing'}, and this "
                f"is {soc.label}"
                + (remedy or f"; compile them for it: upscaler npu compile --soc {soc.code}")
            ),
        )

    def _for_libraries(
        self, entries: list[Entry], libraries: dict[str, str], remedy: str
    ) -> list[Entry]:
        def by(versions: dict[str, str]) -> str:
            return ", ".join(f"{name} {at}" for name, at in versions.items())

        return _narrow(
            entries,
            lambda purpose: purpose.libraries == libraries,
            lambda has: EngineError(
                f"the contexts in {self.folder} were compiled by {has}, and here is "
                f"{by(libraries)}; install those versions"
                + (remedy.replace("; compile one:", ", or compile one:"))
            ),
            lambda purpose: by(purpose.libraries),
        )


def _narrow(
    entries: list[Entry],
    fits: Callable[[Purpose], bool],
    error: Callable[[str], Exception],
    shown: Callable[[Purpose], str] = lambda purpose: purpose.model,
) -> list[Entry]:
    """Return the entries that fit; raises `error` of what the others are when none does."""
    kept = [entry for entry in entries if fits(entry.purpose)]
    if not kept:
        raise error(", ".join(dict.fromkeys(shown(entry.purpose) for entry in entries)) or "none")
    return kept
