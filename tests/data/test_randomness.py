import hashlib

import torch

from asapbench.randomness import generator, stream_seed


def test_stream_seed_is_63_bits_of_the_sha256_of_seed_purpose_and_key() -> None:
    digest = hashlib.sha256(b"0/order/7").digest()
    assert stream_seed(0, "order", 7) == int.from_bytes(digest[:8], "big") >> 1
    assert stream_seed(0, "order", 7) == 8072639728423279657
    assert max(stream_seed(0, "order", key) for key in range(200)).bit_length() == 63


def test_streams_of_another_seed_purpose_or_key_differ() -> None:
    named: list[tuple[int, str, str | int]] = [
        (0, "order", 0),
        (1, "order", 0),
        (0, "augment", 0),
        (0, "order", 1),
        (0, "order", "layer.weight"),
    ]
    assert len({stream_seed(*name) for name in named}) == len(named)


def test_a_generator_draws_the_same_numbers_for_ever() -> None:
    assert torch.randperm(8, generator=generator(0, "order", 0)).tolist() == [7, 5, 6, 0, 3, 4, 1, 2]
    assert torch.equal(torch.rand(3, generator=generator(5, "w", "a")), torch.rand(3, generator=generator(5, "w", "a")))
