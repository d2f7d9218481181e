"""A folder of images by class: root/<class>/<any name>.png, .jpg ..., at any depth. Hidden files and folders do not count.

Where the folders in the root are named train, val and test, they are the splits, and the classes are the folders in them: the
layout of ImageNet.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from src.data.notes import counted, listed
from src.data.raw import Raw
from src.data.sources import files, image_files
from src.data.sources.classes import numbered
from src.data.sources.decoding import SUFFIXES, check_channels, check_formats, check_length
from src.data.sources.image_files import Storage
from src.data.splitting import SPLIT_NAMES
from src.errors import InputError
from src.value_types import Whole


@dataclass
class _Found:
    """What lies below the root.

    Args:
        images: in the order of their rows.
        names: of the images.
        empty: names of folders without an image.
        others: number of files that are no images, by suffix.
        loose: images outside of the folders of the classes, and links that lead to nothing.
        links: links to folders, which are not followed.
        has_splits: whether the folders in the root are splits, and the classes are the folders in them.
    """

    images: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    loose: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    has_splits: bool = False

    def notes(self) -> list[str]:
        """A line for each kind of what is left out."""
        kinds = [f"{number:,} {kind}" for kind, number in self.others.most_common()]
        others = counted(self.others.total(), "file is no image and", "files are no images and")
        loose = counted(len(self.loose), "file is", "files are")
        lines = {
            f"{counted(len(self.empty), 'folder has', 'folders have')} no image, and no class is made of it": self.empty,
            f"{others} left out": kinds,
            f"{loose} outside of the folders of the classes and left out": self.loose,
            f"{counted(len(self.links), 'link to a folder is', 'links to folders are')} not followed": self.links,
        }
        return [f"{line}: {listed(names)}." for line, names in lines.items() if names]


class Folder:
    """A user's own images. The names of the folders in the root, or in those of the splits, sorted, are the classes.

    Every image is converted to `channels` channels, scaled until its shorter side has `size` pixels, and
    cropped to the middle.

    Args:
        storage: `decoded` keeps pixels; `encoded` keeps the files, for collections that are too large to keep decoded.
        max_unreadable: files that cannot be read, up to which they are left out and counted.
    """

    def __init__(self, *, root: str, size: int, channels: int, storage: Storage = "decoded", max_unreadable: Whole = 0):
        check_channels(channels)
        check_length("size", size)
        self.root = Path(root)
        self.size = size
        self.channels = channels
        self.storage = storage
        self.max_unreadable = max_unreadable

    def state(self) -> str:
        return files.state(self.root, self._find().images)

    def read(self) -> Raw:
        found = self._find()
        names = found.names
        image, kept, digests, notes, reading = image_files.read(
            found.images,
            names,
            size=self.size,
            channels=self.channels,
            storage=self.storage,
            max_unreadable=self.max_unreadable,
            where=self._where(),
        )
        level = 1 if found.has_splits else 0
        classes, target, more = numbered([name.split("/")[level] for name in names], kept)
        names = [names[number] for number in kept]
        split = np.array([SPLIT_NAMES[name.split("/")[0]] for name in names]) if found.has_splits else np.array([])
        return Raw(
            arrays={"image": image, "target": target},
            classes=classes,
            splits={str(own): np.flatnonzero(split == own) for own in np.unique(split)},
            origin=files.text(self.root.name),
            names=names,
            digests=digests,
            reading=reading,
            notes=[*found.notes(), *notes, *more],
        )

    def _find(self) -> _Found:
        if not self.root.is_dir():
            raise InputError(f"{self._where()}: expected a folder with a folder of images for each class; there is none.")
        found, inside = _Found(), dict[Path, list[str]]()
        for entry in sorted(self.root.glob("[!.]*")):
            if not entry.is_dir():
                is_lost = entry.is_symlink() and not entry.exists()
                found.loose += [self._name(entry)] if is_lost or entry.suffix.lower() in SUFFIXES else []
                continue
            paths, links = files.walk(entry)
            check_formats(paths, where=self._where())
            suffixes = [*map(files.suffix, paths)]
            images = [path for path, suffix in zip(paths, suffixes, strict=True) if suffix in SUFFIXES]
            if images:
                inside[entry] = images
            else:
                found.empty.append(self._name(entry))
            found.links += map(self._name, map(Path, links))
            found.others.update(
                files.text(suffix or os.path.basename(path))
                for path, suffix in zip(paths, suffixes, strict=True)
                if suffix not in SUFFIXES
            )
        found.has_splits = self._has_splits(inside)
        for entry, images in inside.items():
            loose = {path for path in images if os.path.dirname(path) == str(entry)} if found.has_splits else set[str]()
            found.loose += map(self._name, map(Path, sorted(loose)))
            found.images += [path for path in images if path not in loose] if loose else images
        found.names = [files.text(name) for name in files.below(self.root, found.images)]
        classes = sorted({name.split("/")[1 if found.has_splits else 0] for name in found.names})
        if len(classes) < 2:
            received = f"one class, {classes[0]}" if classes else "no image"
            raise InputError(
                f"{self._where()}: expected at least two folders with {', '.join(SUFFIXES)} files, one for each class; "
                f"received {received}."
            )
        return found

    def _has_splits(self, inside: dict[Path, list[str]]) -> bool:
        """Whether the folders in the root are splits: two or more are named so, and have their images in folders.

        Args:
            inside: the images by folder of the root.

        Raises:
            InputError: some are splits and others are not, two are the same split, or none is for training.
        """
        possible = {entry: images for entry, images in inside.items() if entry.name in SPLIT_NAMES}
        named = [entry.name for entry, images in possible.items() if {*map(os.path.dirname, images)} != {str(entry)}]
        splits = [SPLIT_NAMES[name] for name in named]
        if len(splits) < 2:
            return False
        others = [self._name(entry) for entry in inside if entry.name not in SPLIT_NAMES]
        if others or "train" not in splits or len({*splits}) < len(splits):
            raise InputError(
                f"{self._where()}: expected the folders of classes, or those of splits: train, with val or test or both, and "
                f"the folders of classes in them; received {', '.join(map(self._name, inside))}. Rename or move some of them."
            )
        return True

    def _where(self) -> str:
        return f"data.root={files.text(self.root)}"

    def _name(self, path: Path) -> str:
        return files.text(path.relative_to(self.root))
