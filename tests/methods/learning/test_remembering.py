import torch

from methods.learning.remembering import Remembered


def test_each_key_is_found_once_and_comes_back_as_it_was() -> None:
    asked: list[int] = []

    def find(number: int) -> tuple[torch.Tensor, ...]:
        asked.append(number)
        return torch.full((2,), float(number)), torch.tensor(number)

    remembered = Remembered()
    first = remembered(["a", "b", "a"], find)
    again = remembered(["b", "a", "c"], find)
    assert asked == [0, 1, 2]
    assert [int(number) for _, number in first] == [0, 1, 0]
    assert [int(number) for _, number in again] == [1, 0, 2]
    assert again[0][0] is first[1][0]


def test_what_exceeds_the_bound_is_found_each_time() -> None:
    asked: list[int] = []

    def find(number: int) -> tuple[torch.Tensor, ...]:
        asked.append(number)
        return (torch.zeros(8, dtype=torch.uint8),)

    remembered = Remembered(limit_bytes=16)
    for _ in range(2):
        remembered([0, 1, 2, 3], find)
    assert remembered.n_bytes == 16
    assert asked == [0, 1, 2, 3, 2, 3]
