"""Steps: from any kernel to the plan, nothing twice, nothing that is not ours, never in clear."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubespan.linux.steering import (
    Facts,
    LinkAddress,
    LinkSetting,
    Route,
    RouteKind,
    Rule,
    Step,
    Verb,
    entering_steps,
    guarding_steps,
    is_our_route,
    is_our_rule,
    removing_steps,
)
from kubespan.model.address import Prefix
from tests.linux.plans import (
    ENTRANCES,
    EVERYWHERE4,
    EVERYWHERE6,
    FOREIGN_RULES,
    LINK,
    ON_LINK,
    OTHER_SUBNET,
    PLAN,
    REFUSALS,
    RULES,
    WHOLE,
    after,
)

DOWN = LinkSetting(7, is_up=False, mtu=1500)
STALE_REFUSAL = Route(OTHER_SUBNET, 254, RouteKind.REFUSED, 27507)
STALE_ADDRESS = LinkAddress(IPv6Address("fd11:0:0:2::5"), 64, 7)
STALE_RULE = Rule(4, 32500, 0x80, 0xE0, 180, 180)
STALE_ENTRANCE = replace(ENTRANCES[0], mtu=1280)
FOREIGN_ROUTES = (
    Route(Prefix.parse("10.0.0.0/8"), 180, RouteKind.INTO_LINK, 1, 7, 1420),
    Route(EVERYWHERE4, 180, RouteKind.INTO_LINK, 0, 3),
    Route(EVERYWHERE6, 180, RouteKind.INTO_LINK, 1, 3),
    Route(EVERYWHERE4, 180, RouteKind.OTHER, 27507),
    Route(Prefix.parse("2001:db8::/64"), 254, RouteKind.REFUSED, 27507),
)
FOREIGN_ADDRESSES = (
    LinkAddress(IPv6Address("2001:db8::1"), 64, 7),
    LinkAddress(IPv6Address("fd00:0:0:2::1"), 128, 7),
)


def add(*subjects: Rule | Route | LinkAddress) -> tuple[Step, ...]:
    return tuple(Step(Verb.ADD, subject) for subject in subjects)


def test_from_nothing_refusals_come_first_and_rules_next() -> None:
    assert guarding_steps(PLAN, Facts()) == add(*REFUSALS, *RULES)
    assert entering_steps(PLAN, Facts()) == ()


def test_a_new_link_is_opened() -> None:
    steps = entering_steps(PLAN, Facts(DOWN, rules=RULES, routes=REFUSALS))
    assert steps == (Step(Verb.SET, LINK), *add(ON_LINK, *ENTRANCES))


def test_of_a_version_that_the_host_lacks_nothing_is_made() -> None:
    facts = Facts(DOWN, versions=(4,))
    assert guarding_steps(PLAN, facts) == add(REFUSALS[0], RULES[0])
    assert entering_steps(PLAN, facts) == (Step(Verb.SET, LINK), *add(ENTRANCES[0]))
    whole = Facts(LINK, (), RULES[:1], (ENTRANCES[0], REFUSALS[0]), versions=(4,))
    assert (*guarding_steps(PLAN, whole), *entering_steps(PLAN, whole)) == ()


def test_what_is_right_is_left_alone() -> None:
    assert guarding_steps(PLAN, WHOLE) == ()
    assert entering_steps(PLAN, WHOLE) == ()


def test_another_mtu_is_set_everywhere() -> None:
    wanted = replace(PLAN, mtu=1300)
    assert guarding_steps(wanted, WHOLE) == ()
    assert entering_steps(wanted, WHOLE) == (
        Step(Verb.SET, replace(LINK, mtu=1300)),
        *(Step(Verb.SET, replace(entrance, mtu=1300)) for entrance in ENTRANCES),
    )


def test_leftovers_of_another_cluster_go_last() -> None:
    facts = replace(
        WHOLE,
        addresses=(STALE_ADDRESS,),
        rules=(*WHOLE.rules, STALE_RULE),
        routes=(*WHOLE.routes, STALE_REFUSAL),
    )
    removed = tuple(Step(Verb.REMOVE, subject) for subject in (STALE_RULE, STALE_REFUSAL))
    assert guarding_steps(PLAN, facts) == removed
    assert entering_steps(PLAN, facts) == (*add(ON_LINK), Step(Verb.REMOVE, STALE_ADDRESS))


def test_removal_takes_all_that_is_ours_and_the_way_before_the_refusal() -> None:
    subjects = (*RULES, *ENTRANCES, *REFUSALS, ON_LINK)
    assert removing_steps(WHOLE) == tuple(Step(Verb.REMOVE, subject) for subject in subjects)
    assert removing_steps(Facts(rules=FOREIGN_RULES)) == ()


def test_entrances_are_told_by_the_link() -> None:
    assert all(is_our_route(route, WHOLE) for route in (*ENTRANCES, *REFUSALS))
    assert not any(is_our_route(route, WHOLE) for route in FOREIGN_ROUTES)
    assert not is_our_route(ENTRANCES[0], replace(WHOLE, link=None))


@pytest.mark.parametrize("rule", [*FOREIGN_RULES, replace(RULES[0], protocol=4)])
def test_rules_of_others(rule: Rule) -> None:
    assert not is_our_rule(rule)


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (Step(Verb.ADD, RULES[0]), "add IPv4 rule 32500: fwmark 0x40/0x60 lookup 180"),
        (Step(Verb.REMOVE, FOREIGN_RULES[1]), "remove IPv4 rule 32766: lookup 254"),
        (Step(Verb.ADD, REFUSALS[1]), "add IPv6 route ::/0 in table 180 that refuses"),
        (Step(Verb.SET, ENTRANCES[0]), "set IPv4 route 0.0.0.0/0 in table 180 into the mesh"),
        (Step(Verb.SET, DOWN), "set link down with MTU 1500"),
        (Step(Verb.SET, LINK), "set link up with MTU 1420"),
        (Step(Verb.ADD, ON_LINK), "add address fd00:0:0:2::1/64"),
    ],
)
def test_steps_say_what_they_do(step: Step, said: str) -> None:
    assert str(step) == said


ANY_FACTS = st.builds(
    Facts,
    st.sampled_from([None, LINK, DOWN, replace(DOWN, index=8)]),
    st.sets(st.sampled_from([ON_LINK, STALE_ADDRESS, *FOREIGN_ADDRESSES])).map(tuple),
    st.sets(
        st.sampled_from([*FOREIGN_RULES, *RULES, STALE_RULE, replace(RULES[0], protocol=4)])
    ).map(tuple),
    st.sets(
        st.sampled_from([*REFUSALS, ENTRANCES[1], STALE_ENTRANCE, STALE_REFUSAL, *FOREIGN_ROUTES])
    ).map(tuple),
)


def foreign(facts: Facts) -> tuple[set[Rule], set[Route], set[LinkAddress]]:
    return (
        set(facts.rules) - {*RULES, STALE_RULE},
        set(facts.routes) & set(FOREIGN_ROUTES),
        set(facts.addresses) & set(FOREIGN_ADDRESSES),
    )


@given(ANY_FACTS)
def test_any_kernel_is_brought_to_the_plan_at_once_and_others_are_left_alone(facts: Facts) -> None:
    guarded = after(facts, guarding_steps(PLAN, facts))
    brought = after(guarded, entering_steps(PLAN, facts))
    assert guarding_steps(PLAN, brought) == ()
    assert entering_steps(PLAN, brought) == ()
    assert foreign(brought) == foreign(facts)
    assert {*RULES, *REFUSALS} <= {*brought.rules, *brought.routes}
    removed = after(brought, removing_steps(brought))
    assert removing_steps(removed) == ()
    assert foreign(removed) == foreign(facts)


@given(ANY_FACTS, st.data())
def test_stopped_anywhere_a_rule_that_was_made_leads_to_a_refusal(
    facts: Facts, data: st.DataObject
) -> None:
    bare = replace(facts, rules=FOREIGN_RULES, routes=FOREIGN_ROUTES)
    steps = guarding_steps(PLAN, bare)
    done = after(bare, steps[: data.draw(st.integers(0, len(steps)))])
    if set(RULES) & set(done.rules):
        assert set(REFUSALS) <= set(done.routes)
