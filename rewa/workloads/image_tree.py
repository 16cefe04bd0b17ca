"""Image classification on a folder of class folders, or on the beton files made from one."""

from __future__ import annotations

import os
from abc import abstractmethod
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from torch import Tensor, nn

from rewa.data.beton_files import is_beton_folder, read_contents, read_index
from rewa.data.ffcv_package import require_ffcv
from rewa.data.loader import ImageLoader
from rewa.errors import UserError
from rewa.metric import Metric
from rewa.workloads.images import ImageClassification, ImageConfig, accuracy

Source = Literal["auto", "resident", "folder", "beton"]

EXPECTED = (
    "the folder that holds train/<class>/<images> and the like in val/ or test/, "
    "or train.beton and val.beton or test.beton"
)
"""What ``root`` is to be, for error messages."""


class ImageTreeConfig(ImageConfig):
    """Settings of the workloads that read a folder."""

    holdout: float = Field(
        default=0.1, gt=0, lt=1, description="share of train held out where there is no validation split"
    )
    flip_averaging: bool = Field(
        default=False, description="evaluate on the sum of the logits of an image and its mirror image"
    )


class ImageTreeClassification(ImageClassification):
    """Base of the workloads that read a folder. Subclasses say where it is and how they like it read."""

    Config = ImageTreeConfig

    @classmethod
    @abstractmethod
    def root_of(cls, config: Any) -> Path:
        """Return the folder that holds the splits."""

    @property
    @abstractmethod
    def source(self) -> Source:
        """How to read the images: the loader's name, or "auto" for the rule of :meth:`build_loader`."""

    @property
    def resident_bytes(self) -> float:
        """The most that "auto" keeps decoded on the device; 0: it reads from files every epoch."""
        return 0.0

    @property
    def metric(self) -> Metric:
        """Top-1 accuracy over the classes that were found."""
        return accuracy(len(self.loader.classes))

    def build_loader(self) -> tuple[ImageLoader, dict[str, str]]:
        """Return the loader that the source asks for.

        "auto" depends on the data and the settings only, so that a setting means the same on every machine:
        beton files where the root holds them, else resident if all splits fit in ``resident_bytes``, else
        folder.

        Raises:
            UserError: If the root holds neither a tree of class folders nor beton files, or not what was
                asked for.
        """
        config, root = self.config, self.root_of(self.config)
        source: Source = self.source
        if source == "auto" and is_beton_folder(root):
            source = "beton"
        common = (self.transform, config.batch_size, self.device)
        name = root.resolve().name
        if source == "beton":
            from rewa.data.beton import BetonLoader

            beton = BetonLoader(root, *common, config.workers, config.holdout, config.limits)
            return beton, {"data": f"beton files {name!r}", "val_source": beton.val_source}

        from rewa.data.tree import read_tree

        if not root.is_dir():
            raise UserError(f"workload {self.name!r}: root {root} is no folder; it must be {EXPECTED}")
        tree = read_tree(root, config.holdout, config.limits)
        about = {"data": f"image folder {name!r}", "val_source": tree.val_source}
        if source in ("auto", "resident"):
            from rewa.data.resident_images import ResidentLoader, read_resident, resident_bytes

            size = max(self.transform.train_resolution, self.transform.eval_resize)
            if source == "resident" or resident_bytes(tree, size) <= self.resident_bytes:
                splits = read_resident(tree, size, config.workers)
                return ResidentLoader(splits, tree.classes, *common, eval_batch_size=256), about

        from rewa.data.folder import FolderLoader

        return FolderLoader(tree, *common, config.workers), about

    def logits(self, model: nn.Module, images: Tensor) -> Tensor:
        """Return the logits, with ``flip_averaging`` the sum over the image and its mirror image."""
        outputs = super().logits(model, images)
        return outputs + super().logits(model, images.flip(3)) if self.config.flip_averaging else outputs


def class_names(root: Path) -> tuple[str, ...]:
    """Return the names of the classes below a root, without reading images; none where it has none.

    Raises:
        UserError: If there are beton files that cannot be used.
    """
    if is_beton_folder(root):
        if contents := read_contents(root):
            return contents.classes
        if not (train := root / "train.beton").is_file():
            return ()
        require_ffcv("Counting the classes of beton files without classes.json")
        return tuple(map(str, range(int(read_index(train).labels.max()) + 1)))
    if not (root / "train").is_dir():
        return ()
    folders = (e.name for e in os.scandir(root / "train") if e.is_dir() and not e.name.startswith("."))
    return tuple(sorted(folders))
