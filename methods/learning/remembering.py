"""What a frozen network or a preparation makes of a frame, kept in memory for later epochs."""

from collections.abc import Callable, Hashable, Sequence

from torch import Tensor


class Remembered:
    """Tensors that were found once for each key.

    Memory is bounded: once the tensors exceed ``limit_bytes``, what is new is found again each time. So the bound
    changes the time of training, not its numbers.
    """

    def __init__(self, limit_bytes: int = 2**29) -> None:
        self.limit_bytes, self.n_bytes = limit_bytes, 0
        self._found: dict[Hashable, tuple[Tensor, ...]] = {}

    def __call__(self, keys: Sequence[Hashable], find: Callable[[int], tuple[Tensor, ...]]) -> list[tuple[Tensor, ...]]:
        """The tensors of each key. ``find`` makes those of a key that is not known, from its number in ``keys``."""
        return [self._found.get(key) or self._kept(key, find(number)) for number, key in enumerate(keys)]

    def _kept(self, key: Hashable, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        n_bytes = sum(tensor.nbytes for tensor in tensors)
        if self.n_bytes + n_bytes <= self.limit_bytes:
            self._found[key] = tensors
            self.n_bytes += n_bytes
        return tensors
