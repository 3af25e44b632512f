"""``openlyra models``: which weights exist, getting them, checking them, what fits this machine."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from openlyra.cli.console import print_json
from openlyra.errors import InputError

if TYPE_CHECKING:
    from openlyra.models.lyra_config import LyraConfig
    from openlyra.models.plan import Machine, Work

Accepted = Annotated[tuple[str, ...], tyro.conf.arg(name="accept-license")]


@dataclass(frozen=True)
class ListCommand:
    """Weights that OpenLyra can use, with size and licence."""

    json: bool = False
    """Print it as JSON."""

    def run(self) -> int:
        """Run it; returns the exit status."""
        from openlyra.models.registry import REGISTRY

        if self.json:
            print_json(
                {name: {**asdict(weights), "terms": asdict(weights.terms)} for name, weights in REGISTRY.items()}
            )
            return 0
        for weights in REGISTRY.values():
            free = "" if weights.terms.commercial else f"  NO COMMERCIAL USE: --accept-license {weights.licence}"
            print(f"{weights.name}  ({weights.gigabytes:g} GB, {weights.repository})")
            print(f"    {weights.role}")
            print(f"    {weights.terms.title}{free}")
        return 0


@dataclass(frozen=True)
class FetchCommand:
    """Download weights. What was interrupted goes on where it stopped."""

    name: tyro.conf.Positional[str]
    """A name from `openlyra models list`."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder; for weights that are used as they are, the model folder."""
    accept_license: Accepted = ()
    """Names of licences without commercial use that you accept."""
    revision: str | None = None
    """Commit or tag of the repository."""

    def run(self) -> int:
        """Run it; returns the exit status."""
        from openlyra.models.registry import fetch, find

        weights = find(self.name)
        print(f"{weights.name}: {weights.terms.title} {weights.terms.url}".rstrip())
        fetch(self.name, self.output, self.accept_license, self.revision)
        more = f"; next: openlyra models convert {self.output} -o MODEL" if weights.format == "convert" else ""
        print(f"{self.output}: {weights.role}{more}")
        return 0


@dataclass(frozen=True)
class ConvertCommand:
    """Make safetensors of the released checkpoint and of the original Wan files. Pickles are read in a process of their
    own that can build nothing but tensors."""

    source: tyro.conf.Positional[Path]
    """A file, a distributed checkpoint, or a whole folder of released weights."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Model folder."""
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    """Type of the transformer's and the text encoder's weights."""
    size: str = "lyra-14b"
    """Size of the transformer: lyra-14b, lyra-1.3b, or a JSON file with a network configuration."""

    def run(self) -> int:
        """Run it; returns the exit status."""
        import torch

        from openlyra.cli.console import Progress, Verbosity
        from openlyra.models.convert import Sizes, convert
        from openlyra.models.licences import LICENCES, Entry, licence_of_source, record
        from openlyra.models.lyra_config import SIZES

        progress = Progress(Verbosity())
        try:
            sizes = Sizes(transformer=network_size(self.size))
            parts = convert(self.source, self.output, sizes, getattr(torch, self.dtype), advance=progress)
        finally:
            progress.close()
        origin, licence = licence_of_source(self.source)
        if (
            licence == "unknown"
            and sizes.transformer == SIZES["lyra-14b"]
            and any(p.part == "transformer" for p in parts)
        ):
            licence = "nvidia-research"  # the only weights of this shape that are public
        record(self.output, [Entry(part.part, origin, licence) for part in parts])
        for part in parts:
            print(f"{self.output / part.part}: {part.tensors} tensors, {part.parameters:,} numbers, from {part.source}")
        print(f"licence: {LICENCES[licence].title} ({origin})")
        return 0


@dataclass(frozen=True)
class VerifyCommand:
    """Check a model folder without loading it, or the network's names and shapes against a published table."""

    folder: tyro.conf.Positional[Path | None] = None
    """Model folder."""
    against: Path | None = None
    """Table of keys (tab-separated: key, kind, dtype, shape, numel)."""
    size: str = "lyra-14b"
    """Which network the table is compared with: lyra-14b, lyra-1.3b, toy or a JSON file."""
    read: bool = False
    """Read every number as well and look for those that are not finite."""

    def run(self) -> int:
        """Run it; returns the exit status."""
        if self.folder is None and self.against is None:
            raise InputError("openlyra models verify: give a model folder, or --against with a table of keys")
        if self.against is not None and not self._against(self.against):
            return 1
        if self.folder is not None:
            verify_folder(self.folder, self.read)
        return 0

    def _against(self, path: Path) -> bool:
        from openlyra.models.lyra_keys import compare_with_table

        report = compare_with_table(path, network_size(self.size))
        print(report.summary())
        for line in report.differences[:20]:
            print(f"    {line}")
        return report.equal


def verify_folder(folder: Path, read: bool) -> None:
    """Print one line a part; raise InputError for the first thing that is wrong."""
    from openlyra.models.folder import PARTS, ModelFolder
    from openlyra.models.licences import LICENCES, recorded

    models = ModelFolder(folder)
    terms = {entry.part: entry.licence for entry in recorded(folder)}
    for part in PARTS:
        checkpoint = models.check_part(part)
        if read:
            checkpoint.check_finite()
        licence = LICENCES[terms.get(part, "unknown")].title
        print(f"{part}: {len(checkpoint.tensors)} tensors, {checkpoint.bytes / 1e9:.2f} GB, {licence}")
    models.check()
    print("all parts are there; all names, shapes and types are right" + (", all numbers finite" if read else ""))


@dataclass(frozen=True)
class PlanCommand:
    """What runs on a GPU, with predicted memory and time; docs/memory.md has the formula."""

    gpu: str | None = None
    """A GPU by name, such as "RTX 4090" or H100; the one in this machine if neither name nor memory is given."""
    memory: float | None = None
    """GPU memory in GB."""
    tflops: float | None = None
    """Peak dense bfloat16 TFLOPS; taken from the name, else guessed from the memory."""
    ram: float | None = None
    """Memory of the computer in GB; this machine's if not given."""
    size: str = "480x832"
    """Height x width in pixels."""
    steps: int = 35
    """Sampler steps a chunk of 80 frames; 4 with the distilled adapter."""
    guidance: bool = True
    """Two calls of the network a step; the distilled adapter needs one."""
    train_gpus: int = 0
    """Plan a training on so many of these GPUs instead (docs/training.md has the terms)."""
    context_ranks: int = 1
    """In a training, GPUs that share the tokens of an example."""
    json: bool = False
    """Print it as JSON."""

    def run(self) -> int:
        """Run it; returns the exit status."""
        from openlyra.models.plan import GB, Work, choose, fits, plans, table

        height, width = frame_size(self.size)
        work, machine = Work(height, width, self.steps, self.guidance), self.machine()
        if self.train_gpus:
            return self._training(work, machine)
        if self.json:
            every = plans(work, machine=machine)
            print_json([{**asdict(plan), "gpu_bytes": plan.gpu_bytes, "fits": fits(plan, machine)} for plan in every])
            return 0
        print(
            f"{machine.gpu_bytes / GB:.0f} GB of GPU memory, {machine.tflops:.0f} TFLOPS, "
            f"{machine.host_bytes / GB:.0f} GB of computer memory; {height}x{width}, {self.steps} steps; "
            "predicted, not measured"
        )
        print("\n".join(table(work, machine)))
        best = choose(work, machine)
        print(f"runs with: {best.name}")
        return 0

    def _training(self, work: Work, machine: Machine) -> int:
        from openlyra.models.plan_training import TrainingLayout, training_lines, training_plan

        work.check()
        layout = TrainingLayout(self.train_gpus, self.context_ranks)
        plan = training_plan(work.height, work.width, machine, layout)
        if self.json:
            print_json({**asdict(plan), "gpu_bytes": plan.gpu_bytes, "step_seconds": plan.step_seconds})
            return 0
        print(
            f"the 14B network on {self.train_gpus} GPUs, {self.context_ranks} to an example, sharded, "
            f"{work.height}x{work.width}; predicted, not measured"
        )
        print("\n".join(training_lines(plan, machine)))
        return 0

    def machine(self) -> Machine:
        """What the options describe. Raises InputError when there is no GPU to look at and none is named."""
        from openlyra.models.fit import host_memory
        from openlyra.models.plan import GB, GPUS, Machine

        memory, tflops = self.memory, self.tflops
        if self.gpu is not None:
            names = [name for name in GPUS if self.gpu.lower().replace(" ", "") in name.lower().replace(" ", "")]
            if not names:
                raise InputError(f"--gpu {self.gpu}: is not known; give --memory and --tflops, or: {', '.join(GPUS)}")
            memory, tflops = memory or GPUS[names[0]][0], tflops or GPUS[names[0]][1]
        if memory is None:
            memory, tflops = _own_gpu(tflops)
        nearest = min(GPUS.values(), key=lambda gpu: (abs(gpu[0] - memory), gpu[1]))
        for name, value in (("memory", memory), ("tflops", tflops or nearest[1]), ("ram", self.ram or 1.0)):
            if not 0 < value < 1e5:
                raise InputError(f"--{name} {value:g}: must be a positive number")
        ram = self.ram * GB if self.ram is not None else host_memory()
        return Machine(memory * GB, tflops or nearest[1], ram)


def _own_gpu(tflops: float | None) -> tuple[float, float | None]:
    import torch

    from openlyra.models.plan import GPUS

    if not torch.cuda.is_available():
        raise InputError("there is no GPU in this machine; plan for one with --gpu NAME or --memory GB")
    name = torch.cuda.get_device_name(0)
    known = next((rate for key, (_, rate) in GPUS.items() if key.split()[-1] in name), None)
    return torch.cuda.get_device_properties(0).total_memory / 1e9, tflops or known


@dataclass(frozen=True)
class SelftestCommand:
    """Does everything work here? The networks at small size on CPU and GPU, and, given a model folder, the weights:
    whether they are trained ones put in the right places, peak memory and time of a step. About five minutes."""

    folder: tyro.conf.Positional[Path | None] = None
    """Model folder."""
    size: str = "480x832"
    """Frame size for the real weights."""
    accept_license: Accepted = ()
    """Names of licences without commercial use that you accept."""

    def run(self) -> int:
        """Run it; returns the exit status: 1 when something is wrong."""
        from openlyra.evaluation.selftest import selftest

        failed = 0
        for result in selftest(self.folder, frame_size(self.size), self.accept_license):
            print(f"{'ok  ' if result.passed else 'FAIL'}  {result.name:<44} {result.text}", flush=True)
            failed += not result.passed
        print("all well" if not failed else f"{failed} checks failed")
        return 1 if failed else 0


def network_size(name: str) -> LyraConfig:
    """A configuration by name, or from a JSON file. Raises InputError."""
    from openlyra.models.lyra_config import SIZES, LyraConfig

    if name in SIZES:
        return SIZES[name]
    if not Path(name).is_file():
        raise InputError(f"--size {name}: is neither a file nor one of: {', '.join(SIZES)}")
    return LyraConfig.read(Path(name))


def frame_size(text: str) -> tuple[int, int]:
    """(height, width) of text such as 480x832. Raises InputError."""
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdecimal() and len(part) < 6 for part in parts):
        raise InputError(f"--size {text}: give height x width in pixels, such as 480x832")
    return int(parts[0]), int(parts[1])
