"""Lists: one at a time, half a second apart, and ever rarer while there is no answer."""

from __future__ import annotations

from kubespan.discovery.client.inquiry import LIST_INTERVAL, Inquiry


def test_one_at_a_time_and_not_too_often() -> None:
    inquiry = Inquiry(lambda: 0.5)
    assert inquiry.next_timeout == 0.0
    inquiry.begin(10.0)
    assert inquiry.is_out
    assert inquiry.next_timeout is None
    inquiry.answer()
    assert inquiry.next_timeout == 10.0 + LIST_INTERVAL


def test_failures_make_pauses_until_there_is_an_answer() -> None:
    inquiry = Inquiry(lambda: 0.5)
    for delay in (0.5, 0.75):
        inquiry.begin(10.0)
        inquiry.fail(40.0)
        assert inquiry.next_timeout == 40.0 + delay
    inquiry.begin(50.0)
    inquiry.answer()
    inquiry.begin(60.0)
    inquiry.fail(90.0)
    assert inquiry.next_timeout == 90.5


def test_end_of_the_conversation_ends_the_question() -> None:
    inquiry = Inquiry(lambda: 0.5)
    inquiry.begin(10.0)
    inquiry.end()
    assert not inquiry.is_out
