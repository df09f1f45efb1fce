"""Templates as checkpoints have them, by what transformers 5.24 made of each; it is no part of the project."""

from datetime import datetime

import pytest

from tasks.serve import conversation

MESSAGES = [{"role": "user", "content": "Größe <b> & 'so'"}, {"role": "assistant", "content": "ja"}]
EACH = "{% for m in messages %}"


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (EACH + "{{ m.content }}{% break %}{% endfor %}", MESSAGES[0]["content"]),
        (EACH + "{% if m.role == 'user' %}{% continue %}{% endif %}{{ m.content }}{% endfor %}", "ja"),
        (EACH + "{% if loop.last %}{% generation %}{{ m.content }}{% endgeneration %}{% endif %}{% endfor %}", "ja"),
        ("{{ messages[0] | tojson }}", '{"role": "user", "content": "Größe <b> & \'so\'"}'),
        ("{{ {'b': 1, 'a': [2]} | tojson(indent=1) }}", '{\n "b": 1,\n "a": [\n  2\n ]\n}'),
        ("{% if tools %}x{% endif %}{{ bos_token }}{{ eos_token }}{% if add_generation_prompt %}y{% endif %}", "<s>y"),
        ("{{ [1, 'ä'] | tojson(separators=(',', ':')) }}", '[1,"ä"]'),
        ("{%- if true %}\n    a\n{%- endif %}\nb\n", "    ab"),
        ("{% generation %}\n  a\n{% endgeneration %}\nb", "  a\nb"),
    ],
)
def test_it_is_rendered_as_by_transformers(template: str, expected: str) -> None:
    assert conversation.rendered(template, MESSAGES, {"bos_token": "<s>"}) == expected


def test_the_day_is_told() -> None:
    before = datetime.now().date()
    told = conversation.rendered("{{ strftime_now('%Y-%m-%d') }}", [], {})
    assert told in {f"{before}", f"{datetime.now().date()}"}


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("{{ raise_exception('one at a time') }}", "messages: one at a time"),
        ("{% for %}", "messages: the model's template: "),
        ("{{ messages[0].tool_calls | tojson }}", "messages: the model's template: .*Undefined is not JSON"),
        ("{{ 'a' + documents }}", "messages: the model's template: can only concatenate"),
        ("{{ messages.append(1) }}", "messages: the model's template: .*unsafe"),
        ("{{ ''.__class__.__mro__ }}", "messages: the model's template: .*unsafe"),
    ],
)
def test_what_a_template_refuses_or_may_not_do_is_a_line(template: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        conversation.rendered(template, MESSAGES, {})
