"""Multiple-choice questions: read line by line, and parted into tokens as lm-evaluation-harness does."""

import json
from pathlib import Path

import pytest

from tasks.errors import DataError
from tasks.quality import questions
from tasks.quality.questions import PLACES, TOKENS, Question
from tests.bpe import byte_level

LETTERS = "abcdefghijklmnopqrstuvwxyz .?"
ENTRY = {"kind": "tokens", "shape": [12], "vocabulary": len(LETTERS) + 1, "characters": LETTERS}


def ids(text):
    return [LETTERS.index(letter) for letter in text]


def asked(*given, length=12, entry=ENTRY):
    return questions.ask([Question(*each) for each in given], "text", {**entry, "shape": [length]})


def write(path, *lines):
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), encoding="utf-8")
    return path


def test_a_file_is_read_line_by_line(tmp_path):
    one, two = (
        {"query": "is it", "choices": ["no", "yes"], "gold": 1, "ind": 7},
        {"query": "é", "choices": ["a", "b", "c"], "gold": 0},
    )
    found = questions.read(write(tmp_path / "q.jsonl", one, "", two))
    assert found == [Question("is it", ("no", "yes"), 1), Question("é", ("a", "b", "c"), 0)]


def test_a_line_is_what_json_lines_take_for_one(tmp_path):
    """With a mark of UTF-8 in front, ends as Windows has them, and signs that end a line for Unicode alone."""
    given = [{"query": f"is{sign}it", "choices": ["no", f"y{sign}s"], "gold": 1} for sign in "\u2028\u2029\u0085"]
    content = "\r\n".join(json.dumps(each, ensure_ascii=False) for each in given)
    (tmp_path / "q.jsonl").write_bytes(b"\xef\xbb\xbf" + content.encode())
    found = questions.read(tmp_path / "q.jsonl")
    assert found == [Question(each["query"], tuple(each["choices"]), 1) for each in given]
    (tmp_path / "q.jsonl").write_bytes(content.replace("[", "", 1).encode())
    with pytest.raises(DataError, match=r"q\.jsonl, line 1: no JSON"):
        questions.read(tmp_path / "q.jsonl")


RIGHT = {"query": "is it", "choices": ["no", "yes"], "gold": 1}
WRONG = {
    "no JSON": ("{", "no JSON: "),
    "JSON without end": ("[" * 100_000, "no JSON: "),
    "a list": ([], "query: a text that is not empty expected; received 'None'"),
    "no query": ({**RIGHT, "query": " "}, "query: a text that is not empty expected; received ' '"),
    "one choice": ({**RIGHT, "choices": ["no"]}, r"choices: two texts or more expected; received \['no'\]"),
    "an empty choice": ({**RIGHT, "choices": ["no", ""]}, "choices: two texts or more expected"),
    "a choice that is a number": ({**RIGHT, "choices": ["no", 1]}, "choices: two texts or more expected"),
    "no place": ({**RIGHT, "gold": 2}, "gold: a place from 0 to 1 expected; received 2"),
    "a place before the first": ({**RIGHT, "gold": -1}, "gold: a place from 0 to 1 expected; received -1"),
    "a place as a text": ({**RIGHT, "gold": "1"}, "gold: a place from 0 to 1 expected; received 1"),
    "a truth": ({**RIGHT, "gold": True}, "gold: a place from 0 to 1 expected; received True"),
    "half a character": ({**RIGHT, "query": "is \ud83d it"}, r"texts expected; received .ud83d, half a character"),
    "half a choice": ({**RIGHT, "choices": ["no", "\udc00"]}, r"texts expected; received .udc00, half a character"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_line_that_is_no_question_is_named(tmp_path, case):
    line, told = WRONG[case]
    with pytest.raises(DataError, match=f"q.jsonl, line 2: {told}") as error:
        questions.read(write(tmp_path / "q.jsonl", RIGHT, line))
    assert "\n" not in str(error.value)


def test_a_file_without_questions_is_told(tmp_path):
    with pytest.raises(DataError, match=r"evaluate\.choices: none: .*No such file"):
        questions.read(Path("none"))
    with pytest.raises(DataError, match="no question in it"):
        questions.read(write(tmp_path / "q.jsonl", "", ""))
    (tmp_path / "q.jsonl").write_bytes(b"\xff")
    with pytest.raises(DataError, match=r"evaluate\.choices: .*q\.jsonl: .*utf-8"):
        questions.read(tmp_path / "q.jsonl")


def test_each_choice_is_told_behind_its_context_and_windows_are_filled_up_behind():
    found = asked(("is it", ("no", "yes"), 0))
    rows, targets = found.examples.inputs["text"], found.examples.targets
    assert [rows[0, :7].tolist(), rows[1, :8].tolist()] == [ids("is it n"), ids("is it ye")]
    assert not rows[0, 7:].any()
    assert targets[PLACES].tolist() == [[[4, 5, 6, -1]], [[4, 5, 6, 7]]]
    assert targets[TOKENS].tolist() == [[[*ids(" no"), -1]], [ids(" yes")]]
    assert found.answers == (((0, 0), (1, 0)),)
    assert found.cut == 0


@pytest.mark.parametrize("query", ["is it", "is it ", "is it  "])
@pytest.mark.parametrize("choice", ["no", " no"])
def test_spaces_at_the_end_of_the_context_are_the_choices(query, choice):
    found = asked((query, (choice, "yes"), 0))
    text = query + choice if query[-1] == " " or choice[0] == " " else f"{query} {choice}"
    row, told = found.examples.inputs["text"][0], found.examples.targets[TOKENS][0, 0]
    assert row[: len(text) - 1].tolist() == ids(text[:-1])
    assert told[told >= 0].tolist() == ids(text[len("is it") :])


def test_what_is_longer_than_the_window_loses_its_beginning_and_is_counted():
    found = asked(("which one is it", ("no", "yes"), 0), ("is it", ("no", "yes"), 0), length=9)
    rows = found.examples.inputs["text"]
    assert rows[0].tolist() == ids("one is it no"[-10:-1])
    assert rows[1].tolist() == ids("which one is it yes"[-10:-1])
    places, tokens = found.examples.targets[PLACES], found.examples.targets[TOKENS]
    assert places[1, 0].tolist() == [5, 6, 7, 8]
    assert tokens[1, 0].tolist() == ids(" yes")
    assert found.cut == 1
    assert asked(("is it", ("no", "yes"), 0), length=8).cut == 0, "nine tokens, of which the last is only told"


def test_choices_of_one_token_share_a_window():
    found = asked(("is it ", ("a", "b", "c"), 0), ("is it ", ("d", "e"), 1), ("is he ", ("a", "b"), 1), length=12)
    assert len(found.examples) == 5 - 3
    assert found.answers == (((0, 0), (0, 1), (0, 2)), ((0, 3), (0, 4)), ((1, 0), (1, 1)))
    assert found.examples.targets[TOKENS][0, :, 1].tolist() == ids("abcde")


def test_context_and_choice_become_tokens_together():
    """A space and the word behind it are one token: taken apart, they would be two."""
    made = byte_level("the film is good the film is bad " * 9, 280)
    entry = {"kind": "tokens", "shape": [12], "vocabulary": 280, "tokenizer": json.loads(made.to_str())}
    found = asked(("the film is", ("good", "bad"), 0), entry=entry)
    together = [made.encode(f"the film is {word}").ids for word in ("good", "bad")]
    assert [len(each) for each in together] == [4, 4]
    assert found.answers == (((0, 0), (0, 1)),)
    assert found.examples.inputs["text"][0, :3].tolist() == together[0][:3]
    assert found.examples.targets[TOKENS][0, :, 0].tolist() == [together[0][3], together[1][3]]
    assert found.examples.targets[PLACES][0, :, 0].tolist() == [2, 2]


def test_a_choice_that_no_window_holds_is_refused():
    with pytest.raises(DataError, match=r"question 2: the choice 'abcdefghi' is 10 tokens behind 5; 1 to 9 \(prepare"):
        asked(("is it", ("a", "b"), 0), ("is it", ("abcdefghi", "b"), 0), length=9)


def test_a_character_that_the_data_do_not_have_is_refused():
    with pytest.raises(DataError, match="question 1: 'é' is none of the characters of the text"):
        asked(("is it", ("é", "b"), 0))
    everything = {"kind": "tokens", "shape": [12], "vocabulary": 256, "bytes": True}
    assert asked(("is it", ("é", "b"), 0), entry=everything).examples.targets[TOKENS][0, 0].tolist() == [32, 0xC3, 0xA9]
