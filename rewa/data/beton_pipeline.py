"""FFCV's loader, made safe: imported only when a beton file is read, after :func:`require_ffcv`.

FFCV's pipeline runs on a thread of its own. As it comes, an exception there leaves the training waiting for
ever, a batch is overwritten by later ones, an abandoned epoch keeps its thread, and crops and flips differ
from run to run. Here the pipeline is one decoder and no more, what it shows of each image is told by a table
(:mod:`rewa.data.beton_views`), and the thread ends with the epoch and hands its exceptions over.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from queue import Empty, Full
from typing import Any

import numba
import numpy as np
from ffcv.fields.rgb_image import IMAGE_MODES, SimpleRGBImageDecoder
from ffcv.libffcv import imdecode, resize_crop
from ffcv.loader import Loader
from ffcv.loader.epoch_iterator import EpochIterator
from ffcv.memory_managers.os_cache import OSCacheContext, OSCacheManager
from ffcv.pipeline.allocation_query import AllocationQuery
from numpy.typing import NDArray

from rewa.data.beton_views import DOWN, HEIGHT, INDEX, LEFT, MIRRORED, RIGHT, TOP, WIDTH, Ints
from rewa.data.ffcv_package import torch_threads_kept

_JPEG = int(IMAGE_MODES["jpg"])
_AHEAD = 3  # batches decoded in advance

# Two loaders that decode at once would gain nothing, and numba's "workqueue" threads abort the process then.
_ONE_AT_A_TIME = threading.Lock()

_imdecode = numba.njit(nogil=True)(imdecode)
_resize_crop = numba.njit(nogil=True)(resize_crop)


@numba.njit(nogil=True, parallel=True, error_model="numpy")
def _decode(
    table: Ints,
    views: NDArray[np.uint8],
    failed: NDArray[np.uint8],
    fields: NDArray[np.void],
    file: NDArray[np.uint8],
    starts: NDArray[np.uint64],
    lengths: NDArray[np.uint64],
    limits: Ints,
) -> None:
    """Decode the views of a batch, see :class:`ViewDecoder`; row i belongs to part i mod ``parts``."""
    count, side = len(table), views.shape[1]
    largest, parts = limits
    for part in numba.prange(parts):
        memory = np.empty(largest, np.uint8)
        view = np.empty((side, side, 3), np.uint8)
        for i in range(part, count, parts):
            row = table[i]
            field = fields[row[INDEX]]
            height, width = np.int64(field["height"]), np.int64(field["width"])
            start = field["data_ptr"]
            data = file[start : start + lengths[np.searchsorted(starts, start)]]
            image = memory[: 3 * height * width].reshape(height, width, 3)
            failed[i] = 0
            if field["mode"] == _JPEG:
                status = _imdecode(data, image, height, width, height, width, 0, 0, 1, 1, False, False)
                failed[i] = status != 0
            else:
                memory[: len(data)] = data
            top, left = row[TOP], row[LEFT]
            bottom, right = top + row[HEIGHT], left + row[WIDTH]
            if row[DOWN] == 0 and row[RIGHT] == 0 and row[MIRRORED] == 0:
                _resize_crop(image, top, bottom, left, right, views[i])
                continue
            _resize_crop(image, top, bottom, left, right, view)
            for y in range(side):
                from_y = abs(y + row[DOWN])
                from_y = min(from_y, 2 * (side - 1) - from_y)
                for x in range(side):
                    from_x = side - 1 - x if row[MIRRORED] else x
                    from_x = abs(from_x + row[RIGHT])
                    from_x = min(from_x, 2 * (side - 1) - from_x)
                    for channel in range(3):
                        views[i, y, x, channel] = view[from_y, from_x, channel]


class ViewDecoder(SimpleRGBImageDecoder):  # type: ignore[misc]
    """FFCV decoder: from rows of a view table to images, uint8, shape (n, side, side, 3).

    The rows take the place of FFCV's image numbers. It returns the images and which of them the JPEG decoder
    found damaged, uint8, shape (n,).

    Args:
        side: Height and width of the views.
        parts: Number of threads.
    """

    def __init__(self, side: int, parts: int) -> None:
        super().__init__()
        self.side, self.parts = side, parts

    def declare_state_and_memory(self, previous_state: Any) -> tuple[Any, tuple[Any, Any]]:
        """Ask FFCV for the memory of a batch."""
        shape, kind = (self.side, self.side, 3), np.dtype("<u1")
        state = replace(previous_state, jit_mode=True, shape=shape, dtype=kind)
        return state, (AllocationQuery(shape, kind), AllocationQuery((), kind))

    def generate_code(self) -> Callable[..., Any]:
        """Return what FFCV compiles and calls for every batch."""
        sizes = self.metadata["height"].astype(np.int64) * self.metadata["width"]
        decode, limits = _decode, np.array([3 * sizes.max(), self.parts])  # numbers would be compiled in

        def views(table: Any, memory: Any, fields: Any, storage: Any) -> Any:
            images, failed = memory
            decode(table, images, failed, fields, storage[0], storage[1], storage[2], limits)
            return images, failed

        return views


def open_loader(path: Path, fields: tuple[str, ...], side: int, workers: int) -> Any:
    """Return FFCV's loader of a file that :func:`rewa.data.beton_files.read_index` has checked.

    Args:
        path: The file.
        fields: Names of all its fields; "image" is read.
        side: Height and width of the views.
        workers: Threads, at most as many as numba has.
    """
    workers = min(workers, int(getattr(numba.config, "NUMBA_NUM_THREADS")))  # noqa: B009 - made at its import
    pipelines: dict[str, Any] = dict.fromkeys(fields)
    pipelines["image"] = [ViewDecoder(side, workers)]
    before = numba.get_num_threads()
    try:
        with _ONE_AT_A_TIME, torch_threads_kept():
            loader = Loader(
                str(path),
                batch_size=1,
                num_workers=workers,
                os_cache=False,
                pipelines=pipelines,
                batches_ahead=_AHEAD,
                seed=0,
            )
    finally:
        numba.set_num_threads(before)
    loader.memory_manager = _MappedFile(loader.memory_manager)
    return loader


class _MappedFile(OSCacheManager):  # type: ignore[misc]
    """A file as a memory map: FFCV's ``os_cache``, whose maker would mark numba's type of bytes read-only.

    Without the tables of that maker, which take hundreds of bytes per image.
    """

    def __init__(self, manager: Any) -> None:
        self.reader, self.ptrs, self.sizes = manager.reader, manager.ptrs, manager.sizes
        self.context = OSCacheContext(self)


class Epoch(EpochIterator):  # type: ignore[misc]
    """One pass over a file: yields what :class:`ViewDecoder` returns, batch by batch, in the table's order.

    A batch is overwritten after the next one was asked for: copy it before. :meth:`close` ends the thread.

    Args:
        loader: From :func:`open_loader`.
        table: Shape (n, COLUMNS), n > 0.
        batch_size: Rows per batch; the last may have fewer.

    Raises:
        Exception: From ``next``, whatever the pipeline raised.
    """

    def __init__(self, loader: Any, table: Ints, batch_size: int) -> None:
        self.error: BaseException | None = None
        loader.batch_size = batch_size
        super().__init__(loader, table)

    def run(self) -> None:
        """Decode batches until the table or the iteration ends. FFCV's thread calls it."""
        try:
            numba.set_num_threads(self.loader.num_workers)
            for number, rows in enumerate(self.iter_ixes):
                with _ONE_AT_A_TIME:
                    batch = self.run_pipeline(number, rows, number % (_AHEAD + 2), None)
                if not self._hand_over(batch):
                    return
        except BaseException as error:
            self.error = error
        self._hand_over(None)

    def __next__(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        while True:
            try:
                batch = self.output_queue.get(timeout=1.0)
                break
            except Empty:
                if not self.is_alive() and self.output_queue.empty():
                    batch = None
                    break
        if batch is None:
            self.close()
            if self.error is not None:
                raise self.error
            raise StopIteration
        (views,) = batch  # of the only field that is read
        return views  # type: ignore[no-any-return]

    def close(self) -> None:
        """End the thread and wait for it; a batch being decoded is finished before."""
        self.terminate_event.set()
        if self.ident is not None and self is not threading.current_thread():
            self.join()

    def _hand_over(self, batch: Any) -> bool:
        """Put a batch, or ``None`` at the end, into the queue; false if nobody wants it any more."""
        while not self.terminate_event.is_set():
            try:
                self.output_queue.put(batch, timeout=0.05)
            except Full:
                continue
            return True
        return False
