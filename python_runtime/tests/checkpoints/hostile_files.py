"""Checkpoint files that mean harm."""

import argparse
import gzip
import io
import os
import pickle
import pickletools
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import torch

STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
FLOATS = "torch FloatStorage"


class Calls:
    """Unpickled by anything but a safe reader, it calls the function."""

    def __init__(self, function, *arguments) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def archive(path: Path, pickled: bytes, storages: dict[str, bytes], compression: int = STORED) -> Path:
    """What torch.save would write around this pickle."""
    with zipfile.ZipFile(path, "w", compression) as out:
        out.writestr("archive/data.pkl", pickled)
        out.writestr("archive/byteorder", "little")
        for key, content in storages.items():
            out.writestr(f"archive/data/{key}", content)
        out.writestr("archive/version", "3\n")
    return path


def calling(name: str, *arguments: object, prefix: bytes = b"") -> bytes:
    """A pickle of {"a": name(*arguments)}."""
    module, function = name.rsplit(".", 1)
    parts = b"".join(pickled_value(argument) for argument in arguments)
    call = b"c" + module.encode() + b"\n" + function.encode() + b"\n(" + parts + b"tR"
    return b"\x80\x02}" + prefix + pickled_value("a") + call + b"s."


def pickled_value(value: object) -> bytes:
    """The operations that leave a plain value on the stack."""
    if isinstance(value, str):
        return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
    return pickletools.optimize(pickle.dumps(value, 2))[2:-1]


def tensor(numel: int, size: tuple[int, ...], stride: tuple[int, ...], key: str = "0", word: str = "storage") -> bytes:
    """The operations of a float tensor over a storage."""
    storage = b"(" + pickled_value(word) + b"c" + FLOATS.replace(" ", "\n").encode() + b"\n"
    storage += pickled_value(key) + pickled_value("cpu") + pickled_value(numel) + b"tQ"
    shape = b"K\x00" + pickled_value(size) + pickled_value(stride) + b"\x89" + b"ccollections\nOrderedDict\n)R"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + shape + b"tR"


def state(*entries: tuple[str, bytes]) -> bytes:
    """A pickle of a dict whose values are given by their operations."""
    return b"\x80\x02}" + b"".join(pickled_value(key) + value + b"s" for key, value in entries) + b"."


ONE = ("a", tensor(4, (4,), (1,)))
FOUR = {"0": b"\0" * 16}
HOSTILE: dict[str, Callable[[Path, Path], Path]] = {}


def hostile(write: Callable[[Path, Path], Path]) -> Callable[[Path, Path], Path]:
    """Registers a writer (folder, file that must not appear) -> the checkpoint."""
    HOSTILE[write.__name__] = write
    return write


# code


@hostile
def os_system(folder, touched):
    path = folder / "x.pt"
    torch.save({"state_dict": Calls(os.system, f"touch {touched}")}, path)
    return path


@hostile
def evaluated_source(folder, touched):
    path = folder / "x.pt"
    torch.save({"state_dict": {}, "extra": Calls(eval, f"open({str(touched)!r}, 'w')")}, path)
    return path


@hostile
def executed_source(folder, touched):
    return archive(folder / "x.pt", calling("builtins.exec", f"open({str(touched)!r}, 'w')"), {})


@hostile
def started_process(folder, touched):
    return archive(folder / "x.pt", calling("subprocess.Popen", ["touch", str(touched)]), {})


@hostile
def raw_pickle(folder, touched):
    path = folder / "x.pt"
    path.write_bytes(pickle.dumps(Calls(os.system, f"touch {touched}")))
    return path


@hostile
def tar_of_a_pickle(folder, touched):
    content = pickle.dumps(Calls(os.system, f"touch {touched}"))
    with tarfile.open(folder / "x.pt", "w") as out:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            out.addfile(member, io.BytesIO(content))
    return folder / "x.pt"


@hostile
def old_format_of_torch(folder, touched):
    path = folder / "x.pt"
    torch.save({"a": Calls(os.system, f"touch {touched}")}, path, _use_new_zipfile_serialization=False)
    return path


@hostile
def bytes_loaded_by_torch(folder, touched):
    inner = pickle.dumps(Calls(os.system, f"touch {touched}"))
    return archive(folder / "x.pt", calling("torch.storage._load_from_bytes", inner), {})


@hostile
def whole_module(folder, touched):
    path = folder / "x.pt"
    torch.save(torch.nn.Linear(2, 2), path)
    return path


@hostile
def compiled_module(folder, touched):
    path = folder / "x.pt"
    with warnings.catch_warnings(action="ignore"):
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), str(path))
    return path


@hostile
def attribute_of_a_module(folder, touched):
    return archive(folder / "x.pt", calling("builtins.getattr", "os", "system"), {})


@hostile
def name_from_the_stack(folder, touched):
    called = b"\x8c\x05posix\x8c\x06system\x93(" + pickled_value(f"touch {touched}") + b"tR"
    return archive(folder / "x.pt", b"\x80\x04}" + pickled_value("a") + called + b"s.", {})


@hostile
def inner_state_of_a_dict(folder, touched):
    """A state dict whose `items` is another thing."""
    made = b"ccollections\nOrderedDict\n)R" + b"}" + pickled_value("items") + b"K\x01sb"
    return archive(folder / "x.pt", state(("state_dict", made)), {})


@hostile
def inner_state_of_a_number_type(folder, touched):
    """A double that would be read big-endian from then on, in the whole process."""
    made = b"cnumpy\ndtype\n(" + pickled_value("f8") + b"\x89\x89tR"
    bad = pickled_value((3, ">", None, None, None, -1, -1, 0))
    return archive(folder / "x.pt", state(("a", made + bad + b"b")), {})


# inert objects and what stands next to them


def namespace(*entries: tuple[str, bytes]) -> bytes:
    """The operations of an argparse.Namespace with this state."""
    state_of = b"}" + b"".join(pickled_value(key) + value + b"s" for key, value in entries)
    return b"cargparse\nNamespace\n)\x81" + state_of + b"b"


def called(name: str, *arguments: bytes) -> bytes:
    """The operations of a call; arguments by their operations."""
    module, function = name.rsplit(".", 1)
    return b"c" + module.encode() + b"\n" + function.encode() + b"\n(" + b"".join(arguments) + b"tR"


@hostile
def system_next_to_a_namespace(folder, touched):
    path = folder / "x.pt"
    content = {"state_dict": {"a": torch.zeros(4)}, "args": argparse.Namespace(lr=1)}
    torch.save({**content, "hook": Calls(os.system, f"touch {touched}")}, path)
    return path


@hostile
def system_in_the_state_of_a_namespace(folder, touched):
    path = folder / "x.pt"
    args = argparse.Namespace(hook=Calls(os.system, f"touch {touched}"))
    torch.save({"state_dict": {"a": torch.zeros(4)}, "args": args}, path)
    return path


@hostile
def class_of_a_namespace_replaced(folder, touched):
    """A state that would make of it what it is not, and a call of the result."""
    args = namespace(("__class__", b"cposix\nsystem\n"))
    return archive(folder / "x.pt", state(ONE, ("args", args)), FOUR)


@hostile
def namespace_called(folder, touched):
    made = namespace() + b"(" + pickled_value(f"touch {touched}") + b"tR"
    return archive(folder / "x.pt", state(ONE, ("args", made)), FOUR)


@hostile
def items_of_a_namespace(folder, touched):
    made = b"cargparse\nNamespace\n)\x81" + pickled_value("a") + b"K\x01s"
    return archive(folder / "x.pt", state(ONE, ("args", made)), FOUR)


@hostile
def array_of_a_tebibyte(folder, touched):
    kind = b"cnumpy\nndarray\n"
    made = called("numpy.core.multiarray._reconstruct", kind, pickled_value((2**40,)), pickled_value("b"))
    return archive(folder / "x.pt", state(ONE, ("plan", made)), FOUR)


@hostile
def array_type_created_with_a_shape(folder, touched):
    made = b"cnumpy\nndarray\n" + pickled_value((2**40,)) + b"\x81"
    return archive(folder / "x.pt", state(("state_dict", b"}" + pickled_value("a") + made + b"s")), {})


@hostile
def array_read_from_a_buffer(folder, touched):
    made = called("numpy.core.numeric._frombuffer", pickled_value("x"), pickled_value("f8"))
    return archive(folder / "x.pt", state(ONE, ("plan", made)), FOUR)


@hostile
def array_mapped_from_a_file(folder, touched):
    made = called("numpy.memmap", pickled_value(str(touched)), pickled_value("f8"), pickled_value("w+"))
    return archive(folder / "x.pt", state(ONE, ("plan", made)), FOUR)


@hostile
def defaultdict_of_a_function(folder, touched):
    made = called("collections.defaultdict", b"cposix\nsystem\n")
    return archive(folder / "x.pt", state(ONE, ("log", made)), FOUR)


@hostile
def namespaces_a_thousand_deep(folder, touched):
    deep = b"N"
    for _ in range(1000):
        deep = namespace(("a", deep))
    return archive(folder / "x.pt", state(ONE, ("args", deep)), FOUR)


@hostile
def set_of_a_growing_walk(folder, touched):
    doubled = b"".join(b"q" + bytes([n]) + b"h" + bytes([n]) + b"\x86" for n in range(40))
    made = called("builtins.set", b"]" + b"K\x01" + doubled + b"a")
    return archive(folder / "x.pt", state(ONE, ("seen", made)), FOUR)


@hostile
def constructor_without_its_arguments_checked(folder, touched):
    made = b"ctorch\nSize\n" + pickled_value((2**40,)) + b"\x81"
    return archive(folder / "x.pt", state(ONE, ("size", made)), FOUR)


# sizes


@hostile
def compressed_zeros(folder, touched):
    pickled = state(("a", tensor(2**28, (2**28,), (1,))))
    path = folder / "x.pt"
    with zipfile.ZipFile(path, "w", DEFLATED) as out:
        out.writestr("archive/data.pkl", pickled)
        with out.open("archive/data/0", "w") as member:
            for _ in range(256):
                member.write(b"\0" * 2**20)
    return path


@hostile
def compressed_pickle(folder, touched):
    return archive(folder / "x.pt", state(ONE) + b"\0" * 2**26, FOUR, DEFLATED)


@hostile
def storage_that_claims_more(folder, touched):
    return archive(folder / "x.pt", state(("a", tensor(2**30, (2**30,), (1,)))), FOUR)


@hostile
def storage_that_claims_less_than_nothing(folder, touched):
    return archive(folder / "x.pt", state(("a", tensor(-4, (4,), (1,)))), FOUR)


@hostile
def storage_that_is_not_there(folder, touched):
    return archive(folder / "x.pt", state(("a", tensor(4, (4,), (1,), key="../version"))), FOUR)


@hostile
def storage_of_another_kind(folder, touched):
    return archive(folder / "x.pt", state(("a", tensor(4, (4,), (1,), word="module"))), FOUR)


@hostile
def tensor_larger_than_its_storage(folder, touched):
    return archive(folder / "x.pt", state(("a", tensor(4, (2**40,), (1,)))), FOUR)


@hostile
def one_number_seen_a_trillion_times(folder, touched):
    return archive(folder / "x.pt", state(("a", tensor(4, (10**12,), (0,)))), FOUR)


@hostile
def constructor_with_a_size(folder, touched):
    made = b"ctorch\nTensor\n" + pickled_value((10**5, 10**5)) + b"\x81"
    return archive(folder / "x.pt", state(("a", made)), {})


@hostile
def eight_gibibytes_of_nothing(folder, touched):
    return archive(folder / "x.pt", calling("builtins.bytearray", 2**33), {})


@hostile
def sparse_tensor_of_any_size(folder, touched):
    path = folder / "x.pt"
    torch.save({"a": torch.eye(3).to_sparse()}, path)
    return path


@hostile
def member_that_claims_eight_gibibytes(folder, touched):
    path = archive(folder / "x.pt", state(ONE), FOUR)
    content = bytearray(path.read_bytes())
    entry = content.rindex(b"PK\x01\x02", 0, content.rindex(b"archive/data/0"))
    content[entry + 20 : entry + 28] = struct.pack("<II", 2**32 - 2, 2**32 - 2)
    path.write_bytes(content)
    return path


@hostile
def gibibyte_pickle_of_a_hole(folder, touched):
    """A file of a gibibyte that takes no room on the disk, and would in memory."""
    path = folder / "x.pt"
    with open(path, "wb") as file:
        file.write(b"PK\x03\x04" + b"\0" * 22 + struct.pack("<HH", 16, 0) + b"archive/data.pkl")
        file.truncate(2**30 + 46)
        file.seek(0, io.SEEK_END)
        start = file.tell()
        file.write(b"PK\x01\x02" + struct.pack("<HHHHHHIIIHHHHHII", 20, 20, 0, 0, 0, 0, 0, 2**30, 2**30, 16, *[0] * 6))
        file.write(b"archive/data.pkl")
        file.write(b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, file.tell() - start, start, 0))
    return path


@hostile
def sixty_thousand_members(folder, touched):
    return archive(folder / "x.pt", state(ONE), {str(number): b"" for number in range(60_000)})


@hostile
def directory_of_a_million_members(folder, touched):
    """The end record is honest about the bytes: they are there, and mean nothing."""
    path = folder / "x.pt"
    entry = b"PK\x01\x02" + b"\0" * 42
    with open(path, "wb") as file:
        file.write(entry * 1_000_000)
        file.write(b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 16, 16, 46_000_000, 0, 0))
    return path


@hostile
def million_operations(folder, touched):
    return archive(folder / "x.pt", b"\x80\x02](" + b"}" * 3_000_000 + b"e.", {})


@hostile
def as_many_dicts_as_are_allowed(folder, touched):
    """Nothing is wrong with it but that it holds no weights."""
    return archive(folder / "x.pt", b"\x80\x02](" + b"}" * 79_000 + b"e.", {})


@hostile
def keys_that_take_forever_to_hash(folder, touched):
    """Forty tuples, each of the one before twice: small in the file, 2^40 objects to hash."""
    doubled = b"".join(b"q" + bytes([n]) + b"h" + bytes([n]) + b"\x86" for n in range(40))
    return archive(folder / "x.pt", b"\x80\x02}K\x01" + doubled + b"K\x01s.", {})


@hostile
def values_that_take_forever_to_walk(folder, touched):
    doubled = b"".join(b"q" + bytes([n]) + b"h" + bytes([n]) + b"\x86" for n in range(40))
    metadata = b"}" + pickled_value("notes") + b"K\x01" + doubled + b"s"
    return archive(folder / "x.pt", state(ONE, ("freetumor", metadata)), FOUR)


@hostile
def dict_within_itself(folder, touched):
    made = b"}q\x00" + pickled_value("freetumor") + b"h\x00s"
    return archive(folder / "x.pt", b"\x80\x02" + made + b".", {})


@hostile
def lists_a_hundred_thousand_deep(folder, touched):
    deep = b"]" * 60_000 + b"a" * 59_999
    return archive(folder / "x.pt", state(ONE, ("freetumor", deep)), FOUR)


@hostile
def wrappers_within_wrappers(folder, touched):
    content: dict = {"a": torch.zeros(4)}
    for _ in range(20):
        content = {"state_dict": content}
    torch.save(content, folder / "x.pt")
    return folder / "x.pt"


@hostile
def encoding_of_quadratic_time(folder, touched):
    text = "\u0660" * 300_000
    return archive(folder / "x.pt", calling("_codecs.encode", text, "idna"), {})


# archives


@hostile
def two_pickles_of_one_name(folder, touched):
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(folder / "x.pt", "w") as out:
        out.writestr("archive/data.pkl", state(ONE))
        out.writestr("archive/data.pkl", calling("posix.system", f"touch {touched}"))
        out.writestr("archive/data/0", FOUR["0"])
    return folder / "x.pt"


@hostile
def two_folders(folder, touched):
    path = archive(folder / "x.pt", state(ONE), FOUR)
    with zipfile.ZipFile(path, "a") as out:
        out.writestr("other/data.pkl", calling("posix.system", f"touch {touched}"))
    return path


@hostile
def members_over_each_other(folder, touched):
    path = archive(folder / "x.pt", state(ONE), {"0": b"\0" * 2**20})
    with zipfile.ZipFile(path, "a") as out:
        data = next(member for member in out.infolist() if member.filename.endswith("/data/0"))
        for number in range(1, 500):
            twin = zipfile.ZipInfo(f"archive/data/{number}")
            twin.header_offset, twin.CRC = data.header_offset, data.CRC
            twin.compress_size = twin.file_size = data.file_size
            out.filelist.append(twin)
        out._didModify = True
    return path


@hostile
def path_out_of_the_archive(folder, touched):
    path = archive(folder / "x.pt", state(ONE), FOUR)
    with zipfile.ZipFile(path, "a") as out:
        out.writestr("../../touched", b"x")
    return path


@hostile
def code_in_front_of_the_archive(folder, touched):
    path = archive(folder / "x.pt", state(ONE), FOUR)
    path.write_bytes(f"#!/bin/sh\ntouch {touched}\nexit\n".encode() + path.read_bytes())
    return path


@hostile
def encrypted_member(folder, touched):
    path = archive(folder / "x.pt", state(ONE), FOUR)
    content = bytearray(path.read_bytes())
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    return path


@hostile
def comment_behind_the_archive(folder, touched):
    path = archive(folder / "x.pt", state(ONE), FOUR)
    with zipfile.ZipFile(path, "a") as out:
        out.comment = b"PK\x05\x06" + b"\0" * 18
    return path


@hostile
def compressed_file(folder, touched):
    path = archive(folder / "plain.pt", state(ONE), FOUR)
    (folder / "x.pt").write_bytes(gzip.compress(path.read_bytes()))
    return folder / "x.pt"


# files that are none


@hostile
def pipe_that_nobody_writes(folder, touched):
    os.mkfifo(folder / "x.pt")
    return folder / "x.pt"


@hostile
def endless_device(folder, touched):
    (folder / "x.pt").symlink_to("/dev/zero")
    return folder / "x.pt"


@hostile
def folder_by_name(folder, touched):
    (folder / "x.safetensors").mkdir()
    return folder / "x.safetensors"


# safetensors


def safetensors_file(folder: Path, header: bytes, claimed: int | None = None) -> Path:
    path = folder / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(header) if claimed is None else claimed) + header + b"\0" * 16)
    return path


@hostile
def header_that_claims_everything(folder, touched):
    return safetensors_file(folder, b"{}", claimed=2**62)


@hostile
def tensors_over_each_other(folder, touched):
    entry = b'{"dtype":"F32","shape":[4],"data_offsets":[0,16]}'
    return safetensors_file(folder, b'{"a":' + entry + b',"b":' + entry + b"}")


@hostile
def tensor_beyond_the_end(folder, touched):
    return safetensors_file(folder, b'{"a":{"dtype":"F32","shape":[1073741824],"data_offsets":[0,4294967296]}}')


@hostile
def header_of_endless_brackets(folder, touched):
    return safetensors_file(folder, b"[" * 1_000_000)


@hostile
def metadata_of_endless_brackets(folder, touched):
    text = "[" * 200_000
    entry = '{"__metadata__":{"freetumor":"' + text + '"},"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'
    return safetensors_file(folder, entry.encode())


@hostile
def metadata_that_is_no_plain_value(folder, touched):
    entry = b'{"__metadata__":{"freetumor":"{\\"x\\": NaN}"},"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'
    return safetensors_file(folder, entry)
