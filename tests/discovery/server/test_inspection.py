"""The page that shows a cluster."""

from __future__ import annotations

from kubespan.discovery.record import AffiliateRecord
from kubespan.discovery.server.inspection import complaint, form, inspection

HOSTILE = "<script>alert('&\"')</script>"


def test_form_asks_for_a_cluster() -> None:
    assert 'name="clusterID"' in form()
    assert "<table>" not in form()


def test_affiliates_are_shown_in_hexadecimal_digits_and_in_order() -> None:
    records = (
        AffiliateRecord("b", b"\xff\x00", (b"\x01", b"\x02")),
        AffiliateRecord("a", b"", ()),
    )
    page = inspection("c", records)
    assert "2 affiliates" in page
    assert "<td>b<td>ff00<td>01<br>02</tr>" in page
    assert page.index("<td>a<td>") < page.index("<td>b<td>")
    assert 'value="c"' in page


def test_whatever_was_sent_is_harmless() -> None:
    for page in (
        inspection(HOSTILE, (AffiliateRecord(HOSTILE, b"", ()),)),
        complaint(HOSTILE, HOSTILE),
    ):
        assert "<script>" not in page
        assert page.count("&lt;script&gt;") == 2
        assert "&quot;" in page


def test_braces_of_an_id_are_only_text() -> None:
    assert "{0}{body}" in inspection("{0}{body}", ())
