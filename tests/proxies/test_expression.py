"""What candidates are ranked by, as it is written."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from recnas.proxies.declaration import Declaration
from recnas.proxies.expression import Expression, Ranking
from recnas.proxies.registry import PROXIES
from recnas.util.errors import InputError

words = st.builds(str.__add__, st.sampled_from("aEz_"), st.text("aeE019_", max_size=5))
names = st.sampled_from(sorted(PROXIES)) | words | st.builds("{}.{}:{}".format, words, words, words)
finite = st.floats(allow_nan=False, allow_infinity=False)
gaps = st.sampled_from(["", " ", "  "])


@st.composite
def sums(draw: st.DrawFn) -> tuple[str, dict[str, float]]:
    """Sums as a person may write them, and their weights."""
    weights = draw(st.dictionaries(names, finite, min_size=1, max_size=4))
    text = ""
    for place, (name, weight) in enumerate(weights.items()):
        gap, size = draw(gaps), abs(weight)
        sign = "-" if math.copysign(1, weight) < 0 else draw(st.sampled_from(["+", ""])) if place == 0 else "+"
        text += f"{gap}{sign}{gap}{size!r}{gap}*{gap}{name}{gap}"
    return text, weights


@given(sums())
def test_what_is_written_is_read(written: tuple[str, dict[str, float]]) -> None:
    text, weights = written
    assert Expression.parse(text).weights == weights


@given(st.lists(st.tuples(st.sampled_from("+-"), names), min_size=1, max_size=5, unique_by=lambda term: term[1]))
def test_a_term_without_a_weight_has_weight_one_and_its_own_sign(terms: list[tuple[str, str]]) -> None:
    text = " ".join(f"{sign} {name}" for sign, name in terms)
    assert Expression.parse(text).weights == {name: 1.0 if sign == "+" else -1.0 for sign, name in terms}


@pytest.mark.parametrize("name", [*PROXIES, "math:floor"])
def test_a_name_alone_ranks_as_published(name: str) -> None:
    sign = -1.0 if name in ("loss", "one_shot", "short_training") else 1.0
    assert Expression.parse(name).weights == Expression.parse(f"  {name} ").weights == {name: sign}


def test_a_name_alone_can_be_given_a_direction_without_importing_it() -> None:
    lower, name = Declaration("lower"), "no_such_module:layers"
    assert Expression.parse(name).directed({name: lower}) == Expression({name: -1.0})
    assert Expression.parse(f"+{name}").directed({name: lower}) == Expression({name: 1.0})
    with pytest.raises(InputError, match="no_such_module cannot be imported"):
        _ = Expression.parse(name).weights


@pytest.mark.parametrize("text", ["+loss", "1*loss", "loss + zico"])
def test_in_a_sum_every_sign_is_yours(text: str) -> None:
    assert Expression.parse(text).weights["loss"] == 1


def test_sigeo_follows_the_warm_up() -> None:
    assert Expression.parse("sigeo", warmup=0.0).weights == {"zico": 1, "fr": 1}
    assert Expression.parse("sigeo", warmup=0.01).weights == {"zico": 1, "fr": 1, "loss": -1}
    assert Expression.parse(" sigeo ").weights == Expression.parse("zico + fr - loss").weights


def test_none_ranks_nothing() -> None:
    assert Expression.parse("none") == Expression({})
    assert Expression.parse("none").score({"zico": 3.0}) == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not understood"),
        ("   ", "is not understood"),
        ("zico fr", "'fr' is not understood"),
        ("zico + ", "is not understood"),
        ("zico * 3", "'* 3' is not understood"),
        ("3 zico", "'3 zico' is not understood"),
        ("zico -- fr", "'-- fr' is not understood"),
        ("2*3*zico", "is not understood"),
        ("nan*zico", "is not understood"),
        ("inf*zico", "is not understood"),
        ("(zico + fr)", "is not understood"),
        ("zico + 1,5*fr", "is not understood"),
        ("my:own:proxy", "':proxy' is not understood"),
        ("zico + fr - zico", "zico is there twice"),
        ("zico + 1e999*fr", "1e999 is too large"),
    ],
)
def test_what_is_no_sum_is_told_in_one_line(text: str, said: str) -> None:
    with pytest.raises(InputError) as error:
        Expression.parse(text)
    assert said in str(error.value)
    assert repr(text.strip()) in str(error.value)
    assert "\n" not in str(error.value)


@given(st.text(max_size=12) | st.text("zicofrls+-*. :1e_\n", max_size=12))
@example("zico\n+ fr")
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    weights, said = {}, ""
    try:
        weights = Expression.parse(text).terms
    except InputError as error:
        said = str(error)
    assert "\n" not in said
    assert all(math.isfinite(weight) for weight in weights.values())


@given(st.dictionaries(words, st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), max_size=5))
def test_the_score_is_the_weighted_sum(terms: dict[str, tuple[float, float]]) -> None:
    expression = Expression({name: weight for name, (weight, _) in terms.items()})
    values = {name: value for name, (_, value) in terms.items()}
    expected = math.fsum(weight * value for weight, value in terms.values())
    assert expression.score(values) == pytest.approx(expected, rel=1e-9, abs=1e-3)


@given(st.sampled_from([math.inf, -math.inf, math.nan]), finite.filter(bool))
def test_a_value_that_is_no_finite_number_is_the_worst_score(value: float, weight: float) -> None:
    assert Expression({"zico": 1.0, "fr": weight}).score({"zico": 3.0, "fr": value}) == -math.inf


@given(finite, finite, finite, finite)
def test_a_score_is_finite_or_the_worst(a: float, b: float, x: float, y: float) -> None:
    score = Expression({"zico": a, "fr": b}).score({"zico": x, "fr": y})
    assert math.isfinite(score) or score == -math.inf


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, 7.0])
def test_terms_of_weight_zero_are_left_out(value: float) -> None:
    assert Expression.parse("2*zico + 0*fr").score({"zico": 3.0, "fr": value}) == 6


def test_reading_an_expression_needs_no_torch() -> None:
    program = (
        "import sys, recnas.proxies.expression as e; e.Expression.parse('loss'); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@given(st.lists(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=2), min_size=2, max_size=20), st.data())
def test_standardised_terms_do_not_depend_on_units(values: list[list[float]], data: st.DataObject) -> None:
    rises = data.draw(st.sampled_from([lambda x: 8 * x, lambda x: x**3, lambda x: math.atan(x / 2**20)]))
    expression = Expression({"jacov": 1.0, "short_training": -1.0})
    before = expression.standardised_scores([{"jacov": a, "short_training": b} for a, b in values])
    after = expression.standardised_scores([{"jacov": rises(a), "short_training": b} for a, b in values])
    if len({rises(a) for a, _ in values}) == len({a for a, _ in values}):
        assert after == pytest.approx(before)


def test_standardised_terms_count_alike_where_plain_ones_do_not() -> None:
    candidates = [
        {"jacov": 1000.0, "short_training": 0.3},
        {"jacov": 3000.0, "short_training": 0.4},
        {"jacov": 2000.0, "short_training": 0.1},
    ]
    expression = Expression.parse("jacov - short_training")
    assert max(range(3), key=lambda place: expression.score(candidates[place])) == 1
    scores = expression.standardised_scores(candidates)
    assert max(range(3), key=scores.__getitem__) == 2
    assert sum(scores) == pytest.approx(0)


@given(st.lists(st.booleans(), min_size=1, max_size=30))
def test_what_has_no_value_is_last_in_a_standardised_sum_whatever_else_it_has(diverged: list[bool]) -> None:
    # The best by the other term.
    candidates = [
        {"jacov": float(bad), "short_training": math.nan if bad else place}
        for place, bad in enumerate(diverged, start=1)
    ]
    scores = Expression.parse("jacov - short_training + 0*zico").standardised_scores(candidates)
    assert [score == -math.inf for score in scores] == diverged
    known = [score for score, bad in zip(scores, diverged, strict=True) if not bad]
    assert known == sorted(set(known), reverse=True)


def test_a_ranking_has_one_look_or_two() -> None:
    assert Ranking.parse("zico") == Ranking(Expression.parse("zico"))
    ranking = Ranking.parse(" jacov| jacov - 2*short_training + 0*zico ")
    assert ranking == Ranking(Expression.parse("jacov"), Expression.parse("jacov - 2*short_training + 0*zico"))
    assert ranking.names == ["jacov", "short_training"]
    stages = Ranking.parse("none | short_training").stages
    assert [look.weights for look in stages] == [{}, {"short_training": -1.0}]


@pytest.mark.parametrize(
    "text",
    [
        "zico |",
        "| zico",
        "zico | short_training | loss",
        "zico | none",
        "zico || short_training",
        "zico | 0*short_training",
    ],
)
def test_what_is_no_ranking_is_said(text: str) -> None:
    with pytest.raises(InputError, match="a first stage and a second one that ranks are expected"):
        Ranking.parse(text)


def test_only_what_looks_at_trained_weights_asks_for_a_warm_up() -> None:
    asks = {"sigeo": 0.01, "jacov": 0.0, "none": 0.0, "jacov | jacov - short_training": 0.0, "jacov | loss": 0.01}
    assert {text: Ranking.parse(text).warmup for text in asks} == asks
