from itertools import combinations, permutations

from hypothesis import given
from hypothesis import strategies as st

from deltann.comparison.attribution import EXPORT, Sure, Suspect, attribute


def asked(groups, unknown=()):
    """Environments agree where they are in one group; nothing is known of those in `unknown`."""

    def agree(a, b):
        if {a, b} & set(unknown):
            return None
        return any(a in group and b in group for group in groups)

    return agree


def suspects(**sound):
    return [Suspect(name, name.split("_")[0], value) for name, value in sound.items()]


def blames(found):
    return {(blame.names, blame.sure) for blame in found}


def test_nobody_is_blamed_where_all_agree():
    assert attribute(suspects(ort=True, tvm=True, torch=None), asked([("ort", "tvm", "torch")])) == ()
    assert attribute([], asked([])) == ()


def test_majority_and_arbiter_name_the_odd_one():
    agree = asked([("ort", "torch")])
    for order in permutations(suspects(ort=True, torch=True, tvm=False)):
        (blame,) = attribute(order, agree)
        assert (blame.names, blame.sure) == (("tvm",), Sure.BOTH)
        assert "\n" not in blame.reason


def test_either_alone_is_said_to_be_less():
    agree = asked([("ort", "torch")])
    assert blames(attribute(suspects(ort=None, torch=None, tvm=None), agree)) == {(("tvm",), Sure.MAJORITY)}
    assert blames(attribute(suspects(ort=True, tvm=False), asked([]))) == {(("tvm",), Sure.ARBITER)}


def test_two_that_disagree_without_an_arbiter_cannot_tell():
    assert blames(attribute(suspects(ort=None, tvm=None), asked([]))) == {(("ort", "tvm"), Sure.UNKNOWN)}


def test_a_sound_one_is_not_blamed_for_being_alone():
    assert attribute(suspects(ort=True, torch=True, openvino=True), asked([("ort", "torch")])) == ()


def test_levels_of_one_backend_are_no_majority():
    agree = asked([("tvm_O0", "tvm_O1", "tvm_O2")])
    found = attribute(suspects(tvm_O0=None, tvm_O1=None, tvm_O2=None, ort=None), agree)
    assert {sure for _, sure in blames(found)} == {Sure.UNKNOWN}
    agree = asked([("tvm_O0", "tvm_O1", "torch")])
    found = attribute(suspects(tvm_O0=None, tvm_O1=None, torch=None, ort=None), agree)
    assert blames(found) == {(("ort",), Sure.MAJORITY)}


def test_agreement_that_does_not_carry_over_is_no_majority():
    """A with B and B with C, but not A with C: which is the odd one must not hang on their order."""
    for order in permutations(suspects(ort=None, torch=None, tvm=None)):
        found = attribute(order, asked([("ort", "torch"), ("torch", "tvm")]))
        assert {sure for _, sure in blames(found)} == {Sure.UNKNOWN}


def test_a_majority_that_the_arbiter_finds_unsound_is_a_contradiction():
    cells = [Suspect("ort", "ort", False), Suspect("tvm", "tvm", False), Suspect("torch", "torch", True, shares=True)]
    (blame,) = attribute(cells, asked([("ort", "tvm")]))
    assert (set(blame.names), blame.sure) == ({"ort", "tvm"}, Sure.UNKNOWN)
    assert "the arbiter itself may be wrong" in blame.reason


def test_where_the_arbiter_finds_nobody_sound_it_may_be_wrong_itself():
    (blame,) = attribute(suspects(ort=False, tvm=False), asked([]))
    assert (set(blame.names), blame.sure) == ({"ort", "tvm"}, Sure.UNKNOWN)
    assert "arbiter itself may be wrong" in blame.reason
    assert blames(attribute(suspects(ort=False, tvm=True), asked([]))) == {(("ort",), Sure.ARBITER)}


def test_an_unsound_one_inside_a_sound_majority_is_blamed_by_the_finer_measure():
    agree = asked([("ort", "tvm", "torch")])
    assert blames(attribute(suspects(ort=True, tvm=False, torch=True), agree)) == {(("tvm",), Sure.ARBITER)}


def test_a_noisy_one_is_not_blamed_and_has_no_vote():
    cells = [Suspect("ort", "ort", True), Suspect("torch", "torch", True), Suspect("tvm", "tvm", False, noisy=True)]
    (blame,) = attribute(cells, asked([("ort", "torch")]))
    assert (blame.names, blame.sure) == (("tvm",), Sure.UNKNOWN)
    assert "differs from itself" in blame.reason
    cells = [Suspect("ort", "ort"), Suspect("torch", "torch", noisy=True), Suspect("tvm", "tvm")]
    assert {sure for _, sure in blames(attribute(cells, asked([("ort", "torch")])))} == {Sure.UNKNOWN}


def test_pairs_that_taught_nothing_blame_nobody():
    assert attribute(suspects(ort=None, tvm=None), asked([], unknown=("tvm",))) == ()


def test_the_majority_accuses_only_whom_most_of_it_differ_from():
    """ort, torch and tract agree. tvm differs from openvino alone, or from one of the three; or from two."""
    every = suspects(ort=None, torch=None, tract=None, tvm=None, openvino=None)
    differ = {frozenset(("tvm", "openvino"))}

    def agree(a, b):
        inside = {"ort", "torch", "tract"}
        return False if frozenset((a, b)) in differ else True if {a, b} <= inside else None

    found = attribute(every, agree)
    assert blames(found) == {(("tvm", "openvino"), Sure.UNKNOWN)}
    assert "too few of ort, torch, tract" in found[0].reason
    differ |= {frozenset(("tvm", "ort"))}
    assert blames(attribute(every, agree)) == {(("tvm", "openvino"), Sure.UNKNOWN)}
    differ |= {frozenset(("tvm", "torch"))}
    assert (("tvm",), Sure.MAJORITY) in blames(attribute(every, agree))


def beside_the_object(native=None, **sound):
    return [Suspect("native", "torch", native, object=True), *suspects(**sound)]


def test_where_the_model_itself_stands_alone_its_export_is_wrong():
    agree = asked([("ort", "tvm")])
    for native, sound, sure in (
        (False, True, Sure.BOTH), (None, None, Sure.MAJORITY), (False, None, Sure.BOTH), (False, False, Sure.ARBITER),
    ):  # fmt: skip
        blame = attribute(beside_the_object(native, ort=sound, tvm=sound), agree)[0]
        assert (blame.names, blame.cells, blame.sure) == ((EXPORT,), ("native",), sure)
        assert "native is the model itself" in blame.reason
        assert "it unsound" not in blame.reason
        assert "\n" not in blame.reason
    for found in (
        attribute(suspects(native=False, ort=True, tvm=True), agree),
        attribute(suspects(native=None, ort=None, tvm=None), agree),
    ):
        assert found[0].names == found[0].cells == ("native",)


def test_one_engine_that_differs_from_the_model_itself():
    """By float64 of the export it is told whether the engine or the export is wrong."""
    both = (EXPORT, "ort")
    told = {(False, True): (EXPORT,), (True, False): ("ort",), (None, None): both, (False, False): both}
    for (native, ort), names in told.items():
        (blame,) = attribute(beside_the_object(native, ort=ort), asked([]))
        assert blame.names == names
        assert (blame.sure is Sure.UNKNOWN) == (len(names) > 1)


def test_a_finer_measure_blames_the_export_only_beside_one_who_follows_it():
    """Within the tolerance of each other; float64 of the export is off the model itself."""
    agree = asked([("native", "ort", "tvm")])
    assert blames(attribute(beside_the_object(False, ort=True, tvm=True), agree)) == {((EXPORT,), Sure.ARBITER)}
    blamed = attribute(beside_the_object(False, ort=False, tvm=False), agree)
    assert blames(blamed) == {(("ort", "tvm"), Sure.UNKNOWN)}
    same_voice = [Suspect("native", "torch", False, object=True), Suspect("torch", "torch", False)]
    assert blames(attribute(same_voice, asked([("native", "torch")]))) == {(("torch",), Sure.ARBITER)}


@given(
    st.lists(
        st.tuples(st.sampled_from(["ort", "tvm", "torch"]), st.sampled_from([True, False, None]), st.booleans()),
        min_size=2,
        max_size=6,
    ),
    st.randoms(use_true_random=False),
)
def test_the_model_itself_is_never_called_wrong(drawn, random):
    cells = [Suspect(str(n), backend, sound, noisy, object=n == 0) for n, (backend, sound, noisy) in enumerate(drawn)]
    answers = {pair: random.choice([True, False, None]) for pair in combinations(map(str, range(len(cells))), 2)}
    for blame in attribute(cells, lambda a, b: answers[tuple(sorted((a, b)))]):
        assert "0" not in blame.names or cells[0].noisy
        assert (EXPORT in blame.names) == (blame.object == "0")


@given(
    st.integers(2, 7).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.sampled_from([*combinations(range(n), 2)]))))
)
def test_the_majority_is_the_one_largest_set_that_agrees(drawn):
    """Beside all sets of environments, tried one by one; every other environment is from another backend."""
    count, edges = drawn
    found = attribute(
        [Suspect(str(n), f"backend {n % 2}") for n in range(count)],
        lambda a, b: tuple(sorted((int(a), int(b)))) in edges,
    )
    groups = [
        set(group)
        for size in range(count // 2 + 1, count + 1)
        for group in combinations(range(count), size)
        if set(combinations(group, 2)) <= edges and len({n % 2 for n in group}) > 1
    ]
    largest = [group for group in groups if len(group) == max(map(len, groups))]
    accused = {int(name) for blame in found if blame.sure is Sure.MAJORITY for name in blame.names}
    if len(largest) != 1:
        assert not accused
        return
    (majority,) = largest
    apart = {n: sum(tuple(sorted((n, m))) not in edges for m in majority) for n in range(count) if n not in majority}
    assert accused == {n for n, differ in apart.items() if 2 * differ > len(majority)}


def test_many_environments_of_a_tangled_kind_take_no_time():
    """Each disagrees with a tenth of the others, at random."""
    cells = [Suspect(str(n), f"backend {n % 3}") for n in range(40)]
    assert attribute(cells, lambda a, b: (int(a) * int(b) + int(a) + int(b)) % 10 != 3)
