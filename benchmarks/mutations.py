"""Entries of the leaderboard, made wrong in structure and in bytes: what `benchmarks.fuzz_entries` tries."""

from __future__ import annotations

import copy
import gzip
import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from warnings import catch_warnings, simplefilter

AGAIN = "@again@"
"""After a key: in the text of the JSON it is the same key once more."""
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 10**6, 2**31, 2**63, -(2**63), 10**30, 10**400, 0.5, -0.5, 1e-300, 1e100, 1e308),
    *(
        float("nan"),
        float("inf"),
        float("-inf"),
        "",
        " ",
        "\0",
        "x",
        "none",
        "ok",
        "../../x",
        "\u202e\u200b\ufeff",
        "é\u0301",
    ),
    *(
        "\ud83d\ude00",
        "<script>",
        "=1+1",
        "::error::x",
        "a" * 300,
        "b" * 20_000,
        "9" * 5_000,
        "true",
        "1e5",
        "-inf",
        "NaN",
    ),
    *([], {}, [[]], [{}], [None], [0] * 5_000, {"": ""}, {"name": {}}, {"x": [1, {"y": None}]}, ["a", 1, None]),
)
NAMES = ("x", "", "ilr", "name", "config", "label", "variant", "version", "fingerprint", "__proto__", "è", "id", "cell")
MEMBERS = (
    "../x",
    "/x",
    "images/x.webp",
    "x/y/z",
    "entry.json",
    "records.jsonl.gz",
    "é.txt",
    "a" * 300,
    ".DS_Store",
    "C:x",
)


@dataclass
class Draft:
    """An entry before it is written.

    Attributes:
        id: its name.
        entry: what `entry.json` says, but for the hashes of the files.
        records: as JSON values.
        images: `images.json`.
        pictures: file -> bytes.
        text: what is done to the records' lines, or to the file that they become.
        packed: what is done to the zip; nothing, for a folder.
    """

    id: str
    entry: dict[str, Any]
    records: list[Any]
    images: dict[str, Any]
    pictures: dict[str, bytes]
    text: list[Callable[[bytes], bytes]] = field(default_factory=list)
    stream: list[Callable[[bytes], bytes]] = field(default_factory=list)
    packed: list[Callable[[bytes], bytes]] = field(default_factory=list)
    compression: int | None = None
    members: list[str] = field(default_factory=list)


def plain(folder: Path, name: str, person: str) -> Draft:
    """The cells of one person of an entry, as somebody's entry of a name."""
    lines = gzip.decompress((folder / "records.jsonl.gz").read_bytes()).splitlines()
    records = [record for record in map(json.loads, lines) if record["identity"] == person][:4]
    cells = {record["cell"] for record in records}
    images = {cell: facts for cell, facts in json.loads((folder / "images.json").read_text()).items() if cell in cells}
    pictures = {facts["file"]: (folder / facts["file"]).read_bytes() for facts in images.values()}
    entry = json.loads((folder / "entry.json").read_text())
    del entry["files"]
    return Draft(name, entry | {"id": name, "kind": "defense"}, records, images, pictures)


def mutated(draft: Draft, random: Random) -> Draft:
    """The same with one to four things wrong."""
    made = copy.deepcopy(draft)
    for _ in range(random.choice((1, 1, 2, 4))):
        random.choices([_structure, _records, _bytes, _package], weights=(10, 2, 3, 3))[0](made, random)
    return made


def written(draft: Draft, results: Path, random: Random | None) -> Path:
    """The entry's folder or zip, in place of what was there under its name; its hashes are true, most of the time."""
    folder, packed = results / draft.id, results / f"{draft.id}.zip"
    shutil.rmtree(folder, ignore_errors=True)
    packed.unlink(missing_ok=True)
    files = dict(draft.pictures)
    text = b"\n".join(map(_json, draft.records))
    for change in draft.text:
        text = change(text)
    stream = gzip.compress(text, compresslevel=1, mtime=0)
    for change in draft.stream:
        stream = change(stream)
    files["records.jsonl.gz"] = stream
    if draft.images:
        files["images.json"] = _json(draft.images)
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    if random and random.random() < 0.02:
        hashes.popitem()
    files["entry.json"] = _json({"files": hashes, **draft.entry} if isinstance(draft.entry, dict) else draft.entry)
    if draft.compression is None:
        for name, data in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        return folder
    with catch_warnings(), zipfile.ZipFile(packed, "w", draft.compression, compresslevel=1) as archive:
        simplefilter("ignore")
        for name, data in [*files.items(), *((name, b"x") for name in draft.members)]:
            archive.writestr(name, data)
    whole = packed.read_bytes()
    for change in draft.packed:
        whole = change(whole)
    packed.write_bytes(whole)
    return packed


def _json(value: Any) -> bytes:
    """As JSON text, with what Python would not write: keys twice, halves of characters, numbers that are none."""
    return json.dumps(value).replace(AGAIN, "").encode()


# --- what is stated -------------------------------------------------------------------------------------------------


def _structure(draft: Draft, random: Random) -> None:
    """One place of `entry.json`, of a record or of `images.json`."""
    roots: list[Any] = [draft.entry, *(draft.records[:3] * 3), *([draft.images] if draft.images else [])]
    places: list[tuple[Any, Any]] = []
    _walk(random.choice(roots), places, random)
    if not places:
        return
    holder, key = random.choice(places)
    random.choice((_replace, _replace, _replace, _drop, _rename, _twice, _nest, _repeat, _swap))(
        holder, key, draft, random
    )


def _walk(value: Any, places: list[tuple[Any, Any]], random: Random) -> None:
    """Every (holder, key) of a JSON value; of long lists, a few."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    for key in keys if len(keys) < 50 else random.sample(keys, 50):
        places.append((value, key))
        if not (isinstance(key, int) and key > 1):  # one picture is as good as another
            _walk(value[key], places, random)


def _replace(holder: Any, key: Any, draft: Draft, random: Random) -> None:
    value = holder[key]
    if isinstance(value, int | float) and random.random() < 0.3:
        holder[key] = random.choice((-value, value + 1, value * 1e6, value / 2, str(value), [value], int(value)))
    else:
        holder[key] = copy.deepcopy(random.choice(ODD))


def _drop(holder: Any, key: Any, draft: Draft, random: Random) -> None:
    del holder[key]


def _rename(holder: Any, key: Any, draft: Draft, random: Random) -> None:
    if isinstance(holder, dict):
        holder[random.choice((*NAMES, str(key).upper(), f"{key} "))] = holder.pop(key)


def _twice(holder: Any, key: Any, draft: Draft, random: Random) -> None:
    if isinstance(holder, dict):
        holder[f"{key}{AGAIN}"] = random.choice((holder[key], *ODD[:5]))
    else:
        holder.insert(key, copy.deepcopy(holder[key]))


def _nest(holder: Any, key: Any, draft: Draft, random: Random) -> None:
    for _ in range(random.choice((1, 5, 50, 150, 500))):
        holder[key] = [holder[key]] if random.random() < 0.5 else {"x": holder[key]}


def _repeat(holder: Any, key: Any, draft: Draft, random: Random) -> None:
    value, many = holder[key], random.choice((2, 100, 3_000))
    if isinstance(value, list):
        holder[key] = value * (many // max(1, len(value)) + 1)
    elif isinstance(value, dict) and len(json.dumps(value)) < 500:
        holder[key] = value | {f"{name}{i}": part for name, part in list(value.items())[:1] for i in range(many)}
    elif isinstance(value, str):
        holder[key] = value * many


def _swap(holder: Any, key: Any, draft: Draft, random: Random) -> None:
    """With what another record, or another key, has there."""
    others = [r for r in draft.records if isinstance(r, dict) and key in r] if isinstance(holder, dict) else []
    other = random.choice(others) if others and random.random() < 0.7 else holder
    place = (
        key if other is not holder else random.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
    )
    holder[key], other[place] = other[place], holder[key]


# --- records together -----------------------------------------------------------------------------------------------


def _records(draft: Draft, random: Random) -> None:
    records = draft.records
    match random.randrange(7):
        case 0 if len(records) > 1:
            records.pop(random.randrange(len(records)))
        case 1 if records:
            records.append(copy.deepcopy(random.choice(records)))
        case 2:
            random.shuffle(records)
        case 3 if records and isinstance(records[0], dict):
            draft.records = [records[0] | {"cell": f"{i:064x}", "seed": i} for i in range(random.choice((2, 5, 100)))]
        case 4 if records and isinstance(records[0], dict):
            field = random.choice(("identity", "base", "data", "seed"))
            for number in range(random.choice((2, 5, 70))):
                value = number if field == "seed" else f"{field}{number}"
                records.append(records[0] | {"cell": f"{2**255 + number:064x}", field: value})
        case 5 if records and isinstance(records[0], dict):
            method = random.choice(("attack", "defense"))
            for number in range(random.choice((2, 5, 70))):
                changed = {**records[0].get(method, {}), "name": f"{method}{number}"}
                records.append(records[0] | {"cell": f"{2**255 + number:064x}", method: changed})
        case _:
            draft.records.insert(0, copy.deepcopy(random.choice(ODD)))


# --- bytes ----------------------------------------------------------------------------------------------------------


def _bytes(draft: Draft, random: Random) -> None:
    """Some of the text, of the compressed records, or of a picture."""
    change = _changer(random)
    where = random.randrange(3)
    if where == 2 and draft.pictures:
        name = random.choice(list(draft.pictures))
        draft.pictures[name] = change(draft.pictures[name])
    else:
        (draft.text if where else draft.stream).append(change)


def _changer(random: Random) -> Callable[[bytes], bytes]:
    seed = random.random()

    def change(data: bytes) -> bytes:
        random, made = Random(seed), bytearray(data)
        for _ in range(random.choice((1, 3, 20))):
            start = random.randrange(len(made) + 1)
            match random.randrange(5):
                case 0:
                    del made[start:]
                case 1:
                    made[start : start + 8] = random.randbytes(8)
                case 2:
                    made[start:start] = random.choice((b"\n", b"\0", b"\xff", b"{}", b'"', b"\r\n\n", b"[" * 3_000))
                case 3 if start < len(made):
                    made[start] ^= 1 << random.randrange(8)
                case _:
                    made += made[: random.randrange(64)]
        return bytes(made)

    return change


# --- packages -------------------------------------------------------------------------------------------------------


def _package(draft: Draft, random: Random) -> None:
    """A zip, of an unusual compression, with other members, or damaged."""
    compressions = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    draft.compression = random.choice(compressions)
    match random.randrange(6):
        case 0:
            draft.members.append(random.choice(MEMBERS))
        case 1:
            draft.packed.append(_changer(random))
        case 2:
            draft.packed.append(_at_directory(random))
        case 3:
            draft.members += [f"images/{i:064x}.webp" for i in range(random.choice((3, 300)))]
        case 4:
            draft.packed.append(lambda data: data.replace("é".encode(), b"\xff\xfe"))
            draft.members.append("é.txt")
        case _:
            pass


def _at_directory(random: Random) -> Callable[[bytes], bytes]:
    """Bytes of the zip's list of members: sizes, offsets, flags, methods."""
    seed = random.random()

    def change(data: bytes) -> bytes:
        random, made, start = Random(seed), bytearray(data), data.find(b"PK\1\2")
        for _ in range(random.choice((1, 2, 8))):
            made[random.randrange(start, len(made))] = random.choice((0, 1, 8, 12, 14, 255, random.randrange(256)))
        return bytes(made)

    return change
