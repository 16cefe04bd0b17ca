"""Random views of training images and the fixed view of evaluation, on uint8 images of any device.

The draws of a batch are made first (:func:`draw`), on the CPU and from one generator, so that they do not
depend on the device and that each of several processes can take its share of them; then they are applied
(:func:`apply`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from rewa.data.batching import to_device
from rewa.data.loader import Transform

_AREA = (0.08, 1.0)
_ASPECT = (3 / 4, 4 / 3)
_TRIES = 10


@dataclass(frozen=True)
class Draws:
    """What was drawn for n images.

    Attributes:
        boxes: Top, left, height and width of the part that becomes the training image, int64, shape (n, 4).
            ``crop``: relative to the padded image.
        mirrored: Which images are mirrored, bool, shape (n,).
    """

    boxes: Tensor
    mirrored: Tensor

    def __getitem__(self, items: slice) -> Draws:
        return Draws(self.boxes[items], self.mirrored[items])


def augment(images: Tensor, transform: Transform, generator: torch.Generator) -> Tensor:
    """Draw a random view of every image.

    Args:
        images: uint8, shape (n, 3, height, width), on any device.
        transform: What to draw. ``crop`` and ``none`` first bring other sizes to the training resolution r:
            ``crop`` by :func:`central_square`, ``none`` by :func:`evaluation_view`.
        generator: On the CPU; the views depend on its state only.

    Returns:
        uint8, shape (n, 3, r, r), on the images' device.
    """
    height, width = images.shape[-2:]
    return apply(images, transform, draw(len(images), height, width, transform, generator))


def draw(count: int, height: int, width: int, transform: Transform, generator: torch.Generator) -> Draws:
    """Draw the views of ``count`` images of one size; see :func:`augment`."""
    size = transform.train_resolution
    if transform.augmentation == "resized_crop":
        boxes = _draw_boxes(count, height, width, generator)
    else:
        room = 2 * _padding(size) + 1 if transform.augmentation == "crop" else 1
        corners = torch.randint(0, room, (count, 2), generator=generator)
        boxes = torch.cat([corners, torch.full((count, 2), size)], dim=1)
    mirrored = torch.rand(count, generator=generator) < (0.5 if transform.flip else 0.0)
    return Draws(boxes, mirrored)


def apply(images: Tensor, transform: Transform, draws: Draws) -> Tensor:
    """Return the drawn views, uint8, shape (n, 3, r, r); see :func:`augment`."""
    size = transform.train_resolution
    mirrored = to_device(draws.mirrored, images.device)
    if transform.augmentation == "resized_crop":
        return _resample(images, to_device(draws.boxes, images.device), mirrored, size)
    if transform.augmentation == "crop":
        corners = to_device(draws.boxes[:, :2], images.device)
        return _shifted(central_square(images, size), corners, mirrored)
    view = evaluation_view(images, transform, size)
    return torch.where(mirrored[:, None, None, None], view.flip(-1), view).contiguous()


def augment_one(image: Tensor, transform: Transform, generator: torch.Generator) -> Tensor:
    """Draw a random view of one image, as :func:`augment` would up to a grey level.

    For large images: ``resized_crop`` reads the drawn part only, by torchvision's kernel for uint8.

    Args:
        image: uint8, shape (3, height, width), on the CPU.
        transform: What to draw.
        generator: On the CPU.

    Returns:
        uint8, shape (3, r, r).
    """
    if transform.augmentation != "resized_crop":
        return augment(image[None], transform, generator)[0]
    draws = draw(1, image.shape[1], image.shape[2], transform, generator)
    top, left, height, width = draws.boxes[0].tolist()
    size = [transform.train_resolution] * 2
    view: Tensor = functional.resized_crop(image, top, left, height, width, size, antialias=True)
    return view.flip(-1) if draws.mirrored[0] else view


def evaluation_view(images: Tensor, transform: Transform, resolution: int | None = None) -> Tensor:
    """Resize the shorter side to ``eval_resize`` and crop the centre, as in evaluation.

    First the central square, then the centre of that, so that images stored as squares of ``eval_resize``
    give the same view.

    Args:
        images: uint8, shape (..., 3, height, width).
        transform: The sizes.
        resolution: Height and width of the view; default: ``eval_resolution``. With another one
            ``eval_resize`` changes in proportion, and the same part of the image is seen.

    Returns:
        uint8, shape (..., 3, resolution, resolution); the images themselves where the sizes agree.
    """
    resize = transform.eval_resize
    if resolution is None:
        resolution = transform.eval_resolution
    elif resolution != transform.eval_resolution:
        resize = max(round(resize * resolution / transform.eval_resolution), resolution)
    return _centre(central_square(images, resize), resolution)


def central_square(images: Tensor, size: int) -> Tensor:
    """Resize the shorter side to ``size`` (bilinear, antialiased) and crop the central square.

    Args:
        images: uint8, shape (..., 3, height, width).
        size: Height and width of the square.

    Returns:
        uint8, shape (..., 3, size, size); the images themselves where the sizes agree.
    """
    if min(images.shape[-2:]) != size:
        images = functional.resize(images, [size], antialias=True)
    return _centre(images, size)


def _centre(images: Tensor, size: int) -> Tensor:
    if images.shape[-2:] == (size, size):
        return images
    centre: Tensor = functional.center_crop(images, [size, size])
    return centre


def _padding(size: int) -> int:
    return size // 8


def _draw_boxes(count: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Draw the boxes of torchvision's ``RandomResizedCrop``, shape (count, 4).

    A uniform share of the area and a log-uniform aspect ratio, ten tries to fit them into the image, else the
    largest central box of an allowed aspect ratio; a uniform place.
    """
    uniform = torch.rand(count, 2 * _TRIES + 2, generator=generator, dtype=torch.float64)
    area = height * width * (_AREA[0] + (_AREA[1] - _AREA[0]) * uniform[:, :_TRIES])
    low, high = (math.log(aspect) for aspect in _ASPECT)
    aspect = torch.exp(low + (high - low) * uniform[:, _TRIES:-2])
    widths = torch.round(torch.sqrt(area * aspect)).long()
    heights = torch.round(torch.sqrt(area / aspect)).long()
    fits = (widths > 0) & (widths <= width) & (heights > 0) & (heights <= height)
    first = fits.int().argmax(dim=1, keepdim=True)  # of equal values argmax gives the first
    found = fits.any(dim=1)
    whole_h = min(height, round(width / _ASPECT[0]))
    whole_w = min(width, round(height * _ASPECT[1]))
    h = torch.where(found, heights.gather(1, first)[:, 0], whole_h)
    w = torch.where(found, widths.gather(1, first)[:, 0], whole_w)
    top = torch.where(found, (uniform[:, -2] * (height - h + 1)).long(), (height - h) // 2)
    left = torch.where(found, (uniform[:, -1] * (width - w + 1)).long(), (width - w) // 2)
    return torch.stack([top, left, h, w], dim=1)


def _shifted(images: Tensor, corners: Tensor, mirrored: Tensor) -> Tensor:
    """Crop each image at its corner in the image padded by reflection, then mirror some."""
    size = images.shape[-1]
    steps = torch.arange(size, device=images.device)
    rows = _reflected(corners[:, :1] + steps - _padding(size), size)
    columns = torch.where(mirrored[:, None], steps.flip(0), steps)
    columns = _reflected(corners[:, 1:] + columns - _padding(size), size)
    flat = (rows[:, :, None] * size + columns[:, None, :]).flatten(1)
    return images.flatten(2).gather(2, flat[:, None].expand(-1, 3, -1)).view_as(images)


def _reflected(places: Tensor, size: int) -> Tensor:
    """Bring places within ``size - 1`` of the range [0, size) into it by reflection at its ends."""
    places = places.abs()
    return torch.minimum(places, 2 * (size - 1) - places)


def _resample(images: Tensor, boxes: Tensor, mirrored: Tensor, size: int) -> Tensor:
    """Resize a box of each image to (size, size), bilinear and antialiased, then mirror some.

    What torchvision's ``resized_crop`` gives, for all images at once: the resampling is linear and separable,
    so it is one matrix product for the rows and one for the columns.
    """
    count, channels, height, width = images.shape
    rows = _weights(boxes[:, 0], boxes[:, 2], height, size)
    columns = _weights(boxes[:, 1], boxes[:, 3], width, size)
    columns = torch.where(mirrored[:, None, None], columns.flip(1), columns)
    pixels = images.permute(0, 2, 1, 3).float().reshape(count, height, channels * width)
    resized = torch.bmm(rows, pixels).view(count, size * channels, width)
    resized = torch.bmm(resized, columns.mT).view(count, size, channels, size)
    return resized.add_(0.5).permute(0, 2, 1, 3).to(torch.uint8, memory_format=torch.contiguous_format)


def _weights(start: Tensor, length: Tensor, places: int, size: int) -> Tensor:
    """Return the weight of each source place in each resized one, shape (n, size, places); rows sum to 1.

    A triangle of half width max(length / size, 1) around the resized pixel's centre, cut off at the box's
    ends: at scales up to 1 bilinear interpolation, beyond it an average over what a resized pixel covers.
    """
    scale = (length.float() / size)[:, None, None]
    resized = torch.arange(size, device=start.device)[None, :, None] + 0.5
    source = torch.arange(places, device=start.device)[None, None, :] - start[:, None, None]
    weights = 1.0 - (source + 0.5 - resized * scale).abs() / scale.clamp(min=1.0)
    inside = (source >= 0) & (source < length[:, None, None])
    weights = weights.clamp_(min=0.0) * inside
    return weights / weights.sum(dim=2, keepdim=True)
