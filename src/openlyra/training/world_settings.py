"""What a training of the video generator can be told, and its TOML file: a table a dataclass, unknown keys refused."""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_type_hints

from openlyra.errors import InputError
from openlyra.media.atomic import write_bytes_atomic
from openlyra.models.frame_packing import PATCH, Layout
from openlyra.models.lyra_config import SLOT_CHANNELS, LyraConfig
from openlyra.models.small_dit import PREDICTS
from openlyra.models.video_vae import SPATIAL, VideoVaeConfig
from openlyra.training.precision import PRECISIONS

MAX_CONFIG_BYTES = 1 << 20
CELL = SPATIAL * PATCH[1]


@dataclass(frozen=True)
class DataSettings:
    """Which videos, and how they are looked at."""

    folder: str
    """Data set in the layout that `openlyra worlds make` writes; a relative path starts at the configuration file."""
    height: int = 64
    """Pixels inside the networks, a multiple of 16."""
    width: int = 112
    """Pixels inside the networks, a multiple of 16."""
    frames: int = 1000
    """Largest number of frames taken of a video."""
    held_out: int = 0
    """Videos at the end of the list that nothing learns from; walks are tried on the first of them."""


@dataclass(frozen=True)
class VaeSettings:
    """The video auto-encoder: trained first, on the same videos."""

    kind: str = "wan"
    """`wan`: a narrow one of the released kind, trained here. `patches`: principal components, fitted in seconds."""
    base_width: int = 8
    """Channels at full resolution; the released one has 96."""
    residual_blocks: int = 2
    """Residual blocks a stage."""
    channels: int = 16
    """Channels of a latent."""
    steps: int = 1000
    """Training steps."""
    videos: int = 0
    """The first so many videos are what it learns from, all at once in memory; 0: all that are learned from."""
    batch: int = 1
    """Clips a step."""
    frames: int = 9
    """Frames a clip, 4n+1."""
    rate: float = 2e-3
    """Highest learning rate."""
    noise: float = 0.05
    """Standard deviation of the noise that latents carry during training, so that near latents mean near pictures."""
    latent_penalty: float = 1e-4
    """Weight of the mean square of the latents."""


@dataclass(frozen=True)
class ModelSettings:
    """Size of the video transformer; the rest of its configuration follows from the data."""

    width: int = 128
    """Channels of a token."""
    heads: int = 4
    """Attention heads."""
    ffn_width: int = 512
    """Hidden width of the feed-forward part."""
    blocks: int = 6
    """Transformer blocks."""
    layout: str = "f1k1f1s2f1s1f4k2f1k1_g4"
    """Frame packing: history segments and new latents."""
    buffer_octaves: int = 1
    """Octaves of the sin-cos encoding of correspondences."""
    squeeze_width: int = 32
    """Width inside a block's correspondence encoder."""
    text_tokens: int = 1
    """Rows of a caption; 1 when there are none."""
    text_width: int = 8
    """Channels of a caption row."""


@dataclass(frozen=True)
class ObjectiveSettings:
    """How examples are drawn and weighed; the defaults are the released ones (training specification, 4 to 7)."""

    predicts: str = "velocity"
    """What the network puts out: `velocity` (released), `data`, which suits latents of many channels, or `change`: data
    minus the conditioning latents."""
    warped: str = "last"
    """What is warped into the new frames: the `last` one (released), or the retrieved ones as well (`memory`)."""
    shift: float = 5.0
    """Shift of the training times towards noise."""
    weighting: str = "bell"
    """`bell` (released), `uniform`, or `data`: the error of clean latents rather than of the velocity."""
    corruption_mean: float = -3.0
    """Mean of ln sigma of the noise on retrieved latents."""
    corruption_std: float = 2.0
    """Its standard deviation; a negative value switches the noise off."""
    memory_every: int = 8
    """Frames whose index is a multiple of this can be retrieved."""
    memory_gap: int = 16
    """Frames closer than this to the new ones cannot."""
    edge_threshold: float = 0.05
    """Relative depth range at which a pixel counts as an edge and is not warped; small pictures need more."""
    retrieval_stride: int = 4
    """Side in pixels of a cell of the grid on which frames are compared; small pictures need less."""
    memory_drop: float = 0.1
    """Probability that some of the retrieved frames are dropped."""
    text_drop: float = 0.2
    """Probability that the caption is replaced by the empty one."""
    augment_every: int = 2
    """Every so many steps one is special (photo to video, or self-augmented); 0: never."""
    photo_share: float = 0.3
    """Share of the special steps that begin at the photo; the others train on self-augmented histories."""
    augment_longest: int = 500
    """Noise level (of 1000) that the previous chunk gets at most before it is re-made."""
    augment_times: str = "released"
    """`released`: shifted times scaled down; `uniform` between 0 and the longest, as the paper says."""
    copy_history: bool = True
    """Older frames of the history also go through the auto-encoder, not only the re-made chunk."""


@dataclass(frozen=True)
class OptimiserSettings:
    """How weights follow their gradients."""

    rate: float = 3e-5
    """Highest learning rate."""
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 1e-3
    """Decoupled; on matrices only."""
    clip: float = 0.1
    """Largest norm of the whole gradient."""
    warm_up: int = 100
    """Steps of linear warm-up."""
    final: float = 0.4
    """Part of the rate that is left at the last step; the fall is linear."""
    average: float = 0.999
    """Decay of the running mean of the weights; 0 keeps none."""
    train: tuple[str, ...] = ("*",)
    """Patterns of the parameters that train (`blocks.*.self_attn.*`)."""
    freeze: tuple[str, ...] = ()
    """Patterns of parameters that stay as they are, stronger than `train`."""


@dataclass(frozen=True)
class RunSettings:
    """The loop."""

    steps: int = 5000
    """Steps of the video transformer."""
    batch: int = 1
    """Examples a step over all ranks."""
    start: str = ""
    """Folder of an earlier training of the same network whose weights are the first ones, and whose auto-encoder is
    taken; a relative path starts at the configuration file."""
    seed: int = 0
    """Of weights and every random choice."""
    precision: str = "auto"
    """Of the forward and backward pass: `bfloat16`, `float32`, or `auto` for the faster of both on this processor. The
    optimiser always keeps float32 weights."""
    threads: int = 0
    """Threads of the networks; 0 leaves it to PyTorch."""
    gradient_checkpointing: bool = False
    """Compute blocks twice instead of keeping what they compute."""
    shard: bool = False
    """Divide weights, gradients and optimiser states among all ranks (FSDP2)."""
    context_ranks: int = 1
    """Ranks that share the tokens of one example; the batch is divided among groups of so many."""
    kept_megabytes: int = 512
    """Memory for inputs that were made before and may be drawn again."""
    visits: int = 1
    """With shards: steps in a row in which a place of the batch stays with its clip; making one costs seconds."""
    cache_gigabytes: float = 0.0
    """With shards: room for what is made of clips; the oldest are deleted and made anew when needed. 0: all is kept."""
    log_every: int = 20
    """Steps a line of log.jsonl."""
    save_every: int = 250
    """Steps a checkpoint."""
    evaluate_every: int = 0
    """Steps between walks that are compared with the truth and kept as videos; 0: only at the end."""
    evaluate_chunks: int = 0
    """Chunks of such a walk; 0: as many as the video has."""
    sampling_steps: int = 12
    """Network calls a chunk of such a walk."""
    few_step: bool = False
    """Walks use the few-step sampler, as a distilled network needs."""


@dataclass(frozen=True)
class WorldTraining:
    """Everything a training depends on besides its data."""

    data: DataSettings
    vae: VaeSettings = field(default_factory=VaeSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    objective: ObjectiveSettings = field(default_factory=ObjectiveSettings)
    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)
    run: RunSettings = field(default_factory=RunSettings)

    def __post_init__(self) -> None:
        data, vae, aim, run = self.data, self.vae, self.objective, self.run
        for name, value in (("height", data.height), ("width", data.width)):
            _require(value > 0 and value % CELL == 0, f"data.{name}", value, f"a multiple of {CELL}")
        _require(data.held_out >= 0, "data.held_out", data.held_out, "0 or more")
        _require(vae.videos >= 0, "vae.videos", vae.videos, "0 or more")
        _require(run.cache_gigabytes >= 0, "run.cache_gigabytes", run.cache_gigabytes, "0 or more")
        _require(vae.frames % 4 == 1, "vae.frames", vae.frames, "4n+1")
        for name, value in (
            ("data.frames", data.frames), ("vae.base_width", vae.base_width), ("vae.channels", vae.channels),
            ("vae.steps", vae.steps), ("vae.batch", vae.batch),
            ("vae.residual_blocks", vae.residual_blocks), ("run.steps", run.steps), ("run.batch", run.batch),
            ("run.visits", run.visits), ("run.context_ranks", run.context_ranks),
            ("run.log_every", run.log_every), ("run.save_every", run.save_every),
            ("run.sampling_steps", run.sampling_steps), ("objective.memory_every", aim.memory_every),
        ):  # fmt: skip
            _require(value >= 1, name, value, "at least 1")
        for name, share in (
            ("objective.memory_drop", aim.memory_drop), ("objective.text_drop", aim.text_drop),
            ("objective.photo_share", aim.photo_share), ("optimiser.final", self.optimiser.final),
        ):  # fmt: skip
            _require(0 <= share <= 1, name, share, "a number from 0 to 1")
        _require(1 <= aim.augment_longest <= 1000, "objective.augment_longest", aim.augment_longest, "1 to 1000")
        _require(0 <= self.optimiser.average < 1, "optimiser.average", self.optimiser.average, "a number in [0, 1)")
        _choice("vae.kind", vae.kind, ("wan", "patches"))
        _choice("objective.predicts", aim.predicts, PREDICTS)
        _choice("objective.warped", aim.warped, ("last", "memory"))
        _choice("objective.weighting", aim.weighting, ("bell", "uniform", "data"))
        _choice("objective.augment_times", aim.augment_times, ("released", "uniform"))
        _choice("run.precision", run.precision, PRECISIONS)
        self.network()

    @property
    def layout(self) -> Layout:
        """Frame packing of the network."""
        return Layout.parse(self.model.layout)

    def network(self) -> LyraConfig:
        """Configuration of the video transformer."""
        model, channels = self.model, self.vae.channels
        return LyraConfig(
            model.width, model.heads, model.ffn_width, model.blocks, channels, 2 * channels + 4, model.text_width,
            model.text_tokens, image_width=8, layout=model.layout,
            buffer_channels=SLOT_CHANNELS * self.layout.spatial_frames, buffer_octaves=model.buffer_octaves,
            squeeze_width=model.squeeze_width,
        )  # fmt: skip

    def vae_config(self) -> VideoVaeConfig:
        """Configuration of the auto-encoder before its latents were measured."""
        count = self.vae.channels
        size = VideoVaeConfig(self.vae.base_width, residual_blocks=self.vae.residual_blocks)
        return replace(size, latent_mean=(0.0,) * count, latent_std=(1.0,) * count)


def read_settings(path: Path) -> WorldTraining:
    """Read a configuration in TOML. Raises InputError with one line for anything that is not understood."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; give a configuration in TOML")
    if (size := path.stat().st_size) > MAX_CONFIG_BYTES:
        raise InputError(f"{path}: {size} bytes; a configuration has at most {MAX_CONFIG_BYTES}")
    try:
        values = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not TOML ({error})") from None
    try:
        found: WorldTraining = _build(WorldTraining, values, "")
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    start = str(path.parent / found.run.start) if found.run.start else ""
    data = replace(found.data, folder=str(path.parent / found.data.folder))
    return replace(found, data=data, run=replace(found.run, start=start))


SETTINGS = "settings.json"
MAY_CHANGE = ("run.", "data.folder")
"""Beginnings of the settings that may differ when a training is resumed ..."""
MUST_STAY = ("run.seed", "run.batch", "run.precision", "run.visits")
"""... except these."""


def write_settings(settings: WorldTraining, folder: Path) -> None:
    """Keep the settings beside what they make."""
    write_bytes_atomic(folder / SETTINGS, (json.dumps(asdict(settings), indent=1) + "\n").encode())


def stored_settings(folder: Path) -> WorldTraining:
    """What `write_settings` kept. Raises InputError."""
    path = folder / SETTINGS
    try:
        found: WorldTraining = _build(WorldTraining, json.loads(path.read_text()), "")
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: the settings of a training cannot be read ({error})") from None
    return found


def check_resumable(settings: WorldTraining, folder: Path) -> None:
    """Raise InputError when the training in the folder was begun with other settings that shape its result."""
    before, now = _flat(asdict(stored_settings(folder))), _flat(asdict(settings))
    for name, value in now.items():
        free = name.startswith(MAY_CHANGE) and name not in MUST_STAY
        if before[name] != value and not free:
            raise InputError(f"{folder}: was begun with {name} {before[name]!r}, not {value!r}; give a new folder")


def _flat(tables: dict[str, Any]) -> dict[str, Any]:
    return {f"{table}.{name}": value for table, values in tables.items() for name, value in values.items()}


def _build(kind: type, values: dict[str, Any], place: str) -> Any:
    hints = get_type_hints(kind)
    if unknown := sorted(values.keys() - hints.keys()):
        raise InputError(f"{place}{unknown[0]} is unknown; known are {', '.join(hints)}")
    found = {}
    for entry in fields(kind):
        if entry.name in values:
            found[entry.name] = _value(hints[entry.name], values[entry.name], place + entry.name)
        elif entry.name in ("data", "folder"):
            raise InputError(f"{place}{entry.name} is missing")
    return kind(**found)


def _value(hint: Any, value: Any, name: str) -> Any:
    if is_dataclass(hint):
        _require(isinstance(value, dict), name, value, "a table")
        return _build(hint, value, f"{name}.")  # type: ignore[arg-type]
    if hint == tuple[str, ...]:
        good = isinstance(value, list) and all(isinstance(part, str) for part in value)
        _require(good, name, value, "a list of texts")
        return tuple(value)
    if hint is float and type(value) is int:
        return float(value)
    needed = {int: "an integer", float: "a number", str: "a text", bool: "true or false"}.get(hint, hint)
    _require(type(value) is hint, name, repr(value), needed)
    return value


def _choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    _require(value in allowed, name, repr(value), " or ".join(allowed))


def _require(good: bool, name: str, value: object, needed: object) -> None:
    if not good:
        raise InputError(f"{name} is {value}; {needed} is needed")
