"""The gate before a release: a model that does not earn its place stays out."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from protocol.errors import BadRequestError
from trainer.evaluate import Evaluation
from upscaler.models.library import Model

MAX_LOSS_DB = 0.1
"""What quantisation may cost, in dB of RGB PSNR on held-out scenes."""
RIVALS = ("bicubic", "fsr1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A quantised model, its float original, and what both and the rivals reached."""

    quantised: Model
    original: Model
    measured: Evaluation
    original_measured: Evaluation
    rivals: dict[str, Evaluation]


def objections(candidate: Candidate) -> list[str]:
    """Return every reason against a release, one sentence each; empty if there is none."""
    name, reached = candidate.quantised.card.name, candidate.measured.mean_db
    found = [
        f"{name} does not beat {rival} on held-out scenes: {reached:.3f} dB against "
        f"{other.mean_db:.3f} dB"
        for rival, other in candidate.rivals.items()
        if reached <= other.mean_db
    ]
    lost = candidate.original_measured.mean_db - reached
    if lost > MAX_LOSS_DB:
        found.append(
            f"{name} loses {lost:.3f} dB to quantisation, more than {MAX_LOSS_DB} dB: "
            f"{reached:.3f} dB against {candidate.original_measured.mean_db:.3f} dB in float"
        )
    return found


def check_pair(quantised: Model, original: Model) -> None:
    """Check that two models are one network in 8 bits and in float.

    Raises BadRequestError when they are not.
    """
    ours, theirs = quantised.card, original.card
    if not ours.quantised or theirs.quantised:
        msg = f"release takes a quantised model and its float original, not {ours.name} and "
        raise BadRequestError(msg + theirs.name)
    if (ours.method, ours.scale, ours.training) != (theirs.method, theirs.scale, theirs.training):
        msg = f"{theirs.name} is not the float original of {ours.name}: their cards differ"
        raise BadRequestError(msg)


def card_text(candidate: Candidate) -> str:
    """Return the model card as Markdown, for people."""
    card = candidate.quantised.card
    rows = {
        **candidate.rivals,
        "float": candidate.original_measured,
        "int8": candidate.measured,
    }
    games = list(candidate.measured.by_game_db)
    lines = [
        f"# {card.name}",
        "",
        f"{card.architecture} at {float(card.ratio):g}x, {card.quantisation}.",
        "",
        f"- Training: {card.training}.",
        f"- Data: {card.data}.",
        f"- Licence of the weights: {card.licence}.",
        f"- SHA-256 of the int8 weights: {card.weights_sha256}.",
        f"- SHA-256 of the float weights: {candidate.original.card.weights_sha256}.",
        "",
        "RGB PSNR in dB over whole frames of scenes that were not trained on:",
        "",
        f"| | {' | '.join([*games, 'mean'])} |",
        "|" + "---|" * (len(games) + 2),
    ]
    for label, each in rows.items():
        numbers = [*(each.by_game_db[game] for game in games), each.mean_db]
        lines.append(f"| {label} | {' | '.join(f'{number:.3f}' for number in numbers)} |")
    return "\n".join(lines) + "\n"


def release(candidate: Candidate, folder: Path) -> list[Path]:
    """Copy both models into `folder`, with the card beside them; returns what was written.

    Raises BadRequestError when the folder cannot be written.
    """
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for model in (candidate.quantised, candidate.original):
            target = folder / model.path.name
            if target.resolve() != model.path.resolve():
                draft = target.with_name(f".{target.name}.draft")
                shutil.copyfile(model.path, draft)
                draft.replace(target)
            written.append(target)
        card = folder / f"{candidate.quantised.card.name}.md"
        card.write_text(card_text(candidate), encoding="utf-8")
        written.append(card)
    except OSError as error:
        msg = f"cannot write {folder}: {error.strerror or error}"
        raise BadRequestError(msg) from error
    return written
