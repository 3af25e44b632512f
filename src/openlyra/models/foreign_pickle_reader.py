"""Reads the pickles inside foreign weight files. THE ONE EXCEPTION to the rule that no shipped code touches pickle.

Never imported: `foreign.py` starts it as a process of its own (`python -I -S`, empty environment), which parses the
pickle, reads no tensor data, and prints as JSON where in the file which tensor lies. Only the standard library is in
reach. Every class or function a pickle names must be in `ALLOWED`, which maps it to something inert of this file; all
else is an error. As a second fence an audit hook refuses sockets, processes, writing, deleting and late imports, and
memory, time and file size are limited. Nothing the pickle says is carried out, and the parent checks every number.

Request (JSON on stdin): {"metadata": path of a `.metadata` file} or {"tensors": [[path, start, length], ...]}.
"""

import encodings.cp437  # noqa: F401 - zipfile asks for it late
import io
import json
import os
import pickle
import struct
import sys
import zipfile

MAX_PICKLE_BYTES = 1 << 28
MAX_DEPTH = 4
MEMORY, SECONDS = 4 << 30, 600
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class ForeignFileError(Exception):
    """The file is not what it should be; the parent prints the message."""


class Record:
    """Stands for an object of a class that is known but not needed: keeps what it was built from, does nothing."""

    kind = ""

    def __init__(self, *values):
        self.values = values
        self.state = None

    def __setstate__(self, state):
        self.state = state


class Names(dict):
    """Stands for OrderedDict; attributes beside the entries are dropped."""

    def __setstate__(self, state):
        pass


class Metadata(Record):
    kind = "metadata"


class TensorEntry(Record):
    kind = "tensor"


class BytesEntry(Record):
    kind = "bytes"


class Properties(Record):
    kind = "properties"


class Chunk(Record):
    kind = "chunk"


class Index(Record):
    kind = "index"


class StorageInfo(Record):
    kind = "storage"


class Tensor:
    """Where a tensor lies: storage (dtype, first byte in the file, bytes), offset in elements, shape and strides."""

    def __init__(self, storage, offset, shape, stride):
        self.storage, self.offset, self.shape, self.stride = storage, offset, tuple(shape), tuple(stride)

    def as_json(self):
        dtype, start, size = self.storage
        return {
            "dtype": dtype, "start": start, "bytes": size, "offset": self.offset, "shape": list(self.shape),
            "stride": list(self.stride),
        }  # fmt: skip


def rebuild_tensor(storage, offset, shape, stride, *_ignored):
    return Tensor(storage, offset, shape, stride)


def rebuild_parameter(tensor, *_ignored):
    return tensor


def size_tuple(values=()):
    return tuple(values)


def inert(*_ignored):
    return None


STORAGES = {
    "DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8",
    "ByteStorage": "uint8", "BoolStorage": "bool",
}  # fmt: skip
DTYPES = (*STORAGES.values(), "float8_e4m3fn")
DCP = "torch.distributed.checkpoint.metadata"
ALLOWED = {
    ("collections", "OrderedDict"): Names,
    ("torch._utils", "_rebuild_tensor"): rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): rebuild_parameter,
    ("torch.serialization", "_get_layout"): inert,
    ("torch", "Size"): size_tuple,
    ("torch", "device"): inert,
    ("pathlib", "PosixPath"): inert,
    ("pathlib._local", "PosixPath"): inert,
    (DCP, "Metadata"): Metadata,
    (DCP, "TensorStorageMetadata"): TensorEntry,
    (DCP, "BytesStorageMetadata"): BytesEntry,
    (DCP, "TensorProperties"): Properties,
    (DCP, "ChunkStorageMetadata"): Chunk,
    (DCP, "MetadataIndex"): Index,
    (DCP, "StorageMeta"): Record,
    (DCP, "_MEM_FORMAT_ENCODING"): inert,
    ("torch.distributed.checkpoint.filesystem", "_StorageInfo"): StorageInfo,
    **{("torch", name): dtype for name, dtype in STORAGES.items()},
    **{("torch", dtype): dtype for dtype in DTYPES},
}
"""(module, name) in a pickle -> what stands for it here."""


class Reader(pickle.Unpickler):
    """An unpickler that can build nothing but what `ALLOWED` says."""

    def __init__(self, stream, storages=None):
        super().__init__(stream)
        self.storages = storages

    def find_class(self, module, name):
        if (module, name) not in ALLOWED:
            raise ForeignFileError(f"asks for {module}.{name}, which is not allowed in a weight file")
        return ALLOWED[module, name]

    def persistent_load(self, key):
        if self.storages is None or not isinstance(key, tuple) or len(key) != 5 or key[0] != "storage":
            raise ForeignFileError("has a reference that is not a tensor storage")
        _, dtype, name, _, _ = key
        if dtype not in DTYPES or name not in self.storages:
            raise ForeignFileError(f"has a storage {str(name)[:40]} that is not in the file")
        return (dtype, *self.storages[name])


class Window(io.RawIOBase):
    """A part of a file as a file."""

    def __init__(self, file, start, length):
        self.file, self.start, self.length, self.at = file, start, length, 0

    def readable(self):
        return True

    def seekable(self):
        return True

    def seek(self, offset, whence=0):
        self.at = max(0, offset + (0, self.at, self.length)[whence])
        return self.at

    def tell(self):
        return self.at

    def readinto(self, buffer):
        count = max(0, min(len(buffer), self.length - self.at))
        self.file.seek(self.start + self.at)
        data = self.file.read(count)
        buffer[: len(data)] = data
        self.at += len(data)
        return len(data)


def read_tensors(path, start, length):
    """Tensors of one archive as written by torch.save, by dotted name; a lone tensor has the name ''."""
    with open(path, "rb") as file:
        window = Window(file, start, length)
        head = window.read(4)
        if head[:2] != b"PK":
            raise ForeignFileError("is not a zip archive of torch.save (files older than PyTorch 1.6 are not read)")
        with zipfile.ZipFile(window) as archive:
            pickles = [info for info in archive.infolist() if info.filename.endswith("/data.pkl")]
            if len(pickles) != 1 or pickles[0].file_size > MAX_PICKLE_BYTES:
                raise ForeignFileError("has no data.pkl of a usable size")
            prefix = pickles[0].filename.removesuffix("data.pkl")
            order = prefix + "byteorder"
            if order in archive.namelist() and archive.read(order) != b"little":
                raise ForeignFileError("is not little-endian")
            storages = {
                info.filename.removeprefix(prefix + "data/"): place(window, info, start)
                for info in archive.infolist() if info.filename.startswith(prefix + "data/")
            }  # fmt: skip
            content = Reader(io.BytesIO(archive.read(pickles[0])), storages).load()
    found: dict[str, Tensor] = {}
    collect("", content, found, 0)
    return {name: tensor.as_json() for name, tensor in found.items()}


def place(window, info, start):
    """(first byte in the file, bytes) of an entry that is stored as it is."""
    if info.compress_type != zipfile.ZIP_STORED:
        raise ForeignFileError("has compressed tensors")
    window.seek(info.header_offset)
    header = window.read(30)
    if len(header) != 30 or header[:4] != b"PK\3\4":
        raise ForeignFileError("is damaged")
    name, extra = struct.unpack("<HH", header[26:30])
    return (start + info.header_offset + 30 + name + extra, info.file_size)


def collect(name, value, found, depth):
    """Tensors in nested dictionaries; whatever is no tensor is left out."""
    if isinstance(value, Tensor):
        found[name] = value
    elif isinstance(value, dict) and depth < MAX_DEPTH:
        for key, inner in value.items():
            if isinstance(key, str):
                collect(f"{name}.{key}" if name else key, inner, found, depth + 1)


def read_metadata(path):
    """Tensors of a distributed checkpoint: dtype, shape and the parts, each with its place in a shard."""
    with open(path, "rb") as file:
        data = file.read(MAX_PICKLE_BYTES + 1)
    if len(data) > MAX_PICKLE_BYTES:
        raise ForeignFileError("is too large for the metadata of a checkpoint")
    root = Reader(io.BytesIO(data)).load()
    if not isinstance(root, Metadata) or not isinstance(root.state, dict):
        raise ForeignFileError("is not the metadata of a distributed checkpoint")
    places = {}
    for index, info in root.state["storage_data"].items():
        where = info.state
        if where.get("transform_descriptors"):
            raise ForeignFileError("has compressed or encrypted shards")
        key = (index.state["fqn"], tuple(index.state.get("offset") or ()))
        places[key] = [where["relative_path"], where["offset"], where["length"]]
    tensors, others = {}, []
    for name, entry in root.state["state_dict_metadata"].items():
        if isinstance(entry, TensorEntry):
            tensors[name] = tensor_parts(name, entry.state, places)
        else:
            others.append(name)
    return {"tensors": tensors, "others": others}


def tensor_parts(name, state, places):
    parts = []
    for chunk in state["chunks"]:
        offsets, sizes = tuple(chunk.state["offsets"]), tuple(chunk.state["sizes"])
        where = places.get((name, offsets))
        if where is None:
            raise ForeignFileError(f"does not say where a part of {name} is")
        parts.append({"offsets": list(offsets), "sizes": list(sizes), "where": where})
    return {"dtype": state["properties"].state[0], "shape": list(state["size"]), "parts": parts}


def fence():
    """Limits and the audit hook. From here on this process can read files and print, and little else."""
    try:
        import resource

        for what, most in (
            (resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CPU, SECONDS), (resource.RLIMIT_FSIZE, 0),
            (resource.RLIMIT_NOFILE, 32), (resource.RLIMIT_CORE, 0),
        ):  # fmt: skip
            resource.setrlimit(what, (most, most))
    except ImportError:  # not a POSIX system
        pass

    refused = ("socket.", "subprocess.", "os.", "shutil.", "ctypes.", "urllib.", "exec", "compile", "import", "mmap.")

    def refuse(event, arguments):
        if event == "open":
            _, mode, flags = arguments
            if (isinstance(mode, str) and set(mode) & set("wax+")) or (isinstance(flags, int) and flags & WRITING):
                raise PermissionError("writing is refused")
        elif event.startswith(refused):
            raise PermissionError(f"{event} is refused")

    sys.addaudithook(refuse)


def main():
    request = json.load(sys.stdin)
    fence()
    try:
        if "metadata" in request:
            answer = read_metadata(request["metadata"])
        else:
            answer = {"files": [read_tensors(*item) for item in request["tensors"]]}
    except ForeignFileError as error:
        answer = {"error": str(error)}
    except Exception as error:  # whatever a broken pickle causes is the file's fault
        answer = {"error": f"cannot be read ({type(error).__name__}: {str(error)[:200]})"}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
