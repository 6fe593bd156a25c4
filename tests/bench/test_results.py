"""Figures: medians over rounds, ratios within a round."""

from __future__ import annotations

from bench.compare.results import Sample, Subject, contenders, figure, subjects

TCP = Subject("tcp", "seggro", "1 stream")
RTT = Subject("rtt", "gso", "idle")


def sample(contender: str, number: int, value: float, subject: Subject = TCP) -> Sample:
    return Sample(contender, subject, number, {"gbps": value}, 0.0, 1, {})


def test_median_least_and_most() -> None:
    samples = [sample("ours", number, value) for number, value in enumerate((3.0, 9.0, 4.0))]
    found = figure(samples, "ours", TCP, "gbps", "theirs")
    assert found is not None
    assert (found.median, found.least, found.most, found.runs) == (4.0, 3.0, 9.0, 3)
    assert found.ratio is None


def test_ratio_is_taken_round_by_round() -> None:
    # The machine halves its speed after each round: only the pairs say 2.
    samples = [
        made
        for number, speed in enumerate((8.0, 4.0, 2.0))
        for made in (sample("ours", number, 2 * speed), sample("theirs", number, speed))
    ]
    found = figure(samples, "ours", TCP, "gbps", "theirs")
    assert found is not None
    assert found.ratio == 2.0


def test_round_without_the_reference_counts_for_no_ratio() -> None:
    samples = [sample("ours", 0, 6.0), sample("ours", 1, 50.0), sample("theirs", 0, 2.0)]
    found = figure(samples, "ours", TCP, "gbps", "theirs")
    assert found is not None
    assert found.ratio == 3.0


def test_nothing_measured_is_no_figure() -> None:
    failed = Sample("ours", TCP, 0, {}, 0.0, 1, {}, "it fell over")
    assert figure([failed], "ours", TCP, "gbps", "theirs") is None


def test_order_is_that_of_measuring() -> None:
    samples = [sample("b", 0, 1.0), sample("a", 0, 1.0), sample("b", 0, 1.0, RTT)]
    assert contenders(samples) == ["b", "a"]
    assert subjects(samples, "tcp") == [TCP]
    assert subjects(samples, "rtt") == [RTT]
