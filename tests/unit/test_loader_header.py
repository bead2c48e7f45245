"""Header reading: what is accepted, and that everything else is refused in one sentence (spec 01 §2.1)."""

from __future__ import annotations

import json
import struct
import tracemalloc
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save, save_file

from ltx_core_impl.loader import CheckpointError, CheckpointNotFoundError, HeaderError, open_checkpoint, read_header
from ltx_core_impl.loader.config import parse_config
from ltx_core_impl.loader.errors import ConfigError
from ltx_core_impl.loader.folders import resolve_files
from ltx_core_impl.loader.foreign import name_foreign_file
from ltx_core_impl.loader.header import parse_header

FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SAMPLE = save({"a": torch.ones(2, 3), "b": torch.zeros(4, dtype=torch.bfloat16)}, {"config": "{}"})


def raw_file(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def write(tmp_path: Path, content: bytes, name: str = "model.safetensors") -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


def tensor(begin: int, end: int, dtype: str = "F32", shape: tuple[int, ...] = (1,)) -> dict:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def test_names_shapes_and_metadata_are_read(tmp_path: Path) -> None:
    header = read_header(write(tmp_path, SAMPLE))
    assert header.shape("a") == (2, 3) and header.tensors["b"].dtype == "BF16" and header.metadata == {"config": "{}"}
    assert header.tensors["a"].nbytes == 24 and header.shape("c") is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"\x01\x02", "too few"),
        (SAMPLE[:40], "truncated"),
        (SAMPLE[:-1], "truncated"),
        (SAMPLE + b"x", "after its last tensor"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", "git lfs pull"),
        (b"<!DOCTYPE html><html><body>login</body></html>", "web page"),
        (b"\n <html>", "web page"),
        (b'{"error": "Unauthorized, accept the licence first"}', "JSON text"),
        (b"GGUF\x03\x00\x00\x00" + bytes(64), "GGUF"),
        (b"PK\x03\x04" + bytes(64), "zip"),
        (b"\x80\x02}q\x00." + bytes(64), "pickle"),
        (struct.pack("<Q", 1 << 60) + bytes(64), "format allows"),
        (struct.pack("<Q", 99_000_000) + bytes(64), "truncated"),
        (raw_file(b"this is no json!"), "not valid JSON"),
        (raw_file(b"[" * 100_000), "not valid JSON"),
        (raw_file([1, 2]), "object is needed"),
        (raw_file(b'{"a":1,"a":2}'), "twice"),
        (raw_file({"a": 5}), "object is needed"),
        (raw_file({"a": tensor(0, 4, dtype="Q4_K")}, bytes(4)), "unknown dtype"),
        (raw_file({"a": tensor(0, 4, shape=(-1,))}, bytes(4)), "sizes"),
        (raw_file({"a": {"dtype": "F32", "shape": [True], "data_offsets": [0, 4]}}, bytes(4)), "sizes"),
        (raw_file({"a": tensor(0, 5)}, bytes(5)), "needs 4 bytes"),
        (raw_file({"a": tensor(4, 0)}, bytes(4)), "needs 4 bytes"),
        (raw_file({"a": tensor(0, 4), "b": tensor(2, 6)}, bytes(6)), "overlaps"),
        (raw_file({"a": tensor(0, 4), "b": tensor(8, 12)}, bytes(12)), "gap"),
        (raw_file({"a": tensor(0, 4, shape=(1 << 62, 1 << 62))}, bytes(4)), "needs"),
        (raw_file({"__metadata__": {"k": 1}}), "string is needed"),
        (raw_file({"__metadata__": []}), "strings is needed"),
    ],
)
def test_anything_else_is_refused_in_a_sentence(tmp_path: Path, content: bytes, words: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(HeaderError, match=words) as caught:
        read_header(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("length", [0x0280, 0x0380, 0x0480, 0x0580, 0x10480, 0x04034B50])
def test_a_header_whose_length_looks_like_another_files_mark(length: int) -> None:
    """A length of 640 bytes begins like a pickle, one of 67 MB like a zip archive."""
    assert name_foreign_file(struct.pack("<Q", length) + b'{"__metadata__":{') is None


def test_a_file_with_such_a_header_is_read(tmp_path: Path) -> None:
    empty = len(json.dumps({"__metadata__": {"k": ""}}))
    header = {"__metadata__": {"k": "x" * (0x0380 - empty)}}
    assert read_header(write(tmp_path, raw_file(header))).metadata == header["__metadata__"]


def test_absent_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(CheckpointNotFoundError, match="No such file") as caught:
        read_header(tmp_path / "none.safetensors")
    assert isinstance(caught.value, FileNotFoundError) and isinstance(caught.value, ValueError)
    with pytest.raises(HeaderError, match="folder"):
        read_header(tmp_path)
    with pytest.raises(HeaderError, match="cannot be read"):
        read_header("a\x00b")
    with pytest.raises(HeaderError, match="regular file"):
        read_header("/dev/zero")


@FUZZ
@given(content=st.binary(max_size=400))
def test_random_bytes_raise_only_our_error(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(CheckpointError):
        read_header(write(tmp_path, content))


@FUZZ
@given(length=st.integers(0, len(SAMPLE) - 1))
def test_every_truncation_is_refused(tmp_path: Path, length: int) -> None:
    with pytest.raises(HeaderError):
        read_header(write(tmp_path, SAMPLE[:length]))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@FUZZ
@given(value=st.dictionaries(st.sampled_from(["a", "b", "__metadata__"]), JSON), data=st.integers(0, 1 << 40))
def test_any_json_gives_a_header_or_our_error(value: dict, data: int) -> None:
    try:
        header = parse_header(json.dumps(value).encode(), path=Path("x"), data_bytes=data)
    except HeaderError:
        return
    assert sum(entry.nbytes for entry in header.tensors.values()) == data


@FUZZ
@given(
    entries=st.lists(
        st.fixed_dictionaries(
            {
                "dtype": st.sampled_from(["F32", "U8", "BF16", "X"]),
                "shape": st.lists(st.integers(-1, 1 << 70) | st.integers(0, 4), max_size=3),
                "data_offsets": st.lists(st.integers(-1, 1 << 70) | st.integers(0, 64), max_size=3),
            }
        ),
        max_size=4,
    )
)
def test_hostile_entries_never_allocate(tmp_path: Path, entries: list[dict]) -> None:
    path = write(tmp_path, raw_file({str(index): entry for index, entry in enumerate(entries)}, bytes(64)))
    tracemalloc.start()
    try:
        read_header(path)
    except HeaderError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 5_000_000


def test_a_header_of_absurd_length_is_not_read(tmp_path: Path) -> None:
    path = write(tmp_path, struct.pack("<Q", 1 << 35) + b"{")
    with open(path, "r+b") as file:
        file.truncate(1 << 36)  # sparse: the bytes the header claims are "there"
    tracemalloc.start()
    with pytest.raises(HeaderError):
        read_header(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{not json", "not valid JSON"),
        ("[1]", "object is needed"),
        ('{"transformer": 5}', "'transformer'"),
        ('{"transformer": {"num_layers": 1000000000}}', "num_layers"),
        ('{"transformer": {"cross_attention_dim": 99999999999}}', "cross_attention_dim"),
        ('{"vae": {"encoder_blocks": [["res_x", {"num_layers": 5000}]]}}', "num_layers"),
        ('{"vae": {"norm_eps": 1e999}}', "finite"),
        ('{"a":' * 60 + "1" + "}" * 60, "nested"),
        ('{"a": [' + "0," * 5000 + "0]}", "entries"),
        ('{"x": "' + "y" * 5_000_000 + '"}', "characters"),
    ],
)
def test_malformed_and_absurd_configs(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.ones(1)}, path, {"config": text})
    with pytest.raises(ConfigError, match=words):
        parse_config(read_header(path))


def test_no_config_is_an_empty_one(tmp_path: Path) -> None:
    assert parse_config(read_header(write(tmp_path, SAMPLE))) == {}


def test_folders_and_shards(tmp_path: Path) -> None:
    deep = tmp_path / "snapshots" / "x"
    deep.mkdir(parents=True)
    for index in (2, 1):
        save_file({f"t{index}": torch.ones(1)}, deep / f"model-0000{index}-of-00002.safetensors")
    assert [file.name[:11] for file in resolve_files(tmp_path)] == ["model-00001", "model-00002"]
    assert set(open_checkpoint(tmp_path).shapes) == {"t1", "t2"}
    names = {f"t{index}": f"model-0000{index}-of-00002.safetensors" for index in (1, 2)}
    (deep / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    assert len(resolve_files(deep)) == 2
    (deep / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointNotFoundError, match="lacks 1 of 2 shards"):
        resolve_files(deep)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(CheckpointNotFoundError, match="no model"):
        resolve_files(empty)


@pytest.mark.parametrize("name", ["../secret.safetensors", "/etc/passwd", "a\\b.safetensors"])
def test_an_index_may_not_leave_its_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(CheckpointError, match="plain names"):
        resolve_files(tmp_path)


@FUZZ
@given(content=st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_index_gives_files_or_our_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors.index.json").write_bytes(content)
    try:
        files = resolve_files(tmp_path)
    except CheckpointError:
        return
    assert all(file.parent == tmp_path for file in files)
