"""Which trials are stopped, and that none is that could still be the best."""

import pytest

from tasks.params import Prune, Quantize, Slim
from tasks.search.space import Plan
from tasks.search.stopping import Judge, PoorTrialError

BYTES = {"of": "bytes", "max": 1000}
GZIP = {"of": "gzip_bytes", "max": 1000}
PRUNE = ("p", Prune(method="prune", parent="baseline", sparsity=0.9, epochs=1))
SLIM = ("s", Slim(method="slim", parent="baseline", keep=0.1, epochs=1))


def plan(scheme, *models, **fields):
    return Plan(models, "v", Quantize(model=models[-1][0] if models else "baseline", scheme=scheme, **fields))


def test_weights_that_cannot_fit_are_stopped_before_anything_is_made(trial, aims):
    within = trial(0, 0.9, figures={"bytes": 900, "quality": 0.9, "gzip_bytes": 800})
    judge = Judge(aims(BYTES), [within], parameters=1200)
    with pytest.raises(
        PoorTrialError, match=r"^bytes at most 1,000: 1,200 is beyond it by 20% whatever is trained; v0 "
    ):
        judge.before(plan("int8", PRUNE))
    with pytest.raises(PoorTrialError):
        judge.before(plan("float32"))
    judge.before(plan("int4-weights"))  # 600 bytes
    judge.before(plan("int8", bits={"conv": 4}))  # who knows how many
    judge.before(plan("int8", SLIM))
    judge.before(plan("int8", SLIM, PRUNE))
    judge.before(plan("float32", sparse=True))
    Judge(aims(BYTES), [within], parameters=1000).before(plan("int8"))


def test_a_goal_out_of_everybodys_reach_stops_only_who_is_farther(trial, aims):
    near = trial(0, figures={"bytes": 1500, "quality": 0.9, "gzip_bytes": 800})
    judge = Judge(aims(BYTES), [near], parameters=1400)
    judge.before(plan("int8"))
    with pytest.raises(PoorTrialError, match="v0 is nearer to the goals"):
        judge.before(plan("float16"))
    Judge(aims(BYTES), [], parameters=10**6).before(plan("float32"))


def test_what_misses_a_goal_goes_on_until_another_keeps_to_all(trial, aims):
    missing = {"gzip_bytes": 1500.0}
    Judge(aims(GZIP), [trial(0, 0.9, 1100)], 1).known(missing)
    with pytest.raises(
        PoorTrialError, match=r"gzip_bytes at most 1,000: 1,500 is beyond it by 50%; v0 keeps to all goals"
    ):
        Judge(aims(GZIP), [trial(0, 0.9, 900)], 1).known(missing)
    Judge(aims(GZIP), [trial(0, 0.9, 900)], 1).known({"gzip_bytes": 1000.0})
    Judge(aims(GZIP), [trial(0, 0.9, 900, status="stopped", reason="poor")], 1).known(missing)


def test_far_better_is_better_in_every_objective_that_is_known_by_a_share_of_the_range(trial, aims):
    finished = [trial(i, 0.9 + i / 100, 1000 + 100 * i, 5) for i in range(5)]  # 0.90 to 0.94, 1000 to 1400
    judge = Judge(aims(objectives=3), finished, 1)
    with pytest.raises(PoorTrialError, match="v2 is far better"):
        judge.known({"quality": 0.91, "gzip_bytes": 1230.0})
    judge.known({"quality": 0.919, "gzip_bytes": 1210.0})  # by less than 5 % of each range
    judge.known({"quality": 0.91, "gzip_bytes": 1090.0})  # on the front
    judge.known({"gzip_bytes": 10**6})  # one figure says little
    Judge(aims(objectives=3), finished[:3], 1).known({"quality": 0.5, "gzip_bytes": 10**6})  # so do three trials


def test_training_is_stopped_only_far_below_the_front_and_from_half_on(trial, aims):
    judge = Judge(aims(), [trial(i, 0.9 + i / 100, 1000 + 100 * i) for i in range(4)], 1)
    judge.trained(0.1, share=0.4)
    judge.trained(0.81, share=1.0)
    with pytest.raises(
        PoorTrialError, match=r"quality 0\.790 after 50% of the epochs; the poorest of the front has 0\.900"
    ):
        judge.trained(0.79, share=0.5)
    Judge(aims(), [], 1).trained(0.0, share=1.0)
